"""The Web API: tokens, arguments, scopes, what each method answers and refuses, and of blocks and views."""

from datetime import timedelta
from typing import Any

import pytest
from sandbox.cast import APP_TOKEN, BOT_TOKEN, DEFAULT_CAST
from sandbox.slack.blocks import accepted_blocks, accepted_view
from sandbox.slack.refusals import Refused
from sandbox.slack.web_api import METHODS
from tests.sandbox.conftest import Json, LocalSlack, actions, button, field, modal, section, text
from tests.support.user_actions import KEN, MEI, OLGA, ON_CALL, SUPPORT

BOT = DEFAULT_CAST.bot.id


@pytest.mark.parametrize("method", sorted(METHODS))
async def test_every_method_wants_a_token_that_it_knows(it, method):
    other = BOT_TOKEN if method == "apps.connections.open" else APP_TOKEN
    errors = {"": "not_authed", "Bearer xoxb-other": "invalid_auth"}
    errors[f"Bearer {other}"] = "not_allowed_token_type"
    for header, error in errors.items():
        answer = await it.http.post(f"/slack/api/{method}", headers={"Authorization": header})
        assert answer.json() == {"ok": False, "error": error}


SCOPES = [
    ("chat.postMessage", {"channel": ON_CALL, "text": "x"}, "chat:write"),
    ("chat.update", {"channel": ON_CALL, "text": "x", "ts": "1.0"}, "chat:write"),
    ("users.info", {"user": MEI}, "users:read"),
    ("conversations.members", {"channel": ON_CALL}, "groups:read"),
    ("conversations.info", {"channel": SUPPORT}, "channels:read"),
    ("conversations.info", {"channel": "D0MEI"}, "im:read"),
    ("conversations.history", {"channel": ON_CALL}, "groups:history"),
    ("conversations.open", {"users": MEI}, "im:write"),
    ("usergroups.users.list", {"usergroup": "S0ONCALL"}, "usergroups:read"),
]


@pytest.mark.parametrize(("method", "arguments", "needed"), SCOPES)
async def test_a_missing_scope_is_named(method, arguments, needed):
    it = LocalSlack(scopes=["commands"])
    body = await it.call(method, **arguments)
    assert body == {"ok": False, "error": "missing_scope", "needed": needed, "provided": "commands"}


TOO_LARGE = {"event_type": "e" * 16_000, "event_payload": {}}
BOTH_IDS = {"view_id": "V1", "external_id": "e"}


def said(**more: Any) -> Json:
    return {"channel": ON_CALL, "text": "x", **more}


STRICTNESS: list[tuple[str, Json, str]] = [
    ("chat.shout", {}, "unknown_method"),
    ("chat.scheduleMessage", {"channel": ON_CALL, "text": "x"}, "unknown_method"),  # Slack's, not modelled
    ("chat.delete", {"channel": ON_CALL, "ts": "1.0"}, "message_not_found"),
    ("conversations.replies", {"channel": ON_CALL, "ts": "1.0"}, "thread_not_found"),
    ("chat.postMessage", {"text": "x"}, "invalid_arguments"),
    ("chat.postMessage", {"channel": ON_CALL}, "no_text"),
    ("chat.postMessage", {"channel": ON_CALL, "blocks": [section("")]}, "invalid_blocks"),
    ("chat.postMessage", {"channel": ON_CALL, "blocks": "[{"}, "invalid_blocks_format"),
    ("chat.postMessage", {"channel": "C0NOWHERE", "text": "x"}, "channel_not_found"),
    ("chat.postMessage", {"channel": SUPPORT, "text": "x"}, "not_in_channel"),  # public, without the bot
    ("chat.postMessage", {"channel": OLGA, "text": "x"}, "channel_not_found"),  # shares none with the bot
    ("chat.postMessage", said(thread_ts="1.0"), "thread_not_found"),
    ("chat.postMessage", said(metadata={}), ""),
    ("chat.postMessage", said(metadata="{"), "invalid_metadata_format"),
    ("chat.postMessage", said(metadata={"event_type": "e", "event_payload": 1}), "invalid_metadata_format"),
    ("chat.postMessage", said(metadata=TOO_LARGE), "metadata_too_large"),
    ("chat.update", {"channel": ON_CALL, "ts": "1.2", "text": "x"}, "message_not_found"),
    ("conversations.info", {"channel": "C0NOWHERE"}, "channel_not_found"),
    *(("conversations.members", said(limit=limit), "invalid_arguments") for limit in (0, 1000, "many")),
    ("conversations.members", {"channel": ON_CALL, "cursor": "§"}, "invalid_cursor"),
    ("conversations.history", {"channel": SUPPORT}, "not_in_channel"),
    ("conversations.open", {"users": "U0NOBODY"}, "user_not_found"),
    ("conversations.open", {"users": f"{MEI},{KEN}"}, "method_not_supported_for_channel_type"),
    ("users.info", {"user": "U0NOBODY"}, "user_not_found"),
    ("usergroups.users.list", {"usergroup": "S0NONE"}, "no_such_subteam"),
    ("views.open", {"view": modal()}, "invalid_arguments"),
    ("views.open", {"view": modal(), "trigger_id": "1.2.abc"}, "invalid_trigger_id"),
    ("views.update", {"view": modal(), "view_id": "V1"}, "not_found"),
    *(("views.update", {"view": modal()} | ids, "invalid_arguments") for ids in ({}, BOTH_IDS)),
]


@pytest.mark.parametrize(("method", "arguments", "error"), STRICTNESS)
async def test_strictness_of_methods(method, arguments, error):
    assert (await LocalSlack().call(method, **arguments)).get("error", "") == error


async def test_people_and_channels_that_the_bot_cannot_reach_any_more(it):
    it.slack.deactivate(MEI)
    assert await it.error("chat.postMessage", channel=MEI, text="x") == "channel_not_found"
    assert await it.error("conversations.open", users=MEI) == "user_disabled"
    it.slack.archive(ON_CALL)
    assert await it.error("chat.postMessage", channel=ON_CALL, text="x") == "is_archived"
    it.slack.leave(ON_CALL, BOT)  # private: without the bot it does not exist for it
    for method in ("chat.postMessage", "conversations.info", "conversations.members"):
        assert await it.error(method, channel=ON_CALL, text="x") == "channel_not_found"
    it.slack.join(SUPPORT, BOT)  # an outsider is reached through a channel that both are in
    assert (await it.done("chat.postMessage", channel=OLGA, text="x"))["channel"] == "D0OLGA"
    it.slack.platform.messages_tab = False
    assert await it.error("chat.postMessage", channel=KEN, text="x") == "messages_tab_disabled"


async def test_a_message_to_a_person_is_updated_by_the_channel_that_it_stands_in(it):
    sent = await it.done("chat.postMessage", channel=MEI, text="Hello", blocks=[section()])
    assert (sent["channel"], sent["message"]["bot_id"]) == ("D0MEI", "B0UNLATCH")
    assert [m.text for m in it.slack.direct(MEI)] == ["Hello"]
    assert await it.error("chat.update", channel=MEI, ts=sent["ts"], text="y") == "channel_not_found"
    await it.done("chat.update", channel=sent["channel"], ts=sent["ts"], text="y")


async def test_a_message_of_more_than_40000_is_cut_and_an_update_of_more_than_4000_bytes_refused(it):
    sent = await it.done("chat.postMessage", channel=ON_CALL, text="x" * 40_001)
    where = {"channel": ON_CALL, "ts": sent["ts"]}
    assert len(sent["message"]["text"]) == 40_000
    await it.done("chat.update", text="é" * 2000, **where)
    assert await it.error("chat.update", text="é" * 2000 + "x", **where) == "msg_too_long"


async def test_a_trigger_opens_one_modal_within_three_seconds(it):
    old = await it.trigger(MEI)
    it.clock.advance(timedelta(seconds=2.999))
    young = await it.trigger(MEI)
    it.clock.advance(timedelta(milliseconds=1))
    assert await it.error("views.open", trigger_id=old, view=modal()) == "expired_trigger_id"
    # A refused view leaves the trigger unused.
    unsent = modal(submit=False)
    assert await it.error("views.open", trigger_id=young, view=unsent) == "invalid_arguments"
    text_of_3000 = section("x" * 3000)
    heavy = modal(*[text_of_3000] * 82)
    assert await it.error("views.open", trigger_id=young, view=heavy) == "view_too_large"
    await it.done("views.open", trigger_id=young, view=modal(*[text_of_3000] * 81))
    assert await it.error("views.open", trigger_id=young, view=modal()) == "exchanged_trigger_id"
    assert it.slack.view(MEI).title == "Reset"
    assert it.slack.modal(KEN) is None


async def test_an_update_keeps_what_was_typed_and_a_stale_hash_conflicts(it):
    view = await it.opened(modal(field("reason"), field("ticket", optional=True)))
    it.slack.fill(MEI, {"reason": "locked out", "ticket": "T-1"})
    change = {"view_id": view["id"], "hash": view["hash"], "view": modal(title=text("New"))}
    updated = await it.done("views.update", **change)
    shown = it.slack.view(MEI)
    assert (shown.title, updated["view"]["hash"] != view["hash"]) == ("New", True)
    assert {b: e[f"{b}_typed"]["value"] for b, e in shown.state.items()} == {"reason": "locked out"}
    assert await it.error("views.update", **change) == "hash_conflict"


async def test_members_come_in_pages(it):
    for number in range(150):
        it.slack.join(ON_CALL, f"U{number:03d}")
    first = await it.done("conversations.members", channel=ON_CALL)
    cursor = first["response_metadata"]["next_cursor"]
    second = await it.done("conversations.members", channel=ON_CALL, cursor=cursor)
    assert (len(first["members"]), len({*first["members"], *second["members"]})) == (100, 153)
    assert second["response_metadata"]["next_cursor"] == ""


async def test_history_is_newest_first_between_two_moments_and_in_pages(it):
    sent = [await it.done("chat.postMessage", channel=ON_CALL, text=str(n)) for n in range(4)]
    between = {"oldest": sent[0]["ts"], "latest": sent[3]["ts"]}

    async def history(**more: Any) -> tuple[list[str], bool, str]:
        body = await it.done("conversations.history", channel=ON_CALL, **more)
        cursor = body.get("response_metadata", {}).get("next_cursor", "")
        return [m["text"] for m in body["messages"]], body["has_more"], cursor

    assert (await history(**between))[0] == ["2", "1"]
    assert (await history(**between, inclusive=True))[0] == ["3", "2", "1", "0"]
    first, more, cursor = await history(limit=3)
    assert (first, more) == (["3", "2", "1"], True)
    assert await history(limit=3, cursor=cursor) == (["0"], False, "")


async def test_a_thread_is_read_by_its_parent_and_a_message_of_the_app_is_deleted(it):
    parent = (await it.done("chat.postMessage", channel=ON_CALL, text="parent"))["ts"]
    for text_ in ("a", "b"):
        await it.done("chat.postMessage", channel=ON_CALL, text=text_, thread_ts=parent)
    replies = (await it.done("conversations.replies", channel=ON_CALL, ts=parent))["messages"]
    assert [message["text"] for message in replies] == ["parent", "a", "b"]
    [shown] = (await it.done("conversations.history", channel=ON_CALL))["messages"]
    assert shown["text"] == "parent"
    await it.done("chat.delete", channel=ON_CALL, ts=replies[-1]["ts"])
    assert [message.text for message in it.slack.messages(ON_CALL)] == ["parent", "a"]


# Blocks and views. What Slack takes is held by the bot's own messages and modals, which pass the same check


def _radio(count: int) -> Json:
    options = [{"text": text(f"Phone {n}"), "value": str(n)} for n in range(count)]
    return {"type": "radio_buttons", "action_id": "device", "options": options}


BAD: dict[str, tuple[list[Json], str]] = {
    "an empty text": ([section("")], "/0/text/text"),
    "a section too long": ([section("x" * 3001)], "/0/text/text"),
    "a field too long": ([{"type": "section", "fields": [text("x" * 2001)]}], "/0/fields/0/text"),
    "eleven fields": ([{"type": "section", "fields": [text("x")] * 11}], "/0/fields"),
    "a header too long": ([{"type": "header", "text": text("x" * 151)}], "/0/text/text"),
    "markdown in a header": ([{"type": "header", "text": text("x", "mrkdwn")}], "/0/text/type"),
    "twenty-six buttons": ([actions(*[button(f"b{n}") for n in range(26)])], "/0/elements"),
    "a button too long": ([actions(button(words="x" * 76))], "/0/elements/0/text/text"),
    "a value too long": ([actions(button(value="x" * 2001))], "/0/elements/0/value"),
    "an unknown style": ([actions(button() | {"style": "warning"})], "/0/elements/0/style"),
    "a relative link": ([actions(button() | {"url": "/sign-in"})], "/0/elements/0/url"),
    "eleven radios": ([field(element=_radio(11))], "/0/element/options"),
    "101 options": ([field(element=_radio(101) | {"type": "static_select"})], "/0/element/options"),
    "an unknown field": ([section() | {"colour": "red"}], "/0"),
    "a block id too long": ([section() | {"block_id": "x" * 256}], "/0/block_id"),
    "an unknown block": ([{"type": "carousel"}], "/0/type"),
    "no label": ([{"type": "input", "element": {"type": "plain_text_input"}}], "/0"),
    "one action id twice": ([actions(button(), button())], "/0"),
    "fifty-one blocks": ([section()] * 51, ""),
    "one block id twice": ([section() | {"block_id": "same"}] * 2, "/1/block_id"),
}


@pytest.mark.parametrize(("blocks", "place"), BAD.values(), ids=BAD)
def test_what_slack_refuses_is_refused_at_its_place(blocks, place):
    with pytest.raises(Refused) as refused:
        accepted_blocks(blocks)
    messages = refused.value.body()["response_metadata"]["messages"]
    assert refused.value.error == "invalid_blocks"
    assert any(message.endswith(f"[json-pointer:/blocks{place}]") for message in messages), messages


def test_a_message_has_up_to_fifty_blocks_and_a_modal_up_to_a_hundred():
    assert len(accepted_blocks([section()] * 50)) == 50
    assert len(accepted_view(modal(*[section()] * 100))["blocks"]) == 100


BAD_VIEWS: dict[str, Any] = {
    "a title of 25": modal(title=text("x" * 25)),
    "an input without submit": modal(submit=False),
    "a close of 25": modal(close=text("x" * 25)),
    "metadata of 3001": modal(private_metadata="x" * 3001),
    "a callback id of 256": modal(callback_id="x" * 256),
    "no blocks": {"type": "modal", "title": text("x"), "blocks": []},
    "a hundred and one blocks": modal(*[section()] * 101),
    "no title": {"type": "modal", "blocks": [section()]},
    "an unknown type": {"type": "page", "blocks": [section()]},
    "a bad block inside": modal(section("")),
    "not an object": "modal",
}


@pytest.mark.parametrize("view", BAD_VIEWS.values(), ids=BAD_VIEWS)
def test_a_view_that_slack_refuses_is_refused(view):
    with pytest.raises(Refused, match="invalid_arguments") as refused:
        accepted_view(view)
    assert refused.value.body()["response_metadata"]["messages"]
