"""The real process: what its end loses (nothing), and what its log holds (no secret)."""

import asyncio
import json

import pytest
from tests.whole.installed import IPHONE, KEN, MEI, ON_CALL, PIXEL
from tests.whole.process import served

from sandbox import cast

REASON = "locked out with the words swordfish and marlin"
ASK = f"/reset-passcode serial:59040DLJH001 {REASON}"


async def test_sigterm_waits_for_the_reset_in_flight_and_ends_with_0(tmp_path):
    async with served(tmp_path, socket_mode=True) as it:
        there = it.there
        await there.pending()
        await there.signed_in()
        there.gate.hold("/resetPasscode")
        await there.approved()
        await there.gate.arrived.wait()
        running = it.process.process
        running.terminate()
        with pytest.raises(TimeoutError):  # with nothing in flight it ends at once
            await asyncio.wait_for(running.wait(), timeout=0.6)
        there.gate.release()
        assert await it.process.stop() == 0
        assert it.column("status") == ["sent"]
    assert [reset.device_id for reset in there.sandbox.intune.resets] == [IPHONE]


async def test_a_request_that_was_acknowledged_survives_a_kill_before_it_was_checked(tmp_path):
    async with served(tmp_path) as it:
        there = it.there
        there.gate.hold("/slack/api/")
        assert "Got it" in (await there.ask()).answer.text
        await there.gate.arrived.wait()
        assert it.column("status") == ["received"]
        await it.kill()
        there.gate.release()
        await it.start_after_all_leases_ran_out()
        await there.until(lambda: there.slack.messages(ON_CALL))
        assert it.column("status") == ["pending"]
        assert len(there.slack.messages(ON_CALL)) == 1


async def test_a_reset_whose_answer_was_lost_in_a_kill_is_found_on_the_device_and_not_made_again(tmp_path):
    async with served(tmp_path) as it:
        there = it.there
        await there.pending()
        await there.signed_in()
        there.gate.mute("/resetPasscode")
        await there.approved()
        await there.gate.arrived.wait()
        await it.kill()
        assert it.column("status") == ["approved"]
        there.gate.release()
        await it.start_after_all_leases_ran_out()
        await there.until(lambda: "unclear" in there.card())
        await it.kill()
        await it.start_after_all_leases_ran_out()
        await there.until(lambda: "sent" in there.card() or "done" in there.card())
        assert len(there.sandbox.intune.resets) == 1
        posts = [call for call in there.sandbox.journal.calls if call.path.endswith("/resetPasscode")]
        assert len(posts) == 1


@pytest.mark.parametrize("socket_mode", [False, True], ids=["http", "socket"])
async def test_no_line_of_the_log_holds_a_secret_a_reason_or_a_body(tmp_path, socket_mode):
    async with served(tmp_path, socket_mode=socket_mode) as it:
        there = it.there
        await there.pending(ASK)
        link = await there.link()
        await there.browser.sign_in(link, "0c000000-0000-4000-8000-000000000002")
        await there.until(lambda: there.title(KEN) == "Signed in")
        there.slack.fail_next("chat.update", "internal_error")
        await there.approved()
        await there.until(lambda: there.sandbox.intune.resets)
        if not socket_mode:  # the device is asked after five seconds, which one of the two modes waits for
            await there.slack.until(lambda: "done" in there.receipt(), timeout=15)
            direct = there.slack.workspace.people[MEI].direct
            await there.pressed(MEI, "show_passcode", channel=direct)
        passcode = there.sandbox.intune._fleet.phones[PIXEL].actions[-1].passcode
        await there.slack.event({"type": "app_home_opened", "text": REASON})
        await there.http.post("/slack/events", content=f"text={REASON}&token=stranger")
        await there.http.get(f"/sign-in/{REASON}")
        tokens = [there.sandbox.entra.access_token("0c000000-0000-4000-8000-000000000002")]
        await it.process.stop()
        lines = list(it.process.lines)
    secrets = [
        *(cast.BOT_TOKEN, cast.APP_TOKEN, cast.SIGNING_SECRET, cast.CLIENT_SECRET),
        *(
            it.process.settings["VAULT_KEYS"],
            link.rpartition("/")[2],
            passcode,
            "swordfish",
            "/slack/response/",
        ),
        *("eyJ", "response_url", "trigger_id", "Bearer", "access_token", "refresh_token", "59040DLJH001"),
        *(token[:20] for token in tokens),
    ]
    assert any('"serving"' in line for line in lines)
    for line in lines:
        assert json.loads(line)["event"]
        assert [secret for secret in secrets if secret in line] == [], line
