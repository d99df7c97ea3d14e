"""One catalog: a sentence for all that can go wrong or happen, used, filled and within Slack's limits."""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from bot.domain import errors
from bot.domain.device import Effect, Platform
from bot.domain.errors import Cause, Code, GraphError, Refusal, SlackError, UnlatchError
from bot.domain.people import Kind
from bot.domain.request import ResetRequest, Status
from bot.domain.target import Target, TargetKind
from bot.slack import wording
from bot.slack.blocks import NOTHING, without_markup
from bot.slack.catalog_en import ENGLISH as CATALOG
from bot.slack.wording import ENGLISH
from tests.support.builders import MEI
from tests.unit.slack.rows import CAUSES, EVERY, FACTS, IPHONE, done, failed

HOUR = timedelta(hours=1)
ONLY_IN_A_ROW = {
    *(Code.SIGN_IN_ENDED, Code.MICROSOFT_REFUSED_APPROVER, Code.NOT_EXECUTED, Code.MICROSOFT_REFUSED_DEVICE),
    *(Code.DEVICE_FAILED, Code.NOT_SUPPORTED, Code.CANCELED, Code.SILENT, Code.CLOSED, Code.NO_ANSWER),
}
"""Codes that are no refusal, so that no modal is titled by them."""
STAGES = [*Status, "reopened", "needs_decision", "closed"]
LIMITS = {".title": 24, ".submit": 24, ".short": 75, ".label": 75, ".placeholder": 150, "again.option": 75}


def leaves(root: type[UnlatchError] = UnlatchError) -> Iterator[type[UnlatchError]]:
    """Every class of the tree that is raised; a Refusal has a code instead."""
    children = [kind for kind in root.__subclasses__() if kind.__module__ == errors.__name__]
    if root is not Refusal:
        yield from (leaf for child in children for leaf in leaves(child)) if children else [root]


RAISED = [*leaves(), UnlatchError]


def demanded() -> set[str]:
    """The keys that enums and classes demand, which no source spells out."""
    keys = {f"code.{code}" for code in Code} | {f"code.{code}.title" for code in {*Code} - ONLY_IN_A_ROW}
    keys |= {f"error.{kind.__name__}{end}" for kind in RAISED for end in ("", ".title")}
    keys |= {f"status.{stage}{end}" for stage in STAGES for end in ("", ".title", ".next")}
    keys |= {f"effect.{effect}{end}" for effect in Effect for end in ("", ".short", ".done", ".use")}
    keys |= {f"kind.{kind}" for kind in Kind} | {f"target.{kind}" for kind in TargetKind}
    keys |= {"code.already_requested.by_reader", "code.recently_reset.android", "code.silent.could_not_look"}
    keys |= {"code.wrong_account.no_email", "status.failed.next.android", "status.failed.next.apple"}
    return keys - {"status.refused.next", "status.done.next"}


def check_sentence(text: str) -> None:
    assert re.fullmatch(r"[A-Z“<].*[.?]", text, re.DOTALL), text
    assert not re.search(r"[{}]", re.sub(r"<!date[^>]*>", "", text)), text
    assert NOTHING not in text, text


def test_every_code_status_effect_kind_and_error_has_its_texts_and_no_text_is_unused():
    modules = Path(wording.__file__).parent.glob("*.py")
    sources = "".join(path.read_text() for path in modules if "catalog" not in path.name).replace("'", '"')

    def is_used(key: str) -> bool:
        """By its own name, by the name of the button or form it belongs to, or as what is being loaded."""
        stem, _, end = key.rpartition(".")
        also = stem if end in ("label", "title", "submit") else end if stem == "loading" else key
        return f'"{key}"' in sources or f'"{also}"' in sources

    assert demanded() <= set(CATALOG)
    assert [key for key in CATALOG if key not in demanded() and not is_used(key)] == []


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.code)
def test_every_code_has_a_sentence_that_needs_no_other_facts_than_it_is_raised_with(cause: Cause):
    check_sentence(ENGLISH.cause(cause))
    check_sentence(ENGLISH.error(Refusal(cause.code, **cause.facts)))
    assert ENGLISH.cause(Cause(cause.code))  # facts that are missing break nothing


@pytest.mark.parametrize("kind", RAISED, ids=lambda kind: kind.__name__)
def test_every_error_has_a_sentence_of_its_own(kind: type[UnlatchError]):
    error = kind(code="fatal_error") if issubclass(kind, SlackError) else kind()

    assert f"error.{kind.__name__}" in CATALOG
    check_sentence(ENGLISH.error(error))


def test_an_error_that_the_catalog_does_not_know_is_told_as_its_kind():
    class Surprise(errors.StoreUnavailable):
        pass

    assert ENGLISH.error(Surprise()) == CATALOG["error.StoreUnavailable"]


@pytest.mark.parametrize("row", EVERY, ids=lambda row: f"{row.status}-{row.cause.code if row.cause else ''}")
def test_every_row_has_its_sentences(row: ResetRequest):
    check_sentence(ENGLISH.status(row))
    assert len(ENGLISH.stage(row)) < 40
    if step := ENGLISH.next_step(row, reveal_for=HOUR):
        check_sentence(step)


def test_a_text_fits_where_slack_shows_it():
    filled = {key: text.format_map(defaultdict(lambda: "ada@contoso.com")) for key, text in CATALOG.items()}
    for end, limit in LIMITS.items():
        # the status stands in a header
        shown = {key: text for key, text in filled.items() if key.endswith(end) and "status." not in key}
        assert [key for key, text in shown.items() if len(text) > limit] == []


def test_the_english_is_plain():
    for key, text in CATALOG.items():
        assert "!" not in text, key
        assert not re.search(r"\b(some|any|no|every)body\b|\bwhoever\b|did not work", text, re.I), key


def test_a_commit_that_was_not_answered_is_never_told_as_nothing_stored():
    sentence = ENGLISH.error(errors.CommitUnknown())

    assert "unclear whether" in sentence
    assert "nothing" not in sentence.lower()
    assert "nothing" in ENGLISH.error(errors.StoreUnavailable()).lower()


def test_the_second_decision_is_told_who_decided_what_and_when():
    facts = FACTS[Code.ALREADY_DECIDED]

    assert "Denied by <@U0AIKO> <!date^" in ENGLISH.cause(Cause(Code.ALREADY_DECIDED, facts))
    by_the_clock = facts | {"status": "expired", "by": ""}
    assert "Expired <!date^" in ENGLISH.cause(Cause(Code.ALREADY_DECIDED, by_the_clock))


def test_what_microsoft_says_is_quoted_and_mentions_nobody():
    error = errors.ApproverRefused(message="No <!channel> permission.")

    assert "(Microsoft says: “No &lt;!channel&gt; permission.”)" in ENGLISH.error(error)
    assert "Microsoft says" not in ENGLISH.error(GraphError())


def test_claims_are_never_shown():
    assert "access_token" not in ENGLISH.cause(Cause(Code.SIGN_IN_ENDED, FACTS[Code.SIGN_IN_ENDED]))


@pytest.mark.parametrize(
    ("code", "facts", "said", "not_said"),
    [
        (Code.WRONG_ACCOUNT, {"account": "ken@x", "expected": ""}, "no confirmed email address", "ken@x"),
        (Code.SILENT, {"could_not_look": "SignInNeeded"}, "couldn’t be asked", "hasn’t answered"),
        (Code.SILENT, {}, "hasn’t answered", "couldn’t be asked"),
        (Code.RECENTLY_RESET, {"at": "x", "platform": "Android"}, "will stop working", "{"),
        (Code.RECENTLY_RESET, {"at": "x", "platform": "iOS"}, "Check with the owner", "will stop working"),
        *((Code.NOT_A_MEMBER, {"kind": kind}, CATALOG[f"kind.{kind}"], "{") for kind in Kind),
    ],
)
def test_a_special_case_is_told_as_what_it_is(code: Code, facts: dict[str, str], said: str, not_said: str):
    assert said in ENGLISH.cause(Cause(code, facts))
    assert not_said not in ENGLISH.cause(Cause(code, facts))


def test_the_requester_is_not_told_of_themselves_by_name():
    twice = Cause(Code.ALREADY_REQUESTED, {"ref": "A9F1C7", "by": MEI.id})

    assert ENGLISH.cause(twice, reader=MEI.id) == "You already have a pending request for this (A9F1C7)."
    assert "<@U0MEI>" in ENGLISH.cause(twice)


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (TargetKind.PERSON, "ada@contoso.com", "ada@contoso.com"),
        (TargetKind.MENTION, "U0MEI", "<@U0MEI>"),
        (TargetKind.SERIAL, "F2LX1234ABCD", "Serial number F2LX1234ABCD"),
        (TargetKind.IMEI, "490154203237518", "IMEI 490154203237518"),
        (TargetKind.NAME, "Field <phone>", "Device name Field &lt;phone&gt;"),
        (TargetKind.ID, "c8e4d4ab", "Device ID c8e4d4ab"),
        (TargetKind.APP, "app1", "App app1"),
    ],
)
def test_a_target_is_shown_in_words(kind: TargetKind, value: str, words: str):
    assert ENGLISH.target(Target(kind, value)) == words


def test_only_the_work_profile_is_promised_where_only_that_changes():
    assert "own lock stays" in ENGLISH.effect(Effect.NEW_WORK_PROFILE_PASSCODE)
    assert "own lock hasn’t changed" in CATALOG[f"effect.{Effect.NEW_WORK_PROFILE_PASSCODE}.done"]
    assert "It doesn’t open the phone’s own lock" in CATALOG[f"effect.{Effect.NEW_WORK_PROFILE_PASSCODE}.use"]
    assert "try both" in CATALOG[f"effect.{Effect.NEW_PASSCODE_OR_PROFILE}.done"]
    assert "doesn’t say which" in ENGLISH.effect(Effect.NEW_PASSCODE_OR_PROFILE)


def test_the_requester_is_told_what_is_left_when_it_failed_and_until_when_a_passcode_is_there():
    for platform, said in ((Platform.IOS, "unlock token"), (Platform.ANDROID, "policy requires")):
        row = failed(Cause(Code.DEVICE_FAILED), replace(IPHONE, platform=platform))
        step = ENGLISH.next_step(row, reveal_for=HOUR)
        assert said in step
        assert "wipe" in step
    assert "2026-03-02 13:01 UTC" in ENGLISH.next_step(done(), reveal_for=HOUR)


def test_a_request_that_was_closed_is_not_called_failed():
    closed = failed(Cause(Code.CLOSED, {"person": "U0KEN"}))

    assert ENGLISH.stage(closed) == "closed"
    assert "failed" not in ENGLISH.status(closed)


def test_the_sign_in_pages_can_show_a_refusal_without_slack():
    with_a_person = {Code.NO_EMAIL, Code.SIGN_IN_ENDED, Code.ALREADY_REQUESTED, Code.CLOSED}
    with_a_person |= {Code.ALREADY_DECIDED, Code.APPROVER_SIGNED_OUT}
    for cause in CAUSES:
        if cause.code not in with_a_person:
            page = without_markup(ENGLISH.cause(cause)).replace("<!channel>", "")  # Microsoft's own words
            assert not set(page) & set("<>*`")
