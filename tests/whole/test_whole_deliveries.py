"""Deliveries to the assembled bot: how often, how fast, over how many connections."""

import asyncio
import time
from pathlib import Path

import yaml
from bot.domain.request import Status
from tests.whole.installed import KEN, MEI, ON_CALL, SUPPORT, Installed, installed


async def test_a_delivery_that_comes_again_makes_one_request(both):
    there: Installed = both
    await there.pending()
    for _ in range(2):
        assert (await there.slack.redeliver_last()).outcome == "ok"
    assert len(await there.rows()) == 1


async def test_a_command_with_the_word_payload_is_not_lost(both):
    there: Installed = both
    await there.pending("/reset-passcode ada@contoso.com the payload={} app locked her out")
    [row] = await there.rows()
    assert row.reason == "the payload={} app locked her out"


async def test_the_acknowledgement_comes_while_slack_entra_and_graph_hang(both):
    there: Installed = both
    there.gate.hold("/slack/api/", "/entra/", "/graph/")
    started = time.monotonic()
    outcome = await there.ask()
    assert (outcome.delivered, "Got it" in outcome.answer.text) == (True, True)
    for text in ("/reset-passcode status", "/reset-passcode help", "/reset-passcode"):
        assert (await there.ask(text)).delivered
    assert time.monotonic() - started < 2
    there.gate.release()
    await there.until(lambda: there.slack.messages("C0ONCALL"))


async def test_approving_is_acknowledged_while_graph_hangs(there):
    request_id = await there.pending()
    await there.signed_in()
    await there.review()
    there.gate.hold("/graph/")
    outcome = await there.slack.submit(KEN)
    assert outcome.delivered
    await there.gate.arrived.wait()
    there.gate.release()
    await there.reaches(request_id, Status.DONE)
    assert len(there.sandbox.intune.resets) == 1


async def test_auth_test_is_asked_once_at_the_start(both):
    there: Installed = both
    await there.pending()
    await there.ask("/reset-passcode status")
    await there.signed_in()
    asked = [call for call in there.sandbox.journal.calls if call.method == "auth.test"]
    assert len(asked) == 1
    assert there.sandbox.journal.calls[0].method in ("auth.test", "apps.connections.open")


async def test_calls_to_slack_share_connections(there):
    for number in range(5):
        await there.pending(f"/reset-passcode name:phone-{number} locked out")
    calls = [call for call in there.sandbox.journal.calls if call.to == "slack"]
    connections = {client for part, client in there.gate.connections if part == "slack"}
    assert len(calls) >= 20
    assert len(connections) <= 4, f"{len(calls)} calls over {len(connections)} connections"


async def test_several_asks_at_once_become_as_many_requests(both):
    there: Installed = both
    asked = [f"/reset-passcode name:phone-{number} locked out" for number in range(10)]
    outcomes = await asyncio.gather(*map(there.ask, asked))
    assert all(outcome.delivered for outcome in outcomes)
    await there.until(lambda: len(there.slack.messages("C0ONCALL")) == 10)
    assert len(await there.rows()) == 10


async def test_what_slack_could_not_show_is_shown_later(there):
    there.slack.fail_next("chat.postMessage", "service_unavailable")
    await there.ask()
    await there.until(lambda: there.slack.messages("C0ONCALL") and there.slack.direct(MEI))
    assert len(there.slack.messages("C0ONCALL")) == 1


async def test_a_socket_that_slack_replaces_loses_nothing(tmp_path):
    async with installed(tmp_path, socket_mode=True) as there:
        assert there.slack.sockets.willing == 2
        await there.slack.sockets.disconnect("warning")
        assert (await there.ask()).delivered
        await there.until(lambda: there.slack.sockets.willing == 2)
        assert (await there.ask()).delivered
        assert len(await there.rows()) == 2


async def test_in_socket_mode_nothing_is_taken_over_http(tmp_path):
    async with installed(tmp_path, socket_mode=True) as there:
        assert (await there.http.post("/slack/events", content=b"x")).status_code == 404


async def test_ready_says_when_the_database_or_the_socket_is_gone(tmp_path):
    async with installed(tmp_path, socket_mode=True) as there:
        assert (await there.http.get("/readyz")).status_code == 200
        await there.bot.sockets.close()
        ready = await there.http.get("/readyz")
        assert (ready.status_code, ready.json()["slack"]) == (503, False)
        assert (await there.http.get("/healthz")).status_code == 200


async def test_a_post_that_slack_made_and_did_not_confirm_is_not_made_again(there):
    there.slack.break_next("chat.postMessage", after=True)
    await there.ask()
    await there.until(lambda: there.slack.messages(ON_CALL) and "waiting" in there.receipt())
    assert (len(there.slack.messages(ON_CALL)), len(there.slack.direct(MEI))) == (1, 1)


async def test_every_scope_of_the_manifest_is_used_and_no_other(tmp_path_factory):
    manifest = yaml.safe_load((Path(__file__).parents[2] / "manifest.yml").read_text())
    used = await _used_scopes(tmp_path_factory.mktemp("private"), approvers="usergroup:S0ONCALL")
    used |= await _used_scopes(tmp_path_factory.mktemp("public"), approver_channel=SUPPORT)
    assert set(manifest["oauth_config"]["scopes"]["bot"]) == used


async def _used_scopes(folder: Path, **settings: str) -> set[str]:
    """Of the main job, with answers of Slack's that are lost."""
    async with installed(folder, **settings) as there:
        channel = settings.get("approver_channel", ON_CALL)
        there.slack.join(channel, there.slack.workspace.bot.id)
        there.slack.break_next("chat.postMessage", after=True, times=2)
        await there.ask()
        await there.until(lambda: there.slack.messages(channel) and "waiting" in there.receipt())
        await there.signed_in()
        await there.pressed(KEN, "approve", channel=channel)
        await there.slack.submit(KEN)
        await there.until(lambda: "sent" in there.receipt())
        return there.slack.scopes_used


async def test_a_window_that_slack_opens_too_late_is_said_to_who_pressed_and_the_next_press_works(both):
    there: Installed = both
    request_id = await there.pending()
    for action in ("approve", "deny"):
        there.slack.fail_next("views.open", "expired_trigger_id")
        before = len(there.slack.ephemerals(KEN))
        assert (await there.slack.click(KEN, action, channel=ON_CALL)).delivered
        await there.until(lambda before=before: len(there.slack.ephemerals(KEN)) > before)
        assert "opened no window in time" in there.slack.ephemerals(KEN)[-1].text
    there.slack.fail_next("views.open", "expired_trigger_id")
    await there.ask("/reset-passcode")
    await there.until(lambda: there.slack.ephemerals(MEI))
    assert len(there.slack.messages(ON_CALL)) == 1
    assert (await there.row(request_id)).status is Status.PENDING
    assert await there.pressed(KEN, "deny") == "Deny the request"
