"""The browser's side: a link that only a press uses up, pages that nobody can frame, keep or inject into."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta

import httpx
import pytest
from bot.domain.errors import CouldNotVerify, SignInRefused, UnlatchError
from bot.domain.people import Account
from bot.domain.record import Event
from bot.domain.sign_in import TICKET_LIFE, Ticket
from bot.domain.why import Code, Why
from bot.resets.sign_in import Continuation, offer
from bot.slack.wording import ENGLISH
from bot.web.limits import LARGEST, BodyLimit
from bot.web.probes import probe_routes
from bot.web.sign_in import SignInPages
from starlette.applications import Starlette
from starlette.middleware import Middleware
from tests.fakes.desk import StaffedDesk, a_desk
from tests.fakes.people import AIKO, KEN, TEAM, actor
from tests.fakes.sign_ins import account_of

CONFIRM = "/sign-in/confirm"
COOKIE = "__Host-unlatch-sign-in"
NASTY = """<script>alert("1")</script>'&"""


@dataclass
class Window:
    """The Slack window that waits for the sign-in."""

    resumed: list[tuple[Ticket, Account]] = field(default_factory=list)
    refused: list[UnlatchError] = field(default_factory=list)

    async def resume(self, ticket: Ticket, account: Account) -> None:
        self.resumed.append((ticket, account))

    async def resume_refused(self, _ticket: Ticket, error: UnlatchError) -> None:
        self.refused.append(error)


class Site:
    """The pages over fakes, and a browser without scripts."""

    def __init__(self, *, secure: bool = True) -> None:
        self.staffed: StaffedDesk = a_desk()
        self.window = Window()
        self.later: list[object] = []
        self.well = {"database": True, "slack": True}
        staffed = self.staffed
        pages = SignInPages(
            staffed.desk, staffed.sign_ins, self.window, ENGLISH.refusal, self.later.append, secure=secure
        )
        routes = [*pages.routes(), *probe_routes({name: self._check(name) for name in self.well})]
        asgi = Starlette(routes=routes, middleware=[Middleware(BodyLimit)])
        transport = httpx.ASGITransport(asgi, raise_app_exceptions=False)
        self.http = httpx.AsyncClient(transport=transport, base_url="https://unlatch.contoso.com")

    def _check(self, name: str):
        async def check() -> bool:
            return self.well[name]

        return check

    async def link(self) -> str:
        return (await offer(self.staffed.desk, actor(KEN), TEAM, Continuation(view_id="V1"))).url

    async def begun(self) -> str:
        """A flow under way: its `state`."""
        went = await self.http.get(await self.link())
        assert went.status_code == 303
        return went.headers["location"]

    async def come_back(self, state: str, answer: Account | Exception | None = None) -> httpx.Response:
        """Bring Microsoft's answer: the page that asks, or one that says why not."""
        if answer is not None:
            self.staffed.sign_ins.answers[state] = answer
        return await self._settled(
            await self.http.post("/sign-in/callback", data={"state": state, "code": "c"})
        )

    async def asked(self) -> httpx.Response:
        """The page that asks Ken whether both are him."""
        return await self.come_back(await self.begun(), account_of(KEN))

    async def press(self, asked: httpx.Response, answer: str = "yes", **changes: str) -> httpx.Response:
        """Press a button of that page."""
        form = {"page": secret_of(asked), "answer": answer} | changes
        return await self._settled(await self.http.post(CONFIRM, data=form))

    async def signed_in(self, account: Account | None = None) -> httpx.Response:
        """The whole way."""
        return await self.press(await self.come_back(await self.begun(), account or account_of(KEN)))

    async def _settled(self, page: httpx.Response) -> httpx.Response:
        for work in self.later:
            await work
        self.later.clear()
        return page


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    yield site
    for work in site.later:
        await work
    await site.http.aclose()


def secret_of(page: httpx.Response) -> str:
    """What the form of the page carries."""
    [secret] = re.findall(r'name="page" value="([^"]+)"', page.text)
    return str(secret)


def words(page: httpx.Response) -> str:
    return re.sub(r"<style>.*?</style>|<[^>]+>", " ", page.text, flags=re.DOTALL)


async def test_opening_a_link_leads_to_microsoft_and_uses_nothing_up(site):
    link = await site.link()
    opened = [await site.http.get(link) for _ in range(3)]
    assert {(page.status_code, page.headers["location"]) for page in opened} == {(303, "state-0")}
    assert (await site.http.head(link)).status_code == 303
    assert site.staffed.sign_ins.hints == [KEN.email]


async def test_a_link_is_used_up_when_somebody_came_back(site):
    link = await site.link()
    state = (await site.http.get(link)).headers["location"]
    await site.come_back(state, account_of(KEN))
    assert (await site.http.get(link)).status_code == 410


@pytest.mark.parametrize("ticket", ["unknown", "confirm", "a" * 5000, "%00", "%ff%fe", "..%2f..%2fetc"])
async def test_an_unknown_link_is_a_page_that_says_how_to_get_another(site, ticket):
    page = await site.http.get(f"/sign-in/{ticket}")
    assert page.status_code in (404, 410)
    if page.status_code == 410:
        assert "to get a new one" in words(page)


async def test_an_expired_link_says_so(site):
    link = await site.link()
    site.staffed.later(seconds=TICKET_LIFE.total_seconds())
    assert (await site.http.get(link)).status_code == 410


# The page that asks


async def test_before_anything_is_tied_the_page_names_the_account_and_the_person_in_slack(site):
    site.staffed.sign_ins.accounts.clear()
    page = await site.come_back(await site.begun(), account_of(KEN, name="Kenji Ito"))
    assert page.status_code == 200
    shown = words(page)
    assert "Kenji Ito" in shown
    assert "ken@contoso.com" in shown
    assert re.search(rf"tied to this person in Slack:\s+{KEN.name}\b", shown)
    assert site.staffed.sign_ins.accounts == {}
    assert site.window.resumed == []


async def test_a_yes_ties_them_and_the_window_goes_on(site):
    site.staffed.sign_ins.accounts.clear()
    page = await site.signed_in()
    assert page.status_code == 200
    assert f"{KEN.name} in Slack acts as {KEN.email}" in words(page)
    assert set(site.staffed.sign_ins.accounts) == {KEN.id}
    [(ticket, account)] = site.window.resumed
    assert (ticket.user, ticket.view_id, account.oid) == (KEN.id, "V1", "oid-Ken")


async def test_a_no_ties_nothing_and_is_told_in_slack(site):
    site.staffed.sign_ins.accounts.clear()
    page = await site.press(await site.asked(), "no")
    assert (page.status_code, "Nobody acts with your account" in words(page)) == (200, True)
    assert site.staffed.sign_ins.accounts == {}
    assert [error.why.code for error in site.window.refused] == [Code.DECLINED]
    assert site.staffed.last(Event.SIGN_IN_REFUSED).facts["account"] == "ken@contoso.com"


@pytest.mark.parametrize("answer", ["", "YES", "no", "yes "])
async def test_only_a_yes_is_a_yes(site, answer):
    site.staffed.sign_ins.accounts.clear()
    await site.press(await site.asked(), answer)
    assert site.staffed.sign_ins.accounts == {}


@pytest.mark.parametrize("answers", [("yes", "yes"), ("no", "yes"), ("yes", "no")])
async def test_a_page_is_answered_once(site, answers):
    asked = await site.asked()
    cookie = dict(site.http.cookies)
    pages = []
    for answer in answers:
        site.http.cookies.update(cookie)
        pages.append(await site.press(asked, answer))
    assert [page.status_code for page in pages] == [200, 410]
    assert len(site.window.resumed) + len(site.window.refused) == 1


async def test_a_yes_from_another_browser_is_none(site):
    site.staffed.sign_ins.accounts.clear()
    asked = await site.asked()
    site.http.cookies.clear()
    assert (await site.press(asked)).status_code == 410
    site.http.cookies.set(COOKIE, "made-up")
    assert (await site.press(asked)).status_code == 410
    assert site.staffed.sign_ins.accounts == {}


async def test_a_yes_without_the_pages_own_secret_is_none(site):
    site.staffed.sign_ins.accounts.clear()
    asked = await site.asked()
    for secret in ("", "made-up", site.http.cookies[COOKIE]):
        assert (await site.press(asked, page=secret)).status_code == 410
    assert site.staffed.sign_ins.accounts == {}


async def test_the_cookie_is_for_this_host_this_answer_and_no_script(site):
    given = (await site.asked()).headers["set-cookie"]
    name, *attributes = [part.strip() for part in given.lower().split(";")]
    assert name.startswith(COOKIE.lower())
    assert set(attributes) == {"httponly", "secure", "samesite=strict", "path=/", "max-age=600"}
    taken = (await site.press(await site.asked())).headers["set-cookie"].lower()
    assert "max-age=0" in taken


async def test_on_this_very_machine_the_cookie_does_without_https():
    site = Site(secure=False)
    given = (await site.asked()).headers["set-cookie"].lower()
    assert given.startswith("unlatch-sign-in=")
    assert "secure" not in given
    assert (await site.signed_in()).status_code == 200
    await site.http.aclose()


async def test_a_state_is_good_once(site):
    state = await site.begun()
    pages = [await site.come_back(state, account_of(KEN)) for _ in range(2)]
    assert [page.status_code for page in pages] == [200, 410]


@pytest.mark.parametrize(
    "body", [b"", b"state=unknown", b"state=&code=x", b"\xff\xfe", b"a=1&" * 60, b"%ff=%fe"]
)
@pytest.mark.parametrize("way", ["GET /sign-in/callback", "POST /sign-in/callback", "POST /sign-in/confirm"])
async def test_a_return_that_nobody_waits_for_is_a_page_and_no_crash(site, way, body):
    page = await site.http.request(*way.split(), content=body)
    assert page.status_code == 410
    assert site.window.resumed == []


REFUSED = {
    "consent": Why(Code.CONSENT_DENIED),
    "an error of Entra's": Why(Code.ENTRA_ERROR, {"code": "AADSTS50105"}),
    "another tenant": Why(Code.WRONG_TENANT, {"account": "ken@fabrikam.com"}),
}


@pytest.mark.parametrize("why", REFUSED.values(), ids=REFUSED)
async def test_what_microsoft_refuses_is_told_in_the_browser_in_slack_and_on_the_record(site, why):
    state = await site.begun()
    ticket = site.staffed.sign_ins.begun[state]
    page = await site.come_back(state, SignInRefused(why, ticket))
    assert page.status_code == 403
    assert "Start again" in words(page)
    assert [type(error) for error in site.window.refused] == [SignInRefused]
    assert site.staffed.last(Event.SIGN_IN_REFUSED).facts["why"] == why.code


async def test_somebody_elses_account_is_refused_and_kept_nowhere(site):
    site.staffed.sign_ins.accounts.clear()
    page = await site.come_back(await site.begun(), account_of(AIKO))
    assert page.status_code == 403
    assert "set-cookie" not in page.headers
    assert site.staffed.sign_ins.held == {}
    assert "aiko@contoso.com" in words(page)
    assert site.staffed.sign_ins.accounts == {}
    assert site.staffed.last(Event.SIGN_IN_REFUSED).actor == KEN.id


async def test_a_slack_or_entra_that_is_away_says_to_try_again(site):
    link = await site.link()
    site.staffed.people.away = True
    page = await site.http.get(link)
    assert (page.status_code, "try again" in words(page)) == (503, True)
    site.staffed.people.away = False
    assert (await site.come_back(await site.begun(), CouldNotVerify("entra"))).status_code == 503


async def test_names_are_escaped(site):
    site.staffed.people.change(replace(KEN, name=NASTY))
    asks = await site.come_back(await site.begun(), account_of(KEN, name=NASTY))
    done = await site.press(asks)
    for page in (asks, done):
        assert page.status_code == 200
        assert NASTY not in page.text
        assert "&lt;script&gt;" in page.text


async def test_every_page_is_kept_by_nobody_framed_by_nobody_and_runs_nothing(site):
    asks = await site.asked()
    pages = [await site.http.get(await site.link()), await site.http.get("/sign-in/unknown"), asks]
    pages += [await site.press(asks), await site.press(await site.asked(), "no"), await site.press(asks)]
    for page in pages:
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["x-frame-options"] == "DENY"
        assert page.headers["referrer-policy"] == "no-referrer"
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "form-action 'self'" in policy
        assert "script-src" not in policy
        assert "unsafe" not in policy
        assert "<script" not in page.text


async def test_no_page_and_no_address_holds_a_token(site):
    page = await site.signed_in()
    assert "token" not in page.text
    assert "code" not in words(page)


# Limits and probes


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_over_the_limit_is_refused_announced_or_not(site, announced):
    async def chunks():
        for _ in range(9):
            yield b"x" * (LARGEST // 8)

    body = b"x" * (LARGEST + 1) if announced else chunks()
    answer = await site.http.post("/sign-in/callback", content=body)
    assert answer.status_code == 413
    assert answer.json() == {"error": "Too large."}


async def test_a_body_at_the_limit_is_read(site):
    assert (await site.http.post("/sign-in/callback", content=b"x" * LARGEST)).status_code == 410


async def test_alive_is_answered_whatever_is_away_and_ready_names_what_is(site):
    assert (await site.http.get("/readyz")).status_code == 200
    site.well["database"] = False
    ready = await site.http.get("/readyz")
    assert (ready.status_code, ready.json()) == (503, {"database": False, "slack": True})
    assert (await site.http.get("/healthz")).status_code == 200


def test_a_ticket_lives_ten_minutes():
    assert timedelta(minutes=10) == TICKET_LIFE
