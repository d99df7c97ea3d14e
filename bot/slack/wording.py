"""Every sentence that people read in Slack. Another language is another instance of `Wording`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from bot.domain.device import Device, Effect, Platform
from bot.domain.errors import (
    AlreadyAsked,
    AlreadyDecided,
    ApproverSignedOut,
    BadTarget,
    CannotReset,
    CouldNotVerify,
    DeviceBusy,
    GraphError,
    NotAMember,
    NotWaiting,
    ReasonTooLong,
    RecentlyReset,
    SignInRefused,
    TicketTooLong,
    TooOften,
    UnlatchError,
)
from bot.domain.identifiers import ChannelId, UserId
from bot.domain.people import Account, Kind
from bot.domain.request import ResetRequest, Status
from bot.domain.why import Code, Why
from bot.slack import sentences
from bot.slack.labels import Labels
from bot.slack.text import NOTHING, at, channel, inline, mention

_APPLE: Final = (Platform.IOS, Platform.IPADOS, Platform.VISIONOS)


class _Facts(dict[str, str]):
    """Facts for a sentence; one that is missing shows as a dash, never as a crash."""

    def __missing__(self, name: str) -> str:
        return NOTHING


@dataclass(frozen=True, kw_only=True)
class Wording(Labels):
    """Sentences as Slack's mrkdwn; people's text in them is escaped. Frozen: one instance a language."""

    approver_channel: ChannelId | None = None
    """Named in sentences where it is set."""
    the_channel: str = "the approver channel"

    refusals: Mapping[type[UnlatchError], str] = field(default_factory=lambda: sentences.REFUSALS)
    kinds: Mapping[Kind, str] = field(default_factory=lambda: sentences.KINDS)
    reasons: Mapping[Code, str] = field(default_factory=lambda: sentences.REASONS)
    effects: Mapping[Effect, str] = field(default_factory=lambda: sentences.EFFECTS)
    effects_in_short: Mapping[Effect, str] = field(default_factory=lambda: sentences.EFFECTS_IN_SHORT)
    states: Mapping[Status, str] = field(default_factory=lambda: sentences.STATES)
    statuses: Mapping[Status, str] = field(default_factory=lambda: sentences.STATUSES)
    decisions: Mapping[Status, str] = field(default_factory=lambda: sentences.DECISIONS)
    next: Mapping[Status, str] = field(default_factory=lambda: sentences.NEXT)
    after: Mapping[Effect, str] = field(default_factory=lambda: sentences.AFTER)
    uses: Mapping[Effect, str] = field(default_factory=lambda: sentences.USES)

    waiting_again: str = "waiting for an approver again"
    no_slack_email: str = (
        "Your Slack profile shows no confirmed e-mail address, so your Microsoft account cannot be matched "
        "to it. Ask your Slack admin to confirm it."
    )
    could_not_look: str = (
        "The device could not be asked for too long, so it is not known whether it carried the reset out. "
        "Look it up in the Intune portal, and ask the owner whether the old passcode still works."
    )
    needs_a_human_state: str = "needs a decision"
    needs_a_human: str = sentences.NEEDS_A_HUMAN
    said: str = " (Microsoft says: “{message}”)"
    anybody_can_go_on: str = "Any approver can go on with Approve."
    asks: str = "{by} asked {asked}."
    left_apple: str = (
        "If it fails again, Intune may hold an outdated unlock token. What is left then is to wipe the "
        "device in the Intune portal, which erases it."
    )
    left_android: str = (
        "An Intune admin can check that a policy requires a passcode and that resets are activated on the "
        "device. What is left otherwise is to wipe it in the Intune portal, which erases it."
    )

    reminder: str = "This request by {by} still waits for an approver. It expires {expires}. {on_call}"
    for_on_call: str = "For {groups}."

    done_as: str = "This is done as *{account}*, and Intune’s own record will say so."
    what_happens: str = "*What will happen:* {effect}"
    what_it_does: str = "*What this reset does:* {effect}"
    never_seen: str = "never. The reset waits until it comes online."
    long_ago: str = "{seen}. That is a while ago: the reset waits until it comes online."
    cannot_be_reset: str = "*Not possible:* {why}"
    and_more: str = "And {count} more devices."
    too_many: str = (
        "{count} devices match this, which is too many to choose from. Deny it, and ask the requester for a "
        "serial number."
    )
    details_left_out: str = "Details are shown for the first {count} devices."

    sign_in: str = (
        "Unlatch resets the passcode as you, with your own Intune role. So sign in with your work account "
        "in the browser; this window goes on by itself afterwards."
    )
    sign_in_claims: str = (
        "Microsoft asks you to confirm who you are once more before this. Sign in in the browser; this "
        "window goes on by itself afterwards."
    )
    sign_in_stale: str = (
        "Every approval here asks for a fresh sign-in, at most ten minutes old. Sign in in the browser; this "
        "window goes on by itself afterwards."
    )
    sign_in_code: str = (
        "Open Microsoft’s page, type this code and sign in with your own work account. It will be tied to "
        "{person}, and this window goes on by itself."
    )
    sign_in_code_warning: str = (
        "The code is for you only and works for fifteen minutes. Never type a code that somebody sends you: "
        "it would let them act as you."
    )
    signed_in_direct: str = (
        "You are signed in as {account}: what you approve is done with this Microsoft account. If that was "
        "not you, type /reset-passcode sign-out now and tell your security team."
    )
    sign_in_link_life: str = "The link is for you only. It works once, for ten minutes."
    signed_in: str = "You are signed in as {account}. You can close this window and approve requests now."
    signed_out: str = "You are signed out, and your Microsoft tokens are deleted."
    was_signed_out: str = "You were not signed in."

    approved: str = "You approved it. The card and the requester’s message say how it goes on."
    passcode_spelled: str = "To read aloud"
    passcode_recorded: str = (
        "It is on the record that you saw this passcode. It is not kept in Slack: close this window when "
        "you are done."
    )
    capital: str = "capital {letter}"
    small: str = "small {letter}"

    asked: str = (
        "Got it: a reset for {target}, request {ref}. Your direct messages from this app say how it goes on."
    )
    not_stored: str = "Your request could not be saved just now, so nothing was asked. Please try again in "
    "a minute."
    no_requests: str = "You have not asked for anything yet. Ask with /reset-passcode."
    recent: str = "Your latest requests:"
    help: str = (
        "*Reset the passcode of a phone or tablet that Intune manages.* An on-call lead approves first.\n"
        "• /reset-passcode opens the form\n"
        "• /reset-passcode mei@contoso.com locked out, on the phone with her: asks at once\n"
        '• instead of an address: @mei, serial:…, imei:…, name:"…", id:…, app:…\n'
        "• /reset-passcode status shows your latest requests\n"
        "• /reset-passcode sign-in and sign-out are for approvers: their Microsoft account carries the "
        "reset out"
    )
    no_window: str = (
        "Slack opened no window in time. Please try again; the card and your messages from this app say "
        "where a request stands."
    )
    apology: str = (
        "Something broke on our side. Look at the request to see where it stands before you try again. If "
        "it happens twice, give your Slack admin this code: {incident}"
    )

    # Sentences made of facts

    def fill(self, sentence: str, **facts: str) -> str:
        """A sentence with its facts, which are safe for Slack already."""
        return sentence.format_map(_Facts(facts))

    def channel(self) -> str:
        """The approver channel, linked where it is known."""
        return channel(self.approver_channel) if self.approver_channel else self.the_channel

    def refusal(self, error: UnlatchError, incident: str = "") -> str:
        """What to tell the one person who met `error`, and what they can do next."""
        sentence = self.refusals.get(type(error))
        return self.sorry(incident) if sentence is None else self.fill(sentence, **self._facts_of(error))

    def sorry(self, incident: str) -> str:
        """An apology for what nobody foresaw; `incident` finds it in the log."""
        return self.fill(self.apology, incident=inline(incident))

    def why(self, why: Why) -> str:
        """Why a request ended or waits again, or a sign-in was refused."""
        facts = {name: inline(value) for name, value in why.facts.items()}
        for person in ("approver", "person"):
            if person in why.facts:
                facts[person] = mention(why.facts[person])
        facts["kind"] = self._kind(why.facts.get("kind", ""))
        facts["said"] = self._said(why.facts.get("message", ""), why.facts.get("code", ""))
        if why.code is Code.SILENT and "could_not_look" in why.facts:
            return self.could_not_look
        nothing_to_match = why.code is Code.WRONG_ACCOUNT and not why.facts.get("expected")
        return self.no_slack_email if nothing_to_match else self.fill(self.reasons[why.code], **facts)

    def effect(self, effect: Effect) -> str:
        """What a reset will do."""
        return self.effects[effect]

    def outcome(self, effect: Effect | Why) -> str:
        """What a reset will do on a device, or why it cannot be done there."""
        return self.why(effect) if isinstance(effect, Why) else self.effect(effect)

    def because(self, request: ResetRequest) -> str:
        """Why it ended or waits again; empty where there is no reason, or the status says it."""
        if request.why is None or request.status is Status.UNCERTAIN:
            return ""
        return self.why(request.why)

    def state(self, request: ResetRequest) -> str:
        """Where the request stands, in a few words."""
        if request.needs_a_human:
            return self.needs_a_human_state
        again = request.status is Status.PENDING and request.why is not None
        return self.waiting_again if again else self.states[request.status]

    def headline(self, request: ResetRequest) -> str:
        """The state as a sentence."""
        return f"{self.product}: {self.state(request)}."

    def device_name(self, device: Device) -> str:
        """A device in a few words, as Intune gave them; not yet safe for Slack."""
        made = " ".join(filter(None, (device.manufacturer, device.model)))
        return ", ".join(filter(None, (device.name, made, self.system_of(device))))

    def system_of(self, device: Device) -> str:
        """The operating system and its version; not yet safe for Slack."""
        return f"{device.platform} {device.os_version}".strip()

    def passcode_use(self, request: ResetRequest) -> str:
        """What to do with the passcode that is shown."""
        if request.approval is None:
            return self.unknown
        device = inline(request.approval.device.name)
        return self.fill(self.uses[request.approval.effect], device=device)

    def status(self, request: ResetRequest) -> str:
        """Where the request stands: what it waits for, or who decided what, when."""
        sentence = self.needs_a_human if request.needs_a_human else self.statuses[request.status]
        return self.fill(
            sentence,
            by=mention(request.decided_by) if request.decided_by else self.unknown,
            decided=at(request.decided_at or request.changed_at),
            changed=at(request.changed_at),
            expires=at(request.expires_at or request.changed_at),
            channel=self.channel(),
        )

    def next_step(self, request: ResetRequest) -> str:
        """What the requester can do now."""
        if request.status is Status.DONE and request.approval is not None:
            return self.after[request.approval.effect]
        step = self.fill(self.next[request.status], channel=self.channel())
        if request.status is Status.FAILED and request.approval is not None:
            return f"{step} {self._what_is_left(request.approval.device)}"
        return step

    def decision(self, status: Status, by: UserId | None, decided_at: datetime) -> str:
        """Who decided what, when; by nobody where the clock or a check did."""
        who = mention(by) if by else self.unknown
        return self.fill(self.decisions[status], by=who, decided=at(decided_at))

    def signing_in(self, *, claims: bool = False, stale: bool = False) -> str:
        """Why to sign in: Microsoft asks for more than the sign-in that there is, or it is too old."""
        if claims:
            return self.sign_in_claims
        return self.sign_in_stale if stale else self.sign_in

    def signed_in_as(self, account: Account) -> str:
        """Told to who signed in, where no window is open to show it."""
        return self.fill(self.signed_in_direct, account=inline(account.username))

    def _what_is_left(self, device: Device) -> str:
        return self.left_apple if device.platform in _APPLE else self.left_android

    def _kind(self, kind: str) -> str:
        return self.kinds[Kind(kind)] if kind in Kind.__members__.values() else self.kinds[Kind.OUTSIDER]

    def _said(self, message: str, code: str) -> str:
        words = message or code
        return self.fill(self.said, message=inline(words)) if words else ""

    def _facts_of(self, error: UnlatchError) -> dict[str, str]:
        return {"channel": self.channel()} | self._of_input(error) | self._of_state(error)

    def _of_input(self, error: UnlatchError) -> dict[str, str]:
        """What was typed, who it was, what the far side said."""
        match error:
            case BadTarget():
                return {"typed": inline(error.typed, 80)}
            case ReasonTooLong() | TicketTooLong():
                return {"limit": str(error.limit)}
            case TooOften():
                return {"limit": str(error.limit), "until": at(error.until)}
            case NotAMember():
                return {"kind": self._kind(error.kind)}
            case CouldNotVerify():
                return {"what": inline(error.what)}
            case GraphError():
                return {"said": self._said(error.message, error.code)}
        return {}

    def _of_state(self, error: UnlatchError) -> dict[str, str]:
        """Where the request, another one or the device stands."""
        match error:
            case AlreadyDecided():
                return {"decision": self.decision(error.status, error.by, error.at)}
            case NotWaiting():
                return {"state": self.states[error.status]}
            case AlreadyAsked():
                return {"by": mention(error.by), "ref": inline(error.ref)}
            case DeviceBusy():
                return {"ref": inline(error.ref)}
            case RecentlyReset():
                return {"at": at(error.at)}
            case CannotReset() | SignInRefused():
                return {"why": self.why(error.why)}
            case ApproverSignedOut():
                return {"approver": mention(error.approver)}
        return {}


ENGLISH: Final = Wording()
