"""The whole Slack face over fakes: the door, Bolt's app, the listeners, and windows to look into."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

from bot.domain.errors import SlackError
from bot.domain.secret import Secret
from bot.slack.afterwork import Afterwork
from bot.slack.app import bolt_app
from bot.slack.conversation import Conversation
from bot.slack.listeners import Listeners
from bot.slack.message import View
from bot.slack.wording import ENGLISH
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient
from tests.face.post import Mailbox
from tests.fakes.desk import StaffedDesk, a_desk

US = AuthorizeResult(enterprise_id=None, team_id="T0CONTOSO", bot_user_id="U0UNLATCH", bot_token="xoxb-1")
NOWHERE = "http://127.0.0.1:9/"
"""Nothing listens there: what asks Slack here fails."""


@dataclass
class FakeViews:
    """Slack's windows. `slow`: Slack does not answer until it is set."""

    opened: list[tuple[str, View]] = field(default_factory=list)
    updated: list[View] = field(default_factory=list)
    said: list[tuple[str, str]] = field(default_factory=list)
    """Where, and what, beside the windows."""
    trouble: SlackError | None = None
    slow: asyncio.Event | None = None
    deaf: SlackError | None = None
    """Slack takes no sentence beside the windows."""

    async def open(self, trigger_id: str, view: View) -> str:
        await self._answer()
        self.opened.append((trigger_id, view))
        return f"V{len(self.opened)}"

    async def update(self, _view_id: str, view: View) -> None:
        await self._answer()
        self.updated.append(view)

    async def say(self, address: Secret, text: str) -> None:
        await asyncio.sleep(0)
        if self.deaf is not None:
            raise self.deaf
        self.said.append((address.reveal(), text))

    async def _answer(self) -> None:
        await asyncio.sleep(0)
        if self.slow is not None:
            await self.slow.wait()
        if self.trouble is not None:
            raise self.trouble


@dataclass
class FakeDirect:
    """Direct messages that were sent: to whom, and what."""

    said: list[tuple[str, str]] = field(default_factory=list)
    trouble: SlackError | None = None

    async def say(self, user: str, sentence: str) -> None:
        await asyncio.sleep(0)
        if self.trouble is not None:
            raise self.trouble
        self.said.append((user, sentence))


class Counter:
    """Where deliveries arrive."""

    def __init__(self, staffed: StaffedDesk | None = None) -> None:
        self.staffed = staffed or a_desk()
        self.views = FakeViews()
        self.afterwork = Afterwork()
        desk = self.staffed.desk
        self.direct = FakeDirect()
        self.conversation = Conversation(
            desk,
            self.views,  # type: ignore[arg-type]  # windows here
            self.direct,  # type: ignore[arg-type]  # messages here
            ENGLISH,
        )
        self.listeners = Listeners(desk, self.conversation, self.afterwork, ENGLISH)
        self.app = bolt_app(AsyncWebClient(base_url=NOWHERE), US, self.listeners)
        self.mailbox = Mailbox(self.app)

    async def settle(self) -> None:
        """Let what goes on after the acknowledgement finish."""
        await self.afterwork.drain(grace=timedelta(seconds=5))

    def shown(self) -> View:
        """The window as it stands."""
        return self.views.updated[-1] if self.views.updated else self.views.opened[-1][1]
