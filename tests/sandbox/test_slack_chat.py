"""Messages: where the bot may write, what it may change, what Slack refuses."""

import json

import pytest
from slack_office import BOT_AUTH, KEN, MEI, OLGA, ON_CALL, SUPPORT, Office, actions, section


async def test_a_message_to_a_person_opens_their_direct_messages():
    office = Office()

    sent = await office.done("chat.postMessage", channel=MEI, text="Hello", blocks=[section()])

    assert sent["channel"] == "D0MEI"
    assert [m.text for m in office.slack.direct(MEI)] == ["Hello"]
    assert sent["message"]["bot_id"] == "B0UNLATCH"


@pytest.mark.parametrize(
    ("channel", "error"),
    [
        ("C0NOWHERE", "channel_not_found"),
        (SUPPORT, "not_in_channel"),  # public, so visible, but the bot is not in it
        (OLGA, "channel_not_found"),  # an outsider who shares no channel with the bot
    ],
)
async def test_the_bot_cannot_write_just_anywhere(channel: str, error: str):
    assert await Office().error("chat.postMessage", channel=channel, text="x") == error


async def test_a_private_channel_without_the_bot_does_not_exist_for_it():
    office = Office()
    office.slack.leave(ON_CALL, "U0UNLATCH")

    for method, more in [
        ("chat.postMessage", {"text": "x"}),
        ("conversations.info", {}),
        ("conversations.members", {}),
    ]:
        assert await office.error(method, channel=ON_CALL, **more) == "channel_not_found"


async def test_the_bot_reaches_an_outsider_once_they_share_a_channel():
    office = Office()
    office.slack.join(SUPPORT, "U0UNLATCH")

    assert (await office.done("chat.postMessage", channel=OLGA, text="x"))["channel"] == "D0OLGA"


async def test_nobody_writes_to_a_deactivated_account_or_without_a_messages_tab():
    office = Office()
    office.slack.deactivate(MEI)
    assert await office.error("chat.postMessage", channel=MEI, text="x") == "channel_not_found"

    office.slack.platform.messages_tab = False
    assert await office.error("chat.postMessage", channel=KEN, text="x") == "messages_tab_disabled"


async def test_an_archived_channel_takes_no_message():
    office = Office()
    office.slack.archive(ON_CALL)

    assert await office.error("chat.postMessage", channel=ON_CALL, text="x") == "is_archived"


async def test_a_message_says_something():
    office = Office()

    assert await office.error("chat.postMessage", channel=ON_CALL) == "no_text"
    assert await office.error("chat.postMessage", text="x") == "invalid_arguments"


async def test_blocks_in_a_form_are_a_json_string():
    office = Office()
    data = {"channel": ON_CALL, "text": "x", "blocks": json.dumps([section()])}
    good = await office.http.post("/slack/api/chat.postMessage", data=data, headers=BOT_AUTH)
    broken = await office.http.post(
        "/slack/api/chat.postMessage", data=data | {"blocks": "[{"}, headers=BOT_AUTH
    )

    assert good.json()["message"]["blocks"][0]["type"] == "section"
    assert broken.json()["error"] == "invalid_blocks_format"


async def test_a_long_text_is_cut_when_posted_and_refused_when_updated():
    office = Office()

    sent = await office.done("chat.postMessage", channel=ON_CALL, text="x" * 40_001)
    assert len(sent["message"]["text"]) == 40_000

    again = {"channel": ON_CALL, "ts": sent["ts"]}
    assert await office.error("chat.update", text="x" * 4001, **again) == "msg_too_long"
    await office.done("chat.update", text="x" * 4000, **again)


async def test_an_update_without_blocks_takes_the_blocks_away():
    office = Office()
    sent = await office.done("chat.postMessage", channel=ON_CALL, text="card", blocks=[actions()])

    await office.done("chat.update", channel=ON_CALL, ts=sent["ts"], text="decided")

    [message] = office.slack.messages(ON_CALL)
    assert (message.text, message.blocks, message.edited_at) == ("decided", None, office.clock.now())


async def test_an_update_with_blocks_is_not_marked_as_edited():
    office = Office()
    sent = await office.done("chat.postMessage", channel=ON_CALL, text="card", blocks=[actions()])

    await office.done("chat.update", channel=ON_CALL, ts=sent["ts"], text="decided", blocks=[section()])

    assert office.slack.messages(ON_CALL)[0].edited_at is None


async def test_only_the_bots_own_messages_change():
    office = Office()
    theirs = office.slack.message(KEN, ON_CALL, "looking into it")
    where = {"channel": ON_CALL, "ts": theirs.ts}

    assert await office.error("chat.update", text="x", **where) == "cant_update_message"
    assert await office.error("chat.delete", **where) == "cant_delete_message"
    assert await office.error("chat.update", text="x", channel=ON_CALL, ts="1.2") == "message_not_found"


async def test_a_person_is_no_channel_for_an_update():
    office = Office()
    sent = await office.done("chat.postMessage", channel=MEI, text="x")

    assert await office.error("chat.update", channel=MEI, ts=sent["ts"], text="y") == "channel_not_found"
    await office.done("chat.update", channel=sent["channel"], ts=sent["ts"], text="y")


async def test_a_deleted_message_is_gone():
    office = Office()
    sent = await office.done("chat.postMessage", channel=ON_CALL, text="x")

    await office.done("chat.delete", channel=ON_CALL, ts=sent["ts"])

    assert office.slack.messages(ON_CALL) == []


async def test_an_ephemeral_message_reaches_one_member_and_no_history():
    office = Office()

    shown = await office.done("chat.postEphemeral", channel=ON_CALL, user=KEN, text="only you")

    assert [m.text for m in office.slack.ephemerals(KEN)] == ["only you"]
    assert office.slack.messages(ON_CALL) == []
    again = {"channel": ON_CALL, "ts": shown["message_ts"]}
    assert await office.error("chat.update", text="x", **again) == "message_not_found"


@pytest.mark.parametrize("user", [MEI, "U0NOBODY"])
async def test_an_ephemeral_message_needs_somebody_in_the_channel(user: str):
    error = await Office().error("chat.postEphemeral", channel=ON_CALL, user=user, text="x")

    assert error == "user_not_in_channel"


async def test_a_thread_needs_its_first_message():
    office = Office()
    first = await office.done("chat.postMessage", channel=ON_CALL, text="card")

    reply = await office.done("chat.postMessage", channel=ON_CALL, text="r", thread_ts=first["ts"])

    assert reply["message"]["thread_ts"] == first["ts"]
    error = await office.error("chat.postMessage", channel=ON_CALL, text="r", thread_ts="1.0")
    assert error == "thread_not_found"


async def test_metadata_is_kept_and_must_have_its_shape():
    office = Office(scopes=["chat:write", "groups:history"])
    metadata = {"event_type": "reset", "event_payload": {"id": "R1"}}
    await office.done("chat.postMessage", channel=ON_CALL, text="card", metadata=metadata)

    plain = await office.done("conversations.history", channel=ON_CALL)
    full = await office.done("conversations.history", channel=ON_CALL, include_all_metadata=True)

    assert "metadata" not in plain["messages"][0]
    assert full["messages"][0]["metadata"] == metadata
    bad = {"channel": ON_CALL, "text": "x", "metadata": {"event_type": "reset"}}
    assert await office.error("chat.postMessage", **bad) == "invalid_metadata_format"


async def test_two_messages_never_share_a_timestamp():
    office = Office()

    sent = [await office.done("chat.postMessage", channel=ON_CALL, text="x") for _ in range(3)]

    assert len({s["ts"] for s in sent}) == 3
    assert [s["ts"] for s in sent] == sorted(s["ts"] for s in sent)
