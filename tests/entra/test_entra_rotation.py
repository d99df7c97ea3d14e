"""Rotation: every sign-in moves under the newest key, no token is lost, and what no key opens is named."""

import asyncio
from dataclasses import replace

from bot.domain.errors import SignInNeeded
from bot.domain.record import Event
from bot.entra import EntraSignIns, Rotated, Vault, new_key, rotate
from bot.entra.vault import key_of
from bot.ports import SignInRow
from entra_desk import AIKO, AIKO_OID, KEN, KEN_OID, KEY, EntraDesk
from test_entra_tokens import cache_of, expire

OLD, NEW = KEY, new_key()
OLD_ID, NEW_ID = Vault([OLD]).key_id, Vault([NEW]).key_id


async def rotated(desk: EntraDesk, *keys: str, forget_unreadable: bool = False) -> Rotated:
    vault = Vault(keys or (NEW, OLD))
    return await rotate(vault, desk.rows, desk.tickets, desk.clock, forget_unreadable=forget_unreadable)


async def both_signed_in(desk: EntraDesk) -> None:
    await desk.sign_in()
    await desk.sign_in(AIKO, AIKO_OID)


def sealed_with(desk: EntraDesk) -> set[str]:
    """By what the sealed bytes say, not the column."""
    return {key_of(row.sealed) for row in desk.rows.rows.values()}


async def test_every_sign_in_moves_under_the_newest_key_and_the_old_one_can_go(desk: EntraDesk) -> None:
    await both_signed_in(desk)

    found = await rotated(desk)

    assert (found.resealed, found.current, found.unreadable) == (2, 0, {})
    assert (found.unused, found.under_way) == ([OLD_ID], [])
    assert sealed_with(desk) == {NEW_ID} == {row.key_id for row in desk.rows.rows.values()}
    without_the_old_one = desk.replica(NEW)
    for user in (KEN, AIKO):
        assert (await without_the_old_one.token(user)).reveal()


async def test_twice_is_as_good_as_once(desk: EntraDesk) -> None:
    await both_signed_in(desk)
    await rotated(desk)
    rows = dict(desk.rows.rows)

    again = await rotated(desk)

    assert (again.resealed, again.current) == (0, 2)
    assert desk.rows.rows == rows


async def test_two_rotations_at_once_lose_nothing(desk: EntraDesk) -> None:
    await both_signed_in(desk)

    found = await asyncio.gather(*(rotated(desk) for _ in range(3)))

    assert sum(one.resealed for one in found) == 2
    assert (await desk.replica(NEW).token(KEN)).reveal()


async def test_two_replicas_that_refresh_while_it_rotates_lose_no_token(desk: EntraDesk) -> None:
    await both_signed_in(desk)
    expire(desk)
    replicas = [desk.replica(NEW, OLD), desk.replica(NEW, OLD)]

    await asyncio.gather(*(replica.token(KEN) for replica in replicas), rotated(desk), rotated(desk))

    assert sealed_with(desk) == {NEW_ID}
    kept = [secret["secret"] for secret in cache_of(desk, NEW)["RefreshToken"].values()]
    issued = desk.entra.grants.refreshes
    assert [token in issued for token in kept] == [True]
    assert (await desk.replica(NEW).token(KEN)).reveal()


async def test_a_refresh_during_the_rotation_is_not_overwritten_with_what_was_read_before(
    desk: EntraDesk,
) -> None:
    await desk.sign_in()
    expire(desk)
    old_replica = desk.replica(OLD)
    row = desk.rows.rows[KEN]
    await old_replica.token(KEN)
    refreshed = desk.rows.rows[KEN]
    desk.rows.rows[KEN] = row

    def overtaken() -> None:
        desk.rows.before_update = lambda: None
        desk.rows.rows[KEN] = refreshed

    desk.rows.before_update = overtaken
    found = await rotated(desk)

    assert found.resealed == 1
    opened = Vault([OLD]).open(refreshed.sealed, bound_to=bound(refreshed))
    assert Vault([NEW]).open(desk.rows.rows[KEN].sealed, bound_to=bound(refreshed)) == opened


async def test_a_sign_out_during_the_rotation_is_not_undone(desk: EntraDesk) -> None:
    await desk.sign_in()
    desk.rows.before_update = desk.rows.rows.clear

    assert (await rotated(desk)).resealed == 0

    assert desk.rows.rows == {}


async def test_a_row_that_no_key_opens_is_named_and_left(desk: EntraDesk) -> None:
    await both_signed_in(desk)
    lost = new_key()
    rows = desk.rows.rows
    rows[AIKO] = replace(rows[AIKO], sealed=Vault([lost]).seal(b"tokens", bound_to=bound(rows[AIKO])))

    found = await rotated(desk)

    assert found.unreadable == {AIKO: Vault([lost]).key_id}
    assert (found.resealed, found.forgotten) == (1, False)
    assert AIKO in rows


async def test_swapped_and_copied_rows_are_named_too(desk: EntraDesk) -> None:
    await both_signed_in(desk)
    rows = desk.rows.rows
    rows[KEN], rows[AIKO] = (
        replace(rows[KEN], sealed=rows[AIKO].sealed),
        replace(rows[AIKO], sealed=rows[KEN].sealed),
    )

    assert set((await rotated(desk)).unreadable) == {KEN, AIKO}
    for user in (KEN, AIKO):
        assert await needs_sign_in(desk.sign_ins, user)


async def test_only_when_asked_to_it_forgets_what_no_key_opens_and_says_so_in_the_record(
    desk: EntraDesk,
) -> None:
    await both_signed_in(desk)
    rows = desk.rows.rows
    rows[AIKO] = replace(rows[AIKO], sealed=b"")

    found = await rotated(desk, forget_unreadable=True)

    assert (set(found.unreadable), found.forgotten) == ({AIKO}, True)
    assert set(rows) == {KEN}
    [entry] = desk.rows.entries
    assert (entry.event, entry.actor, entry.facts["reason"]) == (Event.SIGNED_OUT, AIKO, "unreadable")


async def test_who_signs_in_anew_meanwhile_is_not_forgotten(desk: EntraDesk) -> None:
    await desk.sign_in()
    rows = desk.rows.rows
    broken = rows[KEN] = replace(rows[KEN], sealed=b"")
    delete = desk.rows.delete

    async def signed_in_first(user, entry, *, version=None):  # type: ignore[no-untyped-def]  # as the port has it
        rows[KEN] = replace(broken, version=broken.version + 1)
        return await delete(user, entry, version=version)

    desk.rows.delete = signed_in_first  # type: ignore[method-assign]  # somebody is faster
    found = await rotated(desk, forget_unreadable=True)

    assert found.unreadable == {}
    assert KEN in rows


async def test_a_key_that_a_sign_in_under_way_needs_is_not_called_unused(desk: EntraDesk) -> None:
    await desk.sign_in()
    form = await desk.returned(AIKO, AIKO_OID)

    found = await rotated(desk)

    assert (found.unused, found.under_way) == ([], [OLD_ID])
    await desk.process(NEW, OLD).links.finish(form)
    assert (await rotated(desk)).unused == [OLD_ID]


async def test_a_key_that_was_dropped_too_early_means_sign_in_again_and_is_named_in_the_log(
    desk: EntraDesk, caplog
) -> None:
    await desk.sign_in()

    assert await needs_sign_in(desk.replica(NEW), KEN)

    [record] = [record for record in caplog.records if record.getMessage() == "entra.cannot_open"]
    assert (record.user, record.key) == (KEN, OLD_ID)
    assert (await desk.sign_ins.token(KEN)).reveal(), "the key put back, all is well again"


async def needs_sign_in(sign_ins: EntraSignIns, user) -> bool:
    try:
        await sign_ins.token(user)
    except SignInNeeded:
        return True
    return False


def bound(row: SignInRow) -> tuple[str, ...]:
    return ("cache", row.tenant, row.oid, row.user)


def test_oids_of_the_cast_differ() -> None:
    assert KEN_OID != AIKO_OID
