"""Requests as rows and back. JSON is read leniently: unknown keys are dropped, missing ones have defaults."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping

from bot.domain.chain import facts_text
from bot.domain.device import Device, Effect, Platform
from bot.domain.identifiers import ChannelId, DeviceId, RequestId, TeamId, UserId
from bot.domain.record import Entry
from bot.domain.request import Approval, Attempt, ResetRequest, Status
from bot.domain.target import Target, TargetKind
from bot.domain.why import Code, Why
from bot.ports import MessageRef, Shown

Values = dict[str, Any]


def request_values(request: ResetRequest) -> Values:
    """The columns of a request."""
    attempt = request.attempt
    return {
        "id": request.id,
        "delivery": request.delivery,
        "team": request.team,
        "asked_by": request.asked_by,
        "asked_by_team": request.asked_by_team,
        "asked_at": request.asked_at,
        "target_kind": request.target.kind,
        "target": request.target.value,
        "reason": request.reason,
        "ticket": request.ticket,
        "status": request.status,
        "version": request.version,
        "changed_at": request.changed_at,
        "expires_at": request.expires_at,
        "reminders": request.reminders,
        "decided_by": request.decided_by,
        "decided_at": request.decided_at,
        "denial": request.denial,
        "approval": _json(request.approval),
        "attempt_number": attempt.number if attempt else None,
        "attempt_started_at": attempt.started_at if attempt else None,
        "client_request_id": attempt.client_request_id if attempt else None,
        "attempts": request.attempts,
        "why": json.dumps({"code": request.why.code, "facts": dict(request.why.facts)})
        if request.why
        else None,
        "next_at": request.next_at,
        "open_target": request.open_target,
        "held_device": request.holds,
        "attempt_seen_at": attempt.seen_at if attempt else None,
    }


def read_request(row: RowMapping) -> ResetRequest:
    """The request of a row."""
    return ResetRequest(
        id=RequestId(row["id"]),
        delivery=row["delivery"],
        team=TeamId(row["team"]),
        asked_by=UserId(row["asked_by"]),
        asked_by_team=row["asked_by_team"],
        asked_at=row["asked_at"],
        target=Target(TargetKind(row["target_kind"]), row["target"]),
        reason=row["reason"],
        ticket=row["ticket"],
        status=Status(row["status"]),
        version=row["version"],
        changed_at=row["changed_at"],
        next_at=row["next_at"],
        expires_at=row["expires_at"],
        reminders=row["reminders"],
        decided_by=row["decided_by"],
        decided_at=row["decided_at"],
        denial=row["denial"],
        approval=_approval(row["approval"]),
        attempt=_attempt(row),
        attempts=row["attempts"],
        why=_why(row["why"]),
        holds=row["held_device"],
    )


def shown_values(shown: Shown) -> Values:
    """The columns of what Slack shows."""
    return {
        "card_channel": shown.card.channel if shown.card else None,
        "card_ts": shown.card.ts if shown.card else None,
        "card_digest": shown.card_digest,
        "receipt_channel": shown.receipt.channel if shown.receipt else None,
        "receipt_ts": shown.receipt.ts if shown.receipt else None,
        "receipt_digest": shown.receipt_digest,
        "shown_reminders": shown.reminders,
        "posting": shown.posting,
        "show_failures": shown.failures,
    }


def read_shown(row: RowMapping) -> Shown:
    """What Slack shows of a row."""
    return Shown(
        card=_ref(row["card_channel"], row["card_ts"]),
        card_digest=row["card_digest"],
        receipt=_ref(row["receipt_channel"], row["receipt_ts"]),
        receipt_digest=row["receipt_digest"],
        reminders=row["shown_reminders"],
        posting=row["posting"],
        failures=row["show_failures"],
    )


def entry_values(entry: Entry) -> Values:
    """The columns of an audit row."""
    return {
        "at": entry.at,
        "event": entry.event,
        "actor": entry.actor,
        "request_id": entry.request_id,
        "facts": facts_text(dict(entry.facts)),
    }


def _json(value: Approval | None) -> str | None:
    return None if value is None else json.dumps(asdict(value), default=_text, ensure_ascii=False)


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def _approval(text: str | None) -> Approval | None:
    if text is None:
        return None
    known = _known(Approval, json.loads(text))
    known["device"] = _device(known["device"])
    known["effect"] = Effect(known["effect"])
    known["at"] = _moment(known["at"])
    known["previous_reset_at"] = _moment(known.get("previous_reset_at"))
    return Approval(**known)


def _device(value: Mapping[str, Any]) -> Device:
    known = _known(Device, value)
    known["id"] = DeviceId(known["id"])
    known["platform"] = Platform(known["platform"])
    known["last_sync_at"] = _moment(known.get("last_sync_at"))
    return Device(**known)


def _known(kind: type[Approval] | type[Device], value: Mapping[str, Any]) -> Values:
    names = {field.name for field in fields(kind)}
    return {name: content for name, content in value.items() if name in names}


def _attempt(row: RowMapping) -> Attempt | None:
    if row["attempt_number"] is None:
        return None
    return Attempt(
        number=row["attempt_number"],
        started_at=row["attempt_started_at"],
        client_request_id=row["client_request_id"],
        seen_at=row["attempt_seen_at"],
    )


def _why(text: str | None) -> Why | None:
    if text is None:
        return None
    value = json.loads(text)
    return Why(Code(value["code"]), value["facts"])


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _ref(channel: str | None, ts: str | None) -> MessageRef | None:
    return MessageRef(ChannelId(channel), ts) if channel and ts else None
