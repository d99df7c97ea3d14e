"""Sign-ins: linked once, tokens refreshed by one replica, never lost, forgotten when they are old."""

import asyncio
import json
import logging
from collections.abc import Awaitable
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
import structlog
from bot.domain.errors import Code, CouldNotVerify, SignInNeeded, SignInRefused
from bot.domain.people import SignOutReason
from bot.entra.sign_ins import EntraSignIns
from bot.entra.vault import key_id
from tests.unit.entra.fake_entra import AIKO_OID, ISSUER, KEN_OID, STEP_UP, TENANT
from tests.unit.entra.sign_in_fixture import AIKO, KEN, NEW_KEY, OLD_KEY, Overtaken

MAX_AGE = timedelta(hours=8)
INTERACTION = {"error": "invalid_grant", "error_description": "AADSTS50173: the grant was revoked"}


async def token(sign_ins: EntraSignIns, claims: str | None = None) -> str:
    return (await sign_ins.token(KEN, claims=claims)).reveal()


async def needed(sign_ins: EntraSignIns, claims: str | None = None) -> str | None:
    """Return the claims with which a sign-in is needed."""
    with pytest.raises(SignInNeeded) as caught:
        await sign_ins.token(KEN, claims=claims)
    return caught.value.claims


# Linking


async def test_a_sign_in_links_the_account_with_its_audit_row(setup):
    account = await setup.sign_in()

    assert await setup.sign_ins.account(KEN) == account
    assert await setup.sign_ins.linked_to(account) == KEN
    assert await token(setup.sign_ins)
    assert [(event, actor) for event, actor, _ in await setup.audited()] == [("signed_in", KEN)]


async def test_an_account_that_another_slack_user_has_is_refused(setup):
    await setup.sign_in(KEN, KEN_OID)
    result = await setup.redeemed(AIKO, KEN_OID)

    with pytest.raises(SignInRefused) as caught:
        await setup.keep(AIKO, result)

    assert (caught.value.code, caught.value.facts) == (Code.ACCOUNT_TAKEN, {"account": "ken@contoso.com"})
    assert caught.value.link == result.link
    assert await setup.sign_ins.account(AIKO) is None
    assert len(await setup.audited()) == 1


# Tokens


async def test_a_valid_token_comes_from_the_cache(setup):
    await setup.sign_in()
    before, row = len(setup.entra.requests), await setup.row()

    assert await token(setup.sign_ins) == await token(setup.sign_ins)

    assert len(setup.entra.requests) == before
    assert await setup.row() == row


async def test_an_expired_token_is_refreshed_once_and_the_new_cache_kept(setup):
    await setup.sign_in()
    old = await token(setup.sign_ins)
    await setup.expire_token()

    tokens = await asyncio.gather(*(token(setup.sign_ins) for _ in range(5)))

    assert set(tokens) == {await token(setup.replica().sign_ins)} != {old}
    assert len(setup.entra.forms("refresh_token")) == 1
    assert dict(setup.sign_ins._locks) == {}, "a lock goes when no task waits"


async def test_who_is_not_signed_in_has_to_sign_in_with_the_claims_asked_for(setup):
    assert await needed(setup.sign_ins, STEP_UP) == STEP_UP


@pytest.mark.parametrize(
    ("error", "asked", "claims"),
    [
        (INTERACTION, None, None),
        ({"error": "interaction_required"}, STEP_UP, STEP_UP),
        (
            {"error": "interaction_required", "claims": '{"access_token": {}}'},
            STEP_UP,
            '{"access_token": {}}',
        ),
        ({"error": "invalid_client", "claims": STEP_UP}, None, STEP_UP),
        ({"error": "interaction_required", "claims": "not json"}, None, None),
    ],
)
async def test_entra_that_wants_interaction_needs_a_sign_in_with_its_claims_before_graphs(
    setup, error, asked, claims
):
    await setup.sign_in()
    await setup.expire_token()
    setup.entra.token_error = error

    assert await needed(setup.sign_ins, asked) == claims

    setup.entra.token_error = None
    await setup.sign_in()
    assert await token(setup.sign_ins)


async def test_a_claims_challenge_that_needs_no_interaction_brings_a_new_token(setup):
    await setup.sign_in()
    old = await token(setup.sign_ins)

    assert await token(setup.sign_ins, STEP_UP) != old

    (form,) = setup.entra.forms("refresh_token")
    assert json.loads(form["claims"])["access_token"]["acrs"] == {"essential": True, "value": "c1"}


@pytest.mark.parametrize("text", ["é", "a\r\nb", "\ud800", "", None, ["a"]], ids=ascii)
async def test_what_no_header_can_carry_is_no_token(setup, text):
    await setup.sign_in()
    await setup.expire_token()
    setup.entra.answer(200, json.dumps({"token_type": "Bearer", "expires_in": 3600, "access_token": text}))

    with pytest.raises(CouldNotVerify):
        await token(setup.sign_ins)


def fail(setup, how: str) -> None:
    match how:
        case "html":
            setup.entra.answer(200, "<html>down for maintenance</html>")
        case "429" | "503":
            setup.entra.answer(int(how), '{"error": "temporarily_unavailable"}')
        case "client secret":  # no sign-in helps
            setup.entra.token_error = {
                "error": "invalid_client",
                "error_description": "AADSTS7000222: expired",
            }
        case _:
            setup.entra.cut()


@pytest.mark.parametrize("how", ["cut", "html", "503"])
async def test_while_entra_does_not_answer_a_valid_token_that_is_due_for_a_refresh_is_used(setup, how):
    await setup.sign_in()
    valid = await token(setup.sign_ins)
    await setup.change_token(refresh_on="1")
    fail(setup, how)

    assert await token(setup.sign_ins) == valid
    assert setup.entra.requests[-1].url.path.endswith("/token"), "a refresh was tried"


@pytest.mark.parametrize("how", ["cut", "html", "503", "429", "client secret"])
async def test_while_entra_does_not_answer_an_expired_token_needs_no_sign_in(setup, how):
    await setup.sign_in()
    await setup.expire_token()
    fail(setup, how)

    with pytest.raises(CouldNotVerify) as caught:
        await setup.sign_ins.token(KEN)

    assert caught.value.facts == {"what": "Microsoft Entra"}
    assert await setup.row() is not None


async def test_a_cache_of_another_authority_means_signed_out(setup):
    await setup.sign_in()

    await needed(setup.replica(authority=f"http://localhost:8080/{TENANT}/v2.0").sign_ins)


async def test_microsofts_own_authority_needs_no_instance_discovery(setup):
    """MSAL's default asks a central host after every refused refresh, and fails where that is not reached."""
    there = setup.replica(authority=ISSUER)
    setup.links, setup.sign_ins = there.links, there.sign_ins
    await setup.sign_in()
    await setup.expire_token()
    setup.entra.token_error = INTERACTION

    await needed(setup.sign_ins)

    assert not any("/discovery/instance" in request.url.path for request in setup.entra.requests)
    assert len(setup.entra.forms("refresh_token")) == 1


# Replicas


async def test_of_two_replicas_that_refresh_at_once_the_later_uses_what_the_first_stored(setup):
    await setup.sign_in()
    await setup.expire_token()
    other = setup.replica().sign_ins
    setup.during_refresh(lambda: token(other))

    shown = await token(setup.sign_ins)

    assert shown == await token(other)
    (stored,) = (await setup.cache())["AccessToken"].values()
    assert stored["secret"] == shown


async def test_a_sign_out_during_a_refresh_is_not_undone(setup):
    await setup.sign_in()
    await setup.expire_token()
    other = setup.replica().sign_ins
    setup.during_refresh(lambda: other.forget(KEN, SignOutReason.ASKED))

    await needed(setup.sign_ins)

    assert await setup.row() is None


async def test_a_row_that_changes_during_both_refreshes_still_gives_a_token(setup):
    await setup.sign_in()
    await setup.expire_token()
    row = await setup.row()
    assert row is not None
    setup.during_refresh(lambda: setup.overwrite(KEN, row.sealed), times=2)

    assert await token(setup.sign_ins)
    assert len(setup.entra.forms("refresh_token")) == 2


async def test_two_people_do_not_wait_for_each_other(setup):
    await setup.sign_in()
    await setup.sign_in(AIKO, AIKO_OID)
    await setup.expire_token()
    setup.during_refresh(lambda: setup.sign_ins.token(AIKO))

    assert await token(setup.sign_ins)


async def test_a_row_copied_onto_another_person_does_not_open(setup):
    await setup.sign_in()
    await setup.sign_in(AIKO, AIKO_OID)
    kens = (await setup.all_rows())[KEN]

    await setup.overwrite(AIKO, kens.sealed)

    with pytest.raises(SignInNeeded):
        await setup.sign_ins.token(AIKO)
    assert await token(setup.sign_ins)
    await setup.sign_ins.forget(AIKO, SignOutReason.ASKED)
    await setup.move_row(KEN, AIKO)
    with pytest.raises(SignInNeeded):
        await setup.sign_ins.token(AIKO)


async def test_a_lost_key_means_signed_out_and_is_named_in_the_log(setup):
    await setup.sign_in()

    with structlog.testing.capture_logs() as logged:
        await needed(setup.replica(NEW_KEY).sign_ins)

    [line] = [line for line in logged if line["event"] == "entra_cannot_open"]
    assert (line["user"], line["key"]) == (KEN, key_id(OLD_KEY))
    assert await token(setup.sign_ins), "the key put back, all is well again"


# Signing out


async def test_signing_out_deletes_the_tokens_with_the_reason_in_the_audit_log(setup):
    await setup.sign_in()

    assert await setup.sign_ins.forget(KEN, SignOutReason.NOT_A_MEMBER, {"kind": "guest"})
    assert not await setup.sign_ins.forget(KEN, SignOutReason.ASKED)

    await needed(setup.sign_ins)
    _, signed_out = await setup.audited()
    facts = {"account": "ken@contoso.com", "oid": KEN_OID, "tenant": TENANT}
    assert signed_out == ("signed_out", KEN, facts | {"reason": "not_a_member", "kind": "guest"})


@pytest.mark.parametrize("use", ["token", "account", "linked_to", "sweep"])
async def test_a_sign_in_is_forgotten_when_it_is_old_by_whatever_looks_at_it_first(setup, use):
    account = await setup.sign_in()
    setup.clock.advance(MAX_AGE - timedelta(seconds=1))
    await setup.sign_ins.sweep()
    assert await setup.sign_ins.account(KEN) == account
    setup.clock.advance(seconds=1)

    match use:
        case "token":
            await needed(setup.sign_ins)
        case "account":
            assert await setup.sign_ins.account(KEN) is None
        case "linked_to":
            assert await setup.sign_ins.linked_to(account) is None
        case _:
            assert await setup.sign_ins.sweep() >= 1

    assert await setup.row() is None
    _, (event, actor, facts) = await setup.audited()
    assert (event, actor, facts["reason"]) == ("signed_out", KEN, "too_old")


async def test_the_sweep_deletes_what_is_old_and_spares_who_signs_in_again_meanwhile(setup):
    await setup.sign_in()
    await setup.sign_in(AIKO, AIKO_OID)
    await setup.returned()
    setup.clock.advance(MAX_AGE)

    await replace(setup.sign_ins, database=Overtaken(setup.database, setup.sign_in)).sweep()

    assert set(await setup.all_rows()) == {KEN}
    assert len(await setup.links_stored()) == 1


# Secrets


async def test_no_token_is_stored_in_the_clear_or_kept_in_a_log_or_an_exception(setup, caplog):
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.WARNING, "msal")  # its DEBUG prints the code; the log settings keep it quieter
    first, second = await setup.returned(), await setup.returned()

    with structlog.testing.capture_logs() as logged:
        setup.entra.answer(200, "a-token-in-a-broken-answer")
        shown = [await failure(setup.links.redeem(first))]
        setup.entra.mend()
        setup.entra.claims = {"nonce": "nonce-of-another"}
        shown.append(await failure(setup.links.redeem(second)))
        setup.entra.claims = {}
        await setup.sign_in()
        cache = await setup.cache()
        shown += [repr(await setup.row()), repr(setup.sign_ins)]
        await setup.expire_token()
        setup.entra.answer(200, json.dumps({"access_token": "access-in-a-broken-answer"}) + "<trailing>")
        shown.append(await failure(setup.sign_ins.token(KEN)))
        for how in ("cut", "html", "503"):
            fail(setup, how)
            shown.append(await failure(setup.sign_ins.token(KEN)))
        setup.entra.mend()
        setup.entra.token_error = INTERACTION
        shown.append(await failure(setup.replica().sign_ins.token(KEN)))

    assert {line["event"] for line in logged} == {"entra_no_answer", "entra_no_token"}
    assert len([line for line in logged if line["event"] == "entra_no_answer"]) >= 6
    kinds = ("AccessToken", "RefreshToken", "IdToken")
    hidden = [entry["secret"] for kind in kinds for entry in cache[kind].values()]
    assert len(hidden) == 3
    everything = " ".join([*shown, str(logged), *(str(vars(record)) for record in caplog.records)])
    for secret in (*hidden, *setup.entra.codes, "in-a-broken-answer", "-of-another", "the-client-secret"):
        assert secret not in everything


async def failure(call: Awaitable[object]) -> str:
    """Return everything that an exception chain shows of itself and of the requests that it carries."""
    with pytest.raises((SignInNeeded, CouldNotVerify, SignInRefused)) as caught:
        await call
    shown = []
    error: BaseException | None = caught.value
    while error is not None:
        request = error.request if isinstance(error, httpx.RequestError) else None
        shown.append(f"{error!r} {vars(error)} {request and request.content!r}")
        error = error.__cause__ or error.__context__
    return " ".join(shown)
