"""Key rotation: every sign-in moves under the newest key, no token is lost, what no key opens is named."""

from dataclasses import replace
from typing import Any

import pytest
from bot.domain.audit import Entry, Event
from bot.domain.values import UserId
from bot.entra.sign_ins import PAGE, Rotated, rotate
from bot.entra.vault import Vault, key_id, key_of
from bot.store import sign_ins as rows
from tests.unit.entra.fake_entra import AIKO_OID
from tests.unit.entra.sign_in_fixture import AIKO, KEN, NEW_KEY, OLD_KEY, Overtaken, SignInFixture

OLD_ID, NEW_ID = key_id(OLD_KEY), key_id(NEW_KEY)


@pytest.fixture
async def both(setup) -> SignInFixture:
    """Ken and Aiko are signed in, under the old key."""
    await setup.sign_in()
    await setup.sign_in(AIKO, AIKO_OID)
    return setup


async def rotated(setup, *, forget: bool = False, database: Any = None) -> Rotated:
    vault = Vault([NEW_KEY, OLD_KEY])
    return await rotate(database or setup.database, vault, now=setup.clock.now, forget_unreadable=forget)


async def sealed_with(setup) -> set[str]:
    """Return the keys by what the sealed bytes say, not the column."""
    return {key_of(row.sealed) for row in (await setup.all_rows()).values()}


async def test_every_sign_in_moves_once_under_the_newest_key_and_the_old_one_can_go(both):
    found = await rotated(both)
    before = await both.all_rows()
    again = await rotated(both)

    assert (found.resealed, found.current, found.unreadable) == (2, 0, {})
    assert (found.keys, found.unused, found.under_way) == ([NEW_ID, OLD_ID], [OLD_ID], [])
    assert await sealed_with(both) == {NEW_ID} == {row.key_id for row in (await both.all_rows()).values()}
    assert (again.resealed, again.current) == (0, 2)
    assert await both.all_rows() == before
    without_the_old_key = both.replica(NEW_KEY).sign_ins
    for user in (KEN, AIKO):
        assert (await without_the_old_key.token(user)).reveal()


async def test_every_row_of_many_pages_is_looked_at(setup):
    await setup.sign_in()
    kens = (await setup.all_rows())[KEN]
    entry = Entry(event=Event.SIGNED_IN, at=setup.clock.now())
    copies = [replace(kens, user=UserId(f"U{number:03}"), oid=str(number)) for number in range(2 * PAGE)]
    await setup.database.run(lambda tx: [rows.put_sign_in(tx, copy, entry) for copy in copies])

    found = await rotated(setup)

    assert (found.resealed, len(found.unreadable)) == (1, 2 * PAGE)


async def test_a_refresh_during_the_rotation_is_resealed_and_not_overwritten(setup):
    await setup.sign_in()
    await setup.expire_token()
    tokens = []

    async def refresh() -> None:
        tokens.append((await setup.sign_ins.token(KEN)).reveal())

    found = await rotated(setup, database=Overtaken(setup.database, refresh))

    assert found.resealed == 1
    (stored,) = (await setup.cache(NEW_KEY))["AccessToken"].values()
    assert [stored["secret"]] == tokens


async def test_a_sign_out_during_the_rotation_is_not_undone(setup):
    await setup.sign_in()

    async def sign_out() -> None:
        await setup.sign_ins.forget(KEN, "asked")

    assert (await rotated(setup, database=Overtaken(setup.database, sign_out))).resealed == 0
    assert await setup.row() is None


async def test_rows_that_no_key_opens_are_named_and_left(both):
    """One sealed with a lost key, and one copied from another person."""
    lost = Vault([b"l" * 32])
    kens = (await both.all_rows())[KEN]
    await both.overwrite(AIKO, kens.sealed)
    await both.overwrite(KEN, lost.seal(b"tokens", ("cache", kens.tenant, kens.oid, KEN)))
    await both.returned()

    found = await rotated(both)

    assert found.unreadable == {KEN: lost.key_id, AIKO: OLD_ID}
    assert (found.resealed, found.forgotten) == (0, False)
    assert (found.unused, found.under_way) == ([], []), "sign-ins under way are not all that needs the key"
    assert set(await both.all_rows()) == {KEN, AIKO}


async def test_only_when_asked_to_it_forgets_what_no_key_opens_with_an_audit_row(both):
    await both.overwrite(AIKO, b"")

    found = await rotated(both, forget=True)

    assert (set(found.unreadable), found.forgotten) == ({AIKO}, True)
    assert set(await both.all_rows()) == {KEN}
    event, actor, facts = (await both.audited())[-1]
    assert (event, actor, facts["reason"]) == ("signed_out", AIKO, "unreadable")


async def test_a_key_that_a_sign_in_under_way_needs_is_not_called_unused(setup):
    form = await setup.returned()

    found = await rotated(setup)

    assert (found.unused, found.under_way) == ([], [OLD_ID])
    await setup.replica(NEW_KEY, OLD_KEY).links.redeem(form)
    assert (await rotated(setup)).unused == [OLD_ID]
