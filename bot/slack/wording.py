"""From codes and facts to sentences: the only logic between a catalog and Slack's mrkdwn.

A catalog is one language's texts; another language is another file with the same keys.
"""

import tomllib
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from bot.domain.device import Device, Effect, Platform
from bot.domain.errors import Cause, Code, GraphError, Refusal, SignInNeeded, SlackRefused, UnlatchError
from bot.domain.people import Account
from bot.domain.request import ResetRequest, Status
from bot.domain.target import Target, TargetKind
from bot.domain.values import UserId
from bot.slack.blocks import NOTHING, date, inline, mention, without_markup
from bot.slack.errors import reason

CATALOG_EN: Final[Mapping[str, str]] = tomllib.loads(
    Path(__file__).with_name("catalog_en.toml").read_text("utf-8")
)
_PEOPLE, _TIMES = ("by", "person", "approver"), ("at", "until")
_BY_FACT: Final = {
    **dict.fromkeys((Code.SILENT, Code.DEVICE_GONE), "could_not_look"),
    **{Code.NOTHING_TO_RESET: "why", Code.APPROVER_SIGNED_OUT: "following"},
}
"""The fact with which a code has another sentence, whose key ends with the fact's name."""
_DEVICES_OWN: Final = (Code.DEVICE_FAILED, Code.NOT_SUPPORTED)
"""The device itself did not do it, so that another reset may not help."""


@dataclass(frozen=True, slots=True)
class Wording:
    """One language. What it returns is safe for mrkdwn: people's and vendors' text is escaped and cut."""

    catalog: Mapping[str, str]

    def text(self, key: str, **facts: str) -> str:
        """Return the text at `key` with its facts, which are safe already; a missing one shows as a dash."""
        return self.catalog[key].format_map(defaultdict(lambda: NOTHING, facts))

    # What went wrong

    def error(self, error: UnlatchError) -> str:
        """Return what to tell the one person who met `error`, and what they can do next."""
        match error:
            case Refusal():
                return self.cause(error.cause)
            case GraphError():
                facts = self._facts(error.as_facts())
            case SlackRefused():
                facts = {"why": self.refused(error.code)}
            case _:
                facts = {}
        return self.text(self._error_key(error), **facts)

    def refused(self, code: str) -> str:
        """Return what is wrong by Slack's word for it, and the word."""
        why = self.catalog.get(f"slack.{reason(code)}", self.catalog["slack.other"])
        return f"{why} ({inline(code)})"

    def title(self, error: UnlatchError) -> str:
        """Return what happened in at most 24 characters."""
        key = f"code.{error.code}" if isinstance(error, Refusal) else self._error_key(error)
        return self.catalog.get(f"{key}.title", self.catalog["crash.title"])

    def _error_key(self, error: UnlatchError) -> str:
        names = (getattr(error, "code", ""), *(kind.__name__ for kind in type(error).__mro__))
        return next(key for name in names if (key := f"error.{name}") in self.catalog)

    def cause(self, cause: Cause, *, reader: UserId | None = None) -> str:
        """Return the sentence of a refusal, or of why a request ended or waits again.

        `reader`: the one person who reads it, where it is only one; they are not told of themselves by name.
        """
        key, fact = f"code.{cause.code}", _BY_FACT.get(cause.code)
        if fact in cause.facts:
            key += f".{fact}"
        match cause:
            case Cause(Code.MICROSOFT_REFUSED_APPROVER, {"code": "ApprovalRequired"}):
                key += ".approval_required"
            case Cause(Code.COULD_NOT_VERIFY, {"needed": _}):
                key += ".scope"
            case Cause(Code.COULD_NOT_VERIFY, {"code": _}):
                key += ".lasting"
            case Cause(Code.WRONG_ACCOUNT, {"expected": ""}):
                key += ".no_email"
            case Cause(_, {"case": special}):
                key += f".{special}"
            case Cause(Code.RECENTLY_RESET, {"platform": Platform.ANDROID}):
                key += ".android"
            case Cause(Code.BAD_TARGET, {"problem": problem}):
                key += f".{problem}"
            case Cause(Code.ALREADY_REQUESTED, {"by": by}) if by == reader:
                key += ".by_reader"
        return self.text(key, **self._facts(cause.facts))

    def _facts(self, facts: Mapping[str, str]) -> dict[str, str]:
        """Make facts safe: ids become mentions, times Slack's dates, kinds and statuses their sentences."""
        safe = {name: _safe(name, value) for name, value in facts.items()}
        safe["kind"] = self.catalog.get(f"kind.{facts.get('kind')}", self.catalog["kind.outsider"])
        status = facts.get("status")
        if status in list(Status):
            safe["stage"] = self.text(f"status.{status}.title")
            safe["decision"] = self.text(f"status.{status}", **safe)
        safe["state"] = inline(self.enum("state", facts.get("state", "")))
        if (why := facts.get("why")) in list(Code):
            safe["why"] = self.cause(Cause(Code(why), {**facts, "why": ""}))
        # without a status or Graph's id it is a name of ours
        graphs = {"status", "request_id"} <= facts.keys()
        message = (facts.get("message") or facts.get("code")) if graphs else None
        safe["said"] = self.text("said", message=inline(message)) if message else ""
        return safe

    def enum(self, name: str, value: str) -> str:
        """Return one of Intune's words in plain ones; one that is not in the catalog as it is."""
        return self.catalog.get(f"{name}.{value.casefold() or 'unknown'}", value)

    # Where a request stands

    def stage(self, request: ResetRequest) -> str:
        """Return where it stands in a few words."""
        return self.text(f"status.{_stage(request)}.title")

    def status(self, request: ResetRequest) -> str:
        """Return where it stands in a sentence: what it waits for, or who decided what, when."""
        cause = request.cause if request.status is Status.UNCERTAIN else None
        # then nothing may be said of the device
        blind = cause is not None and (cause.code is not Code.NO_ANSWER or "could_not_look" in cause.facts)
        return self.text(
            f"status.{_stage(request)}" + (".could_not_look" if blind else ""),
            by=mention(request.decided_by or ""),
            at=date(request.decided_at or request.changed_at),
            until=date(request.expires_at or request.changed_at),
        )

    def stands(self, request: ResetRequest) -> str:
        """Return the stage and the sentence; the sentence alone where it names the stage already."""
        stage, status = self.stage(request), self.status(request)
        named = stage.casefold() in status.casefold()
        return status if named else self.text("stands", stage=stage, status=status)

    def because(self, request: ResetRequest, *, reader: UserId | None = None) -> str:
        """Return why it ended or waits again; empty where there is no reason, or the status says it."""
        cause = request.cause
        if cause is None or cause.code is Code.NO_ANSWER or request.waits_for_sign_in:
            return ""
        return self.cause(cause, reader=reader)

    def no_card(self, error: UnlatchError | None) -> str:
        """Return why no approver sees the request yet, and what the requester can do."""
        if isinstance(error, SlackRefused):
            return self.text("status.pending.next.not_notified", why=self.refused(error.code))
        return self.text("status.pending.next.not_yet")

    def next_step(self, request: ResetRequest, *, reveal_for: timedelta) -> str:
        """Return what the requester can do now; empty where nothing is left to do."""
        stage, approval = _stage(request), request.approval
        key = f"status.{stage}.next"
        if stage == Status.DONE and approval is not None:
            key = f"effect.{approval.effect}.done"
        elif approval is not None and request.cause is not None and request.cause.code in _DEVICES_OWN:
            key += ".android" if approval.device.platform is Platform.ANDROID else ".apple"
        return self.text(key, until=date(request.changed_at + reveal_for)) if key in self.catalog else ""

    def target(self, target: Target) -> str:
        """Return whose device, in words: `Serial number F2LX…`, never `serial:F2LX…`."""
        person = mention(target.value)
        return self.text(f"target.{target.kind}", value=inline(target.value), person=person)

    def spoken(self, target: Target) -> str:
        """Return whose device where nothing is linked, such as a button's label; not yet safe for Slack."""
        is_mention = target.kind is TargetKind.MENTION
        return self.text("target.mention.spoken") if is_mention else without_markup(self.target(target))

    def names(self, request: ResetRequest) -> dict[str, str]:
        return {"ref": request.ref, "target": self.target(request.target)}

    # Devices and accounts

    def effect(self, effect: Effect | Cause) -> str:
        """Return what a reset will do on a device, or why it can't be reset."""
        return self.cause(effect) if isinstance(effect, Cause) else self.text(f"effect.{effect}")

    def sign_in(self, need: SignInNeeded | None, *, account: Account | None, max_age: timedelta) -> str:
        """Return why to sign in: Microsoft asks for it, the sign-in is too old, or there is none yet."""
        for name in ("claims", "stale", "rejected"):
            if getattr(need, name, None):
                return self.text(f"sign_in.{name}")
        if account is None:
            return self.text("sign_in")
        until = date(account.signed_in_at + max_age)
        return self.text("sign_in.signed_in", account=inline(account.username), until=until)

    def with_account(self, key: str, account: Account) -> str:
        return self.text(key, account=inline(account.username))


def device_name(device: Device) -> str:
    """Return a device in a few words, as Intune gave them; not yet safe for Slack."""
    return ", ".join(filter(None, (device.name, model_of(device), system_of(device))))


def model_of(device: Device) -> str:
    """Return who made it and what it is; not yet safe for Slack."""
    return " ".join(filter(None, (device.manufacturer, device.model)))


def system_of(device: Device) -> str:
    """Return the operating system and its version; not yet safe for Slack."""
    return f"{device.platform} {device.os_version}".strip()


def _stage(request: ResetRequest) -> str:
    """Return the status, or the special case of it that people are told apart."""
    if request.needs_a_human:
        return "needs_decision"
    if request.waits_for_sign_in:
        return "unlinked"
    match request.status, request.cause:
        case (Status.PENDING, Cause(code)) if code is not Code.NOTHING_TO_RESET:
            return "reopened"
        case (Status.FAILED, Cause(_, {"could_not_look": _})):
            return "unclear"
        case (Status.REFUSED, Cause(Code.ALREADY_REQUESTED)):
            return "duplicate"
    return str(request.status)


def _safe(name: str, value: str) -> str:
    if name in _PEOPLE:
        return mention(value)
    if name in _TIMES:
        with suppress(ValueError):
            return date(datetime.fromisoformat(value))
    return inline(value)


ENGLISH: Final = Wording(CATALOG_EN)
