"""How Slack and Entra are set up for the app: what an operator can get wrong on the first day."""

from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from sandbox.cast import BOT_USER, CLIENT_SECRET, DEFAULT_CAST, ON_CALL
from sandbox.slack.local_slack import SCOPES

if TYPE_CHECKING:
    from sandbox.app import Sandbox


class Setup(BaseModel):
    """The whole set-up; what is not named is right.

    `tells_scopes`: whether Slack's answers say which are granted. `channel`: the approver channel.
    `usergroup`: that of the on-call leads. `credential`: the client secret; where it is not `right`, Entra
    knows no certificate either. `redirect_uris`: None leaves them. `clock_ahead`: seconds, of every vendor.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scopes: tuple[str, ...] = SCOPES
    tells_scopes: bool = True
    organization_wide: bool = False
    messages_tab: bool = True
    channel: Literal["private", "public", "shared", "archived", "left"] = "private"
    usergroup: Literal["enabled", "disabled", "empty"] = "enabled"
    credential: Literal["right", "wrong", "expired"] = "right"
    redirect_uris: tuple[str, ...] | None = None
    clock_ahead: float = 0

    def apply(self, sandbox: "Sandbox") -> None:
        platform, entra = sandbox.slack.platform, sandbox.entra
        platform.scopes, platform.tells_scopes = self.scopes, self.tells_scopes
        platform.organization_wide, platform.messages_tab = self.organization_wide, self.messages_tab
        channel = platform.workspace.conversations[ON_CALL]
        channel.private, channel.shared = self.channel != "public", self.channel == "shared"
        channel.archived = self.channel == "archived"
        others = [member for member in channel.members if member != BOT_USER]
        channel.members[:] = others if self.channel == "left" else [*others, BOT_USER]
        for usual in DEFAULT_CAST.usergroups:
            group = platform.workspace.groups[usual.id]
            group.enabled = self.usergroup != "disabled"
            group.users = [] if self.usergroup == "empty" else list(usual.users)
        entra.client_secrets = {CLIENT_SECRET} if self.credential == "right" else set()
        entra.expired_secrets = {CLIENT_SECRET} if self.credential == "expired" else set()
        entra.has_certificate = self.credential == "right"
        if self.redirect_uris is not None:
            entra.redirect_uris = list(self.redirect_uris)
        sandbox.clock_ahead = timedelta(seconds=self.clock_ahead)
        sandbox.slack.changed.tell()
