"""The handlers over real use cases: what the acknowledgement waits for; each press ends in an answer."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from bot.domain import errors
from bot.domain.audit import Event
from bot.domain.errors import Cause, Code
from bot.domain.people import SignInLink
from bot.domain.request import MAX_REASON, Status
from bot.domain.values import UserId, utc_text
from bot.slack.blocks import Message
from bot.slack.handlers import RECENT, Background
from bot.slack.payloads import Action, Callback, Field, private_metadata
from bot.slack.wording import CATALOG_EN as CATALOG
from bot.slack.wording import ENGLISH
from structlog.testing import capture_logs
from tests.support.builders import AIKO, KEN, LATER, LEOS_PHONE, MEI, NOON, TEAM, a_request, account_of
from tests.unit.slack.deliveries import COMMAND, RESPONSE_URL, SlackSide, command, form, press
from tests.unit.slack.shown import check_accepted, elements

MARKED = "Tom & <Ann> *x* _y_ `z` :sob: &lt;"
BUTTONS = [*(Action.APPROVE, Action.DENY, Action.WITHDRAW, Action.CLOSE, Action.LOOK, Action.SHOW_PASSCODE)]
W_MEI = UserId("W0MEIGRID")
WHEN_NO_MODAL = {
    "S22": (errors.SlackRefused("token_expired"), "Slack no longer accepts Unlatch’s token (token"),
    "38": (errors.SlackRefused("expired_trigger_id"), CATALOG["no_modal"]),
    "38-busy": (errors.SlackUnavailable("internal_error"), CATALOG["no_modal"]),
}
LINK = SignInLink(digest="d", team=TEAM, user=KEN.id, expires_at=NOON, view_id="V1")


@pytest.fixture
def side(database) -> SlackSide:
    return SlackSide(database)


def fail(side: SlackSide, error: Exception) -> None:
    """Every unit of work and every read ends like this."""

    async def failing(_work: object, **_how: object) -> None:
        await asyncio.sleep(0)
        raise error

    side.bot.database.run = side.bot.database.read = failing


async def approval(side: SlackSide, request_id: str, callback: str = Callback.APPROVE) -> bytes:
    metadata = private_metadata(request_id, (await side.bot.row(request_id)).revision)
    return form(callback, metadata=metadata, user=KEN.id, device=LEOS_PHONE.id)


async def test_the_acknowledgement_waits_for_the_insert(side):
    run, storing = side.bot.database.run, asyncio.Event()

    async def slow(work, **how):
        await storing.wait()
        return await run(work, **how)

    side.bot.database.run = slow
    posting = asyncio.create_task(side.post(command()))
    done, _ = await asyncio.wait([posting], timeout=0.1)
    assert not done
    storing.set()
    answer = await posting
    [row] = (await side.bot.rows()).values()
    assert answer.text.startswith(f"Request {row.ref} sent for leo@contoso.com.")


ANSWERED = {"  ": [Callback.ASK], "sign-in": [None], "nonsense": [Callback.ASK]}
ANSWERED |= {text: [] for text in ("leo@contoso.com lost", "status", "help")}


@pytest.mark.parametrize(("text", "opened"), ANSWERED.items())
async def test_the_acknowledgement_waits_neither_for_slack_nor_for_a_lookup(side, text, opened):
    side.slack.hanging = asyncio.Event()
    side.bot.directory.steps = side.slack.hanging.wait
    async with asyncio.timeout(5):
        assert (await side.post(command(text=text))).status_code == 200
    side.slack.hanging.set()
    await side.settle()
    assert [view.get("callback_id") for _, view in side.slack.opened] == opened


async def test_an_acknowledgement_waits_for_no_timer_and_its_time_is_told(side, monkeypatch):
    """Without `process_before_response` Bolt looks for the answer every 10 ms."""
    monkeypatch.delattr(asyncio, "sleep")
    assert (await side.post(command(text="help"))).status_code == 200
    [seconds] = side.answered
    assert 0 < seconds < 5


@pytest.mark.parametrize("error", errors.StoreError.__subclasses__())
async def test_what_the_store_could_not_do_is_told_as_it_is_wherever_it_happens(side, error):
    fail(side, error())
    sentence = CATALOG[f"error.{error.__name__}"]
    assert (await side.post(command())).text == sentence
    assert (await side.post(command(text="status"))).text == sentence
    assert (await side.post(command(text="sign-out", user_id=KEN.id))).text == sentence
    answer = await side.post(form(Callback.ASK, target="leo@contoso.com", reason="locked out"))
    assert answer.json()["errors"] == {Field.TARGET: sentence.replace("`", "")}
    await side.deliver(press(Action.APPROVE, "f" * 32))
    assert side.title() == CATALOG[f"error.{error.__name__}.title"]


async def test_a_requester_over_the_limit_is_told_until_when_and_in_the_form_without_markup(database):
    side = SlackSide(database, requests_per_hour=1)
    await side.post(command())
    answer = await side.post(command(trigger_id="another"))
    assert answer.status_code == 200
    assert "limit of 1 per hour. Try again after <!date^" in answer.text
    answer = await side.post(form(Callback.ASK, target="leo@contoso.com", reason="locked out"))
    assert "Try again after 2026-03-02 13:00 UTC" in answer.json()["errors"][Field.TARGET]
    assert len(await side.bot.rows()) == 1


async def test_who_presses_faster_than_a_person_can_is_told_so_and_leaves_no_row(database):
    side = SlackSide(database, presses_per_minute=1)
    request_id = await side.bot.pending()
    await side.deliver(press(Action.DENY, request_id))
    events, opened = await side.bot.events(), len(side.slack.opened)
    with capture_logs() as logs:
        await side.deliver(press(Action.DENY, request_id))
        told = [side.slack.responses[-1][1]]
        told.append((await side.deliver(command(user_id=KEN.id))).text)
        submitted = (await side.deliver(await approval(side, request_id))).json()
    told.append(submitted["view"]["blocks"][0]["text"]["text"])
    assert told == [ENGLISH.text("code.too_many_presses", limit="1")] * 3
    assert (await side.bot.events(), len(side.slack.opened)) == (events, opened)
    assert [(line["event"], line["user"]) for line in logs] == [("quota_exceeded", KEN.id)] * 3
    side.bot.clock.advance(timedelta(minutes=1))
    await side.deliver(press(Action.DENY, request_id))
    assert len(side.slack.opened) == opened + 1


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("nonsense because", Code.BAD_TARGET),
        ("Tom’s phone", Code.BAD_TARGET),
        ("help me", Code.BAD_TARGET),
        ("leo@contoso.com", Code.NO_REASON),
        ("leo@contoso.com " + "x" * (MAX_REASON + 1), Code.REASON_TOO_LONG),
    ],
)
async def test_what_cannot_be_used_comes_back_in_the_form_and_loses_nothing(side, text, code):
    assert (await side.deliver(command(text=text))).content == b""
    [(trigger_id, view)] = side.slack.opened
    assert (trigger_id, view["callback_id"]) == (COMMAND["trigger_id"], Callback.ASK)
    target, _, reason = text.partition(" ")
    for shown in (target, reason, ENGLISH.cause(Cause(code, {"typed": target, "limit": "1000"}))):
        assert shown in side.shown()
    assert await side.bot.rows() == {}


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"target": "nonsense", "reason": "why"}, Field.TARGET),
        ({"target": "leo@contoso.com"}, Field.REASON),
        ({"target": "leo@contoso.com", "reason": "x" * (MAX_REASON + 1)}, Field.REASON),
        ({"target": "leo@contoso.com", "reason": "why", "ticket": "x" * 101}, Field.TICKET),
        ({}, Field.TARGET),
        pytest.param({"target": MARKED, "reason": "why"}, Field.TARGET, id="S25"),
    ],
)
async def test_a_form_says_under_the_field_what_is_wrong_with_it_as_plain_text(side, typed, field):
    answer = (await side.post(form(Callback.ASK, **typed))).json()
    assert (answer["response_action"], list(answer["errors"])) == ("errors", [field])
    if typed.get("target") == MARKED:
        assert answer["errors"][field].startswith(f"“{MARKED}” can’t be looked up.")
    assert await side.bot.rows() == {}


@pytest.mark.parametrize(
    ("text", "shown", "words"),
    [
        ("<mailto:leo@contoso.com|leo@contoso.com>", "leo@contoso.com", "leo@contoso.com"),
        ("<@U0LEO|leo>", "@leo", "<@U0LEO>"),
        ("<@U0LEO|leo>,", "@leo", "<@U0LEO>"),
        ("name:„Field phone“", "name:Field phone", "Device name Field phone"),
        ("imei:<tel:352987101234567|35 298710 123456 7>", "imei:352987101234567", "IMEI 352987101234567"),
    ],
)
async def test_s05_what_lacks_a_reason_comes_back_as_people_write_it_to_be_sent(side, text, shown, words):
    await side.deliver(command(text=text))
    [(_, view)] = side.slack.opened
    assert view["blocks"][1]["element"]["initial_value"] == shown
    metadata = view.get("private_metadata", "")
    again = form(Callback.ASK, metadata=metadata, target=shown, reason="locked out")
    assert (await side.post(again)).content == b""
    [row] = (await side.bot.rows()).values()
    assert ENGLISH.target(row.target) == words


@pytest.mark.parametrize(
    ("text", "user", "answers"),
    [
        (" HELP ", MEI.id, [CATALOG["help"]]),
        ("status", MEI.id, ["leo@contoso.com: *waiting for approval*."]),
        ("status", KEN.id, ["requested a reset yet. Start one with"]),
        ("sign–out", KEN.id, [CATALOG["signed_out"], CATALOG["signed_out.already"]]),
        ("Log out", KEN.id, [CATALOG["signed_out"], CATALOG["signed_out.already"]]),
    ],
)
async def test_a_subcommand_is_answered_for_the_person_who_typed_it(side, text, user, answers):
    await side.bot.pending()  # of Mei
    for answer in answers:
        assert answer in (await side.post(command(text=text, user_id=user))).text


async def test_status_says_how_many_requests_there_are_where_it_shows_fewer(side):
    for _ in range(RECENT + 1):
        heading = (await side.post(command(text="status", user_id=MEI.id))).text
        await side.bot.withdraw(await side.bot.pending())
    assert "Your requests:" in heading
    assert "latest 5 of 6 requests:" in (await side.post(command(text="status", user_id=MEI.id))).text


async def test_a_second_reset_within_minutes_is_asked_first_and_then_done(side):
    request_id = await side.bot.pending()
    await side.deliver(press(Action.APPROVE, request_id))
    assert side.title() == CATALOG["review.title"]
    side.bot.intune.show(LEOS_PHONE.id, "done")
    answer = await side.deliver(await approval(side, request_id))
    assert answer.json()["view"]["title"]["text"] == CATALOG["loading.title"]
    assert side.view()["callback_id"] == Callback.AGAIN
    assert (await side.bot.row(request_id)).status is Status.PENDING
    await side.deliver(await approval(side, request_id, Callback.AGAIN))
    assert ((await side.bot.row(request_id)).status, side.title()) == (Status.APPROVED, "Approved")
    assert (await side.bot.entry(Event.APPROVED)).facts["knowingly"] == "yes"


async def test_a_withdrawal_and_a_close_need_no_modal_and_a_denial_and_a_passcode_have_theirs(side):
    pending = await side.bot.pending()
    await side.deliver(press(Action.WITHDRAW, pending, user=MEI.id))
    assert (await side.bot.row(pending)).status is Status.WITHDRAWN
    uncertain = await side.bot.needs_a_human()
    await side.deliver(press(Action.CLOSE, uncertain))
    assert (await side.bot.row(uncertain)).status is Status.CLOSED
    assert side.slack.opened == []
    pending = await side.bot.pending()
    await side.deliver(press(Action.DENY, pending))
    assert side.view()["callback_id"] == Callback.DENY
    await side.deliver(form(Callback.DENY, metadata=pending, user=KEN.id, denial="Call him"))
    row = await side.bot.row(pending)
    assert (row.status, row.denial, side.title()) == (Status.DENIED, "Call him", CATALOG["denied.title"])
    await side.deliver(press(Action.SHOW_PASSCODE, await side.bot.done(passcode="4b#A"), user=MEI.id))
    assert (side.title(), "4b#A" in side.shown()) == (CATALOG["passcode.title"], True)


async def test_g33_g38_who_looks_signs_in_first_and_is_told_so_or_that_it_is_gone(side):
    request_id = await side.bot.sent()
    side.bot.intune.read_answers = [errors.ApproverRefused(status=403)] * 2
    await side.bot.advance(request_id)
    aiko = side.bot.sign_ins.accounts.pop(AIKO.id)
    await side.deliver(press(Action.LOOK, request_id, user=AIKO.id))
    assert side.title() == CATALOG["sign_in.title"]
    side.bot.sign_ins.accounts[AIKO.id] = aiko
    [link] = side.bot.links.links.values()
    await side.handlers.resume(link, aiko)
    assert "press the button on the card again" in side.shown()  # it may have begun with *Approve*
    assert (await side.bot.row(request_id)).approval.looker is None
    await side.deliver(press(Action.LOOK, request_id, user=AIKO.id))
    assert side.title() == CATALOG["looked.title"]
    assert (await side.bot.row(request_id)).approval.looker.by == AIKO.id
    side.bot.intune.reading_fails = errors.DeviceRefused(status=404)
    await side.bot.advance(request_id)
    await side.deliver(press(Action.LOOK, request_id))
    assert "no longer shows this device" in side.shown()


@pytest.mark.parametrize("value", ["", "R1", "f" * 32])
@pytest.mark.parametrize("action", BUTTONS)
async def test_a_button_that_names_no_request_gets_a_sentence_and_is_in_the_audit_log(side, action, value):
    assert (await side.deliver(press(action, value))).status_code == 200
    assert side.title() == CATALOG["code.unknown_request.title"]
    assert await side.bot.refusals() == [(KEN.id, Code.UNKNOWN_REQUEST)]


@pytest.mark.parametrize("missing", ["user_id", "trigger_id"])
async def test_a_payload_without_its_person_or_its_trigger_is_a_400(side, missing):
    assert (await side.post(command(**{missing: ""}))).status_code == 400
    assert (await side.post(press(Action.APPROVE, "f" * 32, user=""))).status_code == 400
    assert (await side.post(form(Callback.DENY, user=""))).status_code == 400
    assert await side.bot.rows() == {}


@pytest.mark.parametrize("action", BUTTONS)
async def test_a_crash_is_a_500_or_after_the_acknowledgement_an_apology_and_logged_without_text(side, action):
    fail(side, RuntimeError("secret words"))
    with capture_logs() as logs:
        assert (await side.post(command())).status_code == 500
        assert (await side.deliver(press(action, "f" * 32))).status_code == 200
    before, after = logs
    assert (before["event"], before["error"]) == ("handler_crashed", "RuntimeError")
    assert any("failing" in frame for frame in before["frames"])
    assert (after["event"], side.title()) == ("interaction_crashed", CATALOG["crash.title"])
    assert after["incident"] in side.shown()
    assert "secret words" not in side.shown() + str(logs)


async def test_a_modal_that_slack_refuses_loses_nothing_and_the_person_is_told_so_or_why_not(side):
    request_id = await side.bot.pending()
    side.slack.failing = errors.SlackError("expired_trigger_id")
    for body in (
        *(press(action, request_id) for action in (Action.APPROVE, Action.DENY, Action.SHOW_PASSCODE)),
        *(command(text=text, response_url=RESPONSE_URL) for text in ("", "sign-in", "leo@contoso.com")),
    ):
        assert (await side.deliver(body)).status_code == 200
    assert (await side.bot.row(request_id)).status is Status.PENDING
    assert side.slack.responses == [(RESPONSE_URL, CATALOG["no_modal"])] * 6
    await side.deliver(press(Action.WITHDRAW, request_id, user=KEN.id))
    assert side.slack.responses[-1] == (RESPONSE_URL, CATALOG["code.not_the_requester"])
    await side.deliver(form(Callback.DENY, metadata=request_id, user=MEI.id, denial="No"))
    assert side.slack.messages[-1] == (MEI.id, CATALOG["code.own_request"])
    await side.deliver(form(Callback.DENY, metadata=request_id, user=KEN.id, denial="Call him"))
    assert (await side.bot.row(request_id)).status is Status.DENIED  # although its modal was closed


async def test_where_slack_takes_no_sentence_either_it_is_in_the_log(side):
    side.slack.failing = side.slack.failing_texts = errors.SlackError("used_url")
    with capture_logs() as logs:
        await side.deliver(command(text="", response_url=RESPONSE_URL))
        await side.deliver(command(text=""))
        await side.handlers.resume(LINK, account_of(KEN))
    events = [line["event"] for line in logs]
    assert events[:3] == ["modal_not_opened", "response_not_sent", "modal_not_opened"]
    assert events[3:] == ["modal_not_updated", "direct_message_not_sent"]
    assert RESPONSE_URL not in str(logs)


async def test_shutdown_waits_for_what_goes_on_and_cancels_what_is_late():
    background, going_on, ended = Background(), asyncio.Event(), []

    async def work(waits_for: asyncio.Event) -> None:
        try:
            await waits_for.wait()
            raise RuntimeError("secret words")
        except asyncio.CancelledError:
            ended.append("canceled")
            raise

    with capture_logs() as logs:
        background.start(work(going_on), name="crashes")
        asyncio.get_running_loop().call_soon(going_on.set)
        await background.drain(grace=timedelta(seconds=20))
        background.start(work(asyncio.Event()), name="hangs")
        await asyncio.sleep(0)
        async with asyncio.timeout(20):
            await background.drain(grace=timedelta(seconds=0.01))
    assert [(line["event"], line["work"]) for line in logs] == [("background_crashed", "crashes")]
    assert ended == ["canceled"]
    assert "secret words" not in str(logs)


async def test_an_approver_without_a_sign_in_is_looked_up_once_and_gets_a_link(side):
    request_id = await side.bot.pending()
    del side.bot.sign_ins.accounts[KEN.id]
    side.bot.directory.looked_up.clear()
    await side.deliver(press(Action.APPROVE, request_id))
    assert side.title() == CATALOG["sign_in.title"]
    assert side.bot.directory.looked_up.count(KEN.id) == 1
    [link] = side.bot.links.links.values()
    assert (link.request_id, link.view_id, link.user) == (request_id, "V1", KEN.id)
    assert (await side.post(press(Action.SIGN_IN, ""))).status_code == 200  # the link itself


async def test_a_sign_in_that_ends_while_deciding_goes_on_in_the_same_form_with_microsofts_claims(side):
    asked = {"claims": "claims", "approver": KEN.id, "since": utc_text(LATER)}
    row = a_request(Status.PENDING, cause=Cause(Code.SIGN_IN_ENDED, asked))
    await side.bot.insert(row)
    await side.deliver(await approval(side, row.id))
    assert CATALOG["sign_in.claims"] in side.shown()
    [link] = side.bot.links.links.values()
    assert (link.request_id, link.view_id, link.claims) == (row.id, "V0FORM", "claims")


async def test_finding_20_the_sign_in_command_says_as_whom_one_is_signed_in(side):
    await side.deliver(command(text="sign-in", user_id=KEN.id))
    assert "signed in as ken@contoso.com until <!date^" in side.shown()
    await side.deliver(command(text="login", user_id="U0LEO"))
    assert side.title() == CATALOG["code.not_an_approver.title"]
    assert CATALOG["code.not_an_approver.sign_in"] in side.shown()


@pytest.mark.parametrize("text", ["status", "sign-out"])
async def test_s04_who_has_to_be_asked_for_first_is_answered_after_the_acknowledgement(side, text):
    side.bot.directory.also = {W_MEI: MEI.id}
    side.bot.sign_ins.accounts[MEI.id] = account_of(MEI)
    row = await side.bot.row(await side.bot.pending())
    said = {"status": row.ref, "sign-out": CATALOG["signed_out"]}[text]
    asked = command(text=text, user_id=W_MEI, response_url=RESPONSE_URL)
    assert (await side.deliver(asked)).text == ""
    assert said in str(side.slack.responses.pop()[1])
    assert (await side.deliver(command(text=text, user_id=W_MEI))).text != ""  # by now it is known
    side.bot.directory.told.clear()
    side.bot.directory.down = True
    await side.deliver(asked)
    assert "isn’t verified" in str(side.slack.responses.pop()[1])


@pytest.mark.parametrize("of_a_request", [False, True], ids=["by the command", "for a request"])
async def test_after_the_sign_in_the_modal_goes_on_or_a_message_says_as_whom(side, of_a_request):
    request_id = await side.bot.pending() if of_a_request else None
    await side.handlers.resume(replace(LINK, request_id=request_id), account_of(KEN))
    assert side.title() == CATALOG["review.title" if of_a_request else "signed_in.title"]
    assert side.slack.messages == []
    side.slack.failing = errors.SlackError("not_found")  # it was closed
    for view_id in (None, "V0CLOSED"):
        await side.handlers.resume(replace(LINK, view_id=view_id, request_id=request_id), account_of(KEN))
        user, sentence = side.slack.messages.pop()
        assert (user, "ken@contoso.com" in sentence) == (KEN.id, True)
        assert "/reset-passcode sign-out" in sentence
    events = await side.bot.events()
    assert events.count(Event.REVIEWED) == of_a_request  # nothing is looked up for a window that is closed


async def test_a_requester_signs_in_by_a_private_link_to_ask_and_again_to_see_the_passcode(database):
    side = SlackSide(database, requester_sign_in=True)
    request = await side.bot.submit()
    for action in (Action.LINK, Action.SHOW_PASSCODE):
        if action is Action.SHOW_PASSCODE:
            request = await side.bot.row(await side.bot.done(passcode="4b#A"))
            del side.bot.sign_ins.accounts[MEI.id]
        side.bot.links.links.clear()
        await side.deliver(press(action, request.id, user=MEI.id))
        assert CATALOG["sign_in.requester"] in side.shown()
        [link] = side.bot.links.links.values()
        assert (link.user, link.request_id) == (MEI.id, request.id)
        side.bot.sign_ins.accounts[MEI.id] = account_of(MEI)
        await side.handlers.resume(link, account_of(MEI))
        assert side.title() == CATALOG["signed_in.title" if action is Action.LINK else "passcode.title"]


async def test_a_refused_sign_in_is_told_in_the_modal_with_a_new_link_if_they_still_may(side):
    error = errors.SignInRefused(Code.WRONG_ACCOUNT, account="aiko@contoso.com", expected="ken@contoso.com")
    await side.handlers.resume(LINK, error, "https://unlatch.contoso.com/sign-in/new")
    assert side.title() == CATALOG["code.wrong_account.title"]
    assert ENGLISH.error(error) in side.shown()
    assert "https://unlatch.contoso.com/sign-in/new" in side.shown()
    assert CATALOG["sign_in.again"] in side.shown()
    error = errors.SignInRefused(Code.DECLINED, account="ken@contoso.com")
    await side.handlers.resume(LINK, error, None)
    assert (side.title(), "sign-in/" in side.shown()) == (CATALOG["code.declined.title"], False)
    side.slack.failing = errors.SlackError("not_found")
    await side.handlers.resume(LINK, error, None)
    assert side.slack.messages == [(KEN.id, ENGLISH.error(error))]


async def what_happened(side: SlackSide) -> tuple[object, ...]:
    events = [event for event in await side.bot.events() if event is not Event.ACCESS_REFUSED]
    looked_for, links = len(side.bot.intune.looked_for), set(side.bot.links.links)
    return await side.bot.rows(), events, looked_for, links, len(side.slack.opened)


@pytest.mark.parametrize(
    "what", ["command", "form", "review", "deny", "approval", "denial", "withdrawal", "passcode", "sign-in"]
)
async def test_a_payload_that_comes_again_changes_nothing(side, what):
    request_id = await (side.bot.done() if what == "passcode" else side.bot.pending())
    body = {
        "command": command(text="mia@contoso.com locked out"),
        "form": form(Callback.ASK, target="mia@contoso.com", reason="locked out"),
        "review": press(Action.APPROVE, request_id),
        "deny": press(Action.DENY, request_id),
        "approval": await approval(side, request_id),
        "denial": form(Callback.DENY, metadata=request_id, user=KEN.id, denial="Call him"),
        "withdrawal": press(Action.WITHDRAW, request_id, user=MEI.id),
        "passcode": press(Action.SHOW_PASSCODE, request_id, user=MEI.id),
        "sign-in": command(text="sign-in", user_id=KEN.id),
    }[what]
    at_first = await what_happened(side)
    assert (await side.deliver(body)).status_code == 200
    before = await what_happened(side)
    side.slack.failing = errors.SlackError("exchanged_trigger_id")  # the trigger is spent
    await asyncio.gather(*(side.post(body) for _ in range(4)))
    await side.deliver(body)
    assert await what_happened(side) == before != at_first


@pytest.mark.parametrize(("error", "told"), WHEN_NO_MODAL.values(), ids=WHEN_NO_MODAL)
async def test_that_a_modal_was_too_late_is_said_only_where_it_was(side, error, told):
    side.slack.failing = error
    await side.deliver(press(Action.APPROVE, await side.bot.pending()))
    [(_, sentence)] = side.slack.responses
    assert told in sentence


async def test_s22_who_asks_while_slack_refuses_the_token_reads_that_nobody_was_told(side):
    side.slack.client.problem = "token_expired"
    answer = (await side.post(command())).text
    assert "is saved, but the on-call leads can’t be notified: Slack no longer accepts" in answer


@pytest.mark.parametrize("typed", ["status", "Status"], ids="S24-{}".format)
async def test_what_can_be_pressed_in_the_receipt_can_be_pressed_in_the_answer_to_status(side, typed):
    async def status() -> list[tuple[str, str]]:
        blocks = (await side.post(command(text=typed))).json()["blocks"]
        check_accepted(Message("status", blocks))
        return [(button["action_id"], button["value"]) for button in elements(blocks, "button")]

    ready = await side.bot.done()
    side.bot.clock.advance(timedelta(seconds=1))
    waiting = await side.bot.pending(target="serial:C02LEO")
    assert await status() == [(Action.WITHDRAW, waiting), (Action.SHOW_PASSCODE, ready)]
    for number in range(4):  # it stays among more than are listed else
        side.bot.clock.advance(timedelta(seconds=1))
        await side.bot.withdraw(await side.bot.pending(target=f"serial:C02LEO{number}"))
    assert await status() == [(Action.WITHDRAW, waiting), (Action.SHOW_PASSCODE, ready)]
    await side.deliver(press(Action.SHOW_PASSCODE, ready, user=MEI.id))
    assert side.title() == CATALOG["passcode.title"]
    side.bot.clock.advance(side.bot.deps.timing.reveal_for)
    assert (Action.SHOW_PASSCODE, ready) not in await status()


async def test_where_a_request_was_typed_is_kept_for_it_also_through_the_form(side):
    await side.deliver(command(text="", response_url=RESPONSE_URL))
    side.slack.answers.keep("V0FORM", side.slack.answers.get("V1"))  # as Slack numbers views
    await side.post(form(Callback.ASK, target="leo@contoso.com", reason="locked out"))
    await side.post(command(text="serial:C02LEO locked out", response_url=RESPONSE_URL))
    kept = [side.slack.answers.get(request_id) for request_id in await side.bot.rows()]
    assert [url.reveal() for url in kept] == [RESPONSE_URL] * 2
    assert "sent" in str(side.slack.responses[-1][1])  # the form itself only closes
