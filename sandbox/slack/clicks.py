"""A person presses a button, or chooses from a menu, in a message or a modal."""

from collections.abc import Coroutine, Mapping
from dataclasses import replace
from typing import Any

from sandbox.slack.blocks import find_element
from sandbox.slack.delivery import Envelope
from sandbox.slack.elements import Entry, entered
from sandbox.slack.modals import Values, View
from sandbox.slack.outcome import TROUBLE, Outcome
from sandbox.slack.platform import Platform
from sandbox.slack.refusals import NotPossible
from sandbox.slack.shapes import JsonObject
from sandbox.slack.workspace import Message


class Clicks:
    """Using the interactive elements that somebody sees."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._workspace = platform.workspace

    def in_message(
        self, user: str, message: Message, action_id: str, block_id: str | None, entry: Entry
    ) -> Coroutine[Any, Any, Outcome]:
        """Check that this person sees this element, now; the returned coroutine delivers the click."""
        self._must_see(user, message)
        found = find_element(message.blocks or (), action_id, block_id)
        if found is None:
            raise NotPossible(f"there is no {action_id} in that message")
        action = self._action(*found, entry)
        return self._deliver(user, self._message_payload(user, message, action))

    def in_view(
        self, user: str, view: View, action_id: str, block_id: str | None, entry: Entry
    ) -> Coroutine[Any, Any, Outcome]:
        """The same in a modal: what was typed so far goes along."""
        if view.user != user:
            raise NotPossible("that modal belongs to somebody else")
        found = find_element(view.blocks, action_id, block_id)
        if found is None:
            raise NotPossible(f"there is no {action_id} in that modal")
        action = self._action(*found, entry)
        current = self._remember(view, found, entry)
        return self._deliver(user, self._view_payload(user, current, action))

    def newest(self, user: str, channel: str, action_id: str, block_id: str | None) -> Message:
        """Return the newest message in which this person sees this element."""
        conversation = self._workspace.conversations.get(channel)
        public = list(conversation.messages.values()) if conversation else []
        private = [m for m in self._workspace.ephemerals.get(user, []) if m.channel == channel]
        for message in sorted([*public, *private], key=lambda m: m.ts, reverse=True):
            if find_element(message.blocks or (), action_id, block_id):
                return message
        raise NotPossible(f"nobody can press {action_id} in {channel}")

    def _must_see(self, user: str, message: Message) -> None:
        if not self._workspace.active(user):
            raise NotPossible("this account is deactivated or does not exist")
        if message.only_for not in (None, user):
            raise NotPossible("only somebody else sees that message")
        if user not in self._workspace.conversations[message.channel].members:
            raise NotPossible(f"{self._workspace.people[user].name} is not in that channel")

    def _action(self, block_id: str, element: JsonObject, entry: Entry) -> JsonObject:
        same = ("type", "action_id", "text", "value", "style", "placeholder", "confirm")
        action = {name: element[name] for name in same if name in element}
        if element["type"] != "button":
            action |= entered(element, entry)
        return action | {"block_id": block_id, "action_ts": self._workspace.timestamps.next()}

    def _remember(self, view: View, found: tuple[str, JsonObject], entry: Entry) -> View:
        block_id, element = found
        entries = view.state.get(block_id, {})
        if element["action_id"] not in entries:
            return view
        changed = {**view.state, block_id: {**entries, element["action_id"]: entered(element, entry)}}
        current = replace(view, state=changed)
        self._platform.modals.put(current)
        return current

    def _message_payload(self, user: str, message: Message, action: JsonObject) -> JsonObject:
        here = self._workspace.conversations[message.channel]
        ephemeral = message.only_for is not None
        payload = self._platform.payload_frame("block_actions", user) | {
            "container": {
                "type": "message",
                "message_ts": message.ts,
                "channel_id": here.id,
                "is_ephemeral": ephemeral,
            },
            "channel": {"id": here.id, "name": "directmessage" if here.direct_with else here.name},
            "state": {"values": _message_state(action)},
            "trigger_id": self._platform.triggers.issue(user),
            "response_url": self._platform.response_url(user, here.id, message.ts),
            "actions": [action],
        }
        if not ephemeral:
            payload["message"] = self._workspace.message_json(message)
        return payload

    def _view_payload(self, user: str, view: View, action: JsonObject) -> JsonObject:
        return self._platform.payload_frame("block_actions", user) | {
            "container": {"type": "view", "view_id": view.id},
            "view": self._platform.modals.view_json(view),
            "trigger_id": self._platform.triggers.issue(user, view.id),
            "actions": [action],
        }

    async def _deliver(self, user: str, payload: JsonObject) -> Outcome:
        envelope = Envelope(kind="interactive", payload=payload, takes_answer=False)
        ack = await self._platform.deliver(envelope)
        if ack.outcome == "ok" and not ack.body:
            return Outcome()
        self._workspace.tell(user, TROUBLE)
        return Outcome(delivered=False, notice=TROUBLE)


def _message_state(action: Mapping[str, Any]) -> Values:
    if action["type"] in ("button", "overflow"):
        return {}
    entry = {name: value for name, value in action.items() if name == "type" or name.startswith("selected_")}
    return {action["block_id"]: {action["action_id"]: entry}}
