"""Response URLs: five uses in thirty minutes, on the app's own messages."""

from datetime import timedelta
from typing import Any

import httpx
from slack_office import KEN, MEI, ON_CALL, SUPPORT, Office, actions, section


async def _say(office: Office, **what: Any) -> httpx.Response:
    return await office.http.post(office.app.last["response_url"], json=what)


async def _asked() -> Office:
    office = Office()
    await office.slack.command(MEI, SUPPORT, "/reset-passcode")
    return office


async def _clicked() -> Office:
    office = Office()
    await office.done("chat.postMessage", channel=ON_CALL, text="card", blocks=[actions()])
    await office.slack.click(KEN, "approve", channel=ON_CALL)
    return office


async def test_an_answer_is_ephemeral_unless_it_says_otherwise():
    office = await _asked()

    assert (await _say(office, text="for you")).text == "ok"
    await _say(office, text="for all", response_type="in_channel")

    assert [m.text for m in office.slack.ephemerals(MEI)] == ["for you"]
    assert [m.text for m in office.slack.messages(SUPPORT)] == ["for all"]  # the bot is not even in there


async def test_it_is_used_up_after_five_answers():
    office = await _asked()

    statuses = [(await _say(office, text=str(n))).status_code for n in range(6)]

    assert statuses == [200] * 5 + [404]
    assert (await _say(office, text="x")).json() == {"ok": False, "error": "used_url"}


async def test_it_expires_after_thirty_minutes():
    office = await _asked()
    office.clock.advance(timedelta(minutes=29, seconds=59))
    assert (await _say(office, text="x")).status_code == 200

    office.clock.advance(timedelta(seconds=1))

    assert (await _say(office, text="x")).json()["error"] == "expired_url"


async def test_an_invented_one_is_refused():
    response = await Office().http.post("/slack/response/guessed", json={"text": "x"})

    assert response.status_code == 404


async def test_it_replaces_or_deletes_the_message_that_was_clicked():
    office = await _clicked()

    await _say(office, replace_original=True, text="decided")
    assert [m.text for m in office.slack.messages(ON_CALL)] == ["decided"]

    await _say(office, delete_original="true")
    assert office.slack.messages(ON_CALL) == []


async def test_it_replaces_an_ephemeral_message_which_chat_update_cannot():
    office = Office()
    await office.done("chat.postEphemeral", channel=ON_CALL, user=KEN, text="x", blocks=[actions()])
    await office.slack.click(KEN, "approve", channel=ON_CALL)

    await _say(office, replace_original=True, text="thanks")

    assert [m.text for m in office.slack.ephemerals(KEN)] == ["thanks"]


async def test_a_command_has_no_original_to_replace():
    office = await _asked()
    await _say(office, text="first")

    await _say(office, text="second", replace_original=True)

    assert [m.text for m in office.slack.ephemerals(MEI)] == ["first", "second"]


async def test_said_to_the_channel_the_clicked_message_is_overwritten_unless_told_not_to():
    office = await _clicked()

    await _say(office, response_type="in_channel", replace_original=False, text="beside")
    assert [m.text for m in office.slack.messages(ON_CALL)] == ["card", "beside"]

    await _say(office, response_type="in_channel", text="instead")
    assert [m.text for m in office.slack.messages(ON_CALL)] == ["instead", "beside"]


async def test_an_answer_that_is_refused_is_not_counted():
    office = await _asked()

    refused = [
        await _say(office),
        await _say(office, blocks=[section("")]),
        await office.http.post(office.app.last["response_url"], content=b"text=x"),
    ]

    assert [r.status_code for r in refused] == [400] * 3
    assert [r.json()["error"] for r in refused] == ["no_text", "invalid_blocks", "invalid_payload"]
    assert [(await _say(office, text="x")).status_code for _ in range(5)] == [200] * 5


async def test_the_journal_does_not_keep_its_secret():
    office = await _asked()
    await _say(office, text="x")

    assert office.app.last["response_url"].rsplit("/", 1)[1] not in repr(office.journal.calls)
