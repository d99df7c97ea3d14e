"""Messages about a request: one each, brought up to date, never twice; and what Slack's failures mean."""

import asyncio
import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest
from aiohttp import web
from bot.domain.errors import SlackError, SlackRefused, SlackUnavailable
from bot.domain.request import MessageRef, MessageState, Status
from bot.domain.values import ChannelId
from bot.slack.notifier import SlackNotifier
from bot.slack.wording import ENGLISH
from bot.timing import Timing
from tests.support.builders import CHANNEL, MEI, a_request
from tests.unit.slack.rows import pending
from tests.unit.slack.web_api import GARBAGE, PATIENT, SHORT, WebApi

POSTED = {"ok": True, "channel": CHANNEL, "ts": "1.0"}
CARD = MessageRef(CHANNEL, "1.0")
APPROVED = a_request(Status.APPROVED)


def metadata(part: str) -> dict[str, object]:
    return {"event_type": "unlatch_request", "event_payload": {"request_id": pending().id, "part": part}}


def notifier(api: WebApi, timing: Timing = PATIENT) -> SlackNotifier:
    return SlackNotifier(api.client, ENGLISH, CHANNEL, on_call=["S0ONCALL"], timing=timing)


async def test_a_card_is_posted_once_and_then_updated_in_place(api: WebApi):
    api.answers["chat.postMessage"] = [POSTED]

    posted = await notifier(api).update_card(pending(), MessageState())
    updated = await notifier(api).update_card(APPROVED, posted)

    assert posted.card == updated.card == CARD
    (_, post), (_, update) = api.asked
    assert api.methods() == ["chat.postMessage", "chat.update"]
    assert (post["channel"], post["metadata"]) == (CHANNEL, metadata("card"))
    assert (update["channel"], update["ts"], update["metadata"]) == (CHANNEL, "1.0", metadata("card"))
    assert post["text"].startswith("Passcode reset: waiting for approval.")
    assert update["text"].startswith("Passcode reset: approved.")
    assert update["blocks"]


async def test_a_receipt_goes_to_the_requester_alone(api: WebApi):
    api.answers["chat.postMessage"] = [{"ok": True, "channel": "D0MEI", "ts": "2.0"}]

    state = await notifier(api).update_receipt(pending(), MessageState())

    [(_, post)] = api.asked
    assert (post["channel"], post["metadata"]) == (MEI.id, metadata("receipt"))
    assert state.receipt == MessageRef(ChannelId("D0MEI"), "2.0")


async def test_what_slack_shows_already_is_not_sent_again(api: WebApi):
    """Also where the row changed and its look did not."""
    api.answers["chat.postMessage"] = [POSTED]
    state = await notifier(api).update_receipt(
        pending(), await notifier(api).update_card(pending(), MessageState())
    )
    same = pending(version=9)

    assert await notifier(api).update_receipt(same, await notifier(api).update_card(same, state)) == state
    assert len(api.asked) == 2
    assert len(state.card_digest) == len(hashlib.sha256().hexdigest())


async def test_slack_parses_and_unfurls_nothing_of_a_message(api: WebApi):
    api.answers["chat.postMessage"] = [POSTED]

    await notifier(api).update_card(APPROVED, await notifier(api).update_card(pending(), MessageState()))

    (_, post), (_, update) = api.asked
    assert (post["parse"], post["link_names"], update["parse"], update["link_names"]) == ("none", False) * 2
    assert (post["unfurl_links"], post["unfurl_media"]) == (False, False)


@pytest.mark.parametrize("error", ["message_not_found", "cant_update_message", "edit_window_closed"])
async def test_a_message_that_cannot_be_changed_any_more_is_posted_again(api: WebApi, error: str):
    api.answers["chat.update"] = [{"ok": False, "error": error}]
    api.answers["chat.postMessage"] = [POSTED, {**POSTED, "ts": "3.0"}]
    state = await notifier(api).update_card(pending(), MessageState())

    lost = await notifier(api).update_card(APPROVED, state)
    again = await notifier(api).update_card(APPROVED, lost)

    assert (lost.card, lost.card_digest) == (None, "")
    assert again.card == MessageRef(CHANNEL, "3.0")


async def test_a_refused_update_keeps_the_message_where_it_is(api: WebApi):
    api.answers["chat.update"] = [{"ok": False, "error": "is_archived"}]

    with pytest.raises(SlackRefused, match="is_archived"):
        await notifier(api).update_card(APPROVED, MessageState(card=CARD))
    assert api.methods() == ["chat.update"]


# Found after a crash


async def test_messages_that_were_posted_but_not_remembered_are_found_page_by_page(api: WebApi):
    other = {"event_type": "unlatch_request", "event_payload": {"request_id": "0" * 32, "part": "card"}}
    messages = [
        {"ts": "9.0"},
        {"ts": "8.5", "metadata": other},
        {"ts": "8.2", "metadata": metadata("receipt")},
    ]
    api.answers["conversations.history"] = [
        {"ok": True, "messages": messages, "response_metadata": {"next_cursor": "more"}},
        {"ok": True, "messages": [{"ts": "8.0", "metadata": metadata("card")}]},
        {"ok": True, "messages": [{"ts": "7.0", "metadata": metadata("receipt")}]},
    ]
    api.answers["conversations.open"] = [{"ok": True, "channel": {"id": "D0MEI"}}]

    found = await notifier(api).find_posted(pending(), MessageState(posting=True))

    assert (found.card, found.receipt) == (
        MessageRef(CHANNEL, "8.0"),
        MessageRef(ChannelId("D0MEI"), "7.0"),
    )
    searched = [asked for method, asked in api.asked if method == "conversations.history"]
    assert [asked.get("cursor") for asked in searched] == [None, "more", None]
    assert float(searched[0]["oldest"]) == (pending().asked_at - timedelta(minutes=5)).timestamp()


async def test_what_was_never_posted_is_not_found(api: WebApi):
    api.answers["conversations.open"] = [{"ok": True, "channel": {"id": "D0MEI"}}]
    api.answers["conversations.history"] = [{"ok": True, "messages": [{"ts": "9.0", "metadata": {}}]}]

    found = await notifier(api).find_posted(pending(), MessageState(posting=True))

    assert found == MessageState(posting=True)


# Reminders


async def test_a_reminder_is_posted_once_under_the_card_and_in_the_channel(api: WebApi):
    api.answers["chat.postMessage"] = [{**POSTED, "ts": "4.0"}]
    reminded = pending(reminders=1)

    state = await notifier(api).post_reminder(reminded, MessageState(card=CARD))
    again = await notifier(api).post_reminder(reminded, state)

    [(_, post)] = api.asked
    assert (post["thread_ts"], post["reply_broadcast"]) == ("1.0", True)
    assert "<!subteam^S0ONCALL>" in post["text"]
    assert "metadata" not in post
    assert again == state == MessageState(card=CARD, reminders=1)


@pytest.mark.parametrize(
    ("row", "state"), [(pending(), MessageState(card=CARD)), (pending(reminders=1), MessageState())]
)
async def test_nothing_is_reminded_of_before_its_time_or_without_a_card(api, row, state):
    assert await notifier(api).post_reminder(row, state) == state
    assert api.asked == []


async def test_a_card_that_is_gone_comes_back_in_place_of_its_reminder(api: WebApi):
    api.answers["chat.postMessage"] = [{"ok": False, "error": "thread_not_found"}]

    state = await notifier(api).post_reminder(pending(reminders=1), MessageState(card=CARD, card_digest="d"))

    assert state == MessageState(reminders=1)


# What Slack's failures mean


async def test_a_busy_slack_says_how_long_to_wait_and_nothing_is_tried_again(api: WebApi):
    limited = {"ok": False, "error": "ratelimited"}
    api.answers["chat.postMessage"] = [
        web.json_response(limited, status=429, headers={"Retry-After": "7"}),
        web.json_response(limited, status=429, headers={"Retry-After": "9" * 50}),
        web.json_response(limited, status=429, headers={"Retry-After": "soon"}),
    ]

    for retry_after in (timedelta(seconds=7), timedelta(minutes=10), None):
        with pytest.raises(SlackUnavailable) as unavailable:
            await notifier(api).update_card(pending(), MessageState())
        assert unavailable.value.retry_after == retry_after
    assert len(api.asked) == 3


UNAVAILABLE = ["fatal_error", "internal_error", "ratelimited", "service_unavailable", "request_timeout"]
REFUSED = [
    "channel_not_found",
    "not_in_channel",
    "is_archived",
    "missing_scope",
    "invalid_blocks",
    "invalid_auth",
]


@pytest.mark.parametrize(
    ("error", "meaning"),
    [*((error, SlackUnavailable) for error in UNAVAILABLE), *((error, SlackRefused) for error in REFUSED)],
)
async def test_what_passes_by_itself_is_shown_later_and_what_needs_help_says_so(api, error, meaning):
    api.answers["chat.postMessage"] = [{"ok": False, "error": error}]

    with pytest.raises(meaning) as told:
        await notifier(api).update_card(pending(), MessageState())
    assert (type(told.value), told.value.code) == (meaning, error)


@pytest.mark.parametrize("answer", GARBAGE, ids=lambda answer: f"{answer.status} {answer.content_type}")
async def test_an_answer_that_is_not_slacks_is_no_answer(api: WebApi, answer: web.Response):
    api.answers["chat.postMessage"] = [answer]

    with pytest.raises(SlackUnavailable):
        await notifier(api).update_card(pending(), MessageState())
    assert len(api.asked) == 1


async def test_a_message_whose_place_is_not_told_is_not_remembered(api: WebApi):
    with pytest.raises(SlackRefused, match="unexpected_answer"):
        await notifier(api).update_card(pending(), MessageState())


async def test_a_slack_that_hangs_or_is_gone_is_unavailable(api: WebApi):
    api.hang = asyncio.Event()
    with pytest.raises(SlackUnavailable):
        await notifier(api, SHORT).update_card(pending(), MessageState())
    api.hang.set()
    await api.stop()
    with pytest.raises(SlackError) as error:
        await notifier(api).update_receipt(replace(pending()), MessageState())
    assert isinstance(error.value, SlackUnavailable)
