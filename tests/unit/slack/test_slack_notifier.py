"""Messages about a request: one each, brought up to date, never twice, and found again after a crash."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from bot.domain.errors import Code, SlackRefused
from bot.domain.request import MessageRef, MessageState, Status
from bot.domain.values import ChannelId
from bot.slack.client import SlackClient
from bot.slack.notifier import SlackNotifier
from bot.slack.wording import ENGLISH
from bot.timing import Timing
from tests.support.builders import CHANNEL, MEI, a_request
from tests.support.clock import Clock
from tests.unit.slack.rows import pending
from tests.unit.slack.web_api import WebApi, a_channel, refused

POSTED = {"ok": True, "channel": CHANNEL, "ts": "1.0"}
CARD = MessageRef(CHANNEL, "1.0")
SHOWN = MessageState(card=CARD)
APPROVED, REMINDED = a_request(Status.APPROVED), pending(reminders=1, version=2)


def metadata(part: str, request_id: str = pending().id) -> dict[str, object]:
    return {"event_type": "unlatch_request", "event_payload": {"request_id": request_id, "part": part}}


@pytest.fixture
def notifier(api: WebApi) -> SlackNotifier:
    api.answers["chat.postMessage"] = [POSTED]
    api.answers["conversations.open"] = [{"ok": True, "channel": {"id": "D0MEI"}}]
    return a_notifier(api)


def a_notifier(api: WebApi, clock: Clock | None = None, **options: Any) -> SlackNotifier:
    slack, timing = SlackClient(api.client, Timing(), sleep=api.sleep), Timing()
    given = {"channel": a_channel(api), "on_call": ["S0ONCALL"], "jitter": lambda: 0.0} | options
    return SlackNotifier(slack, ENGLISH, timing=timing, now=(clock or Clock()).now, **given)


async def test_a_card_is_posted_once_then_updated_in_place_and_nothing_of_it_is_parsed(api, notifier):
    posted = await notifier.update_card(pending(), MessageState())
    updated = await notifier.update_card(APPROVED, posted)
    assert posted.card == updated.card == CARD
    (_, post), (_, update) = api.asked
    assert api.methods() == ["chat.postMessage", "chat.update"]
    for sent in (post, update):
        assert (sent["channel"], sent["metadata"]) == (CHANNEL, metadata("card"))
        assert (sent["parse"], sent["link_names"]) == ("none", False)
    assert (post["unfurl_links"], post["unfurl_media"], update["ts"]) == (False, False, "1.0")
    assert post["text"].startswith("Passcode reset: waiting for approval.")
    assert update["text"].startswith("Passcode reset: approved.")
    assert update["blocks"]


async def test_the_receipt_says_that_approvers_were_told_only_once_the_card_is_posted(api, notifier):
    told = ENGLISH.text("status.pending.next"), ENGLISH.text("status.pending.next.not_yet")
    state = await notifier.update_receipt(pending(), MessageState())
    await notifier.update_receipt(pending(), replace(state, card=CARD))
    texts = [sent["text"] for _, sent in api.asked]
    assert [[sentence in text for sentence in told] for text in texts] == [[False, True], [True, False]]


async def test_while_others_could_read_it_nothing_goes_there_and_the_requester_is_told(api, notifier):
    state, channel = await notifier.update_card(pending(), MessageState()), a_channel(api)
    channel.problem = Code.CHANNEL_SHARED
    notifier = a_notifier(api, channel=channel)
    for show in (notifier.update_card, notifier.tell_approvers):
        with pytest.raises(SlackRefused, match="channel_shared"):
            await show(pending(reminders=1, version=3), state)
    for row, is_told in ((pending(), True), (APPROVED, False)):
        await notifier.update_receipt(row, MessageState())
        assert ("shared with another organization" in api.asked[-1][1]["text"]) is is_told
    assert len(api.asked) == 3


async def test_what_slack_shows_already_is_not_sent_again_and_a_receipt_goes_to_the_requester(api, notifier):
    """Also where the row changed and its look did not."""
    api.answers["chat.postMessage"] = [POSTED, {"ok": True, "channel": "D0MEI", "ts": "2.0"}]
    state = MessageState()
    for row in (pending(), pending(version=9)):
        before = state
        state = await notifier.update_receipt(row, await notifier.update_card(row, state))
    assert state == before
    _, (_, post) = api.asked
    assert (post["channel"], post["metadata"]) == (MEI.id, metadata("receipt"))
    assert state.receipt == MessageRef(ChannelId("D0MEI"), "2.0")
    assert len(state.card_digest) == 64  # SHA-256


@pytest.mark.parametrize("error", ["message_not_found", "cant_update_message", "edit_window_closed"])
async def test_a_message_that_cannot_be_changed_any_more_is_posted_again(api, notifier, error):
    api.answers["chat.update"] = [refused(error)]
    api.answers["chat.postMessage"] = [POSTED, {**POSTED, "ts": "3.0"}]
    state = await notifier.update_card(pending(), MessageState())
    lost = await notifier.update_card(APPROVED, state)
    again = await notifier.update_card(APPROVED, lost)
    assert (lost.card, lost.card_digest) == (None, "")
    assert again.card == MessageRef(CHANNEL, "3.0")


@pytest.mark.parametrize(
    ("method", "answer", "show"),
    [
        ("chat.update", refused("is_archived"), lambda n: n.update_card(APPROVED, SHOWN)),
        ("chat.postMessage", refused("is_archived"), lambda n: n.tell_approvers(REMINDED, SHOWN)),
        ("chat.postMessage", {"ok": True, "channel": "C"}, lambda n: n.update_card(APPROVED, MessageState())),
        ("conversations.open", {"ok": True}, lambda n: n.find_posted(APPROVED, SHOWN)),
    ],
)
async def test_a_message_that_slack_refuses_is_not_remembered(api, notifier, method, answer, show):
    api.answers[method] = [answer]
    with pytest.raises(SlackRefused, match=answer.get("error", "unexpected_answer")):
        await show(notifier)
    assert api.methods() == [method]


async def test_messages_that_were_posted_but_not_remembered_are_found_page_by_page(api, notifier):
    others = [
        {"ts": "9.0"},
        {"ts": "8.5", "metadata": metadata("card", "0" * 32)},
        {"ts": "8.2", "metadata": metadata("receipt")},
    ]
    api.answers["conversations.history"] = [
        {"ok": True, "messages": others, "response_metadata": {"next_cursor": "more"}},
        {"ok": True, "messages": [{"ts": "8.0", "metadata": metadata("card")}]},
        {"ok": True, "messages": [{"ts": "7.0", "metadata": metadata("receipt")}]},
    ]
    found = await notifier.find_posted(pending(), MessageState(posting=True))
    assert found.card == MessageRef(CHANNEL, "8.0")
    assert found.receipt == MessageRef(ChannelId("D0MEI"), "7.0")
    searched = [asked for method, asked in api.asked if method == "conversations.history"]
    assert [asked.get("cursor") for asked in searched] == [None, "more", None]
    assert float(searched[0]["oldest"]) == (pending().asked_at - timedelta(minutes=5)).timestamp()
    api.answers["conversations.history"] = [{"ok": True, "messages": [{"ts": "9.0", "metadata": {}}]}]
    assert await notifier.find_posted(pending(), MessageState()) == MessageState()  # never posted


async def test_a_reminder_is_posted_once_under_the_card_and_in_the_channel(api, notifier):
    for row, state in ((pending(), SHOWN), (REMINDED, MessageState())):
        assert await notifier.tell_approvers(row, state) == state  # before its time, or without a card
    state = await notifier.tell_approvers(REMINDED, SHOWN)
    again = await notifier.tell_approvers(REMINDED, state)
    [(_, post)] = api.asked
    assert (post["thread_ts"], post["reply_broadcast"]) == ("1.0", True)
    assert "<!subteam^S0ONCALL>" in post["text"]
    assert post["metadata"]["event_payload"].items() >= {"part": "thread", "version": "2"}.items()
    assert again == state == MessageState(card=CARD, told_approvers=2)
    api.answers["chat.postMessage"] = [refused("thread_not_found")]
    state = await notifier.tell_approvers(REMINDED, MessageState(card=CARD, card_digest="d"))
    assert state == MessageState(told_approvers=2)  # the card comes back in its place
