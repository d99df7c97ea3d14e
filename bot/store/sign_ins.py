"""Sealed sign-ins: one row a Slack user, one Slack user an account."""

import json
from secrets import randbits

from sqlalchemy import RowMapping, and_, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from bot.domain.errors import LostRace
from bot.domain.identifiers import UserId
from bot.ports import SignInRow
from bot.store.engine import transaction
from bot.store.rows import Values
from bot.store.schema import sign_ins


class SqlSignIns:
    """Fulfils the port `SignInRows`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def get(self, user: UserId) -> SignInRow | None:
        """The person's row."""
        async with transaction(self._engine) as connection:
            found = await connection.execute(select(sign_ins).where(sign_ins.c.user == user))
            row = found.mappings().one_or_none()
        return _row(row) if row is not None else None

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

    async def delete(self, user: UserId) -> bool:
        """Remove the row."""
        async with transaction(self._engine) as connection:
            removed = await connection.execute(delete(sign_ins).where(sign_ins.c.user == user))
        return bool(removed.rowcount)


def _values(row: SignInRow, *, version: int) -> Values:
    return {
        "user": row.user,
        "tenant": row.tenant,
        "oid": row.oid,
        "username": row.username,
        "name": row.name,
        "emails": json.dumps(sorted(row.emails)),
        "signed_in_at": row.signed_in_at,
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
        key_id=row["key_id"],
        sealed=bytes(row["sealed"]),
        version=row["version"],
    )
