"""The door: strangers get a 4xx, never a 500; Bolt sees what Slack signed, whole, and nothing else."""

import asyncio
import json
from datetime import timedelta
from urllib.parse import quote

import pytest
from bot.domain.secret import Secret
from bot.slack.door import is_signed
from slack_bolt.async_app import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from tests.face.post import COMMAND, FORM, Mailbox, command, interaction, signed
from tests.fakes.clock import NOON

JSON = "application/json"


class Bolt:
    """Stands behind the door, and keeps what comes through."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, object]] = []

    async def async_dispatch(self, req: AsyncBoltRequest) -> BoltResponse:
        await asyncio.sleep(0)
        self.bodies.append(req.body)
        return BoltResponse(status=200, body={"text": "heard"})


@pytest.fixture
def bolt() -> Bolt:
    return Bolt()


@pytest.fixture
def mailbox(bolt: Bolt) -> Mailbox:
    return Mailbox(bolt)


async def test_a_signed_command_reaches_bolt_and_its_answer_reaches_slack(mailbox, bolt):
    answer = await mailbox.post(command())
    assert (answer.status_code, answer.json()) == (200, {"text": "heard"})
    assert bolt.bodies == [COMMAND]


@pytest.mark.parametrize(
    "words",
    [
        {"text": "payload"},
        {"text": "ada@contoso.com payload=%7Bnot"},
        {"text": "x&payload={}"},
        {"channel_name": "payload"},
        {"payload": "{}"},
    ],
)
async def test_a_command_with_the_word_payload_is_not_lost(mailbox, bolt, words):
    assert (await mailbox.post(command(**words))).status_code == 200
    [body] = bolt.bodies
    assert body == COMMAND | words


async def test_the_signature_of_slacks_own_documentation_is_accepted():
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
    secret = Secret("8f742231b10e8888abcd99yyyzzz85a5")
    assert is_signed(body, headers, secret, now=1531420618)
    assert not is_signed(body + b" ", headers, secret, now=1531420618)


STRANGERS = {
    "nothing signed": {"x_slack_signature": None, "x_slack_request_timestamp": None},
    "no signature": {"x_slack_signature": None},
    "no timestamp": {"x_slack_request_timestamp": None},
    "wrong signature": {"x_slack_signature": "v0=" + "0" * 64},
    "signature cut": {"x_slack_signature": "v0="},
    "another version": {"x_slack_signature": signed(command())["x_slack_signature"].replace("v0", "v1")},
    "other secret": signed(command(), secret="another"),
    "empty secret": signed(command(), secret=""),
    "of other bytes": signed(command(text="other")),
    "signature not ASCII": {"x_slack_signature": "v0=é".encode()},
    "signature not Latin": {"x_slack_signature": "v0=☃".encode()},
    "timestamp no number": {"x_slack_request_timestamp": "noon"},
    "timestamp a fraction": {"x_slack_request_timestamp": "1772452800.5"},
    "timestamp negative": {"x_slack_request_timestamp": "-1772452800"},
    "timestamp empty": {"x_slack_request_timestamp": ""},
    "timestamp huge": {"x_slack_request_timestamp": "9" * 5000},
    "timestamp in other digits": {"x_slack_request_timestamp": "１７７２４５２８００".encode()},
    "five minutes old": signed(command(), at=NOON - timedelta(seconds=301)),
    "five minutes early": signed(command(), at=NOON + timedelta(seconds=301)),
}


@pytest.mark.parametrize("headers", STRANGERS.values(), ids=STRANGERS)
async def test_a_stranger_gets_401_and_never_reaches_bolt(mailbox, bolt, headers):
    assert (await mailbox.post(command(), **headers)).status_code == 401
    assert bolt.bodies == []


@pytest.mark.parametrize("seconds", [-300, 0, 300])
async def test_a_signature_is_good_for_five_minutes(mailbox, bolt, seconds):
    headers = signed(command(), at=NOON + timedelta(seconds=seconds))
    assert (await mailbox.post(command(), **headers)).status_code == 200
    assert len(bolt.bodies) == 1


DEEP = b"[" * 100_000 + b"]" * 100_000
MALFORMED = {
    "empty": (b"", FORM),
    "empty JSON": (b"", JSON),
    "no UTF-8": (b"\xff\xfe\x00", FORM),
    "no UTF-8 in JSON": (b'{"type": "\xff"}', JSON),
    "payload no JSON": (b"payload=%7Bnot", FORM),
    "payload a list": (b"payload=[]", FORM),
    "payload a number": (b"payload=7", FORM),
    "payload null": (b"payload=null", FORM),
    "payload empty": (b"payload=", FORM),
    "payload nested deeply": (b"payload=" + DEEP, FORM),
    "JSON nested deeply": (b'{"a":' + DEEP + b"}", JSON),
    "JSON a text": (b'"hello"', JSON),
    "a number of a million digits": (b'{"a": ' + b"9" * 400_000 + b"}", JSON),
    "many fields": (b"a=1&" * 200, FORM),
    "no fields": (b"&&&&", FORM),
}


@pytest.mark.parametrize(("body", "kind"), MALFORMED.values(), ids=MALFORMED)
async def test_a_body_that_is_none_of_slacks_is_refused_signed_or_not(mailbox, bolt, body, kind):
    assert (await mailbox.post(body, kind=kind)).status_code == 400
    assert (await mailbox.post(body, kind=kind, x_slack_signature=None)).status_code == 401
    assert bolt.bodies == []


async def test_a_huge_body_is_refused_before_it_is_read(mailbox, bolt):
    assert (await mailbox.post(command(text="x" * 600_000))).status_code == 413
    assert (await mailbox.post(b"x" * 600_000, x_slack_signature=None)).status_code == 413
    assert bolt.bodies == []


async def test_headers_that_are_not_signed_cannot_steer_bolt(mailbox, bolt):
    lazy = {"X_Slack_Bolt_Lazy_Only": "1", "X_Slack_Bolt_Lazy_Function_Name": "command"}
    assert (await mailbox.post(command(), **lazy)).status_code == 200
    assert bolt.bodies == [COMMAND]


async def test_an_interaction_arrives_as_its_payload(mailbox, bolt):
    payload = {"type": "block_actions", "user": {"id": "U0KEN"}, "text": "payload command=/x"}
    assert (await mailbox.post(interaction(payload))).status_code == 200
    assert bolt.bodies == [payload]


async def test_json_arrives_as_it_is(mailbox, bolt):
    event = {"type": "event_callback", "event": {"type": "app_home_opened"}}
    answer = await mailbox.post(json.dumps(event).encode(), kind=f"{JSON}; charset=utf-8")
    assert answer.status_code == 200
    assert bolt.bodies == [event]


async def test_only_posts_are_taken(mailbox):
    assert (await mailbox.http.get("/slack/events")).status_code == 405


async def test_text_that_is_no_utf8_inside_a_form_is_still_heard(mailbox, bolt):
    body = command().replace(quote("ada").encode(), b"%ff%fe")
    assert (await mailbox.post(body)).status_code == 200
    assert "\ufffd" in str(bolt.bodies[0]["text"])
