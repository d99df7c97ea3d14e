"""Requests in every state, for what shows them."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bot.domain.device import Device, Effect, Platform
from bot.domain.identifiers import DeviceId, RequestId, TeamId, UserId
from bot.domain.people import Account, Kind, Person
from bot.domain.request import Approval, ResetRequest, Status, Timing
from bot.domain.target import Target, TargetKind
from bot.domain.why import Code, Why
from bot.resets.review import Choice, Review

NOW = datetime(2026, 11, 23, 20, 54, tzinfo=UTC)
TIMING = Timing()
TEAM = TeamId("T0CONTOSO")
MEI, KEN = UserId("U0MEI"), UserId("U0KEN")
REQUEST_ID = RequestId("4f2a1c" + "0" * 26)


def received(
    reason: str = "locked out, on the phone with her", ticket: str | None = "INC-1024"
) -> ResetRequest:
    """Mei has asked for Ada."""
    return ResetRequest(
        id=REQUEST_ID,
        delivery="trigger",
        team=TEAM,
        asked_by=MEI,
        asked_by_team=TEAM,
        asked_at=NOW,
        target=Target(TargetKind.PERSON, "ada@contoso.com"),
        reason=reason,
        ticket=ticket,
        changed_at=NOW,
        next_at=NOW,
    )


def pending(asked: ResetRequest | None = None) -> ResetRequest:
    """It waits for an approver."""
    asked = asked or received()
    return asked.accept(target=asked.target, now=NOW, timing=TIMING)


def waiting_again(why: Why) -> ResetRequest:
    """The approver could not carry it out."""
    return attempted().wait_again(why, now=NOW, timing=TIMING)


def iphone(**changes: str) -> Device:
    """Ada's phone."""
    phone = Device(
        id=DeviceId("c8e4d4ab-9f0b-4f5c-8f5a-7e1d0a2b3c4d"),
        name="Ada’s iPhone",
        platform=Platform.IOS,
        os_version="18.1",
        manufacturer="Apple",
        model="iPhone 15",
        serial="F2LXK1ABCD",
        enrollment="deviceEnrollmentProgram",
        agent="mdm",
        management_state="managed",
        compliance="compliant",
        owner_upn="ada@contoso.com",
        owner_name="Ada Lindqvist",
        last_sync_at=NOW - timedelta(hours=1),
    )
    return replace(phone, **changes)  # type: ignore[arg-type]  # only fields of text are changed


def approved(
    effect: Effect = Effect.REMOVES_PASSCODE, device: Device | None = None, asked: ResetRequest | None = None
) -> ResetRequest:
    """Ken has approved it."""
    approval = Approval(
        by=KEN, oid="oid", username="ken@contoso.com", at=NOW, device=device or iphone(), effect=effect
    )
    waiting = pending(asked)
    return waiting.approve(approval, reviewed=waiting.round)


def attempted(
    effect: Effect = Effect.REMOVES_PASSCODE, device: Device | None = None, asked: ResetRequest | None = None
) -> ResetRequest:
    """The attempt has started."""
    call = "7d1f0c1e-0000-4000-8000-000000000001"
    return approved(effect, device, asked).attempt_starts(client_request_id=call, now=NOW, timing=TIMING)


def done(effect: Effect = Effect.REMOVES_PASSCODE, device: Device | None = None) -> ResetRequest:
    """The device has done it."""
    return attempted(effect, device).sent(now=NOW, timing=TIMING).done(NOW, now=NOW)


def needs_a_human() -> ResetRequest:
    """The answer was lost and the attempt not found."""
    return attempted().lost_sight(now=NOW, timing=TIMING).give_up_looking(now=NOW)


def whys() -> Iterator[Why]:
    """One reason of every kind, as the rooms write them."""
    facts = {
        "kind": "guest",
        "what": "Slack",
        "person": "U0ADA",
        "device": "Ada’s iPhone",
        "system": "Windows 11",
        "state": "retirePending",
        "account": "ken@contoso.com",
        "expected": "aiko@contoso.com",
        "approver": "U0KEN",
        "code": "AADSTS50105",
        "message": "You cannot perform the requested operation.",
        "error_code": "-2016341107",
        "part": "signature",
        "ref": "A1B2C3",
    }
    return (Why(code, facts) for code in Code)


def in_every_status() -> Iterator[ResetRequest]:
    """At least one row of every status."""
    refusal = Why(Code.NOT_A_REQUESTER)
    sent = attempted().sent(now=NOW, timing=TIMING)
    lost = attempted().lost_sight(now=NOW, timing=TIMING)
    rows = [
        received(),
        received().refuse(refusal, now=NOW),
        pending(),
        waiting_again(Why(Code.SIGN_IN_ENDED, {"approver": "U0KEN"})),
        approved(),
        pending().deny("Call her back on the number in the directory.", by=KEN, now=NOW),
        pending().withdraw(by=MEI, now=NOW),
        pending().expire(now=NOW),
        sent,
        *(done(effect) for effect in Effect),
        *(sent.fail(why, now=NOW) for why in whys()),
        lost,
        needs_a_human(),
    ]
    assert {row.status for row in rows} == set(Status)
    yield from rows


def review_of(*choices: Choice, asked: ResetRequest | None = None) -> Review:
    """What Ken sees."""
    return Review(
        request=asked or pending(),
        requester=Person(id=MEI, team_id=TEAM, kind=Kind.MEMBER, name="mei", email="mei@contoso.com"),
        account=Account(
            tenant="tenant", oid="oid", username="ken@contoso.com", name="Ken Ito", signed_in_at=NOW
        ),
        choices=choices,
    )
