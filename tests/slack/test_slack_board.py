"""The board and the windows against the local Slack: one message each, brought up to date, never twice."""

from dataclasses import replace
from datetime import timedelta
from traceback import format_exception

import aiohttp
import pytest
from aiohttp import web
from bot.domain.errors import CannotShow, SlackAway, SlackError
from bot.domain.identifiers import ChannelId, RequestId
from bot.domain.secret import Secret
from bot.ports import MessageRef, Shown
from bot.slack import modals
from bot.slack.board import SlackBoard
from bot.slack.views import Views
from bot.slack.wording import ENGLISH
from sandbox.app import Sandbox
from sandbox.clock import HandClock
from sandbox.faults import Rule
from sandbox.slack.local_slack import Slack
from slack_rows import KEN, MEI, NOW, REQUEST_ID, TIMING, approved, pending, received
from slack_sdk.web.async_client import AsyncWebClient
from slack_stub import SlackStub

CHANNEL = ChannelId("C0ONCALL")
SHORT = timedelta(milliseconds=50)


@pytest.fixture
def board(client: AsyncWebClient) -> SlackBoard:
    return SlackBoard(client, channel=CHANNEL, words=ENGLISH, on_call=["S0ONCALL"])


def _stubbed(stub: SlackStub) -> SlackBoard:
    return SlackBoard(stub.client, channel=CHANNEL, words=ENGLISH, within=SHORT)


async def no_time(_seconds: float) -> None:
    """A pause that is over at once."""


def _calls(slack: Slack, method: str) -> int:
    return sum(call.method == method for call in slack.platform.journal.calls)


async def test_a_card_is_posted_once_and_then_updated_in_place(board: SlackBoard, slack: Slack) -> None:
    shown = await board.card(pending(), Shown())
    again = await board.card(approved(), shown)

    [message] = slack.messages(CHANNEL)
    assert shown.card == again.card == MessageRef(CHANNEL, message.ts)
    assert message.text.startswith("Passcode reset: approved, being sent.")
    assert message.metadata == {
        "event_type": "unlatch_request",
        "event_payload": {"request_id": REQUEST_ID, "part": "card"},
    }


async def test_what_slack_shows_already_is_not_sent_again(board: SlackBoard, slack: Slack) -> None:
    shown = await board.receipt(pending(), await board.card(pending(), Shown()))

    assert await board.receipt(pending(), await board.card(pending(), shown)) == shown
    assert _calls(slack, "chat.postMessage") == 2
    assert _calls(slack, "chat.update") == 0


async def test_a_receipt_goes_to_the_requester_alone(board: SlackBoard, slack: Slack) -> None:
    shown = await board.receipt(received(), Shown())
    await board.receipt(pending(), shown)

    [message] = slack.direct(MEI)
    assert shown.receipt == MessageRef(ChannelId("D0MEI"), message.ts)
    assert message.text.startswith("Passcode reset: waiting for an approver.")
    assert not slack.messages(CHANNEL)


@pytest.mark.parametrize("error", ["message_not_found", "cant_update_message", "edit_window_closed"])
async def test_a_message_that_cannot_be_changed_any_more_is_posted_anew(
    board: SlackBoard, slack: Slack, error: str
) -> None:
    shown = await board.card(pending(), Shown())
    slack.fail_next("chat.update", error)

    lost = await board.card(approved(), shown)
    anew = await board.card(approved(), lost)

    assert lost.card is None
    first, second = slack.messages(CHANNEL)
    assert anew.card == MessageRef(CHANNEL, second.ts)
    assert second.text.startswith("Passcode reset: approved")
    assert first.ts != second.ts


async def test_a_deleted_receipt_comes_back(board: SlackBoard, slack: Slack) -> None:
    shown = await board.receipt(received(), Shown())
    slack.workspace.remove(slack.direct(MEI)[0])

    shown = await board.receipt(pending(), shown)
    assert shown.receipt is None
    await board.receipt(pending(), shown)

    assert len(slack.direct(MEI)) == 1


async def test_messages_that_were_posted_but_not_remembered_are_found(board: SlackBoard) -> None:
    other = replace(pending(), id=RequestId("0" * 32))
    await board.receipt(other, await board.card(other, Shown()))
    posted = await board.receipt(pending(), await board.card(pending(), Shown()))

    found = await board.find(pending(), Shown(posting=True))

    assert (found.card, found.receipt) == (posted.card, posted.receipt)


async def test_what_was_never_posted_is_not_found(board: SlackBoard, slack: Slack) -> None:
    other = replace(pending(), id=RequestId("0" * 32))
    await board.receipt(other, await board.card(other, Shown()))

    found = await board.find(pending(), Shown(posting=True))

    assert (found.card, found.receipt) == (None, None)
    assert len(slack.messages(CHANNEL)) == 1


async def test_a_busy_channel_is_searched_page_by_page(stub: SlackStub) -> None:
    about = {"event_type": "unlatch_request", "event_payload": {"request_id": REQUEST_ID, "part": "card"}}
    stub.answers["conversations.history"] = [
        {"ok": True, "messages": [{"ts": "9.0"}], "response_metadata": {"next_cursor": "more"}},
        {"ok": True, "messages": [{"ts": "8.0", "metadata": about}]},
    ]

    found = await _stubbed(stub).find(pending(), Shown(receipt=MessageRef(CHANNEL, "1.0")))

    assert found.card == MessageRef(CHANNEL, "8.0")
    assert [sent.get("cursor") for _, sent in stub.asked] == [None, "more"]


async def test_a_reminder_is_said_once_under_the_card_and_calls_who_is_on_call(
    board: SlackBoard, slack: Slack
) -> None:
    shown = await board.card(pending(), Shown())
    reminded = pending().remind(now=NOW, timing=TIMING)

    shown = await board.reminder(reminded, shown)
    shown = await board.reminder(reminded, shown)

    card, reminder = slack.messages(CHANNEL)
    assert reminder.thread_ts == card.ts
    assert "<!subteam^S0ONCALL>" in reminder.text
    assert shown.reminders == 1


async def test_nothing_is_reminded_of_before_its_time(board: SlackBoard, slack: Slack) -> None:
    shown = await board.card(pending(), Shown())

    assert await board.reminder(pending(), shown) == shown
    assert len(slack.messages(CHANNEL)) == 1


async def test_a_card_that_is_gone_is_posted_anew_in_the_place_of_its_reminder(
    board: SlackBoard, slack: Slack
) -> None:
    shown = await board.card(pending(), Shown())
    slack.workspace.remove(slack.messages(CHANNEL)[0])

    reminded = pending().remind(now=NOW, timing=TIMING)
    shown = await board.reminder(reminded, shown)
    shown = await board.card(reminded, shown)

    [card] = slack.messages(CHANNEL)
    assert shown.card == MessageRef(CHANNEL, card.ts)
    assert shown.reminders == 1


async def test_a_reminder_is_seen_in_the_channel_not_only_in_the_thread(stub: SlackStub) -> None:
    stub.answers["chat.postMessage"] = [{"ok": True, "channel": CHANNEL, "ts": "2.0"}]
    shown = Shown(card=MessageRef(CHANNEL, "1.0"))

    await _stubbed(stub).reminder(pending().remind(now=NOW, timing=TIMING), shown)

    [(_, sent)] = stub.asked
    assert (sent["thread_ts"], sent["reply_broadcast"]) == ("1.0", True)


async def test_slack_parses_and_unfurls_nothing_of_a_message(stub: SlackStub) -> None:
    stub.answers["chat.postMessage"] = [{"ok": True, "channel": CHANNEL, "ts": "1.0"}]
    board = _stubbed(stub)

    await board.card(approved(), await board.card(pending(), Shown()))

    [(_, posted), (_, updated)] = stub.asked
    assert (posted["parse"], posted["link_names"]) == ("none", False)
    assert (posted["unfurl_links"], posted["unfurl_media"]) == (False, False)
    assert (updated["parse"], updated["link_names"]) == ("none", False)
    assert updated["blocks"]


# What Slack refuses


async def test_a_busy_slack_says_how_long_to_wait_and_nothing_is_tried_again(
    board: SlackBoard, slack: Slack
) -> None:
    slack.limit_next("chat.postMessage", 7)

    with pytest.raises(SlackAway) as away:
        await board.card(pending(), Shown())

    assert away.value.retry_after == timedelta(seconds=7)
    assert _calls(slack, "chat.postMessage") == 1


async def test_a_broken_slack_is_away_even_where_it_may_have_posted(board: SlackBoard, slack: Slack) -> None:
    slack.break_next("chat.postMessage", 503, after=True)

    with pytest.raises(SlackAway):
        await board.card(pending(), Shown())

    assert _calls(slack, "chat.postMessage") == 1


@pytest.mark.parametrize("error", ["fatal_error", "internal_error", "ratelimited", "service_unavailable"])
async def test_what_passes_by_itself_is_shown_later(board: SlackBoard, slack: Slack, error: str) -> None:
    slack.fail_next("chat.postMessage", error)

    with pytest.raises(SlackAway):
        await board.card(pending(), Shown())


@pytest.mark.parametrize(
    "error",
    ["channel_not_found", "not_in_channel", "is_archived", "missing_scope", "invalid_blocks", "invalid_auth"],
)
async def test_what_needs_a_human_says_so(board: SlackBoard, slack: Slack, error: str) -> None:
    slack.fail_next("chat.postMessage", error)

    with pytest.raises(CannotShow) as refused:
        await board.card(pending(), Shown())

    assert refused.value.code == error


async def test_a_refused_update_keeps_the_message_where_it_is(board: SlackBoard, slack: Slack) -> None:
    shown = await board.card(pending(), Shown())
    slack.fail_next("chat.update", "is_archived")

    with pytest.raises(CannotShow):
        await board.card(approved(), shown)
    assert len(slack.messages(CHANNEL)) == 1


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(status=502, text="<html>", content_type="text/html"),
        web.Response(status=200, text="{", content_type="application/json"),
        web.Response(status=200, text="<html>captive portal</html>", content_type="text/html"),
        web.Response(status=500, text="[]", content_type="application/json"),
        web.Response(status=200, text='["ok"]', content_type="application/json"),
        web.Response(status=200, text="ok", content_type="text/plain"),
    ],
    ids=lambda answer: f"{answer.status} {answer.text}",
)
async def test_an_answer_that_is_not_slacks_is_no_answer(stub: SlackStub, answer: web.Response) -> None:
    stub.answers["chat.postMessage"] = [answer]

    with pytest.raises(SlackAway):
        await _stubbed(stub).card(pending(), Shown())
    assert len(stub.asked) == 1


async def test_a_message_whose_place_is_not_told_needs_a_human(stub: SlackStub) -> None:
    stub.answers["chat.postMessage"] = [{"ok": True}]

    with pytest.raises(CannotShow):
        await _stubbed(stub).card(pending(), Shown())


async def test_a_slow_slack_is_away(stub: SlackStub) -> None:
    stub.hang = True

    with pytest.raises(SlackAway):
        await _stubbed(stub).card(pending(), Shown())


async def test_a_slack_that_is_gone_is_away(stub: SlackStub) -> None:
    await stub.stop()

    with pytest.raises(SlackAway):
        await _stubbed(stub).receipt(pending(), Shown())


# Windows


async def test_a_window_is_opened_and_then_shows_something_else(client: AsyncWebClient, slack: Slack) -> None:
    views = Views(client)

    view_id = await views.open(slack.platform.triggers.issue(KEN), modals.loading(ENGLISH))
    await views.update(view_id, modals.deny_form(pending(), ENGLISH))

    window = slack.modal(KEN)
    assert window is not None
    assert window.id == view_id
    assert window.content["callback_id"] == "deny_form"


async def test_a_trigger_works_once_and_for_three_seconds(client: AsyncWebClient, slack: Slack) -> None:
    views, triggers, clock = Views(client), slack.platform.triggers, slack.platform.clock
    assert isinstance(clock, HandClock)
    used, late = triggers.issue(KEN), triggers.issue(KEN)
    await views.open(used, modals.loading(ENGLISH))
    clock.advance(timedelta(seconds=3))

    for trigger, code in ((used, "exchanged_trigger_id"), (late, "expired_trigger_id")):
        with pytest.raises(CannotShow) as refused:
            await views.open(trigger, modals.loading(ENGLISH))
        assert refused.value.code == code


async def test_a_window_that_was_closed_cannot_be_updated(client: AsyncWebClient) -> None:
    with pytest.raises(CannotShow):
        await Views(client).update("V0CLOSED", modals.loading(ENGLISH))


async def test_a_trigger_is_not_waited_for_longer_than_it_lives(stub: SlackStub) -> None:
    stub.hang = True

    with pytest.raises(SlackAway):
        await Views(stub.client, open_within=SHORT).open("trigger", modals.loading(ENGLISH))


@pytest.mark.parametrize("answer", [{"ok": True}, {"ok": True, "view": []}, {"ok": True, "view": {"id": 1}}])
async def test_a_window_without_an_id_was_not_opened(stub: SlackStub, answer: dict[str, object]) -> None:
    stub.answers["views.open"] = [answer]

    with pytest.raises(SlackError):
        await Views(stub.client).open("trigger", modals.loading(ENGLISH))


async def test_two_rows_of_the_same_look_are_one_message(board: SlackBoard, slack: Slack) -> None:
    shown = await board.card(pending(), Shown())

    await board.card(replace(pending(), version=9, next_at=NOW), shown)

    assert _calls(slack, "chat.update") == 0


# Beside the windows


async def test_a_sentence_is_said_to_who_pressed_alone_and_again_after_a_bad_moment(
    client: AsyncWebClient, slack: Slack, sandbox: Sandbox
) -> None:
    address = Secret(slack.platform.response_url(KEN, CHANNEL))
    sandbox.faults.add(Rule(to="slack", kind="5xx", match="response_url"))
    sandbox.faults.add(Rule(to="slack", kind="reset before", match="response_url"))

    await Views(client, sleep=no_time).say(address, "Please try again.")

    assert [message.text for message in slack.ephemerals(KEN)] == ["Please try again."]


async def test_no_error_carries_the_address_of_a_sentence(client: AsyncWebClient, slack: Slack) -> None:
    lost = f"{slack.platform.base_url()}/slack/response/secret-but-gone"

    nowhere = AsyncWebClient(base_url="http://127.0.0.1:9/api/", session=client.session)

    for speaker, address in (
        (client, lost),
        (nowhere, "http://127.0.0.1:9/secret"),
        (client, "https://hooks.slack.com:port/secret"),
        (client, "no address, but secret"),
        (client, ""),
    ):
        with pytest.raises(SlackError) as told:
            await Views(speaker, sleep=no_time).say(Secret(address), "Please try again.")
        assert "secret" not in "".join(format_exception(told.value))


@pytest.mark.parametrize(
    "address",
    [
        "https://hooks.slack.com.example/secret",
        "https://hooks.slack.com@example.com/secret",
        "https://example.com/hooks.slack.com",
        "https://hooks.slack.com:8443/secret",
        "http://hooks.slack.com/secret",
        "//hooks.slack.com/secret",
        "http://127.0.0.1:9/secret",
        "http://169.254.169.254/latest/meta-data",
    ],
)
async def test_a_sentence_goes_to_no_address_that_is_not_slacks(client: AsyncWebClient, address: str) -> None:
    async with aiohttp.ClientSession(trace_configs=[_nothing_is_sent()]) as session:
        client.session = session
        with pytest.raises(CannotShow, match="not_slacks_address"):
            await Views(client, sleep=no_time).say(Secret(address), "Please try again.")


@pytest.mark.parametrize("host", ["hooks.slack.com", "hooks.slack-gov.com"])
async def test_a_sentence_goes_to_slack_wherever_the_web_api_is(client: AsyncWebClient, host: str) -> None:
    async with aiohttp.ClientSession(trace_configs=[_nothing_is_sent()]) as session:
        client.session = session
        with pytest.raises(Sent):
            await Views(client, sleep=no_time).say(Secret(f"https://{host}/actions/T0/1/x"), "Please.")


class Sent(Exception):
    """A request was about to leave."""


def _nothing_is_sent() -> aiohttp.TraceConfig:
    async def stop(*_: object) -> None:
        raise Sent

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(stop)
    return trace


async def test_a_window_is_not_left_loading_by_a_bad_moment_of_slack(
    client: AsyncWebClient, slack: Slack
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    trigger = slack.platform.triggers.issue(KEN)
    views = Views(client, sleep=sleep)
    view_id = await views.open(trigger, modals.loading(ENGLISH))
    slack.break_next("views.update", 503)
    slack.limit_next("views.update", 7)

    await views.update(view_id, modals.told("Title", "Sentence.", ENGLISH))

    assert slack.view(KEN).title == "Title"
    assert 7 in slept
