"""What changes around the app without its doing: people come and go, Slack has bad moments."""

from collections.abc import Collection
from dataclasses import replace

from sandbox.cast import PersonKind
from sandbox.journal import Bearer
from sandbox.slack.platform import Platform
from sandbox.slack.sights import Sights
from sandbox.slack.web_api import Fault, WebApi


class Surroundings(Sights):
    """Everything a test may change by hand."""

    def __init__(self, platform: Platform) -> None:
        super().__init__(platform)
        self._web_api = WebApi(platform)

    def join(self, channel: str, user: str) -> None:
        """Add a person (or the bot) to a channel."""
        members = self.workspace.conversations[channel].members
        if user not in members:
            members.append(user)
        self.changed.tell()

    def leave(self, channel: str, user: str) -> None:
        """Take a person (or the bot) out of a channel."""
        self.workspace.conversations[channel].members.remove(user)
        self.changed.tell()

    def share(self, channel: str, *, shared: bool = True, pending: bool = False) -> None:
        """Share a channel with another organisation, or begin to (`pending`)."""
        conversation = self.workspace.conversations[channel]
        conversation.shared, conversation.pending_share = shared and not pending, pending
        self.changed.tell()

    def archive(self, channel: str) -> None:
        """Archive a channel."""
        self.workspace.conversations[channel].archived = True
        self.changed.tell()

    def set_usergroup(self, group: str, users: Collection[str]) -> None:
        """Set who is in a user group."""
        self.workspace.groups[group].users = list(users)
        self.changed.tell()

    def deactivate(self, user: str) -> None:
        """Deactivate an account: it leaves every channel and group."""
        self.change_person(user, kind="deactivated")
        for conversation in self.workspace.conversations.values():
            if conversation.direct_with is None and user in conversation.members:
                conversation.members.remove(user)
        for group in self.workspace.groups.values():
            group.users = [other for other in group.users if other != user]
        self.changed.tell()

    def change_person(
        self,
        user: str,
        *,
        kind: PersonKind | None = None,
        email: str | None = None,
        email_confirmed: bool | None = None,
    ) -> None:
        """Change what kind of member somebody is, or their e-mail address."""
        person = self.workspace.people[user]
        self.workspace.people[user] = replace(person, kind=kind or person.kind, email=email or person.email)
        if email_confirmed is False:
            self.workspace.unconfirmed_emails.add(user)
        elif email_confirmed:
            self.workspace.unconfirmed_emails.discard(user)
        self.changed.tell()

    def bearer_of(self, authorization: str) -> Bearer:
        """Whom this Authorization header speaks for."""
        return self._web_api.bearer(authorization.removeprefix("Bearer ").strip())

    def fail_next(
        self, method: str, error: str = "internal_error", *, after: bool = False, times: int = 1
    ) -> None:
        """Answer the next calls of a method with `error`; `after`: although it was carried out."""
        self._web_api.faults.setdefault(method, []).extend([Fault(error=error, before=not after)] * times)

    def break_next(self, method: str, status: int = 503, *, after: bool = False, times: int = 1) -> None:
        """Answer the next calls of a method with this HTTP status and no body."""
        self._web_api.faults.setdefault(method, []).extend([Fault(status=status, before=not after)] * times)

    def limit_next(self, method: str, seconds: int = 1, *, times: int = 1) -> None:
        """Answer the next calls of a method with HTTP 429 and this `Retry-After`."""
        self._web_api.faults.setdefault(method, []).extend([Fault(retry_after=seconds)] * times)
