"""Sealed sign-ins: one row a Slack user, one Slack user an account."""

import json
from collections.abc import Sequence
from datetime import datetime
from secrets import randbits

from sqlalchemy import RowMapping, Select, and_, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from bot.domain.errors import LostRace
from bot.domain.identifiers import UserId
from bot.domain.record import Entry
from bot.ports import SignInRow
from bot.store.engine import transaction
from bot.store.record import append
from bot.store.rows import Values
from bot.store.schema import sign_ins


class SqlSignIns:
    """Fulfils the port `SignInRows`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def get(self, user: UserId) -> SignInRow | None:
        """The person's row."""
        rows = await self._rows(select(sign_ins).where(sign_ins.c.user == user))
        return rows[0] if rows else None

    async def after(self, user: UserId | None, *, limit: int) -> Sequence[SignInRow]:
        """A page of all rows, by user."""
        page = select(sign_ins).order_by(sign_ins.c.user).limit(limit)
        return await self._rows(page if user is None else page.where(sign_ins.c.user > user))

    async def older(self, than: datetime, *, limit: int) -> Sequence[SignInRow]:
        """Rows signed in at or before then, oldest first."""
        old = select(sign_ins).where(sign_ins.c.signed_in_at <= than)
        return await self._rows(old.order_by(sign_ins.c.signed_in_at).limit(limit))

    async def unseen(self, *, since: datetime, now: datetime, limit: int) -> Sequence[UserId]:
        """Users not seen since then: longest ago first, and each to one caller."""
        due = or_(sign_ins.c.seen_at.is_(None), sign_ins.c.seen_at <= since)
        oldest = select(sign_ins.c.user).where(due).order_by(sign_ins.c.seen_at).limit(limit)
        # `due` again on the outside: a replica that waited for this one's commit finds them seen by then.
        seen = update(sign_ins).where(sign_ins.c.user.in_(oldest), due).values(seen_at=now)
        async with transaction(self._engine) as connection:
            return (await connection.scalars(seen.returning(sign_ins.c.user))).all()

    async def tied_to(self, tenant: str, oid: str) -> UserId | None:
        """Which Slack user the account is tied to."""
        theirs = select(sign_ins.c.user).where(sign_ins.c.tenant == tenant, sign_ins.c.oid == oid)
        async with transaction(self._engine) as connection:
            found: UserId | None = await connection.scalar(theirs)
        return found

    async def put(self, row: SignInRow) -> None:
        """Replace the person's row; the version goes on from the old one, so that no stale refresh fits.

        Without an old one it starts at random: what a row had before a sign-out does not come back.
        """
        mine = sign_ins.c.user == row.user
        try:
            async with transaction(self._engine) as connection:
                old: int | None = await connection.scalar(select(sign_ins.c.version).where(mine))
                await connection.execute(delete(sign_ins).where(mine))
                version = (randbits(30) if old is None else old) + 1
                await connection.execute(insert(sign_ins).values(_values(row, version=version)))
        except IntegrityError as error:
            raise LostRace from error

    async def update_cache(self, user: UserId, *, version: int, key_id: str, sealed: bytes) -> bool:
        """Compare-and-set on the version."""
        still = and_(sign_ins.c.user == user, sign_ins.c.version == version)
        values = {"key_id": key_id, "sealed": sealed, "version": version + 1}
        async with transaction(self._engine) as connection:
            changed = await connection.execute(update(sign_ins).where(still).values(values))
        return bool(changed.rowcount)

    async def delete(self, user: UserId, entry: Entry, *, version: int | None = None) -> bool:
        """Remove the row, and say so in the record, or neither."""
        theirs = delete(sign_ins).where(sign_ins.c.user == user)
        if version is not None:
            theirs = theirs.where(sign_ins.c.version == version)
        async with transaction(self._engine) as connection:
            if not (await connection.execute(theirs)).rowcount:
                return False
            await append(connection, entry)
        return True

    async def _rows(self, query: Select[tuple[object, ...]]) -> Sequence[SignInRow]:
        async with transaction(self._engine) as connection:
            return [_row(row) for row in (await connection.execute(query)).mappings()]


def _values(row: SignInRow, *, version: int) -> Values:
    return {
        "user": row.user,
        "tenant": row.tenant,
        "oid": row.oid,
        "username": row.username,
        "name": row.name,
        "emails": json.dumps(sorted(row.emails)),
        "signed_in_at": row.signed_in_at,
        "authenticated_at": row.authenticated_at,
        "seen_at": row.signed_in_at,
        "key_id": row.key_id,
        "sealed": row.sealed,
        "version": version,
    }


def _row(row: RowMapping) -> SignInRow:
    return SignInRow(
        user=UserId(row["user"]),
        tenant=row["tenant"],
        oid=row["oid"],
        username=row["username"],
        name=row["name"],
        emails=frozenset(json.loads(row["emails"])),
        signed_in_at=row["signed_in_at"],
        authenticated_at=row["authenticated_at"],
        key_id=row["key_id"],
        sealed=bytes(row["sealed"]),
        version=row["version"],
    )
