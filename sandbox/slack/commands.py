"""A person types a slash command, or a message."""

import re
from collections.abc import Coroutine, Mapping
from typing import Any, Final

from sandbox.cast import APP_ID
from sandbox.slack.blocks import accepted_blocks
from sandbox.slack.delivery import Ack, Envelope
from sandbox.slack.platform import Outcome, Platform
from sandbox.slack.refusals import NotPossible, Refused
from sandbox.slack.shapes import JsonObject
from sandbox.slack.workspace import Conversation, Message

_ERRORS: Final = {"timeout": "operation_timeout", "failed": "dispatch_failed"}

_PARTS: Final = re.compile(
    r"(?P<url>https?://[^\s<>|]+)"
    r"|(?P<email>[\w.+%'-]+@[\w-]+(?:\.[\w-]+)+)"
    r"|(?<![\w@])@(?P<handle>[a-z0-9][a-z0-9._-]*)"
    r"|(?<![\w#])#(?P<channel>[\w-]+)"
    r"|(?<![\w@./-])(?P<domain>(?:[a-z0-9-]+\.)+(?:com|org|net|io|dev))(?![\w@.-]*[\w@-])"
)


class Commands:
    """Typing into the message field of a channel."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._workspace = platform.workspace

    def command(self, user: str, channel: str, text: str) -> Coroutine[Any, Any, Outcome]:
        """Check what Slack's client checks, now; the returned coroutine delivers the command."""
        here = self._present(user, channel)
        name, _, typed = text.strip().partition(" ")
        if not name.startswith("/"):
            raise NotPossible("a command starts with a slash")
        # Commands belong to the workspace that installed the app (docs.slack.dev/apis/slack-connect).
        if name not in self._offered(user):
            return self._told(user, f"{name} is not a valid command")
        return self._deliver(user, here, name, typed.strip())

    def message(self, user: str, channel: str, text: str) -> Message:
        """Post what a person says; the app is not told (it reads no history)."""
        self._present(user, channel)
        return self._workspace.post(channel, user=user, text=text)

    def _present(self, user: str, channel: str) -> Conversation:
        if not self._workspace.active(user):
            raise NotPossible("this account is deactivated or does not exist")
        here = self._workspace.conversations.get(channel)
        if here is None or user not in here.members:
            raise NotPossible(f"{self._workspace.people[user].name} is not in that channel")
        if here.direct_with is not None:  # the manifest's `messages_tab_read_only_enabled`
            raise NotPossible("Sending messages to this app has been turned off.")
        return here

    def _offered(self, user: str) -> list[str]:
        if self._workspace.external(user) or "commands" not in self._platform.scopes:
            return []
        return list(self._platform.commands)

    async def _told(self, user: str, text: str) -> Outcome:
        self._workspace.tell(user, text)
        return Outcome(delivered=False, notice=text)

    async def _deliver(self, user: str, here: Conversation, name: str, typed: str) -> Outcome:
        payload = self._payload(user, here, name, typed)
        envelope = Envelope(kind="slash_commands", payload=payload, takes_answer=True)
        ack = await self._platform.deliver(envelope)
        if ack.outcome != "ok":
            return await self._told(user, f'{name} failed with the error "{_ERRORS[ack.outcome]}"')
        return await self._answered(user, here, f"{name} {typed}".strip(), ack)

    def _payload(self, user: str, here: Conversation, name: str, typed: str) -> JsonObject:
        team, person = self._workspace.team, self._workspace.people[user]
        organization = self._workspace.organization
        of_grid = {"enterprise_id": organization, "enterprise_name": team.name} if organization else {}
        return {
            "token": "deprecated",
            "team_id": team.id,
            "team_domain": team.domain,
            **of_grid,
            "channel_id": here.id,
            "channel_name": "directmessage" if here.direct_with else here.name,
            "user_id": self._workspace.named(user)[0],
            "user_name": person.handle,
            "command": name,
            "text": self._escaped(typed),
            "api_app_id": APP_ID,
            "is_enterprise_install": "false",
            "response_url": self._platform.response_url(user, here.id),
            "trigger_id": self._platform.triggers.issue(user),
        }

    def _escaped(self, typed: str) -> str:
        handles = {p.handle: p.id for p in self._workspace.people.values()}
        channels = {c.name: c.id for c in self._workspace.conversations.values() if not c.direct_with}
        return escaped(typed, handles=handles, channels=channels)

    async def _answered(self, user: str, here: Conversation, typed: str, ack: Ack) -> Outcome:
        body: JsonObject = {"text": ack.body} if isinstance(ack.body, str) else ack.body
        text, blocks = str(body.get("text") or ""), body.get("blocks")
        if not text and not blocks:
            return Outcome()
        try:
            accepted = accepted_blocks(blocks) if blocks else None
        except Refused:
            return await self._told(user, f'{typed.split()[0]} failed with the error "dispatch_failed"')
        if body.get("response_type") == "in_channel":
            # Slack then shows the channel what was typed, too.
            self._workspace.post(here.id, user=user, text=typed)
            answer = self._workspace.post(here.id, user=self._workspace.bot.id, text=text, blocks=accepted)
        else:
            answer = self._workspace.show_only(user, here.id, text=text, blocks=accepted)
        return Outcome(answer=answer)


def escaped(text: str, *, handles: Mapping[str, str], channels: Mapping[str, str]) -> str:
    """Return typed text as a slash command carries it.

    `handles` and `channels` map the name to the id. Sources: docs.slack.dev
    interactivity/implementing-slash-commands (should_escape) and messaging/formatting-message-text.
    """
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    def replaced(found: re.Match[str]) -> str:
        name, value = found.lastgroup, found[found.lastgroup or 0]
        if name == "url":
            return f"<{value}>"
        if name == "email":
            return f"<mailto:{value}|{value}>"
        if name == "domain":
            return f"<http://{value}|{value}>"
        known = handles if name == "handle" else channels
        sign = "@" if name == "handle" else "#"
        return f"<{sign}{known[value]}|{value}>" if value in known else found[0]

    return _PARTS.sub(replaced, plain)
