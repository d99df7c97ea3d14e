"""`unlatch requests …`: where requests stand, and all that became of one. Reads only."""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from bot.audit import reading
from bot.domain.errors import AuditBroken, Refusal
from bot.domain.request import MOVES, Status
from bot.domain.values import read_object, visible
from bot.settings import CannotStart
from bot.store.audit_log import HASH_AT, AuditLog, hash_after
from bot.store.requests import MESSAGES, check_seal, read_messages, seal_fits
from bot.store.tables import audit, requests

NOT_SHOWN: Final = frozenset({"reason", "denial", "messages", "seal"})
"""Columns. What people typed is in the audit rows."""
IN_A_LIST: Final = ("id", "status", "asked_at", "asked_by", "target_kind", "target")
ENDED: Final = [status for status in Status if not MOVES[status]]
_json: Final = partial(json.dumps, ensure_ascii=False)


def tell(
    database_url: str, audit_log: AuditLog, *, id_: str | None, ended: bool, limit: int, as_json: bool
) -> str:
    """Return the story of one request, else the newest `limit` requests, those that ended only if `ended`.

    As JSON a story has `request`, its row; `slack`, its messages; `audit`, its audit rows, oldest first; and
    `problems`, sentences about what is not as Unlatch left it. Raises CannotStart where there is no such
    request, StoreError, ValueError.
    """
    with reading(database_url) as connection:
        if id_ is None:
            wanted = select(requests).where(requests.c.status.not_in([] if ended else ENDED))
            newest = wanted.order_by(requests.c.asked_at.desc()).limit(max(1, limit))
            told: Any = [_shown(row, audit_log) for row in connection.execute(newest)]
        else:
            told = _story(connection, audit_log, id_)
    return _json(told, indent=2) if as_json else "\n".join(map(visible, _lines(told))) or "No open request."


def _story(connection: Connection, audit_log: AuditLog, id_: str) -> dict[str, Any]:
    begins = requests.c.id.startswith(id_.lower(), autoescape=True)
    rows = connection.execute(select(requests).where(begins).limit(2)).all()
    if len(rows) != 1:
        raise CannotStart(f"{'More than one' if rows else 'No'} request has an id that begins with “{id_}”.")
    [row], slack, problems = rows, {}, []
    try:
        check_seal(connection, row, audit_log)
    except (Refusal, AuditBroken) as wrong:
        problems.append(wrong.facts["reason"] if isinstance(wrong, Refusal) else str(wrong))
    try:
        slack = MESSAGES.dump_python(read_messages(row, audit_log), include={"card", "receipt"})
    except Exception:  # another program may have written anything
        problems.append("the seal of its messages in Slack does not fit")
    of_request = select(audit).where(audit.c.request_id == row.id).order_by(audit.c.seq)
    entries = [dict(entry) for entry in connection.execute(of_request).mappings()]
    for entry in entries:
        previous = connection.scalar(HASH_AT, {"seq": entry["seq"] - 1}) or audit_log.genesis.hash
        if hash_after(previous, entry) != entry["hash"]:
            problems.append(f"row {entry['seq']} of the audit log, or the row before it, was changed")
        entry["facts"] = read_object(entry["facts"])
    return {"request": _shown(row, audit_log), "slack": slack, "audit": entries, "problems": problems}


def _shown(row: Row[Any], audit_log: AuditLog) -> dict[str, Any]:
    shown = {name: value for name, value in row._mapping.items() if name not in NOT_SHOWN}
    shown |= {name: read_object(str(shown[name])) for name in ("approval", "attempt", "cause")}
    return shown | {"seal_fits": seal_fits(row, audit_log)}


def _lines(told: Any) -> Iterator[str]:
    if isinstance(told, list):
        for one in told:
            found = [*(one[name] for name in IN_A_LIST), "" if one["seal_fits"] else "THE SEAL DOES NOT FIT"]
            yield " ".join(found)
        return
    yield from (f"NOT AS UNLATCH LEFT IT: {problem}" for problem in told["problems"])
    for name, value in {**told["request"], **told["slack"]}.items():
        if value not in (None, ""):
            yield f"{name}: {_json(value)}"
    for row in told["audit"]:
        yield f"{row['seq']} {row['at']} {row['event']} {row['actor'] or '-'} {_json(row['facts'])}"
