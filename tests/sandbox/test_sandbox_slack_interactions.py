"""What people do: commands, clicks, modals; what the app is sent, and what its answers do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import aiohttp
import httpx
import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType
from sandbox.app import Sandbox, serve
from sandbox.slack import NotPossible
from sandbox.slack.platform import TROUBLE
from tests.sandbox.conftest import Json, LocalSlack, actions, button, modal, section
from tests.support.user_actions import AIKO, GUS, KEN, MEI, OLGA, ON_CALL, SUPPORT

MOST = 10  # sockets at a time
DISPATCH_FAILED = '/reset-passcode failed with the error "dispatch_failed"'
TIMED_OUT = '/reset-passcode failed with the error "operation_timeout"'


async def posted(it: LocalSlack) -> Json:
    return await it.done("chat.postMessage", channel=ON_CALL, text="card", blocks=[actions()])


async def respond(it: LocalSlack, **what: Any) -> httpx.Response:
    return await it.http.post(it.app.last["response_url"], json=what)


async def test_a_command_is_a_form_with_slacks_fields_in_slacks_order(it):
    await it.slack.command(MEI, SUPPORT, "/reset-passcode  serial:F2LX  locked out")
    sent = it.app.last
    assert list(sent) == [
        *("token", "team_id", "team_domain", "channel_id", "channel_name", "user_id", "user_name"),
        *("command", "text", "api_app_id", "is_enterprise_install", "response_url", "trigger_id"),
    ]
    assert (sent["command"], sent["text"]) == ("/reset-passcode", "serial:F2LX  locked out")
    assert (sent["team_id"], sent["channel_id"], sent["user_id"]) == ("T0CONTOSO", SUPPORT, MEI)
    assert sent["response_url"].startswith(f"{it.slack.base_url}/slack/response/")
    assert it.app.requests[-1].headers["content-type"] == "application/x-www-form-urlencoded"


async def test_on_a_grid_a_person_has_two_ids_and_two_workspaces(it):
    it.slack.workspace.become_grid(KEN)
    assert (await it.done("auth.test"))["enterprise_id"] == "E0CONTOSO"
    for user in (KEN, "W0KENGRID"):
        profile = (await it.done("users.info", user=user))["user"]
        enterprise = profile["enterprise_user"]
        assert (profile["id"], enterprise["id"]) == (KEN, "W0KENGRID")
        assert enterprise["teams"] == ["T0CONTOSO", "T0CONTOSOJP"]
        await it.done("chat.postMessage", channel=user, text="hello")
        assert (await it.done("conversations.open", users=user))["channel"]["id"] == "D0KEN"
    assert "enterprise_user" not in (await it.done("users.info", user=OLGA))["user"]
    await posted(it)
    await it.slack.click(KEN, "approve", channel=ON_CALL)
    sent = it.app.last
    assert (sent["user"]["id"], sent["user"]["team_id"]) == ("W0KENGRID", "T0CONTOSOJP")
    assert (sent["team"]["id"], sent["enterprise"]["id"]) == ("T0CONTOSO", "E0CONTOSO")
    await it.slack.command(MEI, SUPPORT, "/reset-passcode")
    assert (it.app.last["user_id"], it.app.last["enterprise_id"]) == (MEI, "E0CONTOSO")


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
    ],
)
async def test_text_is_escaped_as_slack_does(it, typed, sent):
    await it.slack.command(MEI, SUPPORT, f"/reset-passcode {typed}")
    assert it.app.last["text"] == sent


@pytest.mark.parametrize("answer", [201, 302, 404, 500, {"blocks": [section("")]}, None])
async def test_any_other_answer_is_a_failure_that_the_person_sees_and_slack_does_not_retry(it, answer):
    await posted(it)
    it.app.says(answer)
    if answer is None:
        it.slack.bot_url = None  # nothing listens
    command = await it.slack.command(MEI, SUPPORT, "/reset-passcode")
    click = await it.slack.click(KEN, "approve", channel=ON_CALL)
    assert (command.delivered, click.delivered, click.notice) == (False, False, TROUBLE)
    assert [n.text for n in it.slack.notices(MEI)] == [command.notice] == [DISPATCH_FAILED]
    assert len(it.app.requests) == (0 if answer is None else 2)


async def test_the_app_has_three_real_seconds(it):
    assert it.slack.sockets.ack_seconds == it.slack.platform.http.ack_seconds == 3
    it.slack.be_patient(0.05)
    it.app.reply = asyncio.Future
    outcome = await it.slack.command(MEI, SUPPORT, "/reset-passcode")
    assert outcome.notice == TIMED_OUT


async def test_who_may_type_a_command_where():
    it, unscoped = LocalSlack(), LocalSlack(scopes=["chat:write"])
    invalid = "/reset-passcode is not a valid command"
    assert (await it.slack.command(GUS, SUPPORT, "/reset-passcode")).delivered  # a guest may
    # A command belongs to the workspace that installed the app (docs.slack.dev/apis/slack-connect).
    assert (await it.slack.command(OLGA, SUPPORT, "/reset-passcode")).notice == invalid
    assert (await it.slack.command(MEI, SUPPORT, "/reset")).notice == "/reset is not a valid command"
    assert (await unscoped.slack.command(MEI, SUPPORT, "/reset-passcode")).notice == invalid
    with pytest.raises(NotPossible, match="Mei Tanaka is not in that channel"):
        await it.slack.command(MEI, ON_CALL, "/reset-passcode")
    with pytest.raises(NotPossible, match="turned off"):  # as the manifest says of the app's own messages
        await it.slack.command(MEI, it.slack.workspace.people[MEI].direct, "/reset-passcode")
    it.slack.deactivate(KEN)
    with pytest.raises(NotPossible, match="deactivated"):
        await it.slack.command(KEN, ON_CALL, "/reset-passcode")
    assert len(it.app.requests) == 1


async def test_a_click_carries_the_message_the_action_and_both_rights_to_answer(it):
    card = await posted(it)
    assert (await it.slack.click(KEN, "approve", channel=ON_CALL)).delivered
    sent = it.app.last
    assert (sent["type"], sent["api_app_id"], sent["enterprise"]) == ("block_actions", "A0UNLATCH", None)
    assert sent["user"] == {"id": KEN, "username": "ken", "name": "ken", "team_id": "T0CONTOSO"}
    assert sent["channel"] == {"id": ON_CALL, "name": "on-call-leads"}
    assert (sent["container"]["message_ts"], sent["container"]["is_ephemeral"]) == (card["ts"], False)
    assert sent["message"]["blocks"] == card["message"]["blocks"]
    [action] = sent["actions"]
    assert (action["type"], action["block_id"], action["value"]) == ("button", "decision", "R1")
    assert {"trigger_id", "response_url", "state"} <= set(sent)


async def test_a_person_presses_what_they_see_or_saw(it):
    card = await posted(it)
    [seen] = it.slack.messages(ON_CALL)
    await it.slack.click(KEN, "approve", channel=ON_CALL)
    await respond(it, text="x", replace_original=False, blocks=[actions(button("no"))])
    with pytest.raises(NotPossible, match="not in that channel"):
        await it.slack.click(MEI, "approve", channel=ON_CALL)
    with pytest.raises(NotPossible, match="there is no no to press"):
        await it.slack.click(AIKO, "no", channel=ON_CALL)  # ephemeral: only Ken sees it
    await it.slack.click(KEN, "no", channel=ON_CALL)
    assert (it.app.last["container"]["is_ephemeral"], "message" in it.app.last) == (True, False)
    await it.done("chat.update", channel=ON_CALL, ts=card["ts"], text="decided")
    with pytest.raises(NotPossible):
        await it.slack.click(KEN, "approve", channel=ON_CALL, ts=card["ts"])
    assert (await it.slack.click(KEN, "approve", seen=seen)).delivered  # on a screen that is behind


ANSWERS = {
    "an error status": 500,
    "a word": "ok",
    "a message": {"text": "thanks"},
    "no errors": {"response_action": "errors", "errors": {}},
    "errors of no input": {"response_action": "errors", "errors": {"title": "x"}},
    "update without a view": {"response_action": "update"},
    "a view that Slack refuses": {"response_action": "update", "view": modal(submit=False)},
    "an unknown action": {"response_action": "close"},
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_any_other_acknowledgement_is_trouble_and_the_form_stays(it, answer):
    await it.opened(modal())
    await posted(it)
    it.app.says(answer)
    assert (await it.slack.submit(MEI, {"reason": "x"})).notice == TROUBLE
    assert (await it.slack.click(KEN, "approve", channel=ON_CALL)).notice == TROUBLE
    it.app.says("")
    assert (await it.slack.submit(MEI)).closed
    assert it.app.last["view"]["state"]["values"]["reason"]["reason_typed"]["value"] == "x"


async def test_a_response_url_takes_five_responses_in_thirty_minutes_and_does_not_count_refused_ones(it):
    await it.slack.command(MEI, SUPPORT, "/reset-passcode")
    refused = [await respond(it), await respond(it, blocks=[section("")])]
    it.clock.advance(timedelta(minutes=29, seconds=59))
    taken = [await respond(it, text=str(n)) for n in range(6)]
    it.clock.advance(timedelta(seconds=1))
    late = await respond(it, text="late")
    assert [answer.json()["error"] for answer in refused] == ["no_text", "invalid_blocks"]
    assert [answer.status_code for answer in taken] == [200] * 5 + [404]
    assert taken[-1].json() == {"ok": False, "error": "used_url"}
    assert (late.status_code, late.json()["error"]) == (404, "expired_url")
    assert [m.text for m in it.slack.ephemerals(MEI)] == ["0", "1", "2", "3", "4"]


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with serve(Sandbox()) as served:
        yield served


@asynccontextmanager
async def sockets(sandbox: Sandbox, count: int) -> AsyncIterator[list[ClientWebSocketResponse]]:
    """This many connections, each after its hello; the eleventh gets none."""
    async with aiohttp.ClientSession(sandbox.base_url) as session:
        opened = [await session.ws_connect(address(sandbox)) for _ in range(count)]
        for socket in opened[:MOST]:
            assert (await socket.receive_json(timeout=5))["type"] == "hello"
        yield opened


def address(sandbox: Sandbox) -> str:
    return f"/slack/socket?ticket={sandbox.slack.sockets.ticket()}"


async def test_each_envelope_goes_to_exactly_one_connection(sandbox):
    async with sockets(sandbox, 2) as both:
        for _ in range(4):
            outcome = asyncio.create_task(sandbox.slack.command(MEI, SUPPORT, "/reset-passcode help"))
            waiting = {asyncio.create_task(socket.receive_json()): socket for socket in both}
            [first], [other] = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            await waiting[first].send_json({"envelope_id": first.result()["envelope_id"]})
            assert (await outcome).delivered
            assert not other.done()
            other.cancel()
            await asyncio.wait([other])


async def test_the_eleventh_connection_is_too_many(sandbox):
    async with sockets(sandbox, MOST + 1) as opened:
        told = await opened[-1].receive_json(timeout=5)
        assert told == {"type": "disconnect", "reason": "too_many_websockets"}
        assert (await opened[-1].receive(timeout=5)).type is WSMsgType.CLOSE
        assert sandbox.slack.sockets.connections == MOST


async def test_a_ticket_opens_one_socket(sandbox):
    url = address(sandbox)
    async with aiohttp.ClientSession(sandbox.base_url) as session, session.ws_connect(url):
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(url)


async def test_an_envelope_that_is_not_acknowledged_in_time_has_failed_and_is_not_delivered_again(sandbox):
    sandbox.slack.be_patient(0.05)
    async with sockets(sandbox, 1) as [socket]:
        outcome = await sandbox.slack.command(MEI, SUPPORT, "/reset-passcode help")
        second = await sandbox.slack.command(MEI, SUPPORT, "/reset-passcode status")
        received = [await socket.receive_json(timeout=5) for _ in range(2)]
    assert outcome.notice == second.notice == TIMED_OUT
    assert [envelope["payload"]["text"] for envelope in received] == ["help", "status"]


@pytest.mark.parametrize(("reason", "delivered"), [("warning", True), ("refresh_requested", False)])
async def test_a_socket_that_was_sent_away_gets_envelopes_after_a_warning_only(sandbox, reason, delivered):
    async with sockets(sandbox, 1) as [socket]:
        async with httpx.AsyncClient(base_url=sandbox.base_url) as http:
            await http.post("/sandbox/sockets", json={"reason": reason})
        assert (await socket.receive_json(timeout=5))["reason"] == reason
        outcome = asyncio.create_task(sandbox.slack.command(MEI, SUPPORT, "/reset-passcode help"))
        if delivered:
            await socket.send_json({"envelope_id": (await socket.receive_json(timeout=5))["envelope_id"]})
        assert (await outcome).notice == ("" if delivered else DISPATCH_FAILED)
