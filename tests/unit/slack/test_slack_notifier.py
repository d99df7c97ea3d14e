"""Messages about a request: one each, brought up to date, never twice, and found again after a crash."""

import re
from dataclasses import replace
from datetime import timedelta
from heapq import heappop, heappush
from itertools import cycle
from typing import Any

import pytest
from aiohttp import web
from bot.domain.device import Effect
from bot.domain.errors import Cause, Code, SlackRefused, SlackUnavailable
from bot.domain.request import MessageRef, MessageState, Status
from bot.domain.values import ChannelId, Secret
from bot.slack.blocks import Message
from bot.slack.client import SlackClient
from bot.slack.notifier import SlackNotifier
from bot.slack.wording import ENGLISH
from bot.timing import Timing
from bot.use_cases.publish import pause_after
from tests.support.builders import CHANNEL, KEN, MEI, a_request
from tests.support.clock import NOON, Clock
from tests.unit.slack.rows import done, failed, pending
from tests.unit.slack.shown import check_accepted
from tests.unit.slack.web_api import WebApi, a_channel, refused

POSTED = {"ok": True, "channel": CHANNEL, "ts": "1.0"}
CARD = MessageRef(CHANNEL, "1.0")
SHOWN = MessageState(card=CARD)
APPROVED, REMINDED = a_request(Status.APPROVED), pending(reminders=1, version=2)
NOT_SHOWN = ("is_archived", "restricted_action", "channel_not_found", "not_in_channel", "token_revoked")


def metadata(part: str, request_id: str = pending().id, **version: str) -> dict[str, object]:
    payload = {"request_id": request_id, "part": part} | version
    return {"event_type": "unlatch_request", "event_payload": payload}


@pytest.fixture
def notifier(api: WebApi) -> SlackNotifier:
    api.answers["chat.postMessage"] = [POSTED]
    api.answers["conversations.open"] = [{"ok": True, "channel": {"id": "D0MEI"}}]
    return a_notifier(api)


def a_notifier(api: WebApi, clock: Clock | None = None, **options: Any) -> SlackNotifier:
    slack, timing = SlackClient(api.client, Timing(), sleep=api.sleep), Timing()
    given = {"channel": a_channel(api), "on_call": ["S0ONCALL"], "jitter": lambda: 0.1} | options
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
    state = await notifier.update_receipt(pending(), MessageState(), None, None)
    await notifier.update_receipt(pending(), replace(state, card=CARD), None, None)
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
        await notifier.update_receipt(row, MessageState(), None, None)
        assert ("shared with another organization" in api.asked[-1][1]["text"]) is is_told
    assert len(api.asked) == 3


async def test_what_slack_shows_already_is_not_sent_again_and_a_receipt_goes_to_the_requester(api, notifier):
    """Also where the row changed and its look did not."""
    api.answers["chat.postMessage"] = [POSTED, {"ok": True, "channel": "D0MEI", "ts": "2.0"}]
    state = MessageState()
    for row in (pending(), pending(version=9)):
        before = state
        state = await notifier.update_receipt(row, await notifier.update_card(row, state), None, None)
    assert state == before
    _, (_, post) = api.asked
    assert (post["channel"], post["metadata"]) == (MEI.id, metadata("receipt"))
    assert state.receipt == MessageRef(ChannelId("D0MEI"), "2.0")
    assert len(state.card_digest) == 64  # SHA-256


@pytest.mark.parametrize("error", ["message_not_found", "cant_update_message", "edit_window_closed"])
async def test_a_message_that_cannot_be_changed_any_more_is_taken_away_and_posted_again(api, notifier, error):
    api.answers["chat.update"] = [refused(error)]
    api.answers["chat.postMessage"] = [POSTED, {**POSTED, "ts": "3.0"}]
    state = await notifier.update_card(pending(), MessageState())
    lost = await notifier.update_card(APPROVED, state)
    again = await notifier.update_card(APPROVED, lost)
    assert (lost.card, lost.card_digest, again.card) == (None, "", MessageRef(CHANNEL, "3.0"))
    assert [asked["ts"] for method, asked in api.asked if method == "chat.delete"] == [state.card.ts]


@pytest.mark.parametrize(
    ("method", "answer", "show"),
    [
        ("chat.update", refused("is_archived"), lambda n: n.update_card(APPROVED, SHOWN)),
        ("chat.postMessage", refused("is_archived"), lambda n: n.tell_approvers(REMINDED, SHOWN)),
        ("chat.postMessage", {"ok": True, "channel": "C"}, lambda n: n.update_card(APPROVED, MessageState())),
    ],
)
async def test_a_message_that_slack_refuses_is_not_remembered(api, notifier, method, answer, show):
    api.answers[method] = [answer]
    with pytest.raises(SlackRefused, match=answer.get("error", "unexpected_answer")):
        await show(notifier)
    assert api.methods() == [method]


@pytest.mark.parametrize("answer", [refused("messages_tab_disabled"), refused("user_disabled"), {"ok": True}])
async def test_a_card_is_found_where_direct_messages_are_refused(api, notifier, answer):
    """Another one would leave buttons on the first for good."""
    posted = {"ts": "8.0", "metadata": metadata("card")}
    api.answers["conversations.history"] = [{"ok": True, "messages": [posted]}]
    api.answers["conversations.open"] = [answer]
    found = await notifier.find_posted(pending(), MessageState(posting=True))
    assert found.card == MessageRef(CHANNEL, "8.0")


async def test_messages_that_were_posted_but_not_remembered_are_found_page_by_page(api, notifier):
    theirs = metadata("card", "0" * 32), metadata("receipt")
    others = [{"ts": "9.0"}, *({"ts": "8.5", "metadata": each} for each in theirs)]
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


@pytest.mark.parametrize("code", ["msg_too_long", "msg_blocks_too_long", "invalid_blocks", "no_text"])
async def test_s01_no_live_button_survives_its_decision_though_slack_takes_no_message(api, notifier, code):
    denied = a_request(Status.DENIED, reason="緊" * 552, denial="急" * 740, decided_by=KEN.id)
    state = await notifier.update_card(pending(), MessageState())
    api.answers["chat.update"] = [refused(code), {"ok": True}]
    state = await notifier.update_card(denied, state)
    (_, whole), (_, shorter) = api.asked[-2:]
    assert [len(sent["text"].encode()) <= 4000 for sent in (whole, shorter)] == [True, True]
    assert "denied" in shorter["text"]
    assert pending().ref in shorter["text"]
    assert not re.search("actions|緊|急", str(shorter["blocks"]))
    await notifier.update_card(denied, state)
    assert len(api.asked) == 3  # and is not repeated


async def test_s01_a_waiting_card_that_slack_takes_no_such_message_of_can_still_be_decided_on(api, notifier):
    api.answers["chat.postMessage"] = [refused("msg_blocks_too_long"), POSTED]
    assert (await notifier.update_card(pending(), MessageState())).card == CARD
    assert "approve" in str(api.asked[-1][1]["blocks"])
    api.answers["chat.postMessage"] = [refused("invalid_blocks")]
    with pytest.raises(SlackRefused, match="invalid_blocks"):
        await notifier.update_card(pending(), MessageState())


@pytest.mark.parametrize("code", NOT_SHOWN, ids="S07-{}".format)
async def test_who_asked_reads_why_the_approvers_were_not_notified(api, notifier, code):
    api.answers["chat.postMessage"] = [refused(code), POSTED]
    with pytest.raises(SlackRefused) as error:
        await notifier.update_card(pending(), MessageState())
    await notifier.update_receipt(pending(), MessageState(), None, error.value)
    assert "The on-call leads haven’t been notified: " in api.asked[-1][1]["text"]
    assert ENGLISH.no_card(SlackRefused(code)) in api.asked[-1][1]["text"]


@pytest.mark.parametrize("code", ["messages_tab_disabled", "restricted_action"], ids="S24-{}".format)
async def test_where_direct_messages_are_off_the_receipt_goes_where_the_request_was_typed(api, code):
    notifier, url = a_notifier(api), Secret(f"{api.client.base_url}response")
    api.answers["chat.postMessage"] = [refused(code)]
    sent, ready = a_request(Status.SENT, version=4), replace(done(), version=5)
    for row in (pending(), pending(), sent, ready, ready):
        notifier.slack.answers.keep(row.id, url)
        with pytest.raises(SlackRefused):
            await notifier.update_receipt(row, MessageState(), None, None)
    first, last = [sent for method, sent in api.asked if method == "response"]
    assert (first["response_type"], last["response_type"]) == ("ephemeral", "ephemeral")
    assert "waiting for approval" in first["text"]
    assert "show_passcode" in str(last["blocks"])


@pytest.mark.parametrize(("replicas", "refused_most"), [(1, 2), (2, 12), (4, 30)], ids="S20-{}".format)
async def test_cards_of_one_second_are_shown_one_a_second_by_all_replicas(api, replicas, refused_most):
    """Slack lets three through at once, then one a second, as a bucket that fills again."""
    cards, clock, shown, calls = 20, Clock(), [], []
    notifiers = [a_notifier(api, clock) for _ in range(replicas)]

    def bucket() -> web.Response | dict[str, object]:
        nonlocal level, filled_at
        calls.append(clock.now())
        level, filled_at = min(3.0, level + (clock.now() - filled_at).total_seconds()), clock.now()
        if level < 1:
            return web.json_response(refused("ratelimited"), status=429, headers={"Retry-After": "1"})
        level -= 1
        return POSTED

    level, filled_at = 3.0, NOON
    late = cycle([0, 0.08, 0.03])  # a worker is not always there at once
    api.answers["chat.postMessage"] = [bucket]
    due = [(NOON, number) for number in range(cards)]
    while due:
        at, number = heappop(due)
        clock.advance(max(at - clock.now(), timedelta(0)))
        try:
            await notifiers[number % replicas].update_card(pending(id=f"{number:032x}"), MessageState())
            shown.append(number)
        except SlackUnavailable as busy:
            heappush(due, (clock.now() + pause_after([busy], 9) + timedelta(seconds=next(late)), number))
    assert sorted(shown) == list(range(cards))
    assert clock.now() - NOON <= timedelta(seconds=cards + 1)
    assert len(calls) <= cards + refused_most


UNSURE = a_request(Status.UNCERTAIN, cause=Cause(Code.NO_ANSWER))
NOT_YET, NOT_HERS = pending(cause=Cause(Code.NOT_EXECUTED)), Cause(Code.NOT_A_REQUESTER)
DENIED = NOT_YET.deny("Open a ticket", by=KEN.id, now=NOON)
TOLD = [
    ("done", done(Effect.REMOVES_PASSCODE), "Approved by", "The device has no passcode now"),
    ("done", done(), "Approved by", "New temporary passcode ready. Press"),
    ("failed", failed(Cause(Code.CANCELED)), "The command was canceled", "The command was"),
    ("needs a decision", UNSURE, "Approved by <@U0KEN>", "Ask the owner whether"),
    ("waiting for approval again", NOT_YET, "The reset couldn’t be sent in time", ""),
    ("denied", DENIED, "", "Denied by <@U0KEN>"),
    ("expired", a_request(Status.EXPIRED), "", "Expired"),
    ("declined", a_request(Status.REFUSED, cause=NOT_HERS), "", "You aren’t on"),
    ("withdrawn", a_request(Status.WITHDRAWN, decided_by=MEI.id), "", ""),
    *(("approved", APPROVED, "", ""), ("waiting for approval", pending(), "", "")),
]
"""A request, and what the line in the thread and the one in the direct message say, if there is one."""


@pytest.mark.parametrize(("stage", "row", "thread", "direct"), TOLD, ids=lambda value: str(value)[:30])
async def test_how_it_ended_is_told_once_in_the_thread_and_direct(api, notifier, stage, row, thread, direct):
    state = MessageState(card=CARD, receipt=MessageRef(ChannelId("D0MEI"), "2.0"))
    for _ in range(2):
        state = await notifier.tell_requester(row, await notifier.tell_approvers(row, state))
    posted = [sent for method, sent in api.asked if method == "chat.postMessage"]
    in_thread = [sent for sent in posted if sent.get("thread_ts") == CARD.ts]
    beside = [sent for sent in posted if sent["channel"] == MEI.id]
    assert (len(in_thread), len(beside)) == (bool(thread), bool(direct))
    for sent, words in ((in_thread, thread), (beside, direct)):
        for said in sent:
            check_accepted(Message(said["text"], said["blocks"]))
            assert f"*{stage}*. {words}" in said["text"]
            for text in (said["text"], str(said["blocks"])):
                assert (row.denial or "") in text
                assert ("couldn’t be sent" in text) is (row is NOT_YET)  # and no reason from before
            assert row.ref in said["text"]
            assert ENGLISH.target(row.target) in said["text"]
    for said in in_thread:  # who is to act is called
        assert ("<!subteam^S0ONCALL>" in said["text"], said["reply_broadcast"]) == (not row.is_over,) * 2


async def test_lines_that_were_posted_but_not_remembered_are_found_where_they_stand(api, notifier):
    row = replace(done(), version=7)
    lines = [{"ts": "3.0", "metadata": metadata(part, version="7")} for part in ("thread", "direct")]
    others = [{"ts": "2.5", "metadata": metadata(part, version="6")} for part in ("thread", "direct")]
    state = MessageState(card=CARD, receipt=MessageRef(ChannelId("D0MEI"), "2.0"), posting=True)
    for found, told in ((others, 0), (lines, 7)):
        api.answers["conversations.replies"] = [{"ok": True, "messages": found[:1]}]
        api.answers["conversations.history"] = [{"ok": True, "messages": found[1:]}]
        state = await notifier.find_posted(row, state)
        assert (state.told_approvers, state.told_requester) == (told, told)
    searched = dict(api.asked)
    assert searched["conversations.replies"]["ts"] == CARD.ts
    assert searched["conversations.history"]["channel"] == "D0MEI"


@pytest.mark.parametrize(("after", "there"), [(timedelta(minutes=59), True), (timedelta(hours=1), False)])
async def test_a_new_message_tells_of_itself_and_until_when_the_passcode_is_there(api, after, there):
    row = replace(done(), version=5)
    clock = Clock(row.changed_at + after)
    api.answers["chat.postMessage"] = [POSTED]
    notifier = a_notifier(api, clock)
    posted = await notifier.update_card(row, MessageState())
    state = await notifier.update_receipt(row, posted, None, None)
    assert (row.tells_approvers(state), row.tells_requester(state)) == (False, False)
    sent = api.asked[-1][1]
    assert ("show_passcode" in str(sent["blocks"])) is there
    assert ("Available until <!date^" in sent["text"]) is there
    assert ("can no longer be shown" in sent["text"]) is not there
