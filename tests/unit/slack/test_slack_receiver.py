"""The receiver: strangers get a 401, other bodies than Slack's a 400; Bolt sees what Slack signed, whole."""

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from itertools import product
from typing import Any
from urllib.parse import urlencode

import pytest
from bot.domain.values import Secret
from bot.slack.payloads import Action, Callback
from bot.slack.receiver import http_receiver, parse, why_refused
from slack_bolt.async_app import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from starlette.requests import Request
from structlog.testing import capture_logs
from tests.support.clock import NOON, Clock
from tests.unit.slack.deliveries import COMMAND, FORM, SECRET, Post, SlackSide, command, form, press, signed

JSON = "application/json"
MORE = (command(), b"payload=%7B%7D", b"payload")


class Bolt:
    """Stands behind the receiver, and keeps what comes through."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.post = Post(self, Clock())

    async def async_dispatch(self, req: AsyncBoltRequest) -> BoltResponse:
        await asyncio.sleep(0)
        assert not req.headers, "they are not signed, and some of them steer Bolt"
        self.bodies.append(req.body)
        return BoltResponse(status=200, body={"text": "heard"})


@pytest.fixture
def bolt() -> Bolt:
    return Bolt()


PAYLOAD = {"type": "block_actions", "user": {"id": "U0KEN"}, "text": "payload command=/x"}
EVENT = {"type": "event_callback", "event": {"type": "app_home_opened"}}
NO_UTF8 = COMMAND | {"text": "\ufffd\ufffd@contoso.com locked out"}
ODDLY_TYPED = ("payload", "ada@contoso.com payload=%7Bnot", "x&payload={}", "")
CHANGES = [{}, {"channel_name": "payload"}, {"payload": "{}"}, *({"text": text} for text in ODDLY_TYPED)]


@pytest.mark.parametrize(
    ("body", "kind", "payload"),
    [
        *((command(**changes), FORM, COMMAND | changes) for changes in CHANGES),
        (command().replace(b"leo", b"%ff%fe"), FORM, NO_UTF8),
        (urlencode({"payload": json.dumps(PAYLOAD)}).encode(), FORM, PAYLOAD),
        (json.dumps(EVENT).encode(), f"{JSON}; charset=utf-8", EVENT),
    ],
)
async def test_what_slack_signed_reaches_bolt_whole_and_its_answer_slack(bolt, body, kind, payload):
    answer = await bolt.post(body, kind=kind)
    assert (answer.status_code, answer.json()) == (200, {"text": "heard"})
    assert bolt.bodies == [payload]


def test_the_signature_of_slacks_own_documentation_is_accepted_for_five_minutes():
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlg"
        b"cZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    headers = {
        "x-slack-request-timestamp": "1531420618",
        "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    }
    for seconds in (-300, 0, 300):
        assert not why_refused(body, headers, Secret(SECRET), now=1531420618 + seconds)
    assert why_refused(body + b" ", headers, Secret(SECRET), now=1531420618)


STRANGERS = {
    "nothing signed": {"x_slack_signature": None, "x_slack_request_timestamp": None},
    "no signature": {"x_slack_signature": None},
    "no timestamp": {"x_slack_request_timestamp": None},
    "wrong signature": {"x_slack_signature": "v0=" + "0" * 64},
    "signature cut": {"x_slack_signature": "v0="},
    "another version": {"x_slack_signature": str(signed(command())["x-slack-signature"]).replace("v0", "v1")},
    "other secret": signed(command(), secret="another"),
    "empty secret": signed(command(), secret=""),
    "of another body": signed(command(text="other")),
    "signature not ASCII": {"x_slack_signature": "v0=é".encode()},
    "signature not Latin": {"x_slack_signature": "v0=☃".encode()},
    "timestamp no number": {"x_slack_request_timestamp": "noon"},
    "timestamp a fraction": {"x_slack_request_timestamp": "1772452800.5"},
    "timestamp negative": {"x_slack_request_timestamp": "-1772452800"},
    "timestamp empty": {"x_slack_request_timestamp": ""},
    "timestamp huge": {"x_slack_request_timestamp": "9" * 5000},
    "timestamp in other digits": {"x_slack_request_timestamp": "１７７２４５２８００".encode()},
    "timestamp a superscript": {"x_slack_request_timestamp": "²".encode("latin-1")},
    "five minutes old": signed(command(), at=NOON - timedelta(seconds=301)),
    "five minutes early": signed(command(), at=NOON + timedelta(seconds=301)),
}
REASONS = {
    **dict.fromkeys(("five minutes old", "five minutes early"), "clock"),
    **dict.fromkeys(("wrong signature", "other secret", "of another body"), "SLACK_SIGNING_SECRET"),
    **dict.fromkeys(("nothing signed", "timestamp no number"), "no signature"),
}
"""Why a delivery was refused, as operators read it: a clock and a secret are mended differently."""


@pytest.mark.parametrize("name", STRANGERS)
async def test_a_stranger_gets_401_and_never_reaches_bolt(bolt, name):
    with capture_logs() as logs:
        assert (await bolt.post(command(), **STRANGERS[name])).status_code == 401
    assert bolt.bodies == []
    [line] = logs
    assert line["event"] == "delivery_refused"
    assert REASONS.get(name, "") in line["reason"]


@pytest.mark.parametrize("headers", [{"x_slack_signature": None}, {}], ids=["unsigned", "signed"])
@pytest.mark.parametrize("body", [b"ssl_check=1&token=abc", b"ssl_check=1", b"token=%C3%A9&ssl_check=1"])
async def test_s08_o37_a_check_of_the_certificate_is_answered_and_does_nothing(bolt, body, headers):
    answer = await bolt.post(body, **headers)
    assert (answer.status_code, answer.content, bolt.bodies) == (200, b"", [])


@pytest.mark.parametrize(
    "body",
    [
        *(b"ssl_check=1&" + more for more in MORE),
        *(b"ssl_check=" + value for value in (b"0", b"11", b"", b"1%00", b"1\xff", b"%31")),
        *(b"text=ssl_check=1", b"xssl_check=1", b'{"ssl_check=1": 1}'),
    ],
)
async def test_s08_nothing_else_passes_for_one(bolt, body):
    assert ((await bolt.post(body, x_slack_signature=None)).status_code, bolt.bodies) == (401, [])


MALFORMED = {
    "empty": (b"", FORM),
    "empty JSON": (b"", JSON),
    "no UTF-8": (b"\xff\xfe\x00", FORM),
    "payload empty": (b"payload=", FORM),
    "payload no object": (b"payload=[]", FORM),
    "JSON no object": (b'"hello"', JSON),
    "JSON nested deeply": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", JSON),
    "many fields": (b"command=/x&" + b"a=1&" * 200, FORM),
    "no fields": (b"&&&&", FORM),
}


@pytest.mark.parametrize(("body", "kind"), MALFORMED.values(), ids=MALFORMED)
async def test_a_body_that_is_none_of_slacks_is_a_400_for_whoever_signed_it(bolt, body, kind):
    assert (await bolt.post(body, kind=kind)).status_code == 400
    assert (await bolt.post(body, kind=kind, x_slack_signature=None)).status_code == 401
    assert bolt.bodies == []


async def test_a_peer_that_goes_away_while_it_sends_is_no_crash(bolt):
    async def gone() -> dict[str, str]:
        return {"type": "http.disconnect"}

    request = Request({"type": "http", "method": "POST", "headers": []}, gone)
    answer = await http_receiver(bolt, Secret(SECRET), NOON.timestamp)(request)
    assert answer.status_code == 400


# Signed, but of no shape that Slack has: Bolt 1.30 takes many shapes for granted that no handler needs.

OPTIONAL = ("enterprise", "channel", "event", "authorizations", "response_urls", "message", "callback_id")
BODIES = [
    dict.fromkeys(OPTIONAL) | {"is_enterprise_install": False} | body
    for body in (
        parse(press(Action.APPROVE, "f" * 32), FORM),
        parse(form(Callback.DENY), FORM),
        {"type": "event_callback", "event": {"type": "app_home_opened", "user": "U0KEN"}},
    )
]
ODD = (0, 1.5, "x", "", [], ["x"], [[]], {}, {"id": 7}, {"id": {"id": []}}, [{"response_url": 7}], None)
ODD_ACTIONS = ([{}], [{"action_id": 7}], [{"value": "x"}], [None, {"action_id": Action.DENY, "value": 7}])


def odd_bodies() -> Iterator[dict[str, Any]]:
    """Every field, and every field inside one, as something else."""
    for body, odd in product(BODIES, ODD):
        for name, value in body.items():
            yield body | {name: odd}
            for inner in {"id", "type", "team_id", *value} if isinstance(value, dict) else ():
                yield body | {name: value | {inner: odd}}
    yield from (BODIES[0] | {"actions": odd} for odd in ODD_ACTIONS)


async def test_a_field_of_another_shape_is_never_a_500(database):
    side = SlackSide(database)
    with capture_logs() as logs:
        answers = [await side.post(json.dumps(body).encode(), kind=JSON) for body in odd_bodies()]
        await side.settle()
    assert {answer.status_code for answer in answers} <= {200, 400, 404}
    assert {line["event"] for line in logs} <= {"malformed_payload", "delivery_unknown"}
    assert all(len(str(value)) <= 64 for line in logs for value in line.values())


async def test_a_delivery_that_no_handler_knows_leaves_a_line(database):
    side = SlackSide(database)
    with capture_logs() as logs:
        assert (await side.post(press("of_an_older_release", "f" * 32))).status_code == 404
    [line] = logs
    about = (line["event"], line["type"], line["name"])
    assert about == ("delivery_unknown", "block_actions", "of_an_older_release")
