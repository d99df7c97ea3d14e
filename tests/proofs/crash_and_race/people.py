"""What people do under load: they do not wait long, try again, and remember what the bot told them."""

from collections.abc import Callable

import httpx
from bot.slack.payloads import Action, Field
from bot.slack.wording import CATALOG_EN as ENGLISH
from sandbox.app import Sandbox
from tests.support import user_actions
from tests.support.user_actions import (
    AIKO,
    AIKO_ACCOUNT,
    GUS,
    KEN,
    KEN_ACCOUNT,
    MEI,
    ON_CALL,
    Browser,
    NotPossible,
    T,
    buttons,
    direct_channel,
)

__all__ = ["ACCOUNTS", "AIKO", "GAVE_UP", "GUS", "KEN", "MEI", "ON_CALL", "NotPossible", "People"]

ACCOUNTS = {KEN: KEN_ACCOUNT, AIKO: AIKO_ACCOUNT}
ANSWER_SECONDS = 3.5
GAVE_UP = (NotPossible, httpx.HTTPError)
"""A person did not get on: the bot is dead, or another person was faster. They try again."""


class People(user_actions.People):
    """The people of one sandbox; what they were told is held against the database afterwards."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        self.forms: list[str] = []
        """The forms of requests that closed: acknowledged."""
        self.told: list[tuple[str, str, str]] = []
        """Who was told in a modal that they had approved or denied which request."""

    async def until(self, seen: Callable[[], T | None], seconds: float = ANSWER_SECONDS) -> T:
        """Look after every change until there is something to see, or give up."""
        try:
            return await super().until(seen, seconds)
        except TimeoutError:
            raise NotPossible("there is nothing to see") from None

    def offered(self, channel: str, action: str, target: str = "") -> list[str]:
        """The requests about which a button can be pressed in a channel; of one target where it is named."""
        return [
            str(element["value"])
            for message in self.messages(channel)
            for _, element in buttons(message)
            if element.get("action_id") == action and target.rpartition(":")[2] in message["text"]
        ]

    async def expect(self, user: str, title: str, before: str = "") -> None:
        """Wait until this person's modal says something else than `before`: `title`, or it is given up."""
        if (found := await self.title_after(user, before)) != title:
            raise NotPossible(found)

    async def ask_by_form(self, user: str, target: str, reason: str) -> None:
        """Fill the form in, and see it close."""
        await self.close(user)
        await self.command(user, "")
        await self.expect(user, ENGLISH["ask.title"])
        form = self.modal(user)["id"]
        values = {Field.TARGET: target, Field.REASON: reason}
        if (await self._do(user, "submit", view_id=form, values=values)).get("closed"):
            self.forms.append(form)

    async def approve(self, user: str, request: str) -> None:
        """Press Approve, sign in if that is asked for, review, submit."""
        await self.review(user, request)
        await self.submit_review(user, request)

    async def review(self, user: str, request: str) -> None:
        """Go as far as the open review."""
        title = await self.open(user, Action.APPROVE, request=request)
        if title == ENGLISH["sign_in.title"]:
            await self.follow_link(user)
            title = await self.title_after(user, title)
        if title != ENGLISH["review.title"] or self.modal(user)["submit"] is None:
            raise NotPossible(title)

    async def submit_review(self, user: str, request: str) -> None:
        """Choose the last device, which is the one that the request names if it names several, and submit."""
        title, again = ENGLISH["review.title"], ENGLISH["code.recently_reset.title"]
        while title in (ENGLISH["review.title"], again):
            [choice] = [b for b in self.modal(user)["blocks"] if b.get("block_id") == Field.DEVICE]
            await self.submit(user, **{Field.DEVICE: choice["element"]["options"][-1]["value"]})
            title = await self.title_after(user, title)
        if title == ENGLISH["approved.title"]:
            self.told.append((user, "approved", request))

    async def deny(self, user: str, request: str) -> None:
        """Press Deny, and give a reason."""
        await self.close(user)
        await self.press(user, Action.DENY, request=request)
        await self.expect(user, ENGLISH["deny.title"])
        await self.submit(user, **{Field.DENIAL: "not on my watch"})
        if await self.title_after(user, ENGLISH["deny.title"]) == ENGLISH["denied.title"]:
            self.told.append((user, "denied", request))

    async def close_request(self, user: str, request: str) -> None:
        """Close an uncertain request, and see the card change."""
        await self.press(user, Action.CLOSE, request=request)
        await self.until(lambda: request not in self.offered(ON_CALL, Action.CLOSE))

    async def withdraw(self, user: str, request: str) -> None:
        """Press Withdraw on the receipt."""
        await self.press(user, Action.WITHDRAW, request=request, channel=direct_channel(user))

    async def reveal(self, user: str, request: str) -> None:
        """Press Show passcode on the receipt, and see it."""
        await self.close(user)
        await self.press(user, Action.SHOW_PASSCODE, request=request, channel=direct_channel(user))
        await self.expect(user, ENGLISH["passcode.title"])

    async def sign_in_again(self, user: str) -> None:
        """Sign out, and in by the command."""
        await self.command(user, "sign-out")
        await self.close(user)
        await self.command(user, "sign-in")
        await self.expect(user, ENGLISH["sign_in.title"])
        await self.follow_link(user)

    async def follow_link(self, user: str) -> None:
        """Sign in in a browser, by the link in the modal on top."""
        browser = Browser()
        try:
            await browser.sign_in(self.link_in_modal(user), ACCOUNTS[user])
        except (AssertionError, ValueError, KeyError) as trouble:  # a page is another one than expected
            raise NotPossible from trouble
        finally:
            await browser.http.aclose()
