"""What people do in the sandbox, over HTTP: ask, review, approve, deny, withdraw, sign in. They are patient.

Whatever the bot promised a person is remembered here, to be held against the database afterwards.
"""

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from bot.slack.catalog_en import ENGLISH
from bot.slack.payloads import VALUE, Action, Field
from tests.support.user_actions import AIKO_ACCOUNT, KEN_ACCOUNT, Browser

MEI, KEN, AIKO, GUS = "U0MEI", "U0KEN", "U0AIKO", "U0GUS"
ON_CALL, SUPPORT = "C0ONCALL", "C0SUPPORT"
ACCOUNTS = {KEN: KEN_ACCOUNT, AIKO: AIKO_ACCOUNT}
LOOK_SECONDS = 0.05
ANSWER_SECONDS = 3.5
"""Slack gives an app three seconds."""

Json = dict[str, Any]


class GaveUp(Exception):
    """A person did not get on: the bot is away, or somebody else was faster. They will try again."""


@dataclass
class People:
    """The people of one sandbox."""

    url: str
    forms: list[str] = field(default_factory=list)
    """The windows of asks that closed: acknowledged."""
    told: list[tuple[str, str, str]] = field(default_factory=list)
    """Who was told in a window that they had approved or denied which request."""
    _http: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(timeout=10, trust_env=False))
    _looking: asyncio.Task[Json] | None = None

    async def close(self) -> None:
        """Go home."""
        await self._http.aclose()

    # What there is to see

    async def see(self) -> Json:
        """Everything that the page shows; several who look at once share one look."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._state())
        return await asyncio.shield(self._looking)

    async def _state(self) -> Json:
        await asyncio.sleep(LOOK_SECONDS)
        return dict((await self._http.get(f"{self.url}/sandbox/state")).json())

    async def resets(self) -> list[Json]:
        """The resets that Intune accepted."""
        return list((await self._http.get(f"{self.url}/sandbox/resets")).json())

    async def posted(self, channel: str) -> list[Json]:
        """The messages of one conversation, as Slack's JSON."""
        answer = await self._http.get(f"{self.url}/sandbox/posted", params={"channel": channel})
        return list(answer.json())

    async def until(self, seen: Callable[[Json], Any]) -> Any:
        """Look until something is there, or give up."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while not (found := seen(await self.see())):
                    pass
        except TimeoutError:
            raise GaveUp from None
        return found

    # What people do

    async def do(self, user: str, gesture: str, **body: object) -> Json:
        """One gesture; GaveUp where it is not possible now."""
        answer = await self._http.post(f"{self.url}/sandbox/people/{user}/{gesture}", json=body)
        if answer.is_error:
            raise GaveUp(answer.text)
        return dict(answer.json())

    async def ask(self, user: str, what: str) -> None:
        """By the slash command."""
        channel = SUPPORT if user in (MEI, GUS) else ON_CALL
        await self.do(user, "command", channel=channel, text=f"/reset-passcode {what}")

    async def ask_by_form(self, user: str, target: str, reason: str) -> None:
        """By the form, and see it close."""
        await self.clear(user)
        await self.ask(user, "")
        window = await self.window(user, ENGLISH["ask.title"])
        values = {Field.TARGET: {VALUE: target}, Field.REASON: {VALUE: reason}}
        answer = await self.do(user, "submit", view_id=window["id"], values=values)
        if answer.get("closed"):
            self.forms.append(window["id"])

    async def approve(self, user: str, request: str) -> None:
        """Press Approve, sign in if that is asked for, review, submit."""
        window = await self.review(user, request)
        await self.submit_review(user, request, window)

    async def review(self, user: str, request: str) -> Json:
        """As far as the open review."""
        await self.clear(user)
        await self.press(user, ON_CALL, request, Action.APPROVE)
        window = await self.window(user)
        if _title(window) == ENGLISH["sign_in.title"]:
            await self.follow_link(user, window)
            window = await self.window(user, ENGLISH["review.title"])
        if _title(window) != ENGLISH["review.title"] or window["submit"] is None:
            raise GaveUp(_title(window))
        return window

    async def submit_review(self, user: str, request: str, window: Json) -> None:
        """Choose the last device, which is the one that the request names if it names several, and submit."""
        [choice] = [block for block in window["blocks"] if block.get("block_id") == Field.DEVICE]
        chosen = {"type": choice["element"]["type"], "selected_option": choice["element"]["options"][-1]}
        values = {Field.DEVICE: {VALUE: chosen}}
        await self.do(user, "submit", view_id=window["id"], values=values)
        shown = await self.window(user)
        if _title(shown) == ENGLISH["code.recently_reset.title"]:
            [block] = [block for block in shown["blocks"] if block["type"] == "input"]
            option = block["element"]["options"][-1]
            yes = {"type": block["element"]["type"], "selected_options": [option]}
            again = {block["block_id"]: {VALUE: yes}}
            await self.do(user, "submit", view_id=shown["id"], values=again)
            shown = await self.window(user)
        if _title(shown) == ENGLISH["approved.title"]:
            self.told.append((user, "approved", request))

    async def give_up(self, user: str, request: str) -> None:
        """Give an uncertain request up, and see the card change."""
        await self.press(user, ON_CALL, request, Action.CLOSE)
        await self.until(lambda state: request not in offered(state, ON_CALL, Action.CLOSE))

    async def deny(self, user: str, request: str) -> None:
        """Press Deny, and give a reason."""
        await self.clear(user)
        await self.press(user, ON_CALL, request, Action.DENY)
        window = await self.window(user, ENGLISH["deny.title"])
        await self.submit_denial(user, request, window)

    async def submit_denial(self, user: str, request: str, window: Json) -> None:
        """Say why."""
        values = {Field.DENIAL: {VALUE: "not on my watch"}}
        await self.do(user, "submit", view_id=window["id"], values=values)
        if _title(await self.window(user)) == ENGLISH["denied.title"]:
            self.told.append((user, "denied", request))

    async def withdraw(self, user: str, request: str) -> None:
        """Press Withdraw on the receipt."""
        await self.press(user, direct(user), request, Action.WITHDRAW)

    async def reveal(self, user: str, request: str) -> None:
        """Press Show passcode on the receipt, and see it."""
        await self.clear(user)
        await self.press(user, direct(user), request, Action.SHOW_PASSCODE)
        await self.window(user, ENGLISH["passcode.title"])

    async def sign_in(self, user: str) -> None:
        """By the command."""
        await self.clear(user)
        await self.ask(user, "sign-in")
        await self.follow_link(user, await self.window(user, ENGLISH["sign_in.title"]))

    async def press(self, user: str, channel: str, request: str, action: str) -> None:
        """Press a button about a request."""
        state = await self.see()
        for message in state["messages"][channel]:
            for block, element in _buttons(message):
                if (element.get("action_id"), element.get("value")) == (action, request):
                    where = {"channel": channel, "ts": message["ts"], "block_id": block}
                    await self.do(user, "click", action_id=action, **where)
                    return
        raise GaveUp("there is no such button")

    async def window(self, user: str, title: str | None = None) -> Json:
        """The window in front of somebody, once it says something; GaveUp where it says something else."""
        window: Json = await self.until(lambda state: _settled(state, user))
        if title is not None and _title(window) != title:
            raise GaveUp(_title(window))
        return window

    async def clear(self, user: str) -> None:
        """Close all windows."""
        state = await self.see()
        if state["modals"][user]:
            top = state["modals"][user][-1]["id"]
            await self.do(user, "close", view_id=top, all_of_them=True)

    async def follow_link(self, user: str, window: Json) -> None:
        """Sign in in the browser."""
        found = re.findall(r"http://[^\s'\"]+/sign-in/[\w-]+", str(window["blocks"]))
        browser = Browser()
        try:
            await browser.sign_in(found[0], ACCOUNTS[user])
        except (AssertionError, ValueError, IndexError, KeyError, httpx.HTTPError) as trouble:
            raise GaveUp from trouble
        finally:
            await browser.http.aclose()

    # What the people of Intune do

    async def phone(self, phone: str, behaviour: str) -> None:
        """How the phone will take its next reset."""
        await self._http.post(f"{self.url}/sandbox/phones/{phone}", json={"behaviour": behaviour})

    async def role(self, oid: str, *, may_reset: bool) -> None:
        """Give or take Intune's role."""
        await self._http.post(f"{self.url}/sandbox/roles/{oid}", json={"reset_passcode": may_reset})

    async def trouble(self, vendor: str, kind: str, match: str, **more: float) -> None:
        """Let the next such call to a vendor go wrong."""
        rule = {"to": vendor, "kind": kind, "match": match, **more}
        (await self._http.post(f"{self.url}/sandbox/faults", json=rule)).raise_for_status()

    async def sockets(self, reason: str, *, most: int | None = None) -> None:
        """Slack sends the app's sockets away."""
        order = {"reason": reason} | ({"most": most} if most else {})
        (await self._http.post(f"{self.url}/sandbox/sockets", json=order)).raise_for_status()


def direct(user: str) -> str:
    """The conversation of a person with the bot."""
    return f"D0{user[2:]}"


def offered(state: Json, channel: str, action: str) -> list[str]:
    """The requests about which a button can be pressed in a conversation."""
    return [
        str(element["value"])
        for message in state["messages"][channel]
        for _, element in _buttons(message)
        if element.get("action_id") == action
    ]


def about(state: Json, channel: str, action: str, target: str) -> list[str]:
    """Of the requests that `offered` finds, those for a target."""
    return [
        str(element["value"])
        for message in state["messages"][channel]
        for _, element in _buttons(message)
        if element.get("action_id") == action and target.rpartition(":")[2] in message["text"]
    ]


def _buttons(message: Mapping[str, Any]) -> Iterator[tuple[str, Json]]:
    for block in message["blocks"] or ():
        if block["type"] == "actions":
            for element in block["elements"]:
                yield block["block_id"], element


def _settled(state: Json, user: str) -> Json | None:
    stack = state["modals"][user]
    return stack[-1] if stack and _title(stack[-1]) != ENGLISH["loading.title"] else None


def _title(window: Json) -> str:
    return str(window["title"]["text"])
