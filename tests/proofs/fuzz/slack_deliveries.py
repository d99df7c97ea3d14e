"""What Slack delivers, changed: bytes and headers, commands, presses and forms; over real use cases."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Final
from urllib.parse import parse_qsl, quote_plus, urlencode

import httpx
from bot.domain.request import ResetRequest, Status
from bot.domain.target import person_at
from bot.domain.values import DeviceId, RequestId, Secret
from bot.slack.payloads import Action, Callback, Field, private_metadata
from bot.slack.receiver import http_receiver
from bot.web.app import web_app
from hypothesis import strategies as st
from starlette.routing import Route
from tests.proofs.fuzz.openings import (
    Play,
    check_shown,
    check_stored,
    check_text,
    emptied,
    temporary_database,
)
from tests.proofs.fuzz.strategies import json_text, mutated, near, near_bytes, usually
from tests.support.builders import CAST, KEN, LEOS_PHONE, MEI, a_request
from tests.support.clock import NOON
from tests.unit.slack.deliveries import COMMAND, FORM, RESPONSE_URL, SECRET, SlackSide, form, press

ROWS: Final = {status: RequestId(f"{number:032x}") for number, status in enumerate(Status)}
"""A request in every status; nothing in them is due."""
TYPED: Final = (
    *("", "help", "status", "sign-in", "sign-out", "leo@contoso.com locked out", "serial:F2LXK1ABCD lost"),
    *("imei:35-209900-176148-1 why", 'name:"Ken\'s iPhone" why', "id:c8e4d4ab-9f0b-4f5c-8f5a-7e1d0a2b3c4d x"),
    *("app:0000f3d7a1b2 why", "<@U0MEI|mei> locked out", "<mailto:leo@contoso.com|leo@contoso.com> why"),
)
METHODS: Final = ("GET", "HEAD", "PUT", "OPTIONS", "TRACE", "NONSENSE")


@dataclass(frozen=True)
class Delivery:
    """A body, signed as it should be but for `stamp` (a text, or seconds from now) and `signature`."""

    body: bytes
    kind: str = FORM
    stamp: str | int = 0
    signature: str | None = None
    method: str = "POST"

    @property
    def is_signed(self) -> bool:
        return self.signature is None and isinstance(self.stamp, int) and abs(self.stamp) <= 300

    def headers(self) -> dict[str, bytes]:
        at = self.stamp
        stamp = (at if isinstance(at, str) else str(int(NOON.timestamp()) + at)).encode(errors="replace")
        good = hmac.new(SECRET.encode(), b"v0:" + stamp + b":" + self.body, hashlib.sha256).hexdigest()
        signature = f"v0={good}" if self.signature is None else self.signature
        return {
            "content-type": self.kind.encode(errors="replace"),
            "x-slack-request-timestamp": stamp,
            "x-slack-signature": signature.encode(errors="replace"),
        }


def _payload(body: bytes) -> dict[str, Any]:
    beside: dict[str, Any] = {"enterprise": None, "is_enterprise_install": False, "response_urls": []}
    return beside | json.loads(dict(parse_qsl(body.decode()))["payload"])


def _interaction(payload: str) -> Delivery:
    return Delivery(f"payload={quote_plus(payload, errors='surrogatepass')}".encode())


@st.composite
def _commands(draw: st.DrawFn) -> Delivery:
    fields = COMMAND | {"response_url": RESPONSE_URL, "text": draw(st.sampled_from(TYPED).flatmap(near))}
    changed = draw(usually(fields, mutated(fields)))
    texts = {str(name): str(text) for name, text in changed.items()} if isinstance(changed, dict) else {}
    return Delivery(urlencode(texts, errors="surrogatepass").encode())


@st.composite
def _presses(draw: st.DrawFn) -> Any:
    value = draw(usually(ROWS[draw(st.sampled_from(Status))], near(ROWS[Status.PENDING])))
    return _payload(press(draw(st.sampled_from(Action)), value, user=draw(_users)))


@st.composite
def _forms(draw: st.DrawFn) -> Any:
    request_id = ROWS[draw(usually(Status.PENDING, st.sampled_from(Status)))]
    typed = {str(name): draw(near("leo@contoso.com")) for name in Field}
    typed[Field.DEVICE] = draw(usually(str(LEOS_PHONE.id), near(LEOS_PHONE.id)))
    metadata = draw(usually(private_metadata(request_id, 1), near(private_metadata(request_id, 1))))
    return _payload(form(draw(st.sampled_from(Callback)), metadata=metadata, user=draw(_users), **typed))


_users = st.sampled_from((KEN.id, KEN.id, MEI.id, *(person.id for person in CAST), "U0NOBODY", "USLACKBOT"))
_event = {"type": "event_callback", "event": {"type": "app_home_opened"}, "authorizations": [{}]}

commands = _commands()
presses, forms = (
    json_text(payloads | payloads.flatmap(mutated)).map(_interaction) for payloads in (_presses(), _forms())
)
receiver = st.builds(
    Delivery,
    signature=usually(None, near(f"v0={'0' * 64}")),
    stamp=usually(0, st.sampled_from((-301, -299, 299, 301)) | near("x")),
    method=usually("POST", st.sampled_from(METHODS)),
    kind=st.sampled_from((FORM, "application/json")) | near("application/json"),
    body=(commands | presses | forms).flatmap(lambda good: near_bytes(good.body))
    | json_text(mutated(_event)).map(lambda text: text.encode(errors="replace")),
)


@asynccontextmanager
async def opening() -> AsyncIterator[Play]:
    """The receiver, with what goes on in the background and what becomes due after each delivery."""
    async with temporary_database() as database:
        side = SlackSide(database)  # to make an app of Bolt's for every case would take most of the time
        endpoint = http_receiver(side.app, Secret(SECRET), lambda: NOON.timestamp())
        asgi = web_app([Route("/slack/events", endpoint, methods=["POST"])], https=True)
        bot, slack = side.bot, side.slack
        first_versions = count(1, 100)  # the audit log keeps each move of a request once

        async def play(sent: Delivery) -> None:
            version = next(first_versions)
            rows = [_row(number, status, version) for number, status in enumerate(Status)]
            stored = await emptied(database)
            kept = (bot.intune.posts, bot.intune.shown, bot.links.created)
            for old in (*kept, slack.opened, slack.updated, slack.responses, slack.messages):
                old.clear()
            await stored.insert(*rows)
            transport = httpx.ASGITransport(asgi)
            async with httpx.AsyncClient(transport=transport, base_url="http://bot.test") as http:
                options = {"content": sent.body, "headers": sent.headers()}
                answer = await http.request(sent.method, "/slack/events", **options)
            await side.settle()
            await bot.advance_due()
            assert sent.is_signed or answer.status_code in (401, 405, 413)
            _check_answer(answer)
            for view in (*(view for _, view in slack.opened), *slack.updated):
                check_shown(view)
            for _, sentence in (*slack.responses, *slack.messages):
                check_text(sentence)
            assert {post.device for post in bot.intune.posts} <= {LEOS_PHONE.id}
            await check_stored(stored, but=rows)

        yield play


def _row(number: int, status: Status, version: int) -> ResetRequest:
    """Each for another person and phone: one open request for a target, one attempt for a device."""
    ids = {"id": ROWS[status], "delivery": f"delivery-{status}"}
    row = a_request(status, **ids, next_at=None, version=version, reminders=version - 1)
    if status is not Status.PENDING:
        row = replace(row, target=person_at(f"leo{number}@contoso.com"))
    return row if row.held_device is None else replace(row, held_device=DeviceId(f"device-{number}"))


def _check_answer(answer: httpx.Response) -> None:
    """Nothing, a sentence for the person alone, or the form's next view."""
    assert answer.status_code < 500
    if answer.status_code != 200 or not answer.text.startswith("{"):
        check_text(answer.text)
        return
    match answer.json():
        case {"response_action": "update", "view": dict(view)}:
            check_shown(view)
        case {"response_action": "errors", "errors": dict(errors)}:
            # Slack reads no markup in these.
            assert all(isinstance(sentence, str) and sentence for sentence in errors.values())
        case {"text": str(said)}:
            check_text(said)
        case other:
            raise AssertionError(f"answered {other}")
