"""The parts of the local Slack, tied together once; and what a person sees after an action."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from sandbox.cast import APP_ID, Cast
from sandbox.clock import Clock
from sandbox.journal import Journal
from sandbox.slack.delivery import Ack, Carrier, Envelope, SignedHttp
from sandbox.slack.modals import Modals
from sandbox.slack.shapes import JsonObject
from sandbox.slack.sockets import Sockets
from sandbox.slack.tickets import ResponseUrls, Triggers
from sandbox.slack.workspace import Changes, Message, Workspace

TROUBLE: Final = "We had some trouble connecting. Try again?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What Slack shows at once: everything the app does later arrives in messages and modals.

    `delivered`: the app acknowledged. `notice`: what Slack itself said. `answer`: what the app said in
    its acknowledgement. `errors`: block id to sentence, under the fields of a form. `closed`: the form
    was accepted and went away.
    """

    delivered: bool = True
    notice: str = ""
    answer: Message | None = None
    errors: Mapping[str, str] = field(default_factory=dict)
    closed: bool = False


@dataclass(slots=True, kw_only=True)
class Platform:
    """The parts that Web API methods and people's actions share."""

    cast: Cast
    clock: Clock
    journal: Journal
    changes: Changes
    workspace: Workspace
    modals: Modals
    triggers: Triggers
    response_urls: ResponseUrls
    http: SignedHttp
    sockets: Sockets
    base_url: Callable[[], str]
    scopes: Collection[str]
    commands: Collection[str]
    messages_tab: bool = True
    tells_scopes: bool = True
    """Whether answers carry x-oauth-scopes, which a proxy may take away."""
    organization_wide: bool = False
    """Whether the app is installed for a whole organization."""

    def carrier(self) -> Carrier:
        """How to reach the app: by a socket if any is open, and then only by a socket."""
        return self.sockets if self.sockets.connections else self.http

    async def deliver(self, envelope: Envelope) -> Ack:
        """Deliver one envelope to the app, once."""
        ack = await self.carrier().carry(envelope)
        self.changes.tell()
        return ack

    def response_url(self, user: str, channel: str, message_ts: str | None = None) -> str:
        """Return a new response URL."""
        return f"{self.base_url()}/slack/response/{self.response_urls.issue(user, channel, message_ts)}"

    def user_json(self, user: str) -> JsonObject:
        """The person who acts, as interaction payloads name them."""
        person, (named, team) = self.workspace.people[user], self.workspace.named(user)
        return {"id": named, "username": person.handle, "name": person.handle, "team_id": team}

    def payload_frame(self, kind: str, user: str) -> JsonObject:
        """What every interaction payload has. `team` is ours even if the person is not."""
        team, organization = self.workspace.team, self.workspace.organization
        return {
            "type": kind,
            "team": {"id": team.id, "domain": team.domain},
            "user": self.user_json(user),
            "api_app_id": APP_ID,
            "token": "deprecated",
            "enterprise": {"id": organization, "name": team.name} if organization else None,
            "is_enterprise_install": False,
        }
