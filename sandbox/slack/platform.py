"""Everything inside the local Slack, tied together once."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from sandbox.cast import APP_ID, Cast
from sandbox.clock import Clock
from sandbox.journal import Journal
from sandbox.slack.changes import Changes
from sandbox.slack.delivery import Ack, Carrier, Envelope, SignedHttp
from sandbox.slack.modals import Modals
from sandbox.slack.shapes import JsonObject
from sandbox.slack.sockets import Sockets
from sandbox.slack.tickets import ResponseUrls, Triggers
from sandbox.slack.workspace import Workspace


@dataclass(slots=True, kw_only=True)
class Platform:
    """The parts that methods, deliveries and gestures share."""

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
    scopes_used: set[str] = field(default_factory=set)
    messages_tab: bool = True

    def carrier(self) -> Carrier:
        """The way to the app: a socket if any is open, and then only a socket."""
        return self.sockets if self.sockets.connections else self.http

    async def deliver(self, envelope: Envelope) -> Ack:
        """Bring one envelope to the app, once."""
        ack = await self.carrier().carry(envelope)
        self.changes.tell()
        return ack

    def response_url(self, user: str, channel: str, message_ts: str | None = None) -> str:
        """Return a new response URL."""
        return f"{self.base_url()}/slack/response/{self.response_urls.issue(user, channel, message_ts)}"

    def user_json(self, user: str) -> JsonObject:
        """The person who acts, as interaction payloads name them."""
        person = self.workspace.people[user]
        return {"id": user, "username": person.handle, "name": person.handle, "team_id": person.team_id}

    def payload_frame(self, kind: str, user: str) -> JsonObject:
        """What every interaction payload has. `team` is ours even if the person is not."""
        team = self.workspace.team
        return {
            "type": kind,
            "team": {"id": team.id, "domain": team.domain},
            "user": self.user_json(user),
            "api_app_id": APP_ID,
            "token": "deprecated",
            "enterprise": None,
            "is_enterprise_install": False,
        }
