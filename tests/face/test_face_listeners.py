"""The acknowledgement: it waits for the insert and for nothing else; whatever happens, somebody is told."""

import asyncio
import json
import logging
import time
from datetime import timedelta

import pytest
from bot.domain.errors import CannotShow, SlackAway, StoreAway
from bot.domain.request import REASON_LIMIT, Status
from bot.slack import ids
from bot.slack.afterwork import Afterwork
from bot.slack.wording import ENGLISH
from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.context.ack.async_ack import AsyncAck
from structlog.testing import capture_logs
from tests.face.counter import US, Counter
from tests.face.post import COMMAND, command, interaction
from tests.fakes.people import KEN, MEI

NOTHING = b""
ASIDE = "https://hooks.slack.com/actions/T0/1/secret"


@pytest.fixture
def counter() -> Counter:
    return Counter()


def words(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def press(action: str, value: str, *, user: str = KEN.id, team: str = "T0CONTOSO") -> bytes:
    return interaction(
        {
            "type": "block_actions",
            "team": {"id": "T0CONTOSO"},
            "user": {"id": user, "team_id": team},
            "trigger_id": "9.9.nine",
            "response_url": ASIDE,
            "channel": {"id": "C0ONCALL"},
            "actions": [{"type": "button", "action_id": action, "block_id": "b", "value": value}],
        }
    )


def form(callback: str, *, about: str = "", view: str = "V0FORM", user: str = MEI.id, **typed: str) -> bytes:
    state = {block: {ids.VALUE: {"type": "plain_text_input", "value": text}} for block, text in typed.items()}
    return interaction(
        {
            "type": "view_submission",
            "team": {"id": "T0CONTOSO"},
            "user": {"id": user, "team_id": "T0CONTOSO"},
            "view": {
                "id": view,
                "type": "modal",
                "callback_id": callback,
                "private_metadata": about,
                "state": {"values": state},
            },
        }
    )


# What the acknowledgement waits for


async def test_the_acknowledgement_waits_for_the_insert(counter):
    storing = asyncio.Event()
    requests = counter.staffed.requests
    add = requests.add

    async def slow(*given):
        await storing.wait()
        return await add(*given)

    requests.add = slow
    posting = asyncio.create_task(counter.mailbox.post(command()))
    done, _ = await asyncio.wait([posting], timeout=0.1)
    assert not done
    storing.set()
    assert "Got it" in (await posting).text
    assert len(requests.rows) == 1


@pytest.mark.parametrize("typed", ["", "sign-in", "nonsense", "ada@contoso.com locked out"])
async def test_the_acknowledgement_does_not_wait_for_slack(counter, typed):
    counter.views.slow = asyncio.Event()
    counter.staffed.people.away = True
    async with asyncio.timeout(1):
        assert (await counter.mailbox.post(command(text=typed))).status_code == 200
    counter.views.slow.set()
    await counter.settle()


async def test_a_store_that_is_away_stores_nothing_and_the_person_is_told(counter):
    counter.staffed.record.away = True
    answer = await counter.mailbox.post(command())
    assert (answer.status_code, answer.text) == (200, ENGLISH.not_stored)
    assert counter.staffed.requests.rows == {}


async def test_a_form_stays_open_while_the_store_is_away(counter):
    counter.staffed.record.away = True
    answer = await counter.mailbox.post(form(ids.ASK_FORM, target="ada@contoso.com", reason="locked out"))
    assert answer.json()["response_action"] == "errors"
    assert "could not be saved" in answer.json()["errors"][ids.TARGET]


@pytest.mark.parametrize("typed", ["status", "sign-out"])
async def test_every_subcommand_says_so_when_the_store_is_away(counter, typed):
    counter.staffed.record.away = True
    counter.staffed.sign_ins.forget = _raises_store_away
    answer = await counter.mailbox.post(command(text=typed))
    assert answer.status_code == 200
    assert "could not be saved" in answer.text


async def _raises_store_away(_user, _why):
    raise StoreAway


# Deliveries come again


async def test_the_same_signed_bytes_three_times_make_one_request(counter):
    answers = [await counter.mailbox.post(command()) for _ in range(3)]
    assert len({answer.text for answer in answers}) == 1
    assert len(counter.staffed.requests.rows) == 1


async def test_the_same_signed_bytes_at_once_make_one_request(counter):
    await asyncio.gather(*(counter.mailbox.post(command()) for _ in range(5)))
    assert len(counter.staffed.requests.rows) == 1


async def test_a_form_that_is_delivered_twice_makes_one_request(counter):
    body = form(ids.ASK_FORM, target="ada@contoso.com", reason="locked out")
    for _ in range(2):
        assert (await counter.mailbox.post(body)).content == NOTHING
    assert len(counter.staffed.requests.rows) == 1


async def test_asking_twice_makes_two_requests(counter):
    await counter.mailbox.post(command())
    await counter.mailbox.post(command(trigger_id="another"))
    assert len(counter.staffed.requests.rows) == 2


# Bad input


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("nonsense because", "cannot be looked up"),
        ("resett ada@contoso.com", "cannot be looked up"),
        ("help me", "cannot be looked up"),
        ("serial:; because", "cannot be looked up"),
        ("ada@contoso.com", "Please say why"),
        ("ada@contoso.com " + "x" * (REASON_LIMIT + 1), "may have 1000 characters"),
    ],
)
async def test_what_cannot_be_used_comes_back_in_the_form_and_loses_nothing(counter, text, sentence):
    answer = await counter.mailbox.post(command(text=text))
    assert answer.status_code == 200
    await counter.settle()
    [(trigger, view)] = counter.views.opened
    assert trigger == COMMAND["trigger_id"]
    assert view["callback_id"] == ids.ASK_FORM
    assert sentence in words(view)
    target, _, reason = text.partition(" ")
    assert target in words(view)
    assert reason in words(view)
    assert counter.staffed.requests.rows == {}


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"target": "nonsense", "reason": "why"}, ids.TARGET),
        ({"target": "", "reason": "why"}, ids.TARGET),
        ({"target": "ada@contoso.com", "reason": "   "}, ids.REASON),
        ({"target": "ada@contoso.com"}, ids.REASON),
        ({"target": "ada@contoso.com", "reason": "x" * (REASON_LIMIT + 1)}, ids.REASON),
        ({"target": "ada@contoso.com", "reason": "why", "ticket": "x" * 101}, ids.TICKET),
        ({}, ids.TARGET),
    ],
)
async def test_a_form_says_under_the_field_what_is_wrong_with_it(counter, typed, field):
    answer = (await counter.mailbox.post(form(ids.ASK_FORM, **typed))).json()
    assert answer["response_action"] == "errors"
    assert list(answer["errors"]) == [field]
    assert counter.staffed.requests.rows == {}


@pytest.mark.parametrize("text", ["", "  "])
async def test_the_bare_command_opens_the_form(counter, text):
    assert (await counter.mailbox.post(command(text=text))).content == NOTHING
    await counter.settle()
    assert counter.shown()["callback_id"] == ids.ASK_FORM


@pytest.mark.parametrize("text", ["help", "HELP", " Help "])
async def test_help_says_what_can_be_typed(counter, text):
    assert (await counter.mailbox.post(command(text=text))).text == ENGLISH.help


async def test_status_shows_the_persons_own_requests_only(counter):
    await counter.mailbox.post(command())
    mine = (await counter.mailbox.post(command(text="status"))).text
    theirs = (await counter.mailbox.post(command(text="status", user_id=KEN.id))).text
    assert "ada@contoso.com" in mine
    assert theirs == ENGLISH.no_requests


async def test_sign_out_forgets_the_tokens_and_says_so(counter):
    first = await counter.mailbox.post(command(text="sign-out", user_id=KEN.id))
    again = await counter.mailbox.post(command(text="sign-out", user_id=KEN.id))
    assert (first.text, again.text) == (ENGLISH.signed_out, ENGLISH.was_signed_out)


@pytest.mark.parametrize("value", ["", "R1", "'; DROP TABLE requests", "f" * 32])
@pytest.mark.parametrize("action", [ids.APPROVE, ids.DENY, ids.WITHDRAW, ids.SHOW_PASSCODE])
async def test_a_button_that_names_no_request_gets_a_sentence_and_is_on_the_record(counter, action, value):
    assert (await counter.mailbox.post(press(action, value))).status_code == 200
    await counter.settle()
    assert "not known here" in words(counter.shown())
    assert counter.staffed.refusals() == [(KEN.id, "UnknownRequest")]


async def test_a_button_of_a_request_that_no_longer_waits_says_who_decided(counter):
    request_id = await counter.staffed.pending()
    await counter.staffed.deny(request_id, by=KEN)
    await counter.mailbox.post(press(ids.APPROVE, request_id, user="U0AIKO"))
    await counter.settle()
    assert f"<@{KEN.id}>" in words(counter.shown())
    assert counter.staffed.refusals() == [("U0AIKO", "AlreadyDecided")]


async def test_an_outsiders_press_is_refused_though_the_payloads_team_is_ours(counter):
    request_id = await counter.staffed.pending()
    for action in (ids.APPROVE, ids.DENY):
        await counter.mailbox.post(press(action, request_id, user=KEN.id, team="T0FABRIKAM"))
        await counter.settle()
        assert "another organisation" in words(counter.shown())
    assert counter.staffed.refusals() == [(KEN.id, "NotAMember")] * 2
    assert counter.staffed.row(request_id).status is Status.PENDING


@pytest.mark.parametrize("body", [{}, {"type": "block_actions"}, {"type": "view_submission", "view": {}}])
async def test_a_signed_body_that_is_for_no_listener_is_a_404(counter, body):
    assert (await counter.mailbox.post(interaction(body))).status_code in (400, 404)


@pytest.mark.parametrize("missing", ["user_id", "trigger_id"])
async def test_a_command_without_its_person_or_its_trigger_is_a_400(counter, missing):
    assert (await counter.mailbox.post(command(**{missing: ""}))).status_code == 400
    assert counter.staffed.requests.rows == {}


async def test_a_press_or_a_form_without_its_person_is_a_400(counter):
    pressed = json.loads(json.dumps({"type": "block_actions", "trigger_id": "1", "user": {"id": ""}}))
    pressed["actions"] = [{"action_id": ids.APPROVE, "type": "button", "value": "f" * 32}]
    assert (await counter.mailbox.post(interaction(pressed))).status_code == 400
    assert (await counter.mailbox.post(form(ids.DENY_FORM, user=""))).status_code == 400


# Crashes


async def test_a_crash_before_the_acknowledgement_is_a_500_and_logged_without_its_text(counter, caplog):
    async def broken(*_given):
        raise RuntimeError("ada@contoso.com")

    counter.staffed.requests.add = broken
    with capture_logs() as logs, caplog.at_level(logging.DEBUG):
        assert (await counter.mailbox.post(command())).status_code == 500
    [line] = [line for line in logs if line["event"] == "listener_crashed"]
    assert line["error"] == "RuntimeError"
    assert any("broken" in frame for frame in line["frames"])
    assert "ada@contoso.com" not in words(logs)


@pytest.mark.parametrize("action", [ids.APPROVE, ids.DENY, ids.WITHDRAW, ids.SHOW_PASSCODE])
async def test_a_crash_after_the_acknowledgement_ends_in_an_apology_with_its_code(counter, action):
    async def broken(_request_id):
        raise RuntimeError("secret words")

    counter.staffed.requests.get = broken
    with capture_logs() as logs:
        assert (await counter.mailbox.post(press(action, "f" * 32))).status_code == 200
        await counter.settle()
    [line] = [line for line in logs if line["event"] == "window_crashed"]
    assert "Something broke on our side" in words(counter.shown())
    assert line["incident"] in words(counter.shown())
    assert "secret words" not in words(counter.shown()) + words(logs)


@pytest.mark.parametrize("trouble", [SlackAway("timeout"), CannotShow("expired_trigger_id")])
async def test_a_window_that_slack_refuses_loses_nothing(counter, trouble):
    request_id = await counter.staffed.pending()
    counter.views.trouble = trouble
    for action in (ids.APPROVE, ids.DENY, ids.SHOW_PASSCODE):
        assert (await counter.mailbox.post(press(action, request_id))).status_code == 200
        await counter.settle()
    assert counter.staffed.row(request_id).status is Status.PENDING
    assert counter.views.said == [(ASIDE, ENGLISH.no_window)] * 3


@pytest.mark.parametrize("text", ["", "sign-in", "ada@contoso.com"])
async def test_a_command_whose_window_slack_refuses_is_answered_all_the_same(counter, text):
    counter.views.trouble = CannotShow("expired_trigger_id")
    await counter.mailbox.post(command(text=text, response_url=ASIDE))
    await counter.settle()
    assert counter.views.said == [(ASIDE, ENGLISH.no_window)]


async def test_a_window_that_opens_leaves_nothing_to_say_beside_it(counter):
    await counter.mailbox.post(command(text="", response_url=ASIDE))
    await counter.settle()
    assert counter.views.said == []


async def test_where_slack_takes_no_sentence_either_it_is_in_the_log(counter):
    counter.views.trouble = counter.views.deaf = CannotShow("used_url")
    with capture_logs() as logs:
        await counter.mailbox.post(command(text="", response_url=ASIDE))
        await counter.mailbox.post(command(text=""))
        await counter.settle()
    assert [line["event"] for line in logs] == ["window_not_opened", "window_not_opened", "nothing_said"]
    assert ASIDE not in words(logs)


async def test_a_decision_is_made_although_the_window_was_closed(counter):
    request_id = await counter.staffed.pending()
    counter.views.trouble = CannotShow("not_found")
    body = form(ids.DENY_FORM, about=request_id, user=KEN.id, denial="Call him")
    answer = await counter.mailbox.post(body)
    await counter.settle()
    assert answer.json()["response_action"] == "update"
    assert counter.staffed.row(request_id).status is Status.DENIED


# After the acknowledgement


async def test_shutdown_waits_for_what_goes_on_and_cancels_what_is_late():
    afterwork, going_on, ended = Afterwork(), asyncio.Event(), []

    async def finishes():
        await going_on.wait()
        ended.append("finished")

    async def hangs():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    afterwork.start(finishes(), name="finishes")
    asyncio.get_running_loop().call_soon(going_on.set)
    await afterwork.drain(grace=timedelta(seconds=5))
    afterwork.start(hangs(), name="hangs")
    await asyncio.sleep(0)
    await afterwork.drain(grace=timedelta(seconds=0.01))
    assert ended == ["finished", "cancelled"]


async def test_our_acknowledgement_is_faster_than_half_of_bolts_own_way(counter):
    async def heard(ack: AsyncAck) -> None:
        await ack()

    async def authorize() -> AuthorizeResult:
        return US

    default = AsyncApp(
        client=counter.app.client,
        authorize=authorize,
        request_verification_enabled=False,
        ssl_check_enabled=False,
    )
    default.command("/reset-passcode")(heard)
    ours = await _median(counter.app, {**COMMAND, "text": "help"})
    theirs = await _median(default, {**COMMAND, "text": "help"})
    assert ours < theirs / 2, f"ours {ours * 1000:.2f} ms, Bolt's default {theirs * 1000:.2f} ms"


async def _median(app: AsyncApp, body: dict[str, str]) -> float:
    """Seconds from delivery to answer."""
    taken = []
    for _ in range(21):
        started = time.perf_counter()
        answer = await app.async_dispatch(AsyncBoltRequest(mode="socket_mode", body=body))
        taken.append(time.perf_counter() - started)
        assert answer.status == 200
    return sorted(taken)[10]
