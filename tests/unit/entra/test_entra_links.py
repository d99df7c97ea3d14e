"""Links: for one person and one use, through Microsoft and back, until the account is confirmed."""

import asyncio
import hashlib
from contextlib import suppress
from datetime import timedelta

import pytest
from bot.domain.errors import Code, CouldNotVerify, SignInNeeded, SignInRefused, StoreError
from bot.domain.people import Confirmation
from bot.domain.values import Secret
from bot.store.tables import sign_in_links
from sqlalchemy import update
from tests.support.bot import refused
from tests.unit.entra.fake_entra import AIKO_OID, CALLBACK, KEN_OID, STEP_UP, query_of
from tests.unit.entra.sign_in_fixture import AIKO, KEN, NEW_KEY, redeem, take

LIFETIME = timedelta(minutes=10)
FAULTS = [CouldNotVerify("Slack"), *(kind() for kind in StoreError.__subclasses__())]
FAKE = "f" * 43
"""Of the shape of a secret."""


async def unusable(call) -> bool:
    return (await refused(call)).code is Code.LINK_UNUSABLE


async def test_a_link_finds_its_person_and_leads_to_microsoft(setup):
    secret = await setup.link(claims=STEP_UP)
    assert (await setup.links.get(secret)).user == KEN
    query = query_of(await setup.links.authorization_url(secret, login_hint="ken@contoso.com"))
    assert (query["redirect_uri"], query["login_hint"]) == (CALLBACK, "ken@contoso.com")
    assert "acrs" in query["claims"]
    assert await unusable(setup.links.get(Secret("link-2".ljust(43, "x"))))


async def test_a_sign_in_that_shows_who_it_is_asks_for_no_permission_and_keeps_no_token(setup):
    secret = await setup.link()
    url = await setup.links.authorization_url(secret, login_hint=None, identity_only=True)
    assert set(query_of(url)["scope"].split()) == {"openid", "profile", "email"}
    result = await redeem(setup, setup.entra.sign_in(url))
    held = await take(setup, await setup.links.hold(result))
    await setup.keep(KEN, held)
    assert (held.cache.reveal(), await setup.sign_ins.account(KEN)) == ("", held.account)
    with pytest.raises(SignInNeeded):
        await setup.sign_ins.token(KEN)


async def test_a_link_begins_one_flow_however_often_it_is_opened(setup):
    secret, other = await setup.link(), setup.replica()
    opened = [replica.links.authorization_url(secret, login_hint=None) for replica in (setup, other, other)]
    assert len(set(await asyncio.gather(*opened))) == 1


@pytest.mark.parametrize("form", [{}, {"state": ""}, {"state": "made-up", "code": "x"}, {"code": "x"}])
async def test_an_answer_to_no_flow_or_to_one_of_a_lost_key_is_nothing(setup, form):
    begun = await setup.returned()
    assert await unusable(redeem(setup, form))
    assert await unusable(redeem(setup.replica(NEW_KEY), begun))


async def test_each_step_has_ten_minutes(setup):
    """The link to be opened, the answer to be brought back, the result to be confirmed."""
    secret, form = await setup.link(), await setup.returned()
    held = await setup.links.hold(await setup.redeemed(AIKO, AIKO_OID))
    setup.clock.advance(LIFETIME - timedelta(seconds=1))
    assert await setup.links.get(secret)
    setup.clock.advance(seconds=1)
    assert await unusable(setup.links.authorization_url(secret, login_hint=None))
    assert await unusable(redeem(setup, form))
    assert await unusable(take(setup, held))


async def test_an_answer_is_redeemed_once_and_its_result_taken_once_with_both_secrets(setup):
    form = await setup.returned(claims=STEP_UP)
    result = await redeem(setup, form)
    held = await setup.links.hold(result)
    for half in (Confirmation(held.page, Secret("")), Confirmation(Secret(""), held.cookie)):
        assert await unusable(take(setup, half))
    taken = await take(setup, held)
    assert (taken.account, taken.cache) == (result.account, result.cache)
    assert (taken.link.user, taken.link.claims) == (KEN, STEP_UP)
    assert await unusable(take(setup, held))
    assert await unusable(redeem(setup, form))


async def test_o42_the_address_at_entra_fits_into_the_header_that_nginx_buffers_with_claims_too(setup):
    claims = STEP_UP.replace("c1", "c" * 500)
    url = await setup.links.authorization_url(await setup.link(claims=claims), login_hint="k" * 64)
    assert len(url) < 3000, "4 kB are for the whole head"


async def interrupted(taking, error):
    """Take something out, and meet an error before the end."""
    with suppress(type(error)):
        async with taking:
            raise error


@pytest.mark.parametrize("fault", ["entra", *FAULTS], ids=repr)
async def test_finding_6_a_fault_that_passes_uses_up_neither_the_link_nor_the_answer(setup, fault):
    secret = await setup.link()
    setup.entra.answer(0)
    with pytest.raises(CouldNotVerify):
        await setup.links.authorization_url(secret, login_hint=None)
    setup.entra.mend()
    form = setup.entra.sign_in(await setup.links.authorization_url(secret, login_hint=None))
    if fault == "entra":
        setup.entra.answer(503, "")
        with pytest.raises(CouldNotVerify):
            await redeem(setup, form)
        setup.entra.mend()
        again = form  # reloaded
    else:
        await interrupted(setup.links.redeem(form), fault)
        again = setup.entra.sign_in(await setup.links.authorization_url(secret, login_hint=None))
    held = await setup.links.hold(await redeem(setup, again))
    for error in FAULTS:
        await interrupted(setup.links.take(held), error)
    assert (await take(setup, held)).account.oid == KEN_OID
    assert await unusable(setup.links.get(secret))
    assert await unusable(take(setup, held))


async def test_an_account_is_refused_with_its_link_and_an_answer_that_was_refused_is_not_put_back(setup):
    form, guests = await setup.returned(), await setup.returned()
    await interrupted(setup.links.redeem(form), SignInRefused(Code.DECLINED))
    setup.entra.claims = {"acct": 1}
    told = await refused(redeem(setup, guests))
    assert (told.code, told.link.user) == (Code.GUEST_ACCOUNT, KEN)
    for brought in (form, guests):
        assert await unusable(redeem(setup, brought))


async def test_a_flow_is_not_taken_as_a_result_nor_a_result_as_a_flow(setup):
    """Both are found by a digest of what the browser brings, so only the sealing tells them apart."""
    await setup.returned()
    page, cookie = "page" * 10, "cookie" * 7
    await setup.change(sign_in_links, state_digest=hashlib.sha256(f"{page}.{cookie}".encode()).hexdigest())
    assert await unusable(take(setup, Confirmation(Secret(page), Secret(cookie))))
    await setup.links.hold(await setup.redeemed())
    state = "state" * 8
    row = update(sign_in_links).where(*(sign_in_links.c[name].is_not(None) for name in ("used_at", "sealed")))
    found = row.values(state_digest=hashlib.sha256(state.encode()).hexdigest())
    assert await setup.database.run(lambda tx: tx.execute(found).rowcount) == 1
    assert await unusable(redeem(setup, {"state": state, "code": "x"}))


async def test_no_secret_of_a_browser_and_no_token_is_stored_in_the_clear(setup):
    form = await setup.returned()
    begun = await setup.links_stored()
    held = await setup.links.hold(await redeem(setup, form))
    stored = repr((begun, await setup.links_stored()))
    browsers = [held.page.reveal(), held.cookie.reveal()]
    assert all(len(secret) >= 43 for secret in browsers)
    for text in (*browsers, form["state"], "code_verifier", "link-1", "refresh-", "access-"):
        assert text not in stored


@pytest.mark.parametrize(("text", "reads"), [(FAKE, 1), ("f" * 15, 0), ("f" * 65, 0), ("é" * 43, 0), ("", 0)])
async def test_what_strangers_forge_never_takes_the_writer(setup, monkeypatch, text, reads):
    looked, read = [], setup.database.read

    async def reading(work):
        looked.append(work)
        return await read(work)

    monkeypatch.setattr(setup.database, "read", reading)
    monkeypatch.setattr(setup.database, "run", None)
    form, confirmation = {"state": text, "code": "x"}, Confirmation(Secret(text), Secret(text))
    for call in (setup.links.get(Secret(text)), redeem(setup, form), take(setup, confirmation)):
        assert await unusable(call)
    await setup.database.problem()  # as /readyz asks
    assert len(looked) == 3 * reads + 1
