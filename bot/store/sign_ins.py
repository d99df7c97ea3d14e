"""Kept sign-ins, and sign-in links, whose row lives through link, flow and result; each step once."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from secrets import randbits
from typing import Any, Final

import structlog
from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from bot.domain.audit import Entry, Event
from bot.domain.errors import LostRace
from bot.domain.people import Account, SignInLink
from bot.domain.values import UserId, read_object, utc_text
from bot.store.audit_log import AuditLog, Head
from bot.store.database import Transaction
from bot.store.requests import HOUR, PERSON_LOCK, WAKE, Reader, check_quota, moment
from bot.store.tables import sign_in_links as links
from bot.store.tables import sign_ins

SAME: Final = ("user", "tenant", "oid", "username", "name", "sealed", "log_seq", "log_hash")
"""Fields of a sign-in that its columns hold as they are."""
LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
SAME_OF_LINK: Final = ("digest", "team", "user", "request_id", "view_id", "claims")
SEALED_OF_LINK: Final = (*SAME_OF_LINK, "created_at")
SIGNED: Final = (Event.SIGNED_IN, Event.SIGNED_OUT)
LINKS_SINCE: Final = select(links.c.created_at).where(
    links.c.user == bindparam("user"), links.c.created_at > bindparam("since")
)
LINK: Final = select(links).where(
    links.c.digest == bindparam("digest"), links.c.used_at.is_(None), links.c.expires_at > bindparam("now")
)
WAITING: Final = select(links).where(
    links.c.state_digest == bindparam("state_digest"), links.c.expires_at > bindparam("now")
)
BY_USER: Final = select(sign_ins).where(sign_ins.c.user == bindparam("user"))
LOCKED: Final = BY_USER.with_for_update()
BY_ACCOUNT: Final = select(sign_ins.c.user).where(
    sign_ins.c.tenant == bindparam("tenant"), sign_ins.c.oid == bindparam("oid")
)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInRow(Account):
    """One person's sign-in as stored: who they are in Entra, and their encrypted token cache."""

    user: UserId
    sealed: bytes
    log_seq: int
    """Where the audit log ended before the sign-in: its row and hash."""
    log_hash: str
    version: int = 0
    """As read; `put_sign_in` ignores it and `update_sealed` compares it."""


@dataclass(frozen=True, slots=True)
class LinkRow:
    """A sign-in link as stored, and what is encrypted with it: the flow begun from it, or its result."""

    link: SignInLink
    state_digest: str = ""
    sealed: bytes = b""
    used_at: str | None = None


def get_sign_in(connection: Reader, user: UserId) -> SignInRow | None:
    row = connection.execute(BY_USER, {"user": user}).first()
    return None if row is None else _sign_in(row)


def genuine_sign_in(
    connection: Connection, user: UserId, audit_log: AuditLog, is_sealed: Callable[[SignInRow], bool]
) -> SignInRow | None:
    """Return the row if the bot wrote it and the log has no later sign-in or sign-out; raises AuditBroken."""
    row = get_sign_in(connection, user)
    if row is None or not is_sealed(row):
        return None
    entries = audit_log.since(connection, Head(row.log_seq, row.log_hash))
    own = [_sign_in_of(one) for one in entries if one.actor == user and one.event in SIGNED]
    if own[-1:] == [(Event.SIGNED_IN, row.oid, utc_text(row.signed_in_at))]:
        return row
    log.critical("sign_in_unusable", user=user, reason="it is not the last in the audit log")
    return None


def linked_to(connection: Reader, tenant: str, oid: str) -> UserId | None:
    user = connection.scalar(BY_ACCOUNT, {"tenant": tenant, "oid": oid})
    return None if user is None else UserId(user)


def put_sign_in(tx: Transaction, row: SignInRow, entry: Entry) -> None:
    """Replace the person's row; LostRace where another Slack user has the account.

    The version goes on from the old row's, so that no stale refresh fits. Without an old row it starts at
    random: what a row had before a sign-out does not come back.
    """
    if tx.is_postgresql:  # two confirmations of one person, of which neither finds a row
        tx.execute(PERSON_LOCK, {"user": row.user})
    # Locked: of two at once both would make the same version, and a refresh of one would fit the other.
    found = tx.execute(LOCKED, {"user": row.user}).first()
    other = linked_to(tx, row.tenant, row.oid)
    if other not in (None, row.user):
        raise LostRace
    version = (randbits(30) if found is None else found.version) + 1
    values = {name: getattr(row, name) for name in SAME} | {
        "emails": json.dumps(sorted(row.emails)),
        "signed_in_at": utc_text(row.signed_in_at),
        "authenticated_at": None if row.authenticated_at is None else utc_text(row.authenticated_at),
        "version": version,
    }
    try:
        if found is None:
            tx.execute(insert(sign_ins).values(values))
        else:
            tx.execute(update(sign_ins).where(sign_ins.c.user == row.user).values(values))
    except IntegrityError:
        raise LostRace from None
    tx.execute(WAKE, {"now": utc_text(row.signed_in_at)})  # a request may wait for this
    tx.entries.append(entry)


def update_sealed(tx: Transaction, user: UserId, *, version: int, sealed: bytes) -> bool:
    """Replace the token cache, if the row is still at `version`."""
    still = and_(sign_ins.c.user == user, sign_ins.c.version == version)
    values = {"sealed": sealed, "version": version + 1}
    return tx.execute(update(sign_ins).where(still).values(values)).rowcount == 1


def delete_sign_in(tx: Transaction, user: UserId, entry: Entry, *, version: int | None = None) -> bool:
    """Delete the row with its audit entry; False, and no entry, where it is not there (at `version`)."""
    theirs = delete(sign_ins).where(sign_ins.c.user == user)
    if version is not None:
        theirs = theirs.where(sign_ins.c.version == version)
    if tx.execute(theirs).rowcount != 1:
        return False
    tx.entries.append(entry)
    return True


def sign_ins_after(connection: Connection, user: UserId | None, *, limit: int) -> Sequence[SignInRow]:
    """Return rows in the order of their users, from the one after `user`."""
    page = select(sign_ins).order_by(sign_ins.c.user).limit(limit)
    page = page if user is None else page.where(sign_ins.c.user > user)
    return [_sign_in(row) for row in connection.execute(page)]


def sign_ins_older(connection: Connection, than: datetime, *, limit: int) -> Sequence[SignInRow]:
    """Return rows signed in at or before then, oldest first."""
    old = select(sign_ins).where(sign_ins.c.signed_in_at <= utc_text(than))
    return [_sign_in(row) for row in connection.execute(old.order_by(sign_ins.c.signed_in_at).limit(limit))]


def add_link(tx: Transaction, link: SignInLink, *, now: datetime, limit: int) -> None:
    """Store a new link. Raises Refusal(QUOTA_EXCEEDED) for the person's `limit` + 1st within an hour."""
    if tx.is_postgresql:
        tx.execute(PERSON_LOCK, {"user": link.user})
    since = {"user": link.user, "since": utc_text(now - HOUR)}
    check_quota([row.created_at for row in tx.execute(LINKS_SINCE, since)], limit)
    values = {name: getattr(link, name) for name in SAME_OF_LINK}
    values |= {"created_at": utc_text(now), "expires_at": utc_text(link.expires_at)}
    values["seal"] = tx.audit_log.sealer.seal("link", *(values[name] for name in SEALED_OF_LINK))
    tx.execute(insert(links).values(values))


def find_link(connection: Connection, digest: str, audit_log: AuditLog, *, now: datetime) -> LinkRow | None:
    """Return the link, while in time and not redeemed."""
    row = connection.execute(LINK, {"digest": digest, "now": utc_text(now)}).first()
    return None if row is None else _link(row, audit_log)


def begin_flow(tx: Transaction, row: LinkRow, *, now: datetime) -> bool:
    """Keep the one flow of a link; False where it has one, is redeemed or expired."""
    free = (links.c.used_at.is_(None), links.c.state_digest.is_(None), links.c.expires_at > utc_text(now))
    return _keep(tx, row, *free)


def is_waiting(connection: Connection, state_digest: str, *, now: datetime) -> bool:
    """Return whether there is a flow or a result to be taken out."""
    given = {"state_digest": state_digest, "now": utc_text(now)}
    return connection.execute(WAITING, given).first() is not None


def take(tx: Transaction, state_digest: str, *, now: datetime) -> LinkRow | None:
    """Take a flow or a result out, while in time. Exactly one caller gets it; the row stays for the quota."""
    given = {"state_digest": state_digest, "now": utc_text(now)}
    row = tx.execute(WAITING.with_for_update(), given).first()
    if row is None:
        return None
    taken = {"state_digest": None, "sealed": None, "used_at": utc_text(now)}
    tx.execute(update(links).where(links.c.digest == row.digest).values(taken))
    return _link(row, tx.audit_log)


def put_back(tx: Transaction, row: LinkRow) -> None:
    """Undo `take`, where nothing else came in its place."""
    _keep(tx, row, links.c.state_digest.is_(None))


def hold_result(tx: Transaction, row: LinkRow, *, now: datetime) -> None:
    """Keep the result of a redeemed link, until it is taken or the link expires."""
    _keep(tx, replace(row, used_at=utc_text(now)))


def _keep(tx: Transaction, row: LinkRow, *where: ColumnElement[bool]) -> bool:
    values = {
        "state_digest": row.state_digest,
        "sealed": row.sealed,
        "used_at": row.used_at,
        "expires_at": utc_text(row.link.expires_at),
    }
    kept = update(links).where(links.c.digest == row.link.digest, *where).values(values)
    return tx.execute(kept).rowcount == 1


def sealed_links(connection: Connection) -> Sequence[bytes]:
    """Return everything that is encrypted with a link."""
    kept = select(links.c.sealed).where(links.c.sealed.is_not(None))
    return [bytes(sealed) for sealed in connection.scalars(kept)]


def sweep_links(tx: Transaction, *, now: datetime) -> None:
    """Delete links that count towards no quota any more: they expired long before."""
    tx.execute(delete(links).where(links.c.created_at <= utc_text(now - HOUR)))


def _sign_in_of(entry: Row[Any]) -> tuple[object, ...]:
    facts = read_object(entry.facts) or {}
    return entry.event, facts.get("oid"), facts.get("signed_in_at")


def _sign_in(row: Row[Any]) -> SignInRow:
    """What another program wrote is no address and no proof, and long ago: it ends with the next sweep."""
    try:
        emails = frozenset(map(str, json.loads(row.emails)))
    except (ValueError, TypeError, RecursionError):
        emails = frozenset()
    return SignInRow(
        **{name: row._mapping[name] for name in SAME},
        emails=emails,
        signed_in_at=moment(row.signed_in_at) or LONG_AGO,
        authenticated_at=moment(row.authenticated_at),
        version=row.version,
    )


def _link(row: Row[Any], audit_log: AuditLog) -> LinkRow | None:
    """Return the link, if the bot wrote whose it is, and where it leads."""
    if not audit_log.sealer.fits(row.seal, "link", *(row._mapping[name] for name in SEALED_OF_LINK)):
        log.critical("sign_in_link_tampered", user=row.user)
        return None
    same = {name: row._mapping[name] for name in SAME_OF_LINK}
    link = SignInLink(**same, expires_at=datetime.fromisoformat(row.expires_at))
    return LinkRow(link, row.state_digest or "", bytes(row.sealed or b""), row.used_at)
