"""Device codes: each is asked about by itself and bound to its owner; one's trouble is not another's."""

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from bot.domain.errors import CouldNotVerify, SignInRefused, TicketUnusable
from bot.domain.identifiers import UserId
from bot.domain.secret import Secret
from bot.domain.why import Code
from bot.entra import EntraCodes
from bot.ports import Arrival, CodeUsed, Invitation
from entra_desk import AIKO, AIKO_OID, BASE, KEN, KEN_OID, PLENTY, STEP_UP, EntraDesk, Replica

PAGE = f"{BASE}/entra/devicelogin"
FIVE = timedelta(seconds=5)


class Phone:
    """Somebody in front of a device that shows a code, and a browser elsewhere."""

    def __init__(self, desk: EntraDesk) -> None:
        self.desk = desk
        self.here: Replica = desk.process(public=True)
        self._count = 0

    async def invited(self, user: UserId = KEN, claims: str | None = None) -> Invitation:
        self._count += 1
        secret = Secret(f"code-{self._count}")
        return await self.here.codes.invite(self.desk.a_ticket(secret, user, claims), secret, PLENTY)

    async def types(self, invitation: Invitation, oid: str = KEN_OID) -> httpx.Response:
        """Type the code on Microsoft's page, and pick an account."""
        assert invitation.code is not None
        page = await self.desk.browser.post("/entra/devicelogin", data={"code": invitation.code.reveal()})
        [code] = re.findall(r'name="code" value="([^"]+)"', page.text)
        return await self.desk.browser.post("/entra/devicelogin/account", data={"code": code, "account": oid})

    async def later(self, time: timedelta = FIVE, codes: EntraCodes | None = None) -> list[CodeUsed]:
        """What came of the codes after this time."""
        self.desk.clock.advance(time)
        return list(await (codes or self.here.codes).poll())


@pytest.fixture
def phone(desk: EntraDesk) -> Phone:
    return Phone(desk)


def asked(phone: Phone) -> int:
    """How often Microsoft was asked about a code."""
    return len(phone.desk.line.forms("urn:ietf:params:oauth:grant-type:device_code"))


async def test_whoever_types_the_code_is_signed_in(phone: Phone) -> None:
    invitation = await phone.invited()
    assert invitation.url == PAGE
    assert await phone.later() == []
    await phone.types(invitation)

    [used] = await phone.later()

    assert used.ticket.user == KEN
    assert isinstance(used.arrival, Arrival)
    assert used.arrival.account.username == "ken@contoso.com"
    await phone.here.sign_ins.keep(KEN, used.arrival)
    assert (await phone.here.sign_ins.token(KEN)).reveal().count(".") == 2
    assert phone.desk.code_rows.codes == {}
    assert await phone.later() == []


async def test_its_tokens_are_refreshed_without_a_secret(phone: Phone) -> None:
    await phone.types(await phone.invited())
    [used] = await phone.later()
    assert isinstance(used.arrival, Arrival)
    await phone.here.sign_ins.keep(KEN, used.arrival)
    phone.desk.entra.require_step_up(KEN_OID, '{"access_token": {}}')
    challenge = '{"access_token": {"nbf": {"essential": true, "value": "1"}}}'

    assert (await phone.here.sign_ins.token(KEN, claims=challenge)).reveal()

    [form] = phone.desk.line.forms("refresh_token")
    assert "client_secret" not in form


async def test_microsoft_is_asked_no_more_often_than_it_says(phone: Phone) -> None:
    await phone.invited()

    for _ in range(12):
        await phone.later(timedelta(seconds=1))

    assert asked(phone) == 2


async def test_where_microsoft_asks_to_slow_down_it_is_asked_less_often_from_then_on(phone: Phone) -> None:
    await phone.invited()
    [code] = phone.desk.entra.device_codes.codes.values()
    code.asked_at = phone.desk.clock.now() + timedelta(seconds=4)

    await phone.later()
    assert await phone.later() == []
    assert asked(phone) == 1
    await phone.later()
    assert asked(phone) == 2


async def test_no_thread_waits_and_two_replicas_ask_once(phone: Phone) -> None:
    await phone.invited()
    other = phone.desk.process(public=True).codes
    phone.desk.clock.advance(FIVE)

    found = await asyncio.gather(*(codes.poll() for codes in (phone.here.codes, other) * 3))

    assert list(found) == [[]] * 6
    assert asked(phone) == 1


async def test_a_used_code_is_handed_on_by_one_replica_alone(phone: Phone) -> None:
    await phone.types(await phone.invited())
    other = phone.desk.process(public=True).codes
    phone.desk.clock.advance(FIVE)

    found = await asyncio.gather(*(codes.poll() for codes in (phone.here.codes, other) * 3))

    assert sum(len(some) for some in found) == 1


async def test_one_persons_trouble_does_not_keep_another_waiting(phone: Phone) -> None:
    """MSAL keeps a 5xx for all device codes of an app: with one HTTP cache, Aiko would get Ken's."""
    kens, aikos = await phone.invited(), await phone.invited(AIKO)
    await phone.types(kens)
    await phone.types(aikos, AIKO_OID)
    troubled = device_code_of(phone, KEN)

    def five_hundred_for_ken(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(503, text="{}") if troubled in request.content.decode() else None

    phone.desk.line.instead = five_hundred_for_ken
    [used] = await phone.later()

    assert used.ticket.user == AIKO
    assert asked(phone) == 2
    phone.desk.line.mend()
    [used] = await phone.later(timedelta(seconds=10))
    assert used.ticket.user == KEN


def device_code_of(phone: Phone, user: UserId) -> str:
    [code] = [
        key
        for key, code in phone.desk.entra.device_codes.codes.items()
        if code.session is not None and code.session.account.oid == {KEN: KEN_OID, AIKO: AIKO_OID}[user]
    ]
    return code


@pytest.mark.parametrize("why", ["cut", "html", "503", "busy"])
async def test_while_entra_is_away_the_code_goes_on_waiting(phone: Phone, why: str) -> None:
    await phone.types(await phone.invited())
    trouble: dict[str, Callable[[], None]] = {
        "cut": phone.desk.line.cut,
        "html": lambda: phone.desk.line.answer(200, "<html>"),
        "503": lambda: phone.desk.line.answer(503, "Service Unavailable"),
        "busy": lambda: phone.desk.line.answer(400, '{"error": "temporarily_unavailable"}'),
    }
    trouble[why]()
    assert await phone.later() == []

    phone.desk.line.mend()
    [used] = await phone.later(timedelta(seconds=10))
    assert isinstance(used.arrival, Arrival)


@pytest.mark.parametrize(
    "odd", [{"interval": 10**30}, {"expires_in": 10**30}, {"interval": -1}, {"expires_in": 0}], ids=str
)
async def test_a_code_for_a_time_that_is_none_is_shown_to_nobody(phone: Phone, odd: dict[str, int]) -> None:
    await phone.later()
    code = {
        "user_code": "A",
        "device_code": "d",
        "verification_uri": "https://x",
        "interval": 5,
        "expires_in": 9,
    }
    phone.desk.line.instead = lambda request: (
        httpx.Response(200, json=code | odd) if request.url.path.endswith("/devicecode") else None
    )

    with pytest.raises((CouldNotVerify, SignInRefused)):
        await phone.invited()

    assert phone.desk.code_rows.codes == {}


@pytest.mark.parametrize("status", [200, 503])
async def test_without_entra_nobody_is_shown_a_code(phone: Phone, status: int) -> None:
    await phone.later()
    phone.desk.line.instead = lambda request: (
        httpx.Response(status, text="<html>") if request.url.path.endswith("/devicecode") else None
    )

    with pytest.raises(CouldNotVerify):
        await phone.invited()

    assert phone.desk.code_rows.codes == {}


async def test_an_entra_that_gives_no_code_is_a_refusal(phone: Phone) -> None:
    answer = '{"error": "unauthorized_client", "error_description": "AADSTS700016: not found"}'
    phone.desk.line.instead = lambda request: (
        httpx.Response(400, text=answer) if request.url.path.endswith("/devicecode") else None
    )

    with pytest.raises(SignInRefused) as caught:
        await phone.invited()

    assert caught.value.why.facts == {"code": "AADSTS700016"}


async def test_a_code_that_nobody_used_is_told_to_be_too_old(phone: Phone) -> None:
    await phone.invited()

    [used] = await phone.later(timedelta(minutes=15))

    assert isinstance(used.arrival, TicketUnusable)
    assert asked(phone) == 0
    assert phone.desk.code_rows.codes == {}


async def test_who_cancels_is_told_so(phone: Phone) -> None:
    await phone.types(await phone.invited(), "nobody")

    [used] = await phone.later()

    assert refusal(used) is Code.CONSENT_DENIED


async def test_a_tenant_that_blocks_device_codes_lets_nobody_in(phone: Phone) -> None:
    phone.desk.entra.device_codes_blocked = True
    page = await phone.types(await phone.invited())

    assert "AADSTS53003" in page.text
    assert await phone.later() == []
    [used] = await phone.later(timedelta(minutes=15))
    assert isinstance(used.arrival, TicketUnusable)


async def test_an_app_that_is_no_public_client_is_refused_with_its_number(phone: Phone) -> None:
    phone.desk.entra.public_client_flows = False
    await phone.types(await phone.invited())

    [used] = await phone.later()

    assert refusal(used) is Code.ENTRA_ERROR
    assert isinstance(used.arrival, SignInRefused)
    assert used.arrival.why.facts == {"code": "AADSTS7000218"}


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"aud": "00000000-0000-4000-8000-000000000000"}, Code.BAD_TOKEN),
        ({"tid": "99999999-8888-4777-8666-555555555555"}, Code.WRONG_TENANT),
        ({"idp": "live.com"}, Code.GUEST_ACCOUNT),
        ({"exp": 1_700_000_000}, Code.BAD_TOKEN),
    ],
)
async def test_its_id_token_is_checked_as_any(phone: Phone, claims: dict[str, object], code: Code) -> None:
    await phone.types(await phone.invited())
    phone.desk.entra.tamper = claims

    [used] = await phone.later()

    assert refusal(used) is code
    assert isinstance(used.arrival, SignInRefused)
    assert used.arrival.ticket == used.ticket


async def test_what_microsoft_asks_in_addition_goes_with_the_code(phone: Phone) -> None:
    await phone.types(await phone.invited(claims=STEP_UP))

    [used] = await phone.later()

    assert isinstance(used.arrival, Arrival)
    [form] = phone.desk.line.forms("urn:ietf:params:oauth:grant-type:device_code")
    assert json.loads(form["claims"])["access_token"]["acrs"]["value"] == "c1"


async def test_a_code_moved_to_another_person_does_not_open(phone: Phone) -> None:
    await phone.types(await phone.invited())
    rows = phone.desk.code_rows.codes
    [(digest, code)] = rows.items()
    rows[digest] = replace(code, ticket=replace(code.ticket, user=AIKO))

    [used] = await phone.later()

    assert isinstance(used.arrival, TicketUnusable)
    assert asked(phone) == 0


async def test_neither_code_is_stored_in_the_clear_or_shown_by_accident(phone: Phone) -> None:
    invitation = await phone.invited()
    [row] = phone.desk.code_rows.codes.values()
    [secret] = phone.desk.entra.device_codes.codes

    assert invitation.code is not None
    for hidden in (invitation.code.reveal(), secret):
        assert hidden.encode() not in row.flow
        assert hidden not in f"{row!r} {invitation!r}"


def refusal(used: CodeUsed) -> Code:
    assert isinstance(used.arrival, SignInRefused), used
    return used.arrival.why.code


async def test_an_answer_that_another_replica_has_handled_is_not_handled_again(phone: Phone) -> None:
    """The question took longer than its lease."""
    await phone.types(await phone.invited())

    def slow(_request: httpx.Request) -> None:
        phone.desk.code_rows.codes.clear()

    phone.desk.line.instead = slow

    assert await phone.later() == []
