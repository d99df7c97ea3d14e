"""Links and sign-ins as two replicas see them: one database, one Entra, a clock moved by hand."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final

import httpx
from bot.domain.audit import Entry, Event
from bot.domain.people import Account, Confirmation, SignInLink, SignInResult
from bot.domain.values import Secret, UserId, utc_text
from bot.entra.links import EntraLinks
from bot.entra.sign_ins import EntraSignIns
from bot.entra.vault import Vault, for_sign_in
from bot.store import sign_ins as rows
from bot.store.database import Database
from bot.store.sign_ins import SignInRow
from bot.store.tables import audit, sign_in_links
from bot.timing import Timing
from sqlalchemy import Row, Table, delete, select, text, update
from tests.support import builders
from tests.support.builders import TEAM
from tests.unit.entra.fake_entra import AUTHORITY, KEN_OID, FakeEntra, Form, a_client

KEN, AIKO = builders.KEN.id, builders.AIKO.id
PUBLIC: Final = "https://unlatch.contoso.com"
OLD_KEY, NEW_KEY = b"o" * 32, b"n" * 32


async def redeem(setup: "SignInFixture", form: Mapping[str, str]) -> SignInResult:
    async with setup.links.redeem(form) as result:
        return result


async def take(setup: "SignInFixture", confirmation: Confirmation) -> SignInResult:
    async with setup.links.take(confirmation) as result:
        return result


class SignInFixture:
    """One replica, which knows OLD_KEY alone."""

    def __init__(self, database: Database, entra: FakeEntra, *keys: bytes, authority: str = AUTHORITY):
        self.database, self.entra, self.clock = database, entra, entra.clock
        client, vault = a_client(entra, authority=authority), Vault(keys or [OLD_KEY])
        timing, now = Timing(), self.clock.now
        self.links = EntraLinks(client, vault, database, public_url=PUBLIC, timing=timing, now=now)
        self.sign_ins = EntraSignIns(client, vault, database, timing=timing, now=now)
        self._links = 0

    def replica(self, *keys: bytes, authority: str = AUTHORITY) -> "SignInFixture":
        return SignInFixture(self.database, self.entra, *keys, authority=authority)

    async def link(self, user: UserId = KEN, **changes: str) -> Secret:
        """Store a link of this user, and return its text."""
        self._links += 1
        secret = Secret(f"link-{self._links}".ljust(43, "x"))
        digest = hashlib.sha256(secret.reveal().encode()).hexdigest()
        expires_at = self.clock.now() + Timing().link_lifetime
        link = SignInLink(digest=digest, team=TEAM, user=user, expires_at=expires_at, **changes)
        url = await self.links.create(link, secret, limit=1000)
        assert url == f"{PUBLIC}/sign-in/{secret.reveal()}"
        return secret

    async def returned(self, user: UserId = KEN, oid: str = KEN_OID, **changes: str) -> Form:
        """Return what the browser brings back from a sign-in at Microsoft, not yet redeemed."""
        url = await self.links.authorization_url(await self.link(user, **changes), login_hint=None)
        return self.entra.sign_in(url, oid)

    async def redeemed(self, user: UserId = KEN, oid: str = KEN_OID, **changes: str) -> SignInResult:
        return await redeem(self, await self.returned(user, oid, **changes))

    async def keep(self, user: UserId, result: SignInResult) -> None:
        facts = result.account.as_facts() | {"signed_in_at": utc_text(result.account.signed_in_at)}
        entry = Entry(event=Event.SIGNED_IN, at=self.clock.now(), actor=user, facts=facts)
        await self.sign_ins.keep(user, result, entry)

    async def sign_in(self, user: UserId = KEN, oid: str = KEN_OID) -> Account:
        result = await self.redeemed(user, oid)
        await self.keep(user, result)
        return result.account

    async def row(self, user: UserId = KEN) -> SignInRow | None:
        return (await self.all_rows()).get(user)

    async def all_rows(self) -> dict[UserId, SignInRow]:
        found = await self.database.read(lambda connection: rows.sign_ins_after(connection, None, limit=100))
        return {row.user: row for row in found}

    async def overwrite(self, user: UserId, sealed: bytes) -> None:
        """Put other sealed bytes into the user's row, as whoever can write to the database could."""
        row = (await self.all_rows())[user]
        assert await self.database.run(
            lambda tx: rows.update_sealed(tx, user, version=row.version, sealed=sealed)
        )

    async def change(self, table: Table, **values: object) -> None:
        """Change the table's one row, as whoever can write to the database could."""
        change = update(table).values(values)
        assert await self.database.run(lambda tx: tx.execute(change).rowcount) == 1

    async def remove_from_audit_log(self, event: Event) -> None:
        """Delete rows of the audit log, as the owner of the tables could."""
        await self.database.run(lambda tx: tx.execute(text("DROP TRIGGER audit_no_delete")) and None)
        gone = delete(audit).where(audit.c.event == event.value)
        await self.database.run(lambda tx: tx.execute(gone).rowcount)

    async def links_stored(self) -> list[Row[Any]]:
        query = select(sign_in_links).order_by(sign_in_links.c.created_at)
        return await self.database.read(lambda connection: list(connection.execute(query)))

    async def cache(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Return Ken's token cache, opened."""
        row = await self.row()
        opened = Vault([OLD_KEY]).open(row.sealed, for_sign_in(row))
        return json.loads(opened)

    async def change_token(self, kind: str, **changes: object) -> None:
        """Change a token in Ken's cache, as time would."""
        content, row = await self.cache(), await self.row()
        (token,) = content[kind].values()
        token.update(changes)
        sealed = Vault([OLD_KEY]).seal(json.dumps(content).encode(), for_sign_in(row))
        await self.overwrite(KEN, sealed)

    async def expire_token(self) -> None:
        await self.change_token("AccessToken", expires_on="1")

    async def audited(self) -> list[tuple[str, str | None, Mapping[str, str]]]:
        """Return event, actor and facts of the audit rows about sign-ins."""
        query = select(audit.c.event, audit.c.actor, audit.c.facts).order_by(audit.c.seq)
        query = query.where(audit.c.event.startswith("sign"))
        found = await self.database.read(lambda connection: connection.execute(query).all())
        return [(event, actor, json.loads(facts)) for event, actor, facts in found]

    def before_the_next_write(self, act: Callable[[], Awaitable[object]]) -> None:
        run = self.database.run

        async def overtaken(work: Any) -> Any:
            self.database.run = run
            await act()
            return await run(work)

        self.database.run = overtaken

    def during_refresh(self, act: Callable[[], Coroutine[Any, Any, object]], *, times: int = 1) -> None:
        """Do something else while Entra is asked for a token, which happens in MSAL's thread."""
        loop, remaining = asyncio.get_running_loop(), iter(range(times))

        def instead(request: httpx.Request) -> None:
            if request.method == "POST" and next(remaining, None) is not None:
                asyncio.run_coroutine_threadsafe(act(), loop).result(timeout=5)

        self.entra.instead = instead
