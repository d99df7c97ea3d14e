"""Publish: Slack follows the row; nothing is posted twice, and one message that fails keeps no other back."""

import json
from datetime import timedelta
from itertools import count

import pytest
from bot.domain.errors import Code, LostRace, SlackError, SlackRefused, SlackUnavailable
from bot.domain.request import MessageState, Status
from bot.store import requests, tables
from bot.use_cases.publish import pause_after
from sqlalchemy import delete, select
from structlog.testing import capture_logs
from tests.support.bot import Bot, refused
from tests.support.builders import AIKO, GUS, LEOS_LAPTOP


async def test_card_and_receipt_are_posted_once_and_a_move_updates_both(bot):
    request_id = await bot.pending(target="serial:R58M")
    assert [await bot.publish(request_id) for _ in range(3)] == [None] * 3
    assert (bot.notifier.posted, bot.notifier.updated) == (["card", "receipt"], [])
    state = (await bot.claim_publish(request_id)).messages
    assert {"card": state.card, "receipt": state.receipt} == bot.notifier.messages
    bot.intune.found = [LEOS_LAPTOP]
    await refused(bot.review(request_id))  # ends the request
    await bot.publish(request_id)
    assert (bot.notifier.posted, bot.notifier.updated) == (["card", "receipt", "direct"], ["card", "receipt"])


async def test_approvers_see_only_what_was_verified(bot):
    request = await bot.submit(by=GUS)
    assert await bot.publish(request.id) is None
    await bot.advance(request.id)
    assert await bot.publish(request.id) is None
    assert (bot.notifier.posted, bot.notifier.updated) == (["receipt", "direct"], ["receipt"])


async def test_a_reminder_is_posted_once_and_only_while_the_request_waits(bot):
    request_id = await bot.pending()
    await bot.publish(request_id)
    bot.clock.advance(minutes=15)
    await bot.advance_due()
    for _ in range(2):
        await bot.publish(request_id)
    assert bot.notifier.posted == ["card", "receipt", "thread"]
    bot.clock.advance(minutes=15)
    await bot.advance_due()
    await bot.deny(request_id)
    await bot.publish(request_id)
    assert bot.notifier.posted.count("thread") == 1


@pytest.mark.parametrize("broken", ["card", "receipt", "thread"])
@pytest.mark.parametrize("error", [SlackUnavailable(), SlackRefused("not_in_channel")])
async def test_a_message_that_cannot_be_shown_keeps_no_other_back_and_is_logged(bot, broken, error):
    request_id = await bot.pending()
    if broken == "thread":
        await bot.publish(request_id)
    bot.clock.advance(minutes=15)
    await bot.advance_due()
    bot.notifier.failing[broken] = error
    with capture_logs() as logged:
        assert await bot.publish(request_id) == timedelta(seconds=2)
    assert set(bot.notifier.posted) == {"card", "receipt"} - {broken}
    assert bot.notifier.no_card[-1] is (error if broken == "card" else None)
    [line] = logged
    about = {"request": request_id, "error": type(error).__name__, "code": error.code}
    level = "error" if isinstance(error, SlackRefused) else "warning"  # nothing mends it by itself
    assert line == {"event": "not_published", "log_level": level} | about


async def test_who_asked_second_sees_where_the_first_request_stands_and_how_it_ends(bot):
    first = await bot.pending()
    second = (await bot.submit(by=AIKO)).id
    await bot.advance(second)
    assert await bot.publish(second) == bot.deps.timing.periodic
    await bot.deny(first)
    assert await bot.publish(second) is None
    assert bot.notifier.followed == [Status.PENDING, Status.DENIED]
    for alone in (bot.withdraw(first, by=AIKO), bot.reveal(first, by=AIKO)):
        assert (await refused(alone)).code is Code.NOT_THE_REQUESTER
    remove = delete(tables.requests).where(tables.requests.c.id == first)
    await bot.database.run(lambda tx: tx.execute(remove) and None)
    assert await bot.publish(second) is None


async def test_that_a_message_is_posted_is_committed_before_and_what_is_shown_before_the_next(bot):
    request_id = await bot.pending()
    seen = []

    async def look(name: str) -> None:
        query = select(tables.requests.c.messages).where(tables.requests.c.id == request_id)
        _, _, text = (await bot.database.read(lambda connection: connection.scalar(query))).partition(" ")
        stored = json.loads(text)
        shown = [message["ts"] for message in (stored["card"], stored["receipt"]) if message]
        seen.append((name, stored["posting"], shown))

    bot.notifier.on_call = look
    await bot.publish(request_id)
    assert seen == [("card", True, []), ("receipt", True, ["1.0"])]
    messages = (await bot.claim_publish(request_id)).messages
    assert (messages.posting, messages.card, messages.receipt) == (False, *bot.notifier.messages.values())


@pytest.mark.parametrize("card", [None, SlackUnavailable()], ids=["posted", "failed"])
async def test_whose_lease_ran_out_meanwhile_shows_nothing_more(bot, card):
    """A process that was suspended: another replica may have shown something newer since."""
    request_id = await bot.pending()
    bot.notifier.failing = {"card": card} if card else {}

    async def suspended(_name: str) -> None:
        bot.clock.advance(seconds=90)

    bot.notifier.on_call = suspended
    with pytest.raises(LostRace):
        await bot.publish(request_id)
    assert bot.notifier.posted == ([] if card else ["card"])


@pytest.mark.parametrize(
    ("error", "posted", "pauses"),
    [
        (SlackUnavailable(), [], [timedelta(seconds=2), timedelta(seconds=4)]),
        (SlackRefused("missing_scope"), ["card", "receipt"], [None, None]),
    ],
)
async def test_what_may_be_there_is_posted_only_where_slack_will_never_say(bot, error, posted, pauses):
    """Two messages are better than none, but not because Slack is slow to answer."""
    request_id = await bot.pending()
    claimed = await bot.claim_publish(request_id)
    begun = MessageState(posting=True)
    await bot.database.run(lambda tx: requests.save_messages(tx, claimed, begun))
    bot.notifier.failing["find_posted"] = error
    with capture_logs() as logged:
        assert [await bot.publish(request_id) for _ in range(2)] == pauses
    assert (bot.notifier.posted, logged[0]["code"]) == (posted, error.code)


@pytest.mark.parametrize("ends", ["open", "done", "failed", "needs a human"])
async def test_a_process_that_stops_at_any_step_posts_nothing_twice_and_tells_the_end_once(new_bot, ends):
    reached = {"open": Bot.pending, "needs a human": Bot.uncertain}.get(ends, Bot.sent)
    for steps in count():
        bot = await new_bot()
        request_id = await reached(bot)
        if ends != "open":
            await bot.publish(request_id)
            bot.clock.advance(bot.deps.timing.settle)
            bot.intune.finish("failed" if ends == "failed" else "done")
            await bot.advance(request_id)
        stopped = await bot.stops_after(steps, bot.publish(request_id))
        bot.clock.advance(seconds=90)
        left = bot.deps.timing.reveal_for - timedelta(seconds=90) if ends == "done" else None
        for again in (left, None):  # a passcode's receipt is due when it can be shown no longer
            assert await bot.publish(request_id) == again
            bot.clock.advance(left or timedelta(0))
        assert bot.notifier.posted == ["card", "receipt", *([] if ends == "open" else ["thread", "direct"])]
        if not stopped:
            break
    assert steps > 8


@pytest.mark.parametrize("sure", [True, False])
async def test_where_slack_says_that_it_did_nothing_it_is_not_searched_and_no_later_word_mends_it(bot, sure):
    request_id = await bot.pending()
    bot.notifier.failing["card"] = SlackUnavailable("ratelimited", timedelta(seconds=1), is_undone=sure)
    assert await bot.publish(request_id) == timedelta(seconds=1)
    assert (await bot.claim_publish(request_id)).messages.posting is not sure
    bot.notifier.failing = {"find_posted": SlackUnavailable("ratelimited", timedelta(0), is_undone=True)}
    await bot.publish(request_id)
    assert (await bot.claim_publish(request_id)).messages.posting is not sure


@pytest.mark.parametrize("deleted", ["card", "receipt"])
async def test_a_message_that_was_deleted_is_posted_again_at_once(bot, deleted):
    request_id = await bot.pending()
    await bot.publish(request_id)
    await bot.deny(request_id)
    bot.notifier.deleted.add(deleted)
    assert await bot.publish(request_id) == timedelta(0)
    assert await bot.publish(request_id) is None
    assert [*bot.notifier.posted].count(deleted) == 2


async def test_failures_in_a_row_space_the_tries_and_a_success_forgets_them(bot):
    request_id = await bot.pending()
    for pauses in ([2, 4, 8, 16], [2]):
        bot.notifier.failing = {"card": SlackUnavailable()}
        tries = [await bot.publish(request_id) for _ in pauses]
        assert tries == [timedelta(seconds=pause) for pause in pauses]
        bot.notifier.failing.clear()
        assert await bot.publish(request_id) is None


@pytest.mark.parametrize(
    ("failures", "in_a_row", "pause"),
    [
        ([SlackUnavailable(retry_after=timedelta(seconds=1))], 3, timedelta(seconds=1)),
        ([SlackUnavailable(retry_after=timedelta(seconds=1)), SlackRefused()], 9, timedelta(seconds=1)),
        ([SlackUnavailable(), SlackRefused()], 9, timedelta(seconds=32)),
        ([SlackUnavailable(retry_after=timedelta(minutes=20)), SlackRefused()], 1, timedelta(minutes=20)),
        ([SlackRefused()], 9, timedelta(seconds=512)),
        *(([SlackRefused()], in_a_row, timedelta(minutes=10)) for in_a_row in (10, 10_000)),
    ],
)
def test_slack_is_not_asked_before_it_said_nor_left_for_longer_than_ten_minutes(failures, in_a_row, pause):
    assert pause_after(failures, in_a_row) == pause


@pytest.mark.parametrize("search", [True, False])
async def test_a_finished_request_s_messages_are_tried_for_a_day_and_a_waiting_one_s_always(bot, search):
    over, waiting = await bot.pending(), await bot.pending(target="serial:C02LEO")
    await bot.deny(over)
    error: SlackError = SlackUnavailable()
    bot.notifier.failing = {"card": error, "receipt": error} | ({"find_posted": error} if search else {})
    assert await bot.publish(over) is not None
    bot.clock.advance(timedelta(days=1) - timedelta.resolution)
    assert await bot.publish(over) is not None
    bot.clock.advance(timedelta.resolution)
    assert await bot.publish(over) is None
    assert await bot.publish(waiting) is not None
    assert (await bot.row(waiting)).status is Status.PENDING
