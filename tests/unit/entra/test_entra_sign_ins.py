"""Sign-ins: linked once, refreshed by one replica, forgotten when old; resealed when the key is rotated."""

import asyncio
import json
import logging
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
import structlog
from bot.domain.audit import Entry, Event
from bot.domain.errors import AuditBroken, Code, CouldNotVerify, SignInNeeded
from bot.domain.people import SignOutReason
from bot.domain.values import UserId
from bot.entra.sign_ins import PAGE, EntraSignIns, Rotated, rotate
from bot.entra.vault import Vault, key_id, key_of
from bot.keys import Keys
from bot.store import sign_ins as rows
from bot.store.tables import sign_ins
from sqlalchemy import delete, insert, select
from tests.support.bot import refused
from tests.support.database import VAULT_KEYS
from tests.unit.entra.fake_entra import AIKO_OID, ISSUER, KEN_OID, STEP_UP, TENANT
from tests.unit.entra.sign_in_fixture import AIKO, KEN, NEW_KEY, OLD_KEY, SignInFixture, redeem
from tests.unit.store.rows import a_request, stored

OLD_ID, NEW_ID = key_id(OLD_KEY), key_id(NEW_KEY)
MAX_AGE = timedelta(hours=8)
EMPTY = '{"access_token": {}}'
INTERACTION = {"error": "invalid_grant", "error_description": "AADSTS50173: the grant was revoked"}
CHANGED = {
    **dict.fromkeys(("tenant", "oid", "name", "log_hash"), "x"),
    **dict.fromkeys(("signed_in_at", "authenticated_at"), "2099-01-01T00:00:00.000000Z"),
    **{"username": "eve@contoso.com", "emails": '["eve@contoso.com"]', "log_seq": 1, "sealed": b"x"},
}
ENDS = ["signed out", "signed out, its audit row removed", "signed in as another", "signed in again"]
BROKEN = '"a-token-in-a-broken-answer"<>'


@pytest.fixture
async def both(setup) -> SignInFixture:
    """Ken and Aiko are signed in, under the old key."""
    await setup.sign_in()
    await setup.sign_in(AIKO, AIKO_OID)
    return setup


async def token(sign_ins: EntraSignIns, claims: str | None = None) -> str:
    return (await sign_ins.token(KEN, claims=claims)).reveal()


async def needed(sign_ins: EntraSignIns, claims: str | None = None) -> str | None:
    """Return the claims with which a sign-in is needed."""
    with pytest.raises(SignInNeeded) as caught:
        await sign_ins.token(KEN, claims=claims)
    return caught.value.claims


async def test_a_sign_in_links_the_account_with_its_audit_row(setup):
    account = await setup.sign_in()
    before, row = len(setup.entra.requests), await setup.row()
    assert await setup.sign_ins.account(KEN) == account
    assert await setup.sign_ins.linked_to(account) == KEN
    assert await token(setup.sign_ins) == await token(setup.sign_ins)
    assert len(setup.entra.requests) == before, "a token that is valid comes from the cache"
    assert await setup.row() == row
    assert [(event, actor) for event, actor, _ in await setup.audited()] == [("signed_in", KEN)]


async def test_an_account_that_another_slack_user_has_is_refused(setup):
    await setup.sign_in(KEN, KEN_OID)
    result = await setup.redeemed(AIKO, KEN_OID)
    taken = await refused(setup.keep(AIKO, result))
    assert (taken.code, taken.facts) == (Code.ACCOUNT_TAKEN, {"account": "ken@contoso.com"})
    assert taken.link == result.link
    assert await setup.sign_ins.account(AIKO) is None
    assert len(await setup.audited()) == 1


async def test_an_expired_token_is_refreshed_once_and_the_new_cache_kept(setup):
    await setup.sign_in()
    old = await token(setup.sign_ins)
    await setup.expire_token()
    tokens = await asyncio.gather(*(token(setup.sign_ins) for _ in range(5)))
    assert set(tokens) == {await token(setup.replica().sign_ins)} != {old}
    assert len(setup.entra.forms("refresh_token")) == 1
    assert dict(setup.sign_ins._locks) == {}, "a lock goes when no task waits"


@pytest.mark.parametrize(
    ("error", "asked", "claims"),
    [
        (INTERACTION, None, None),
        ({"error": "interaction_required"}, STEP_UP, STEP_UP),
        ({"error": "interaction_required", "claims": EMPTY}, STEP_UP, EMPTY),
        ({"error": "invalid_client", "claims": STEP_UP}, None, STEP_UP),
        ({"error": "interaction_required", "claims": "not json"}, None, None),
    ],
)
async def test_entra_that_wants_interaction_needs_a_sign_in_with_its_claims(expired, error, asked, claims):
    expired.entra.token_error = error
    assert await needed(expired.sign_ins, asked) == claims
    expired.entra.token_error = None
    await expired.sign_in()
    assert await token(expired.sign_ins)


async def test_a_claims_challenge_that_needs_no_interaction_brings_a_new_token(setup):
    await setup.sign_in()
    old = await token(setup.sign_ins)
    assert await token(setup.sign_ins, STEP_UP) != old
    (form,) = setup.entra.forms("refresh_token")
    assert json.loads(form["claims"])["access_token"]["acrs"] == {"essential": True, "value": "c1"}


async def test_a_fresh_token_comes_from_entra_and_not_from_the_cache_though_entra_be_away(setup):
    await setup.sign_in()
    old = await token(setup.sign_ins)
    fresh = (await setup.sign_ins.token(KEN, fresh=True)).reveal()
    assert fresh != old
    assert await token(setup.sign_ins) == fresh
    setup.entra.answer(0)
    with pytest.raises(CouldNotVerify):
        await setup.sign_ins.token(KEN, fresh=True)
    assert await token(setup.sign_ins) == fresh


BUSY = '{"error": "temporarily_unavailable"}'
WAIT = {"Retry-After": "60"}
NO_SIGN_IN_HELPS = '{"error": "invalid_client", "error_description": "AADSTS7000222: expired"}'
OUTAGES = {
    "no route": ((0, ""), 2),
    "html": ((200, "<html>down for maintenance</html>"), 2),
    "503": ((503, BUSY), 2),
    "503, wait": ((503, BUSY, WAIT), 1),
    "429": ((429, BUSY), 2),
    "429, wait": ((429, BUSY, WAIT), 1),
    "client secret": ((400, NO_SIGN_IN_HELPS), 1),
}


@pytest.mark.parametrize(("answer", "calls"), OUTAGES.values(), ids=OUTAGES)
async def test_while_entra_is_away_a_valid_token_is_used_and_an_old_one_verifies_nobody(setup, answer, calls):
    """MSAL does not repeat what Entra asked to wait with, nor for a minute what it answered with 400."""
    await setup.sign_in()
    valid = await token(setup.sign_ins)
    await setup.change_token("AccessToken", refresh_on="1")
    setup.entra.answer(*answer)
    before = len(setup.entra.requests)
    assert await token(setup.sign_ins) == valid, "due for a refresh, which was tried"
    await setup.expire_token()
    with pytest.raises(CouldNotVerify) as caught:
        await setup.sign_ins.token(KEN)
    assert len(setup.entra.requests) - before == calls
    why = {"code": "AADSTS7000222"} if NO_SIGN_IN_HELPS in answer else {}
    assert caught.value.facts == {"what": "Microsoft Entra"} | why, "a secret's end is named, not waited out"
    assert await setup.row() is not None


async def test_microsofts_own_authority_needs_no_instance_discovery(setup):
    """MSAL's default asks a central host after every refused refresh, and fails where that is not reached."""
    there = setup.replica(authority=ISSUER)
    await there.sign_in()
    await there.expire_token()
    there.entra.token_error = INTERACTION
    await needed(there.sign_ins)
    assert not any("/discovery/instance" in request.url.path for request in setup.entra.requests)
    assert len(setup.entra.forms("refresh_token")) == 1


async def test_of_two_replicas_that_refresh_at_once_the_later_uses_what_the_first_stored(expired):
    other = expired.replica().sign_ins
    expired.during_refresh(lambda: token(other))
    shown = await token(expired.sign_ins)
    assert shown == await token(other)
    (stored,) = (await expired.cache())["AccessToken"].values()
    assert stored["secret"] == shown


@pytest.mark.parametrize("replica", ["this", "another"])
async def test_a_sign_out_during_a_refresh_does_not_wait_for_it_and_is_not_undone(expired, replica):
    there = expired if replica == "this" else expired.replica()
    async with asyncio.timeout(20):
        expired.during_refresh(lambda: there.sign_ins.forget(KEN, SignOutReason.ASKED))
        await needed(expired.sign_ins)
    assert await expired.row() is None


async def test_a_row_that_changes_during_both_refreshes_still_gives_a_token(expired):
    row = await expired.row()
    expired.during_refresh(lambda: expired.overwrite(KEN, row.sealed), times=2)
    assert await token(expired.sign_ins)
    assert len(expired.entra.forms("refresh_token")) == 2


async def test_two_people_do_not_wait_for_each_other(both):
    await both.expire_token()
    both.during_refresh(lambda: both.sign_ins.token(AIKO))
    assert await token(both.sign_ins)


async def test_what_is_stored_for_another_authority_or_person_means_signed_out(setup):
    await setup.sign_in()
    await needed(setup.replica(authority=f"http://localhost:8080/{TENANT}/v2.0").sign_ins)
    await setup.change(sign_ins, user=AIKO)
    with pytest.raises(SignInNeeded):
        await setup.sign_ins.token(AIKO)


async def test_a_lost_key_means_signed_out_and_is_named_in_the_log(setup):
    await setup.sign_in()
    with structlog.testing.capture_logs() as logged:
        await needed(setup.replica(NEW_KEY).sign_ins)
    [line] = [line for line in logged if line["event"] == "sign_in_unusable"]
    assert (line["user"], line["key"]) == (KEN, OLD_ID)
    assert await token(setup.sign_ins), "the key put back, all is well again"


@pytest.mark.parametrize("column", sorted(set(sign_ins.columns.keys()) - {"user", "version"}))
async def test_a_sign_in_that_was_changed_by_hand_is_none(setup, column):
    await setup.sign_in()
    await setup.sign_ins.forget(KEN, SignOutReason.ASKED)
    await setup.sign_in()
    await setup.change(sign_ins, **{column: CHANGED[column]})
    assert await setup.sign_ins.account(KEN) is None


@pytest.mark.parametrize("end", ENDS)
async def test_a_sign_in_that_was_put_back_from_a_copy_is_none(setup, end):
    await setup.sign_in()
    copy = dict((await setup.database.read(lambda c: c.execute(select(sign_ins)).one()))._mapping)
    await setup.sign_ins.forget(KEN, SignOutReason.ASKED)
    if end == "signed in as another":
        await setup.sign_in(KEN, AIKO_OID)
    elif end == "signed in again":
        setup.clock.advance(seconds=1)
        await setup.sign_in()
    elif end != "signed out":
        await setup.sign_in(AIKO, AIKO_OID)  # a row after it
        await setup.remove_from_audit_log(Event.SIGNED_OUT)
    for statement in (delete(sign_ins), insert(sign_ins).values(copy)):
        await setup.database.run(lambda tx, statement=statement: tx.execute(statement).rowcount)
    with structlog.testing.capture_logs() as logged, suppress(AuditBroken):
        assert await setup.sign_ins.account(KEN) is None
        assert "sign_in_unusable" in [line["event"] for line in logged]


async def test_signing_out_deletes_the_tokens_with_the_reason_in_the_audit_log(setup):
    await setup.sign_in()
    assert await setup.sign_ins.forget(KEN, SignOutReason.NOT_A_MEMBER, {"kind": "guest"})
    assert not await setup.sign_ins.forget(KEN, SignOutReason.ASKED)
    assert await needed(setup.sign_ins, STEP_UP) == STEP_UP
    _, signed_out = await setup.audited()
    facts = {"account": "ken@contoso.com", "oid": KEN_OID, "tenant": TENANT}
    assert signed_out == ("signed_out", KEN, facts | {"reason": "not_a_member", "kind": "guest"})


@pytest.mark.parametrize("use", ["token", "account", "linked_to"])
async def test_a_sign_in_is_forgotten_when_it_is_old_by_whatever_looks_at_it_first(setup, use):
    account = await setup.sign_in()
    setup.clock.advance(MAX_AGE - timedelta(seconds=1))
    await setup.sign_ins.sweep()
    assert await setup.sign_ins.account(KEN) == account
    setup.clock.advance(seconds=1)
    if use == "token":
        await needed(setup.sign_ins)
    else:
        assert await getattr(setup.sign_ins, use)(KEN if use == "account" else account) is None
    assert await setup.row() is None
    _, (event, actor, facts) = await setup.audited()
    assert (event, actor, facts["reason"]) == ("signed_out", KEN, "too_old")


async def test_the_sweep_deletes_what_is_old_or_spoiled_and_spares_who_signs_in_again_meanwhile(both):
    await both.returned()
    both.clock.advance(MAX_AGE)
    both.before_the_next_write(both.sign_in)
    await both.sign_ins.sweep()
    assert set(await both.all_rows()) == {KEN}
    assert (await both.audited())[-1][2]["reason"] == SignOutReason.TOO_OLD
    assert len(await both.links_stored()) == 1
    spoiled = {"emails": "nonsense", "authenticated_at": "nonsense"}  # by another program
    await both.change(sign_ins, **spoiled)
    await both.sign_in(AIKO, AIKO_OID)
    both.clock.advance(MAX_AGE)
    await both.sign_ins.sweep()
    assert await both.all_rows() == {}


async def test_a_refresh_token_that_is_no_text_is_no_crash(expired):
    """Entra sent it; MSAL keeps anything, and asserts at the next refresh."""
    await expired.change_token("RefreshToken", secret=True)
    with pytest.raises(CouldNotVerify):
        await expired.sign_ins.token(KEN)


@pytest.mark.parametrize(
    "answer",
    [(0,), (200, BROKEN), (429, BROKEN, WAIT), (503, BUSY), (400, json.dumps(INTERACTION))],
    ids=lambda answer: str(answer[0]),
)
async def test_no_token_is_in_a_log_or_exception_of_a_failed_refresh_nor_in_the_row(expired, answer, caplog):
    caplog.set_level(logging.DEBUG)
    cache = await expired.cache()
    hidden = [entry["secret"] for kind in ("AccessToken", "RefreshToken") for entry in cache[kind].values()]
    expired.entra.answer(*answer)
    with structlog.testing.capture_logs() as logged, pytest.raises((SignInNeeded, CouldNotVerify)) as caught:
        await expired.sign_ins.token(KEN)
    assert {line["event"] for line in logged} <= {"entra_no_answer", "entra_no_token"}
    shown = [str(logged), repr(await expired.row()), *(str(vars(record)) for record in caplog.records)]
    error: BaseException | None = caught.value
    while error is not None:
        request = error.request if isinstance(error, httpx.RequestError) else None
        shown.append(f"{error!r} {vars(error)} {request and request.content!r}")
        error = error.__cause__ or error.__context__
    for secret in (*hidden, "in-a-broken-answer", "the-client-secret"):
        assert secret not in " ".join(shown)


async def rotated(setup, *, forget: bool = False) -> Rotated:
    vault = Vault([NEW_KEY, OLD_KEY])
    return await rotate(setup.database, vault, now=setup.clock.now, forget_unreadable=forget)


async def test_every_sign_in_moves_once_under_the_newest_key_and_the_old_one_can_go(both):
    found = await rotated(both)
    before = await both.all_rows()
    again = await rotated(both)
    assert (found.resealed, found.current, found.unreadable) == (2, 0, {})
    assert (found.unused, found.under_way) == ([OLD_ID], [])
    assert {key_of(row.sealed) for row in before.values()} == {NEW_ID}
    assert (again.resealed, again.current, await both.all_rows()) == (0, 2, before)
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


async def test_a_refresh_during_the_rotation_is_resealed_and_a_sign_out_not_undone(expired):
    expired.before_the_next_write(lambda: token(expired.sign_ins))
    assert (await rotated(expired)).resealed == 1
    assert await token(expired.replica(NEW_KEY).sign_ins)
    assert len(expired.entra.forms("refresh_token")) == 1, "the new token is still there"
    await expired.sign_in()
    expired.before_the_next_write(lambda: expired.sign_ins.forget(KEN, SignOutReason.ASKED))
    assert (await rotated(expired)).resealed == 0
    assert await expired.row() is None


async def test_rows_that_no_key_opens_are_named_and_forgotten_with_an_audit_row_only_when_asked(both):
    """One sealed with a lost key, and one copied from another person."""
    lost = Vault([b"l" * 32])
    kens = (await both.all_rows())[KEN]
    await both.overwrite(AIKO, kens.sealed)
    await both.overwrite(KEN, lost.seal(b"tokens", ("cache", kens.tenant, kens.oid, KEN)))
    await both.returned()
    found = await rotated(both)
    assert (found.unreadable, found.resealed) == ({KEN: lost.key_id, AIKO: OLD_ID}, 0)
    assert (found.unused, found.under_way) == ([], []), "sign-ins under way are not all that needs the key"
    assert set(await both.all_rows()) == {KEN, AIKO}
    await both.sign_in()
    found = await rotated(both, forget=True)
    assert (set(found.unreadable), set(await both.all_rows())) == ({AIKO}, {KEN})
    event, actor, facts = (await both.audited())[-1]
    assert (event, actor, facts["reason"]) == ("signed_out", AIKO, "unreadable")


async def test_a_key_that_seals_an_open_request_is_not_called_unused(setup):
    await stored(setup.database, a_request())
    vault = Vault([NEW_KEY, *Keys.parse(VAULT_KEYS).vault])
    found = await rotate(setup.database, vault, now=setup.clock.now, forget_unreadable=False)
    assert (found.unused, found.under_way) == ([], vault.key_ids[1:])


async def test_a_key_that_a_sign_in_under_way_needs_is_not_called_unused(setup):
    form = await setup.returned()
    found = await rotated(setup)
    assert (found.unused, found.under_way) == ([], [OLD_ID])
    await redeem(setup.replica(NEW_KEY, OLD_KEY), form)
    assert (await rotated(setup)).unused == [OLD_ID]
