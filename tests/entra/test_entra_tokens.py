"""Tokens: fetched silently, refreshed, lost and kept, and never seen in a log."""

import asyncio
import json
import logging
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from bot.domain.errors import CouldNotVerify, SignInNeeded
from bot.domain.record import Event
from bot.domain.secret import Secret
from bot.domain.sign_in import Ended
from bot.entra import EntraSignIns, Vault, new_key
from bot.ports import SignInRow
from entra_desk import AIKO, AIKO_OID, KEN, KEN_OID, KEY, STEP_UP, EntraDesk
from sandbox.cast import CLIENT_SECRET, TENANT_ID


def cache_of(desk: EntraDesk, key: str = KEY) -> dict[str, dict[str, dict[str, str]]]:
    """Ken's token cache, opened."""
    opened = Vault([key]).open(desk.rows.rows[KEN].sealed, bound_to=("cache", TENANT_ID, KEN_OID, KEN))
    content: dict[str, dict[str, dict[str, str]]] = json.loads(opened)
    return content


def change_token(desk: EntraDesk, **changes: str) -> None:
    """Change the access token in Ken's cache, as time would."""
    content = cache_of(desk)
    (token,) = content["AccessToken"].values()
    token.update(changes)
    sealed = Vault([KEY]).seal(json.dumps(content).encode(), bound_to=("cache", TENANT_ID, KEN_OID, KEN))
    desk.rows.rows[KEN] = replace(desk.rows.rows[KEN], sealed=sealed)


def expire(desk: EntraDesk) -> None:
    change_token(desk, expires_on="1")


def age(desk: EntraDesk) -> None:
    """Past the moment from which MSAL refreshes early, but valid."""
    change_token(desk, refresh_on="1")


async def test_a_valid_token_is_taken_from_the_cache(desk: EntraDesk) -> None:
    await desk.sign_in()
    before = len(desk.line.sent)
    row = desk.rows.rows[KEN]

    first, second = await desk.sign_ins.token(KEN), await desk.sign_ins.token(KEN)

    assert first == second
    assert len(desk.line.sent) == before
    assert desk.rows.rows[KEN] is row


async def test_an_expired_token_is_refreshed_and_the_new_cache_kept(desk: EntraDesk) -> None:
    await desk.sign_in()
    old = await desk.sign_ins.token(KEN)
    expire(desk)
    version = desk.rows.rows[KEN].version

    new = await desk.sign_ins.token(KEN)

    assert new != old
    assert desk.rows.rows[KEN].version == version + 1
    assert await desk.sign_ins.token(KEN) == new
    assert len(desk.line.forms("refresh_token")) == 1


async def test_nobody_signed_in_has_to_sign_in(desk: EntraDesk) -> None:
    with pytest.raises(SignInNeeded) as caught:
        await desk.sign_ins.token(KEN, claims=STEP_UP)

    assert caught.value.claims == STEP_UP


async def test_a_revoked_account_has_to_sign_in_again(desk: EntraDesk) -> None:
    await desk.sign_in()
    desk.entra.revoke(KEN_OID)
    expire(desk)

    with pytest.raises(SignInNeeded) as caught:
        await desk.sign_ins.token(KEN)
    assert caught.value.claims is None

    await desk.sign_in()
    assert (await desk.sign_ins.token(KEN)).reveal()


async def test_what_graph_demands_is_tried_silently_and_then_asked_of_the_person(desk: EntraDesk) -> None:
    await desk.sign_in()

    with pytest.raises(SignInNeeded) as caught:
        await desk.sign_ins.token(KEN, claims=STEP_UP)

    asked = json.loads(caught.value.claims or "")["access_token"]
    assert asked["acrs"] == {"essential": True, "value": "c1"}
    (form,) = desk.line.forms("refresh_token")
    assert json.loads(form["claims"])["access_token"]["acrs"] == {"essential": True, "value": "c1"}
    await desk.sign_in(claims=STEP_UP)
    assert (await desk.sign_ins.token(KEN, claims=STEP_UP)).reveal()


async def test_what_entra_demands_goes_into_the_next_sign_in(desk: EntraDesk) -> None:
    await desk.sign_in()
    desk.entra.require_step_up(KEN_OID, STEP_UP)
    expire(desk)

    with pytest.raises(SignInNeeded) as caught:
        await desk.sign_ins.token(KEN)

    assert json.loads(caught.value.claims or "") == json.loads(STEP_UP)


async def test_a_challenge_that_needs_no_person_brings_a_fresh_token(desk: EntraDesk) -> None:
    await desk.sign_in()
    old = await desk.sign_ins.token(KEN)
    challenge = '{"access_token": {"nbf": {"essential": true, "value": "1764000000"}}}'

    assert await desk.sign_ins.token(KEN, claims=challenge) != old


@pytest.mark.parametrize("why", ["cut", "html", "503"])
async def test_while_entra_is_away_an_aging_token_is_still_used(desk: EntraDesk, why: str) -> None:
    await desk.sign_in()
    token = await desk.sign_ins.token(KEN)
    age(desk)
    fail(desk, why)

    assert await desk.sign_ins.token(KEN) == token
    assert desk.line.sent[-1].url.path.endswith("/token"), "a refresh was tried"


@pytest.mark.parametrize("why", ["cut", "html", "503", "429"])
async def test_while_entra_is_away_an_expired_token_is_nobodys_fault(desk: EntraDesk, why: str) -> None:
    await desk.sign_in()
    expire(desk)
    fail(desk, why)

    with pytest.raises(CouldNotVerify) as caught:
        await desk.sign_ins.token(KEN)

    assert caught.value.what == "Microsoft Entra"
    assert KEN in desk.rows.rows


def fail(desk: EntraDesk, why: str) -> None:
    match why:
        case "cut":
            desk.line.cut()
        case "html":
            desk.line.answer(200, "<html>down for maintenance</html>")
        case "429":
            desk.line.answer(429, '{"error": "temporarily_unavailable"}')
        case _:
            desk.line.answer(503, "Service Unavailable")


async def test_an_expired_client_secret_asks_nobody_to_sign_in(desk: EntraDesk) -> None:
    await desk.sign_in()
    expire(desk)
    desk.entra.client_secrets = {"another"}

    with pytest.raises(CouldNotVerify):
        await desk.sign_ins.token(KEN)


async def test_a_sign_in_is_forgotten_when_it_is_old(desk: EntraDesk) -> None:
    account = await desk.sign_in()
    desk.clock.advance(timedelta(hours=8) - timedelta(seconds=1))
    assert (await desk.sign_ins.token(KEN)).reveal()
    desk.clock.advance(timedelta(seconds=1))

    with pytest.raises(SignInNeeded):
        await desk.sign_ins.token(KEN)

    assert desk.rows.rows == {}
    assert await desk.sign_ins.account(KEN) is None
    assert await desk.sign_ins.tied_to(account) is None


async def test_an_old_tie_holds_nobody_up(desk: EntraDesk) -> None:
    account = await desk.sign_in()
    desk.clock.advance(timedelta(hours=8))

    assert await desk.sign_ins.tied_to(account) is None
    assert desk.rows.rows == {}


async def test_signing_out_forgets_the_tokens(desk: EntraDesk) -> None:
    await desk.sign_in()

    assert await desk.sign_ins.forget(KEN, Ended.ASKED) is True
    assert await desk.sign_ins.forget(KEN, Ended.ASKED) is False
    with pytest.raises(SignInNeeded):
        await desk.sign_ins.token(KEN)


async def test_two_calls_at_once_refresh_once(desk: EntraDesk) -> None:
    await desk.sign_in()
    expire(desk)

    tokens = await asyncio.gather(*(desk.sign_ins.token(KEN) for _ in range(5)))

    assert len(set(map(Secret.reveal, tokens))) == 1
    assert len(desk.line.forms("refresh_token")) == 1


async def test_two_people_do_not_wait_for_each_other(desk: EntraDesk) -> None:
    await desk.sign_in()
    await desk.sign_in(AIKO, AIKO_OID)

    kens, aikos = await asyncio.gather(desk.sign_ins.token(KEN), desk.sign_ins.token(AIKO))

    assert kens != aikos


async def test_of_two_replicas_that_refresh_at_once_the_newer_cache_stays(desk: EntraDesk) -> None:
    await desk.sign_in()
    expire(desk)
    before = desk.rows.rows[KEN]
    winners = await desk.replica().token(KEN)
    after = desk.rows.rows[KEN]
    desk.rows.rows[KEN] = before

    def overtaken(request: httpx.Request) -> None:
        if request.url.path.endswith("/token"):
            desk.rows.rows[KEN] = after

    desk.line.instead = overtaken
    token = await desk.sign_ins.token(KEN)

    assert desk.rows.rows[KEN] is after
    assert token == winners, "the loser uses what the winner stored"


async def test_a_sign_out_during_a_refresh_is_not_undone(desk: EntraDesk) -> None:
    await desk.sign_in()
    expire(desk)

    def signed_out(_request: httpx.Request) -> None:
        desk.rows.rows.clear()

    desk.line.instead = signed_out

    with pytest.raises(SignInNeeded):
        await desk.sign_ins.token(KEN)

    assert desk.rows.rows == {}


async def test_a_row_that_is_lost_twice_in_a_row_still_gives_its_token(desk: EntraDesk) -> None:
    await desk.sign_in()
    expire(desk)

    def again() -> None:
        row = desk.rows.rows[KEN]
        desk.rows.rows[KEN] = replace(row, version=row.version + 1)

    desk.rows.before_update = again

    assert (await desk.sign_ins.token(KEN)).reveal()
    assert len(desk.line.forms("refresh_token")) == 2


async def test_a_row_copied_onto_another_person_does_not_open(desk: EntraDesk) -> None:
    await desk.sign_in(KEN, KEN_OID)
    await desk.sign_in(AIKO, AIKO_OID)
    rows = desk.rows.rows
    rows[AIKO] = replace(rows[AIKO], sealed=rows[KEN].sealed)

    with pytest.raises(SignInNeeded):
        await desk.sign_ins.token(AIKO)

    rows[AIKO] = replace(rows[KEN], user=AIKO)
    with pytest.raises(SignInNeeded):
        await desk.sign_ins.token(AIKO)
    assert (await desk.sign_ins.token(KEN)).reveal()


async def test_a_lost_vault_key_means_signed_out(desk: EntraDesk) -> None:
    await desk.sign_in()

    with pytest.raises(SignInNeeded):
        await desk.replica(new_key()).token(KEN)


async def test_a_new_vault_key_takes_over_at_the_next_refresh(desk: EntraDesk) -> None:
    await desk.sign_in()
    key = new_key()
    rotated = desk.replica(key, KEY)
    expire(desk)

    await rotated.token(KEN)

    assert desk.rows.rows[KEN].key_id == Vault([key]).key_id
    assert cache_of(desk, key)["RefreshToken"]


async def test_a_cache_of_another_authority_means_signed_out(desk: EntraDesk) -> None:
    await desk.sign_in()
    moved = desk.replica(authority=f"http://localhost:8080/entra/{TENANT_ID}/v2.0")

    with pytest.raises(SignInNeeded):
        await moved.token(KEN)


async def test_microsofts_own_authority_needs_no_instance_discovery(desk: EntraDesk) -> None:
    """MSAL's default asks a central host after every refused refresh, and fails where that is not reached."""
    home = f"https://login.microsoftonline.com/{TENANT_ID}"
    document = await desk.browser.get(f"/entra/{TENANT_ID}/v2.0/.well-known/openid-configuration")

    def discovery(request: httpx.Request) -> httpx.Response | None:
        found = request.url == f"{home}/v2.0/.well-known/openid-configuration"
        return httpx.Response(200, json=document.json()) if found else None

    desk.line.instead = discovery
    there = desk.process(authority=home)
    desk.links, desk.sign_ins = there.links, there.sign_ins
    await desk.sign_in()
    desk.entra.revoke(KEN_OID)
    expire(desk)

    with pytest.raises(SignInNeeded):
        await desk.sign_ins.token(KEN)

    assert [request for request in desk.line.sent if "/discovery/instance" in request.url.path] == []
    assert len(desk.line.forms("refresh_token")) == 1


async def test_locks_go_when_nobody_waits(desk: EntraDesk) -> None:
    await desk.sign_in()
    await desk.sign_ins.token(KEN)

    assert dict(desk.sign_ins._locks) == {}


async def test_no_token_and_no_secret_is_stored_in_the_clear(desk: EntraDesk) -> None:
    form = await desk.returned()
    (flow,) = [sealed for _, sealed, _ in desk.tickets.flows.values()]
    await desk.sign_ins.keep(KEN, await desk.links.finish(form))

    assert b"code_verifier" not in flow
    assert b"RefreshToken" not in desk.rows.rows[KEN].sealed
    assert b"eyJ" not in desk.rows.rows[KEN].sealed


async def secrets_of(desk: EntraDesk) -> set[str]:
    content = cache_of(desk)
    tokens = {
        entry["secret"]
        for kind in ("AccessToken", "RefreshToken", "IdToken")
        for entry in content[kind].values()
    }
    return tokens | {CLIENT_SECRET, *(form["code"] for form in desk.line.forms("authorization_code"))}


async def test_no_token_is_in_a_log_or_an_exception(
    desk: EntraDesk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.WARNING, "msal")  # its DEBUG prints the code; `bot.logs` keeps it quieter still
    await desk.sign_in()
    hidden = await secrets_of(desk)
    expire(desk)

    failures = []
    half = json.dumps({"access_token": "a-token-in-a-broken-answer"}) + "<trailing html>"
    desk.line.answer(200, half)
    failures.append(await failure(desk.sign_ins))
    for why in ("cut", "html", "503"):
        fail(desk, why)
        failures.append(await failure(desk.sign_ins))
    desk.line.mend()
    desk.entra.revoke(KEN_OID)
    failures.append(await failure(desk.replica()))

    logged = "".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    assert logged.count("entra.no_answer") >= 4
    assert "entra.no_token" in logged
    for secret in hidden | {"a-token-in-a-broken-answer"}:
        assert secret not in logged
        assert secret not in " ".join(failures)


async def failure(sign_ins: EntraSignIns) -> str:
    """Everything that an exception chain shows of itself and of the requests that it carries."""
    with pytest.raises((SignInNeeded, CouldNotVerify)) as caught:
        await sign_ins.token(KEN)
    shown = []
    error: BaseException | None = caught.value
    while error is not None:
        request = error.request if isinstance(error, httpx.RequestError) else None
        shown.append(f"{error!r} {vars(error)} {request and request.content!r}")
        error = error.__cause__ or error.__context__
    return " ".join(shown)


async def test_no_token_is_in_the_text_of_what_is_handed_around(desk: EntraDesk) -> None:
    arrival = await desk.arrive()
    await desk.sign_ins.keep(KEN, arrival)
    hidden = await secrets_of(desk)
    token = await desk.sign_ins.token(KEN)

    shown = f"{arrival!r} {token!r} {desk.rows.rows!r} {desk.credential!r} {desk.sign_ins!r}"

    assert [secret for secret in hidden if secret in shown] == []


async def test_the_sweep_signs_out_whose_time_is_over_with_the_reason_in_the_record(desk: EntraDesk) -> None:
    await desk.sign_in()
    desk.clock.advance(timedelta(hours=1))
    await desk.sign_in(AIKO, AIKO_OID)
    await desk.returned()
    desk.clock.advance(timedelta(hours=7))

    assert await desk.sign_ins.sweep() == 2, "Ken's sign-in, and the flow that nobody came back from"

    assert set(desk.rows.rows) == {AIKO}
    [entry] = desk.rows.entries
    assert (entry.event, entry.actor, entry.facts["reason"]) == (Event.SIGNED_OUT, KEN, "too_old")
    assert (entry.facts["account"], entry.facts["oid"]) == ("ken@contoso.com", KEN_OID)


async def test_the_sweep_spares_who_signs_in_anew_meanwhile(desk: EntraDesk) -> None:
    await desk.sign_in()
    old = desk.rows.rows[KEN]
    desk.clock.advance(timedelta(hours=8))

    async def as_read(_than: object, *, limit: int) -> list[SignInRow]:
        await desk.sign_in()
        return [old][:limit]

    desk.rows.older = as_read  # type: ignore[method-assign]  # somebody is faster

    await desk.sign_ins.sweep()

    assert KEN in desk.rows.rows
    assert desk.rows.entries == []
