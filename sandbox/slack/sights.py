"""What people see in the local Slack, for tests to look at and to wait for."""

from collections.abc import Callable
from typing import TypeVar

from sandbox.slack.modals import View
from sandbox.slack.platform import Platform
from sandbox.slack.refusals import NotPossible, Refused
from sandbox.slack.workspace import Message, Notice

T = TypeVar("T")


class Sights:
    """Messages, notices and modals as they stand now."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.workspace = platform.workspace
        self.changed = platform.changes

    def messages(self, channel: str) -> list[Message]:
        """What stands in a channel, oldest first."""
        return list(self.workspace.conversations[channel].messages.values())

    def direct(self, user: str) -> list[Message]:
        """What stands in the direct messages of a person and the bot, oldest first."""
        return self.messages(self.workspace.people[user].direct)

    def ephemerals(self, user: str) -> list[Message]:
        """The messages that only this person sees, oldest first."""
        return list(self.workspace.ephemerals.get(user, []))

    def notices(self, user: str) -> list[Notice]:
        """What Slack itself told this person, oldest first."""
        return list(self.workspace.notices.get(user, []))

    def modal(self, user: str) -> View | None:
        """The modal in front of this person, or None."""
        return self.platform.modals.top(user)

    def home(self, user: str) -> View | None:
        """The App Home that this person sees, or None."""
        return self.platform.modals.homes.get(user)

    def view(self, user: str, view_id: str = "") -> View:
        """The open modal of this id, or the top one; NotPossible if there is none."""
        try:
            view = self.platform.modals.find(view_id=view_id) if view_id else self.modal(user)
        except Refused:
            view = None
        if view is None:
            raise NotPossible("that modal is not open")
        return view

    async def until(
        self,
        predicate: Callable[[], T],
        timeout: float = 5.0,  # noqa: ASYNC109 - see Changes.until
    ) -> T:
        """Wait for the first true value of `predicate`; TimeoutError after `timeout` real seconds."""
        return await self.changed.until(predicate, timeout)
