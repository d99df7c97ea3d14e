"""There is a sentence for everything that can go wrong or happen."""

import dataclasses
import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
import slack_rows as rows
from bot.domain import errors
from bot.domain.device import Effect
from bot.domain.errors import UnlatchError
from bot.domain.identifiers import ChannelId, UserId
from bot.domain.people import Kind
from bot.domain.request import Status
from bot.domain.sign_in import TICKET_LIFE
from bot.domain.why import Code, Why
from bot.slack.text import NOTHING
from bot.slack.wording import ENGLISH, Wording

WHY = Why(Code.NOT_MANAGED, {"device": "Ada’s iPhone", "state": "retirePending"})
GRAPH = {"status": 403, "code": "Forbidden", "message": "No <!channel> permission."}


def _tree(root: type[UnlatchError] = UnlatchError) -> Iterator[type[UnlatchError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _tree(child)


def _one(kind: type[UnlatchError]) -> UnlatchError:
    given: dict[str, object] = {
        "typed": "nobody",
        "limit": 1000,
        "kind": "guest",
        "status": Status.DENIED,
        "by": UserId("U0KEN"),
        "at": rows.NOW,
        "why": WHY,
        "approver": UserId("U0KEN"),
        "what": "Slack’s profile of a person",
        "ref": "A1B2C3",
        "until": rows.NOW,
        "first": True,
    }
    if issubclass(kind, errors.GraphError):
        given = dict(GRAPH)
    if not dataclasses.is_dataclass(kind):
        return kind()
    return kind(**{f.name: given[f.name] for f in dataclasses.fields(kind) if f.name in given})


@pytest.mark.parametrize("kind", list(dict.fromkeys(_tree())), ids=lambda kind: kind.__name__)
def test_every_error_has_its_own_sentence(kind: type[UnlatchError]) -> None:
    sentence = ENGLISH.refusal(_one(kind), "a1b2c3d4")

    assert kind in ENGLISH.refusals
    _is_a_sentence(sentence)


def test_an_error_that_nobody_foresaw_gets_an_apology_with_its_incident() -> None:
    class Surprise(UnlatchError):
        pass

    assert "a1b2c3d4" in ENGLISH.refusal(Surprise(), "a1b2c3d4")


@pytest.mark.parametrize("code", Code)
def test_every_reason_has_a_sentence(code: Code) -> None:
    full = {why.code: why for why in rows.whys()}

    _is_a_sentence(ENGLISH.why(full[code]))
    assert ENGLISH.why(Why(code))  # facts that are missing break nothing


@pytest.mark.parametrize("effect", Effect)
def test_every_effect_has_its_sentences(effect: Effect) -> None:
    _is_a_sentence(ENGLISH.effect(effect))
    _is_a_sentence(ENGLISH.next_step(rows.done(effect)))
    _is_a_sentence(ENGLISH.passcode_use(rows.done(effect)))
    assert len(ENGLISH.effects_in_short[effect]) <= 75


@pytest.mark.parametrize("row", list(rows.in_every_status()), ids=lambda row: row.status)
def test_every_status_has_its_sentences(row: rows.ResetRequest) -> None:
    _is_a_sentence(ENGLISH.status(row))
    _is_a_sentence(ENGLISH.headline(row))
    _is_a_sentence(ENGLISH.next_step(row))
    _is_a_sentence(ENGLISH.decision(row.status, rows.KEN, rows.NOW))


def test_every_table_is_complete() -> None:
    assert set(ENGLISH.kinds) == set(Kind)
    assert (
        set(ENGLISH.states)
        == set(ENGLISH.statuses)
        == set(ENGLISH.decisions)
        == set(ENGLISH.next)
        == set(Status)
    )
    assert set(ENGLISH.effects) == set(ENGLISH.after) == set(ENGLISH.uses) == set(Effect)


def test_no_sentence_shouts() -> None:
    written = [value for value in dataclasses.asdict(ENGLISH).values() if isinstance(value, str)]
    tables = [value for value in vars(ENGLISH).values() if isinstance(value, dict)]

    assert not [
        text for text in [*written, *(text for table in tables for text in table.values())] if "!" in text
    ]


def test_who_comes_second_is_told_who_decided_what_and_when() -> None:
    decided = errors.AlreadyDecided(Status.DENIED, UserId("U0AIKO"), rows.NOW)

    sentence = ENGLISH.refusal(decided)

    assert "<@U0AIKO> denied it <!date^" in sentence


def test_who_comes_after_the_clock_is_told_that_nobody_decided() -> None:
    assert "It expired <!date^" in ENGLISH.refusal(errors.AlreadyDecided(Status.EXPIRED, None, rows.NOW))


def test_an_outsider_to_the_channel_is_told_where_to_ask() -> None:
    here = dataclasses.replace(ENGLISH, approver_channel=ChannelId("C0ONCALL"))

    assert "<#C0ONCALL>" in here.refusal(errors.NotAnApprover())
    assert "the approver channel" in ENGLISH.refusal(errors.NotAnApprover())


def test_what_microsoft_says_is_quoted_and_calls_nobody() -> None:
    sentence = ENGLISH.refusal(errors.ApproverRefused(message="No <!channel> permission."))

    assert "“No &lt;!channel&gt; permission.”" in sentence


def test_claims_are_never_shown() -> None:
    why = Why(Code.SIGN_IN_ENDED, {"approver": "U0KEN", "claims": '{"access_token":{}}'})

    assert "access_token" not in ENGLISH.why(why)


def test_a_person_without_a_confirmed_address_is_told_so_when_signing_in() -> None:
    why = Why(Code.WRONG_ACCOUNT, {"account": "ken@contoso.com", "expected": ""})

    assert "no confirmed e-mail address" in ENGLISH.why(why)


def test_a_device_that_nobody_could_ask_is_not_called_silent() -> None:
    blind = Why(Code.SILENT, {"could_not_look": "SignInNeeded"})

    assert "could not be asked" in ENGLISH.why(blind)
    assert "has not answered" in ENGLISH.why(Why(Code.SILENT))


def test_only_the_work_profile_is_promised_where_only_that_changes() -> None:
    assert "work profile only" in ENGLISH.effect(Effect.NEW_WORK_PROFILE_PASSCODE)
    assert "does not say which" in ENGLISH.effect(Effect.NEW_PASSCODE_OR_PROFILE)


def test_titles_fit_into_a_window() -> None:
    titles = {name: text for name, text in vars(ENGLISH).items() if name.endswith(("_title", "_submit"))}

    assert len(titles) > 10
    assert not {name for name, text in titles.items() if len(text) > 24}


def test_another_language_is_another_instance() -> None:
    deutsch = Wording(approve="Freigeben")

    assert deutsch.approve == "Freigeben"
    assert ENGLISH.approve == "Approve"


def test_the_sign_in_pages_can_show_a_refusal_without_slack() -> None:
    for why in rows.whys():
        if why.code not in (Code.NO_EMAIL, Code.SIGN_IN_ENDED, Code.ALREADY_ASKED, Code.CLOSED):
            assert "<" not in ENGLISH.why(why)


def test_what_a_sentence_promises_about_links_holds() -> None:
    assert timedelta(minutes=10) == TICKET_LIFE
    assert "ten minutes" in ENGLISH.sign_in_link_life


def _is_a_sentence(text: str) -> None:
    assert re.fullmatch(r"[A-Z“<].*\.", text, re.DOTALL), text
    assert not re.search(r"[{}]", re.sub(r"<!date[^>]*>", "", text)), text
    assert NOTHING not in text, text
