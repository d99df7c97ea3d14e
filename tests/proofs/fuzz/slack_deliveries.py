"""What Slack delivers, changed: bytes and headers, commands, presses and forms; over real use cases."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
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
from tests.proofs.fuzz.checks import check_shown, check_stored, check_text
from tests.proofs.fuzz.ground import Play, emptied, temporary_database
from tests.proofs.fuzz.strategies import json_text, mutated, mutated_bytes, near, usually
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
JSON: Final = "application/json"
SKEWS: Final = (-301, -299, 299, 301)
"""Seconds; a signature is valid for five minutes."""


@dataclass(frozen=True)
class Case:
    """A body, signed as it should be but for `stamp` (a text, or seconds from now) and `signature`."""

    body: bytes
    kind: str = FORM
    stamp: str | int = 0
    signature: str | None = None
    method: str = "POST"
    headers: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def is_signed(self) -> bool:
        return self.signature is None and isinstance(self.stamp, int) and abs(self.stamp) <= 300


# Commands


@st.composite
def _commands(draw: st.DrawFn) -> Case:
    fields = {**COMMAND, "response_url": RESPONSE_URL, "team_domain": "contoso", "user_name": "mei"}
    fields["text"] = draw(st.sampled_from(TYPED).flatmap(near))
    if draw(st.integers(0, 2)) == 0:
        name = draw(st.sampled_from([*fields, "payload", "enterprise_id", "is_enterprise_install"]))
        fields[name] = draw(near(fields.get(name, "")))
    if draw(st.integers(0, 9)) == 0:
        del fields[draw(st.sampled_from(list(fields)))]
    return Case(urlencode(fields, errors="surrogatepass").encode())


# Presses and forms


def _payload(body: bytes) -> dict[str, Any]:
    beside: dict[str, Any] = {"enterprise": None, "is_enterprise_install": False, "response_urls": []}
    return beside | json.loads(dict(parse_qsl(body.decode()))["payload"])


@st.composite
def _presses(draw: st.DrawFn) -> Any:
    value = draw(usually(ROWS[draw(st.sampled_from(Status))], near(ROWS[Status.PENDING])))
    return _payload(press(draw(st.sampled_from(Action)), value, user=draw(_users)))


@st.composite
def _forms(draw: st.DrawFn) -> Any:
    request_id = ROWS[draw(st.just(Status.PENDING) | st.sampled_from(Status))]
    typed = {str(name): draw(near("leo@contoso.com")) for name in Field}
    typed[Field.DEVICE] = draw(usually(str(LEOS_PHONE.id), near(LEOS_PHONE.id)))
    metadata = draw(usually(private_metadata(request_id, 1), near(private_metadata(request_id, 1))))
    return _payload(form(draw(st.sampled_from(Callback)), metadata=metadata, user=draw(_users), **typed))


_users = st.sampled_from((KEN.id, KEN.id, MEI.id, *(person.id for person in CAST), "U0NOBODY", "USLACKBOT"))
_event = {"type": "event_callback", "event": {"type": "app_home_opened"}, "authorizations": [{}]}
_payloads = _presses() | _forms()


@st.composite
def _interactions(draw: st.DrawFn) -> Case:
    text = draw(json_text(_payloads.flatmap(mutated) | _payloads | mutated(_event)))
    if draw(usually(False, st.just(True))):
        return Case(text.encode(errors="replace"), JSON)
    return Case(f"payload={quote_plus(text, errors='surrogatepass')}".encode())


# Bytes and headers


@st.composite
def _raw(draw: st.DrawFn) -> Case:
    good = draw(_commands() | _interactions()).body
    return Case(
        draw(mutated_bytes(good)),
        kind=draw(usually(FORM, near(JSON))),
        stamp=draw(usually(0, st.sampled_from(SKEWS) | near("x"))),
        signature=draw(usually(None, near(f"v0={'0' * 64}"))),
        method=draw(usually("POST", st.sampled_from(("GET", "HEAD", "PUT", "OPTIONS", "TRACE", "NONSENSE")))),
        headers={f"x-{number}": b"\xff" * 90 for number in range(draw(usually(0, st.just(90))))},
    )


raw, commands, interactions = _raw(), _commands(), _interactions()
raw_examples = (Case(b""), Case(b"x" * 600_000), Case(b"payload=" + b"[" * 100_000), Case(b"a=1&" * 101))


@asynccontextmanager
async def opening() -> AsyncIterator[Play]:
    """The receiver, with what goes on in the background and what becomes due after each delivery."""
    async with temporary_database() as database:
        side = SlackSide(database)  # to make an app of Bolt's for every case would take most of the time
        endpoint = http_receiver(side.app, Secret(SECRET), lambda: NOON.timestamp())
        asgi = web_app([Route("/slack/events", endpoint, methods=["POST"])], https=True)

        first_versions = count(1, 100)  # the audit log keeps each move of a request once

        async def play(case: Case) -> None:
            version = next(first_versions)
            rows = [_row(status, version) for status in Status]
            stored = await emptied(database)
            for kept in (side.bot.intune.posts, side.bot.intune.shown, side.bot.links.created):
                kept.clear()
            for shown in (side.slack.opened, side.slack.updated, side.slack.responses, side.slack.messages):
                shown.clear()
            await stored.insert(*rows)
            transport = httpx.ASGITransport(asgi)
            async with httpx.AsyncClient(transport=transport, base_url="http://bot.test") as http:
                answer = await http.request(
                    case.method, "/slack/events", content=case.body, headers=_headers(case)
                )
            await side.settle()
            await side.bot.advance_due()
            _check_answer(answer, case)
            for view in (*(view for _, view in side.slack.opened), *side.slack.updated):
                check_shown(view)
            for _, sentence in (*side.slack.responses, *side.slack.messages):
                check_text(sentence)
            assert {post.device for post in side.bot.intune.posts} <= {LEOS_PHONE.id}
            await check_stored(stored, but=rows)

        yield play


def _row(status: Status, version: int) -> ResetRequest:
    """Each for another person and phone: one open request for a target, one attempt for a device."""
    row = a_request(
        status,
        id=ROWS[status],
        delivery=f"delivery-{status}",
        next_at=None,
        version=version,
        reminders=version - 1,
    )
    number = list(Status).index(status)
    if status is not Status.PENDING:
        row = replace(row, target=person_at(f"leo{number}@contoso.com"))
    if row.held_device is not None:
        row = replace(row, held_device=DeviceId(f"device-{number}"))
    return row


def _headers(case: Case) -> list[tuple[str, bytes]]:
    at = case.stamp
    text = at if isinstance(at, str) else str(int((NOON + timedelta(seconds=at)).timestamp()))
    stamp = text.encode(errors="replace")
    base = b"v0:" + stamp + b":" + case.body
    good = "v0=" + hmac.new(SECRET.encode(), base, hashlib.sha256).hexdigest()
    signature = good if case.signature is None else case.signature
    return [
        *case.headers.items(),
        ("content-type", case.kind.encode(errors="replace")),
        ("x-slack-request-timestamp", stamp),
        ("x-slack-signature", signature.encode(errors="replace")),
    ]


def _check_answer(answer: httpx.Response, case: Case) -> None:
    """401 where it is not signed; else nothing, a sentence for the person alone, or the form's next view."""
    assert answer.status_code < 500
    assert case.is_signed or answer.status_code in (401, 405, 413)
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
