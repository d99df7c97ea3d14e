"""One catalog: a sentence for all that can go wrong or happen, used, filled and within Slack's limits."""

import json
import re
from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from html import unescape
from pathlib import Path

import pytest
from bot.domain import errors
from bot.domain.device import Effect, Platform
from bot.domain.errors import Cause, Code, Refusal
from bot.domain.people import Kind
from bot.domain.request import BLIND, ResetRequest, Status
from bot.domain.target import Target, TargetKind
from bot.slack import wording
from bot.slack.blocks import NOTHING, without_markup
from bot.slack.errors import CONTENT, SCOPE, TOKEN, reason
from bot.slack.messages import recent
from bot.slack.wording import CATALOG_EN as CATALOG
from bot.slack.wording import ENGLISH
from tests.support.builders import MEI, NOON, a_request
from tests.unit.slack.rows import AT, CAUSES, EVERY, FACTS, GRAPHS, IPHONE, done, failed, pending

HOUR = timedelta(hours=1)
UNTITLED = {
    # kept in a row
    *(Code.SIGN_IN_ENDED, Code.MICROSOFT_REFUSED_APPROVER, Code.NOT_EXECUTED, Code.MICROSOFT_REFUSED_DEVICE),
    *(Code.DEVICE_FAILED, Code.NOT_SUPPORTED, Code.CANCELED, Code.SILENT, Code.CLOSED, Code.NO_ANSWER),
    *(Code.UNKNOWN_PATH, Code.HEAD_NOT_KEPT, Code.NO_EMAIL, Code.ALREADY_REQUESTED, Code.TOO_MANY_OPEN),
    # told in the form, or on a page
    *(Code.BAD_TARGET, Code.TICKET_TOO_LONG, Code.LINK_UNUSABLE),
}
STAGES = [*Status, "unlinked", "reopened", "needs_decision", "unclear", "duplicate"]
LIMITS = {".title": 24, ".submit": 24, ".short": 75, ".label": 75, ".placeholder": 150, "again.option": 75}
WORDS = {
    **dict.fromkeys(sorted(TOKEN), "no longer accepts Unlatch’s token"),
    **dict.fromkeys(sorted(SCOPE), "lacks a Slack permission"),
    **dict.fromkeys(sorted(CONTENT), "doesn’t take the message"),
    **dict.fromkeys(("restricted_action", "restricted_action_read_only_channel"), "restricts who may post"),
    "is_archived": "archived",
    "channel_not_found": "isn’t in the channel, or it doesn’t exist",
    "not_in_channel": "isn’t in the channel",
    "ekm_access_denied": "suspended posting",
    "messages_tab_disabled": "direct messages from Unlatch are turned off",
    "other": "Slack refuses it",
    "a_new_word": "Slack refuses it",
}
"""What people read for each of Slack's words that no waiting mends."""
RAISED = [errors.UnlatchError] + [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.UnlatchError) and not issubclass(kind, Refusal)
    if not kind.__subclasses__()
]
"""Every class of the tree that is raised; a Refusal has a code instead."""
SPECS = Path(__file__).parents[2] / "specs"
BETA = json.loads((SPECS / "intune-enums.json").read_text())
SCHEMAS = json.loads((SPECS / "graph-v1.0-intune.openapi.json").read_text())["components"]["schemas"]
ENUMS = {"ownership": "managedDeviceOwnerType", "enrollment": "deviceEnrollmentType"}
ENUMS |= {"state": "managementState", "compliance": "complianceState"}
INTUNES = {
    name: [*SCHEMAS[f"microsoft.graph.{enum}"]["enum"], *BETA.get(enum, [])] for name, enum in ENUMS.items()
}
"""Every word of Intune's that people read, from Microsoft's own lists."""

SPECIAL = [
    *((Code.ENTRA_ERROR, mend) for mend in ("admin", "account", "more")),
    *((Code.CONSENT_DENIED, "admin"), (Code.REQUESTER_LEFT, "membership"), (Code.NOT_AN_APPROVER, "sign_in")),
]
"""Codes whose facts name a special case."""


def demanded() -> set[str]:
    """The keys that enums and classes demand, which no source spells out."""
    keys = {f"code.{code}" for code in Code} | {f"code.{code}.title" for code in {*Code} - UNTITLED}
    names = ("NotGraph", *(kind.__name__ for kind in RAISED))
    keys |= {f"error.{name}{end}" for name in names for end in ("", ".title")}
    keys |= {f"status.{stage}{end}" for stage in STAGES for end in ("", ".title", ".next")}
    keys |= {f"effect.{effect}{end}" for effect in Effect for end in ("", ".short", ".done", ".use")}
    keys |= {f"kind.{kind}" for kind in Kind} | {f"target.{kind}" for kind in TargetKind}
    keys |= {"code.bad_target.quote", "code.bad_target.check_digit"}
    keys |= {"code.already_requested.by_reader", "code.recently_reset.android", "code.silent.could_not_look"}
    keys |= {"code.device_gone.could_not_look", "code.nothing_to_reset.why"}
    keys |= {f"{name}.{value.casefold()}" for name, values in INTUNES.items() for value in values}
    keys |= {"code.could_not_verify.lasting", "code.could_not_verify.scope"}
    keys |= {"code.wrong_account.no_email", "status.failed.next.android", "status.failed.next.apple"}
    keys |= {"code.approver_signed_out.following", "code.microsoft_refused_approver.approval_required"}
    keys |= {f"status.{stage}.could_not_look" for stage in ("uncertain", "needs_decision")}
    keys |= {f"code.{code}.{case}" for code, case in SPECIAL}
    keys |= {f"slack.{reason(word)}" for word in WORDS if word != "a_new_word"}
    keys |= {f"sign_in.{why}" for why in ("claims", "stale", "rejected")}
    return keys - {"status.refused.next", "status.done.next", "status.duplicate.next"}


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
    assert len(ENGLISH.title(Refusal(cause.code))) <= 24


@pytest.mark.parametrize(("code", "case"), SPECIAL)
def test_a_special_case_has_a_sentence_of_its_own_with_the_same_facts(code: Code, case: str):
    facts = FACTS.get(code, {})
    told = ENGLISH.error(Refusal(code, **facts, case=case))
    check_sentence(told)
    assert told != ENGLISH.error(Refusal(code, **facts))
    assert facts.get("code", "") in told


@pytest.mark.parametrize("kind", RAISED, ids=lambda kind: kind.__name__)
def test_every_error_has_a_sentence_of_its_own(kind: type[errors.UnlatchError]):
    check_sentence(ENGLISH.error(kind(code="fatal_error") if issubclass(kind, errors.SlackError) else kind()))


@pytest.mark.parametrize("row", EVERY, ids=lambda row: f"{row.status}-{row.cause.code if row.cause else ''}")
def test_every_row_has_its_sentences_and_says_once_where_it_stands(row: ResetRequest):
    check_sentence(ENGLISH.status(row))
    assert len(ENGLISH.stage(row)) < 40
    if step := ENGLISH.next_step(row, reveal_for=HOUR):
        check_sentence(step)
    said = recent([row], ENGLISH, now=NOON, reveal_for=HOUR, total=1).text
    heading, line = said.split("\n")
    assert (heading, line.lower().count(ENGLISH.stage(row))) == ("Your requests:", 1)
    assert f"• {row.ref}, " in line
    assert ENGLISH.status(row) in line


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


def told(code: Code, **facts: str) -> str:
    return ENGLISH.cause(Cause(code, facts))


def unsure(cause: Cause, **changes: object) -> str:
    return ENGLISH.status(a_request(Status.UNCERTAIN, cause=cause, **changes))


def next_step(row: ResetRequest) -> str:
    return ENGLISH.next_step(row, reveal_for=HOUR)


BROKEN, PIXEL = Cause(Code.DEVICE_FAILED), replace(IPHONE, platform=Platform.ANDROID)
DENIED, ENDED = FACTS[Code.ALREADY_DECIDED], FACTS[Code.SIGN_IN_ENDED]
TWICE = Cause(Code.ALREADY_REQUESTED, {"ref": "A9F1C7", "by": MEI.id})
CLOSED = a_request(Status.CLOSED, cause=Cause(Code.CLOSED, {"person": "U0KEN"}))
UNSEEN = Cause(Code.SILENT, {"could_not_look": "x"})
MAA = Cause(Code.MICROSOFT_REFUSED_APPROVER, GRAPHS | {"code": "ApprovalRequired"})
NO_REPLY = errors.OutcomeUnknown(code="ReadTimeout")
QUOTED = errors.ApproverRefused(403, message="No <!channel>", request_id="r1")
PROXYS = errors.OutcomeUnknown(status=403, code=errors.NOT_GRAPH)
BROKEN_ANSWER = errors.OutcomeUnknown(code="Unreadable", request_id="r1")
SAW_NONE = {"why": "wrong_platform", "device": "Ada’s PC", "system": "Windows 11"}
PROFILE, EITHER = f"effect.{Effect.NEW_WORK_PROFILE_PASSCODE}", f"effect.{Effect.NEW_PASSCODE_OR_PROFILE}"
TOLD = {
    "a check digit": (told(Code.BAD_TARGET, typed="imei:1", problem="check_digit"), "has a typo", "can’t be"),
    "an open quote": (told(Code.BAD_TARGET, typed='name:"x', problem="quote"), "isn’t closed", "can’t be"),
    "an unanswered commit is unclear": (ENGLISH.error(errors.CommitUnknown()), "unclear whether", "nothing"),
    "a store that is away did nothing": (ENGLISH.error(errors.StoreUnavailable()), "nothing was", "unclear"),
    "who decided what, when": (told(Code.ALREADY_DECIDED, **DENIED), "Denied by <@U0AIKO> <!date^", NOTHING),
    "nobody decided in time": (told(Code.ALREADY_DECIDED, status="expired", at=AT), "Expired <!date^", "<@"),
    "Microsoft is quoted": (ENGLISH.error(QUOTED), "(Microsoft says: “No &lt;!channel&gt;”)", "<"),
    "no word of ours is Microsoft's": (ENGLISH.error(NO_REPLY), "Nothing was changed", "ReadTimeout"),
    "g15 another's answer": (ENGLISH.error(PROXYS), "such as a proxy", "Microsoft says"),
    "g14 nor is a broken answer quoted": (ENGLISH.error(BROKEN_ANSWER), "Nothing was changed", "Unreadable"),
    "g35 what one approver sees": (told(Code.NOTHING_TO_RESET, **SAW_NONE), "runs Windows 11. Only", "–"),
    "g35 who looked": (told(Code.NOTHING_TO_RESET, approver="U0KEN"), "<@U0KEN> has looked", "{"),
    "g35 waits as before": (ENGLISH.stage(pending(cause=Cause(Code.NOTHING_TO_RESET))), "waiting", "again"),
    "g38 who cannot read": (told(Code.CANNOT_READ, approver="U0KEN"), "let <@U0KEN> read this device", "{"),
    "g33 gone for all": (told(Code.DEVICE_GONE, could_not_look="x"), "another ID", "on-call lead"),
    "Intune's own words": (told(Code.NOT_MANAGED, state="retireIssued"), "being retired", "retireIssued"),
    "a word of next year": (told(Code.NOT_MANAGED, state="lentOut"), "lentOut", "{"),
    "Microsoft said nothing": (ENGLISH.error(errors.GraphError()), ".", "Microsoft says"),
    "claims are never shown": (told(Code.SIGN_IN_ENDED, **ENDED), "ended", "access_token"),
    "no address": (told(Code.WRONG_ACCOUNT, account="ken@x", expected=""), "no confirmed email", "ken@x"),
    "Intune was not asked": (told(Code.SILENT, could_not_look="x"), "couldn’t be asked", "hasn’t answered"),
    "Intune was not asked, so nothing failed": (ENGLISH.status(failed(UNSEEN)), "unclear", "failed"),
    "nobody looked, so nothing is said": (unsure(UNSEEN), "couldn’t be checked", "no reset could be found"),
    "nobody can look": (unsure(Cause(Code.CANNOT_READ), next_at=NOON), "may or may not", "Checking"),
    "a second administrator": (ENGLISH.cause(MAA), "second admin", "role"),
    "the device is silent": (told(Code.SILENT), "hasn’t answered", "couldn’t be asked"),
    "Android again": (told(Code.RECENTLY_RESET, at="x", platform="Android"), "will stop working", "{"),
    "Apple again": (told(Code.RECENTLY_RESET, at="x", platform="iOS"), "with the owner", "will stop working"),
    "your own open request": (ENGLISH.cause(TWICE, reader=MEI.id), "You requested it before", "<@"),
    "another's open request": (ENGLISH.cause(TWICE), "<@U0MEI> requested it before you", "You "),
    **{kind: (told(Code.NOT_A_MEMBER, kind=kind), CATALOG[f"kind.{kind}"], "{") for kind in Kind},
    "only the work profile": (CATALOG[PROFILE], "own lock stays", "device"),
    "only the work profile, done": (CATALOG[f"{PROFILE}.done"], "own lock hasn’t changed", "device"),
    "only the work profile, read": (CATALOG[f"{PROFILE}.use"], "doesn’t open the phone’s own lock", "{until"),
    "either": (CATALOG[EITHER], "doesn’t say which", "{"),
    "either, done": (CATALOG[f"{EITHER}.done"], "try both", "{device"),
    "closed is not failed": (ENGLISH.stands(CLOSED), "outcome unknown", "failed"),
    "failed on Apple": (next_step(failed(BROKEN)), "unlock token", "policy"),
    "silent, so no erasing": (next_step(failed(Cause(Code.SILENT), PIXEL)), "on-call lead", "erases"),
    "failed on Android": (next_step(failed(BROKEN, PIXEL)), "policy requires", "unlock token"),
    "until when a passcode is there": (next_step(done()), "2026-03-02 13:01 UTC", NOTHING),
}


@pytest.mark.parametrize(("sentence", "said", "not_said"), TOLD.values(), ids=TOLD)
def test_a_special_case_is_told_as_what_it_is(sentence: str, said: str, not_said: str):
    assert said in sentence
    assert not_said not in sentence


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
    spoken = "the person you mentioned" if kind is TargetKind.MENTION else unescape(words)
    assert ENGLISH.spoken(Target(kind, value)) == spoken


def test_the_sign_in_pages_can_show_a_refusal_without_slack():
    with_a_person = {Code.NO_EMAIL, Code.SIGN_IN_ENDED, Code.ALREADY_REQUESTED, Code.CLOSED}
    with_a_person |= {Code.ALREADY_DECIDED, Code.NOTHING_TO_RESET, Code.REQUESTER_LEFT, *BLIND}
    for cause in CAUSES:
        if cause.code not in with_a_person:
            page = without_markup(ENGLISH.cause(cause)).replace("<!channel>", "")  # Microsoft's own words
            assert not set(page) & set("<>*`")


@pytest.mark.parametrize(("word", "told"), WORDS.items(), ids=[f"S07-S22-{word}" for word in WORDS])
def test_every_word_that_no_waiting_mends_has_its_sentence_and_is_quoted(word: str, told: str):
    for sentence in (ENGLISH.error(errors.SlackRefused(word)), ENGLISH.no_card(errors.SlackRefused(word))):
        check_sentence(sentence)
        assert told in sentence
        assert f"({word})" in sentence.replace("ˍ", "_")
    assert "as soon as Slack takes the message" in ENGLISH.no_card(errors.SlackUnavailable("ratelimited"))
