"""Slash commands: what is delivered, how it is signed, what the person sees."""

import asyncio
import time
from typing import Any

import pytest
from sandbox.cast import SIGNING_SECRET
from sandbox.slack import NotPossible
from sandbox.slack.signatures import signature
from slack_office import BASE, GUS, KEN, MEI, OLGA, ON_CALL, SUPPORT, Office, section
from slack_sdk.signature import SignatureVerifier
from starlette.responses import Response


async def test_a_command_is_a_form_with_slacks_fields_in_slacks_order():
    office = Office()

    outcome = await office.slack.command(MEI, SUPPORT, "/reset-passcode  serial:F2LX  locked out")

    sent = office.app.last
    assert outcome.delivered
    assert list(sent) == [
        *("token", "team_id", "team_domain", "channel_id", "channel_name", "user_id", "user_name"),
        *("command", "text", "api_app_id", "is_enterprise_install", "response_url", "trigger_id"),
    ]
    assert (sent["command"], sent["text"]) == ("/reset-passcode", "serial:F2LX  locked out")
    assert (sent["team_id"], sent["channel_id"], sent["user_id"]) == ("T0CONTOSO", SUPPORT, MEI)
    assert sent["response_url"].startswith(f"{BASE}/slack/response/")
    assert office.app.requests[-1].headers["content-type"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("@ken", "<@U0KEN|ken>"),
        ("@nobody", "@nobody"),
        ("mei@contoso.com", "<mailto:mei@contoso.com|mei@contoso.com>"),
        ("#support", "<#C0SUPPORT|support>"),
        ("https://x.example/a?b=1&c", "<https://x.example/a?b=1&amp;c>"),
        ("contoso.com", "<http://contoso.com|contoso.com>"),
        ("<!channel> & co", "&lt;!channel&gt; &amp; co"),
        ("imei:356938035643809", "imei:356938035643809"),
        ("help", "help"),
    ],
)
async def test_text_is_escaped_as_slack_does(typed: str, sent: str):
    office = Office()

    await office.slack.command(MEI, SUPPORT, f"/reset-passcode {typed}")

    assert office.app.last["text"] == sent


async def test_a_delivery_is_signed_so_that_slacks_own_library_believes_it():
    office = Office()
    await office.slack.command(MEI, SUPPORT, "/reset-passcode payload")

    headers, body = dict(office.app.requests[0].headers), office.app.bodies[0]

    assert SignatureVerifier(SIGNING_SECRET).is_valid_request(body, headers)
    assert not SignatureVerifier("another").is_valid_request(body, headers)


def test_the_signature_is_the_one_of_slacks_documentation():
    # The secret, time and body of docs.slack.dev/authentication/verifying-requests-from-slack.
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F"
        b"96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )

    signed = signature("8f742231b10e8888abcd99yyyzzz85a5", 1531420618, body)

    assert signed == "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"


async def test_an_answer_in_the_acknowledgement_is_seen_by_the_asker_only():
    office = Office()
    office.app.says("Asked.")

    outcome = await office.slack.command(MEI, SUPPORT, "/reset-passcode help")

    assert outcome.answer is not None
    assert (outcome.answer.text, outcome.answer.only_for) == ("Asked.", MEI)
    assert office.slack.ephemerals(MEI) == [outcome.answer]
    assert office.slack.messages(SUPPORT) == []


async def test_an_answer_to_the_channel_shows_everybody_what_was_typed():
    office = Office()
    office.app.says({"response_type": "in_channel", "text": "Done."})

    await office.slack.command(MEI, SUPPORT, "/reset-passcode mei@contoso.com")

    said = [(m.user, m.text) for m in office.slack.messages(SUPPORT)]
    assert said == [(MEI, "/reset-passcode mei@contoso.com"), ("U0UNLATCH", "Done.")]


async def test_blocks_in_an_answer_are_judged_too():
    office = Office()
    office.app.says({"blocks": [section("")]})

    outcome = await office.slack.command(MEI, SUPPORT, "/reset-passcode")

    assert outcome.notice == '/reset-passcode failed with the error "dispatch_failed"'


@pytest.mark.parametrize("status", [201, 302, 404, 500])
async def test_anything_but_200_is_a_failed_dispatch(status: int):
    office = Office()
    office.app.fails(status)

    outcome = await office.slack.command(MEI, SUPPORT, "/reset-passcode")

    assert not outcome.delivered
    assert [n.text for n in office.slack.notices(MEI)] == [
        '/reset-passcode failed with the error "dispatch_failed"'
    ]
    assert len(office.app.requests) == 1  # commands are never delivered again by themselves


async def test_an_app_that_is_not_there_is_a_failed_dispatch():
    office = Office()
    office.slack.bot_url = None

    outcome = await office.slack.command(MEI, SUPPORT, "/reset-passcode")

    assert "dispatch_failed" in outcome.notice


async def test_three_real_seconds_are_all_an_app_gets(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sandbox.slack.delivery.ACK_SECONDS", 0.05)
    office, released = Office(), asyncio.Event()

    async def late(_last: dict[str, Any]) -> Response:
        await released.wait()
        return Response()

    office.app.reply = late
    started = time.monotonic()
    outcome = await office.slack.command(MEI, SUPPORT, "/reset-passcode")

    assert outcome.notice == '/reset-passcode failed with the error "operation_timeout"'
    assert time.monotonic() - started < 2


async def test_the_command_belongs_to_our_workspace():
    office = Office()

    outcome = await office.slack.command(OLGA, SUPPORT, "/reset-passcode help")

    assert outcome.notice == "/reset-passcode is not a valid command"
    assert office.app.requests == []


async def test_an_unknown_command_and_one_without_its_scope_are_not_valid():
    assert "not a valid" in (await Office().slack.command(MEI, SUPPORT, "/reset")).notice
    unscoped = Office(scopes=["chat:write"])
    assert "not a valid" in (await unscoped.slack.command(MEI, SUPPORT, "/reset-passcode")).notice


async def test_a_guest_may_type_the_command():
    assert (await Office().slack.command(GUS, SUPPORT, "/reset-passcode")).delivered


async def test_nobody_types_where_they_are_not():
    office = Office()
    with pytest.raises(NotPossible, match="Mei Tanaka is not in that channel"):
        await office.slack.command(MEI, ON_CALL, "/reset-passcode")

    office.slack.deactivate(KEN)
    with pytest.raises(NotPossible, match="deactivated"):
        await office.slack.command(KEN, ON_CALL, "/reset-passcode")


async def test_the_same_bytes_can_come_twice():
    office = Office()
    await office.slack.command(MEI, SUPPORT, "/reset-passcode")

    ack = await office.slack.redeliver_last()

    assert ack.outcome == "ok"
    assert office.app.bodies[0] == office.app.bodies[1]
    assert office.app.requests[0].headers.raw == office.app.requests[1].headers.raw
