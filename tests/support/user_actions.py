"""People, their phones, and what they do through the sandbox's control API and see of what is shown."""

import asyncio
import re
import ssl
from collections.abc import Callable
from html import unescape
from typing import Any, TypeVar
from urllib.parse import urljoin

import httpx
from sandbox.app import Sandbox
from sandbox.cast import DEFAULT_CAST, ON_CALL, SUPPORT
from sandbox.data import load

T = TypeVar("T")
Json = dict[str, Any]

MEI, KEN, AIKO, GUS, OLGA = (person.id for person in DEFAULT_CAST.people)
MEI_ACCOUNT, KEN_ACCOUNT, AIKO_ACCOUNT, OLGA_ACCOUNT, KEN_AT_FABRIKAM = (
    account.oid for account in DEFAULT_CAST.accounts
)
ACCOUNTS = {MEI: MEI_ACCOUNT, KEN: KEN_ACCOUNT, AIKO: AIKO_ACCOUNT}
DIRECT = DEFAULT_CAST.person(MEI).direct
"""Where Mei reads about her requests; leads read about them in the approver channel."""
PHONES = [device["id"] for device in load("fleet.json")["devices"]]
IPHONE, PIXEL, GALAXY, IPAD, OWN_PHONE, LAPTOP, UNSEEN, SCANNER = PHONES
FIELD_APP = "b7a3c915-2e4f-4d60-9c18-0f1e2d3c4b5a"
"""Found on some of them."""
PATIENCE = 45.0
"""Seconds until a person gives up; a busy machine is no failure."""
LOOPBACK_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients that speak plain HTTP: to load certificates would take each of them 20 ms."""


class NotPossible(Exception):
    """Slack's own client would not let this person do this now."""


class Browser:
    """A browser without scripts, with cookies of its own."""

    def __init__(self, http: httpx.AsyncClient | None = None) -> None:
        self.http = http or httpx.AsyncClient(timeout=PATIENCE, trust_env=False, verify=LOOPBACK_TLS)

    async def sign_in(self, link: str, account: str) -> httpx.Response:
        """Follow a sign-in link to its end; a page that asks whether to go on is told yes."""
        return await self.confirm(await self.arrive(link, account))

    async def arrive(self, link: str, account: str) -> httpx.Response:
        """Go as far as the page that asks whether to go on, or says why not."""
        return await self.come_back(*await self.answer_of_microsoft(link, account))

    async def confirm(self, page: httpx.Response, answer: str = "yes") -> httpx.Response:
        """Press a button of the page, where it has a form."""
        found = re.findall(r'<form method="post" action="([^"]+)"', page.text)
        if not found:
            return page
        [secret] = re.findall(r'name="page" value="([^"]+)"', page.text)
        form = {"page": unescape(secret), "answer": answer}
        return await self.http.post(urljoin(str(page.url), unescape(found[0])), data=form)

    async def answer_of_microsoft(self, link: str, account: str) -> tuple[str, dict[str, str]]:
        """Go as far as Microsoft's page that sends the browser back: where to, and with what."""
        page = await self.http.get(link)
        assert page.status_code == 303, page.text
        return await self.pick(page.headers["location"], account)

    async def pick(self, url: str, account: str) -> tuple[str, dict[str, str]]:
        """Pick an account on Microsoft's page: where it sends the browser, and with what."""
        picker = await self.http.get(url)
        [flow] = re.findall(r'name="flow" value="([^"]+)"', picker.text)
        [action] = re.findall(r'<form method="post" action="([^"]+)"', picker.text)
        form = {"flow": unescape(flow), "account": account}
        answer = await self.http.post(urljoin(url, unescape(action)), data=form)
        [back] = re.findall(r'action="([^"]+)"', answer.text)
        fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', answer.text)
        return unescape(back), {name: unescape(value) for name, value in fields}

    async def come_back(self, callback: str, fields: dict[str, str]) -> httpx.Response:
        return await self.http.post(callback, data=fields)


class People:
    """Everyone at one sandbox that this process serves; `use` it in an `async with` block."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.browser = Browser()
        transport = httpx.ASGITransport(sandbox.asgi)
        self._http = httpx.AsyncClient(transport=transport, base_url=sandbox.base_url)
        self._state: Json = {}
        self._state_as_of: asyncio.Event | None = None

    async def aclose(self) -> None:
        await self.browser.http.aclose()
        await self._http.aclose()

    # What they do

    async def command(self, user: str, text: str) -> None:
        where = SUPPORT if user in (MEI, GUS, OLGA) else ON_CALL
        await self._do(user, "command", channel=where, text=f"/reset-passcode {text}".strip())

    async def hear(self, user: str, text: str) -> None:
        """Type a command, and wait for what the bot says to this person alone."""
        heard = len(self.private_texts(user))
        await self.command(user, text)
        await self.until(lambda: len(self.private_texts(user)) > heard)

    async def press(self, user: str, action: str, *, request: str = "") -> None:
        """Press the newest such button, of one request where one is named."""
        channel = DIRECT if user == MEI else ON_CALL
        for message in reversed(self.messages(channel, seen_by=user)):
            for block, element in buttons(message):
                if element.get("action_id") == action and request in element.get("value", ""):
                    where = {"channel": channel, "ts": message["ts"], "block_id": block}
                    await self._do(user, "click", action_id=action, **where)
                    return
        raise NotPossible(f"there is no {action} in {channel}")

    async def submit(self, user: str, **fields: str) -> dict[str, str]:
        """Fill in the modal on top and submit it; returns errors by field. `fields`: block id to entry."""
        answer = await self._do(user, "submit", view_id=self.modal(user)["id"], values=fields)
        return dict(answer.get("errors", {}))

    async def close(self, user: str) -> None:
        if self.modals(user):
            await self._do(user, "close", view_id=self.modal(user)["id"], all_of_them=True)

    async def open(self, user: str, action: str, *, request: str = "") -> str:
        """Press a button and wait until the modal says something; returns its title."""
        await self.close(user)
        await self.press(user, action, request=request)
        return await self.title_after(user, "")

    async def approve(self, user: str = KEN, request: str = "") -> None:
        """Press Approve, sign in if that is asked for, review, and submit.

        The last device is chosen: it is the one that the request names if it names several.
        """
        title = await self.open(user, "approve", request=request)
        if title == "Sign in":
            title = await self.follow_link(user)
        while title in ("Review the reset", "Reset again?") and self.modal(user)["submit"]:
            [choice] = [block for block in self.modal(user)["blocks"] if block.get("block_id") == "device"]
            await self.submit(user, device=choice["element"]["options"][-1]["value"])
            title = await self.title_after(user, title)
        assert title == "Approved", self.modal_text(user)

    async def title_after(self, user: str, before: str) -> str:
        """Return the title of this person's modal once it is another one and no longer loads."""
        await self.until(lambda: self.title(user) not in ("", "One moment", before))
        return self.title(user)

    async def sign_in(self, user: str = KEN) -> None:
        """Sign in by the command, to the end, and close the modal."""
        await self.sign_in_link(user)
        await self.follow_link(user)
        await self.close(user)

    async def follow_link(self, user: str) -> str:
        """Sign in by the link in this person's modal; returns the title of what comes in its place."""
        browser = Browser()
        async with browser.http:
            await browser.sign_in(self.link_in_modal(user), ACCOUNTS[user])
        return await self.title_after(user, "Sign in")

    async def show_passcode(self, request: str = "") -> str:
        """Press Mei's Show passcode; returns the passcode."""
        assert await self.open(MEI, "show_passcode", request=request) == "New passcode", self.modal_text(MEI)
        [passcode] = re.findall(r"\b\d{8}\b", self.modal_text(MEI))
        return str(passcode)

    async def sign_in_link(self, user: str = KEN) -> str:
        await self.close(user)
        await self.command(user, "sign-in")
        await self.title_after(user, "")
        return self.link_in_modal(user)

    def link_in_modal(self, user: str) -> str:
        [link] = re.findall(r"https?://[^\s'\"]+/sign-in/[\w-]+", str(self.modal(user)["blocks"]))
        return str(link)

    async def fault(self, to: str, kind: str, match: str = "", **more: object) -> None:
        """Let the next matching call to a vendor go wrong."""
        await self._api("POST", "/sandbox/faults", {"to": to, "kind": kind, "match": match, **more})

    async def clear_faults(self) -> None:
        await self._api("DELETE", "/sandbox/faults")

    async def phone(self, device: str, behaviour: str) -> None:
        await self._api("POST", f"/sandbox/phones/{device}", {"behaviour": behaviour})

    async def unlock(self, device: str, passcode: str) -> bool:
        """Type a passcode on the phone; whether it opens."""
        answer = await self._api("POST", f"/sandbox/phones/{device}/unlock", {"passcode": passcode})
        return bool(answer["open"])

    async def role(self, user: str, *, may_reset: bool) -> None:
        await self._api("POST", f"/sandbox/roles/{ACCOUNTS[user]}", {"reset_passcode": may_reset})

    # What there is to see

    @property
    def state(self) -> Json:
        """Everything that the sandbox's page shows, as of now."""
        changed = self.sandbox.next_change()
        if changed is not self._state_as_of:
            self._state, self._state_as_of = self.sandbox.content(), changed
        return self._state

    async def until(self, seen: Callable[[], T | None], seconds: float = PATIENCE) -> T:
        """Look after every change until there is something to see."""
        async with asyncio.timeout(seconds):
            while True:
                changed = self.sandbox.next_change()
                if found := seen():
                    return found
                await changed.wait()

    def modals(self, user: str) -> list[Json]:
        return list(self.state["modals"][user])

    def modal(self, user: str) -> Json:
        return dict(self.modals(user)[-1])

    def title(self, user: str) -> str:
        return str(self.modal(user)["title"]["text"]) if self.modals(user) else ""

    def modal_text(self, user: str) -> str:
        return " ".join(texts(self.modal(user)["blocks"])) if self.modals(user) else ""

    def messages(self, channel: str, *, seen_by: str = "") -> list[Json]:
        """The messages of a channel that everyone sees, and those that `seen_by` alone sees."""
        said = self.state["messages"][channel]
        return [message for message in said if message["only_for"] in (None, seen_by)]

    def offered(self, action: str, target: str = "") -> list[str]:
        """The requests about which a button can be pressed; of one target where it is named."""
        return [
            str(element["value"])
            for message in self.messages(ON_CALL) + self.messages(DIRECT)
            for _, element in buttons(message)
            if element.get("action_id") == action and target.rpartition(":")[2] in message["text"]
        ]

    def direct(self, user: str) -> list[Json]:
        return self.messages(DEFAULT_CAST.person(user).direct)

    def private_texts(self, user: str) -> list[str]:
        """What the bot said to this person alone, beside an acknowledgement or a press, oldest first."""
        said = [message for shown in self.state["messages"].values() for message in shown]
        mine = sorted((m for m in said if m["only_for"] == user), key=lambda message: str(message["ts"]))
        return [str(message["text"]) for message in mine]

    def card(self) -> str:
        """The text of the newest card in the approver channel."""
        return str(self._cards(ON_CALL)[-1]["text"])

    def receipt(self) -> str:
        """The text of Mei's newest receipt."""
        found = self._cards(DIRECT)
        return str(found[-1]["text"]) if found else ""

    def lines(self, channel: str) -> list[str]:
        """What the bot posted there beside cards and receipts, oldest first."""
        cards = self._cards(channel)
        return [str(said["text"]) for said in self.messages(channel) if said["blocks"] and said not in cards]

    def _cards(self, channel: str) -> list[Json]:
        said = self.messages(channel)
        return [message for message in said if (message["blocks"] or [{}])[0].get("type") == "header"]

    def calls(self, part: str = "") -> list[Json]:
        """The bot's last 200 calls whose path or Slack method has this in it, oldest first."""
        return [call for call in self.state["calls"] if part in call["path"] or part == call["method"]]

    async def resets(self) -> list[Json]:
        """Every reset that Intune accepted, oldest first."""
        return list(await self._api("GET", "/sandbox/resets"))

    async def posted(self, channel: str = ON_CALL) -> list[Json]:
        """The messages of a channel as Slack's JSON, with their metadata."""
        return list(await self._api("GET", f"/sandbox/posted?channel={channel}"))

    async def _do(self, user: str, gesture: str, **body: object) -> Json:
        return dict(await self._api("POST", f"/sandbox/people/{user}/{gesture}", body))

    async def _api(self, method: str, path: str, body: object = None) -> Any:
        answer = await self._http.request(method, path, json=body)
        if answer.status_code in (404, 409):
            raise NotPossible(answer.text)
        answer.raise_for_status()
        return answer.json()


def buttons(message: Json) -> list[tuple[str, Json]]:
    blocks = [block for block in message["blocks"] or () if block["type"] == "actions"]
    return [(block["block_id"], element) for block in blocks for element in block["elements"]]


def texts(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["text"]] if isinstance(value.get("text"), str) else []
        return own + [found for part in value.values() for found in texts(part)]
    return [found for part in value for found in texts(part)] if isinstance(value, list) else []
