"""The sign-in pages: only a person's own yes links anything; no page is framed, kept or written into."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from bot.domain.audit import Event
from bot.domain.errors import Code, CommitUnknown, CouldNotVerify, SignInRefused
from bot.domain.people import Account, SignInLink
from bot.slack.blocks import without_markup
from bot.slack.wording import ENGLISH
from bot.web.app import MAX_BODY, web_app
from bot.web.health import probe_routes
from bot.web.sign_in import SignInPages
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.support.bot import Bot
from tests.support.builders import KEN, TEAM, account_of
from tests.support.clock import NOON

NASTY = """<script>alert("1")</script>'&"""


class Site:
    """The pages over fakes, and a browser without scripts. Nobody is signed in."""

    def __init__(self, bot: Bot, *, https: bool = True) -> None:
        self.bot = bot
        bot.sign_ins.accounts.clear()
        self.resumed: list[tuple[SignInLink, Account | SignInRefused, str | None]] = []

        async def ok() -> dict[str, str]:
            return {}

        async def crashes(_: Request) -> Response:
            raise RuntimeError("secret words")

        pages = SignInPages(bot.deps, lambda *told: self.resumed.append(told), ENGLISH.error, secure=https)
        routes = [*pages.routes(), *probe_routes(ok), Route("/crashes", crashes)]
        transport = httpx.ASGITransport(web_app(routes, https=https), raise_app_exceptions=False)
        self.http = httpx.AsyncClient(transport=transport, base_url="https://unlatch.contoso.com")

    async def link(self) -> str:
        secret = await self.bot.offer(KEN, view_id="V1")
        return f"/sign-in/{secret.reveal()}"

    async def begun(self) -> str:
        """A flow under way: its `state`."""
        return (await self.http.get(await self.link())).headers["location"]

    async def come_back(self, state: str, answer: Account | Exception | None = None) -> httpx.Response:
        """Bring Microsoft's answer: the page that asks, or one that says why not."""
        self.bot.links.answers[state] = answer or account_of(KEN)
        return await self.http.post("/sign-in/callback", data={"state": state, "code": "c"})

    async def asked(self, answer: Account | None = None) -> httpx.Response:
        """The page that asks Ken whether both are him."""
        return await self.come_back(await self.begun(), answer)

    async def press(self, asked: httpx.Response, answer: str = "yes") -> httpx.Response:
        [secret] = re.findall(r'name="page" value="([^"]+)"', asked.text)
        return await self.http.post("/sign-in/confirm", data={"page": secret, "answer": answer})

    @property
    def linked(self) -> set[str]:
        return set(self.bot.sign_ins.accounts)


@pytest.fixture
async def site(database) -> AsyncIterator[Site]:
    site = Site(Bot(database))
    yield site
    await site.http.aclose()


def words(page: httpx.Response) -> str:
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", page.text, flags=re.DOTALL).split())


async def test_the_page_names_the_account_and_the_slack_user_and_only_a_yes_links_them(site):
    asked = await site.asked(account_of(KEN, name="Kenji Ito"))
    named = "Link this Microsoft account Kenji Ito ken@contoso.com to this Slack user: Ken ken@contoso.com"
    assert named in words(asked)
    assert (asked.status_code, site.linked, site.resumed) == (200, set(), [])
    page = await site.press(asked)
    assert "What Kenji Ito does in Slack counts as done by ken@contoso.com" in words(page)
    assert (page.status_code, site.linked) == (200, {KEN.id})
    [(link, account, _)] = site.resumed  # the modal continues
    assert (link.user, link.view_id, account.oid) == (KEN.id, "V1", "oid-Ken")


@pytest.mark.parametrize("answer", ["no", "", "YES", "yes "])
async def test_anything_but_yes_links_nothing_and_is_told_in_slack(site, answer):
    page = await site.press(await site.asked(), answer)
    assert (page.status_code, "no one can act as you" in words(page)) == (200, True)
    assert site.linked == set()
    assert "/sign-in/" not in page.text.partition("<main>")[2]  # they are not whose link it is
    assert [outcome.code for _, outcome, _ in site.resumed] == [Code.DECLINED]
    assert (await site.bot.entry(Event.SIGN_IN_REFUSED)).facts["account"] == "ken@contoso.com"


@pytest.mark.parametrize("https", [True, False])
async def test_the_cookie_is_for_this_host_this_answer_and_no_script_and_works_over_http_too(database, https):
    bot = Bot(database)
    bot.deps = replace(bot.deps, timing=replace(bot.deps.timing, link_lifetime=timedelta(days=2)))
    site = Site(bot, https=https)
    asked = await site.asked()
    name, *attributes = [part.strip() for part in asked.headers["set-cookie"].lower().split(";")]
    assert name.startswith("__host-unlatch-sign-in=" if https else "unlatch-sign-in=")
    over_https = {"secure"} if https else set()
    assert set(attributes) == {"httponly", "samesite=strict", "path=/", "max-age=172800"} | over_https
    assert ("strict-transport-security" in asked.headers) is https
    page = await site.press(asked)
    assert (page.status_code, "max-age=0" in page.headers["set-cookie"].lower()) == (200, True)
    await site.http.aclose()


@pytest.mark.parametrize(
    "body", [b"", b"state=unknown", b"state=&code=x", b"\xff\xfe", b"%ff=%fe", b"state=x&state=y"]
)
@pytest.mark.parametrize("way", ["GET /sign-in/callback", "POST /sign-in/callback", "POST /sign-in/confirm"])
async def test_an_answer_that_nothing_waits_for_is_a_page_and_signs_no_one_in(site, way, body):
    page = await site.http.request(*way.split(), content=body)
    assert (page.status_code, site.resumed, site.linked) == (410, [], set())
    assert "This sign-in link has expired or was already used." in words(page)
    assert "set-cookie" not in page.headers


async def test_a_form_with_more_fields_than_microsoft_sends_is_not_read(site):
    state = await site.begun()
    site.bot.links.answers[state] = account_of(KEN)
    page = await site.http.post("/sign-in/callback", content=f"state={state}&".encode() + b"a=1&" * 60)
    assert (page.status_code, (await site.come_back(state)).status_code) == (410, 200)


CLAIMS = '{"access_token":{"acrs":{"value":"c1"}}}'
LINK = SignInLink(digest="d", team=TEAM, user=KEN.id, expires_at=NOON, view_id="V1", request_id="1" * 32)
STILL = "Your link still works"
DEAD_SECRET = CouldNotVerify("entra", {"code": "AADSTS7000222"})
OUTAGES = [(CouldNotVerify("Entra (AADSTS90033)"), "AADSTS90033"), (DEAD_SECRET, "AADSTS7000222")]
OUTAGES += [(CommitUnknown(), "It is unclear whether this was saved.")]


@pytest.mark.parametrize(("error", "told"), OUTAGES, ids=repr)
async def test_an_outage_is_told_as_one_and_a_reload_goes_on(site, error, told):
    state = await site.begun()
    page = await site.come_back(state, error)
    assert (page.status_code, told in words(page), STILL in words(page)) == (503, True, error != DEAD_SECRET)
    assert "set-cookie" not in page.headers
    assert site.resumed == []
    asked = await site.come_back(state)
    site.bot.directory.down = True
    page = await site.press(asked)
    assert (page.status_code, STILL in words(page)) == (503, True)
    site.bot.directory.down = False
    assert ((await site.press(asked)).status_code, site.linked) == (200, {KEN.id})
    link, site.bot.directory.down = await site.link(), True
    assert (await site.http.get(link)).status_code == 503


WAYS_ON = [
    ("cancelled", SignInRefused(Code.CONSENT_DENIED, link=LINK, code="access_denied")),
    ("another", SignInRefused(Code.WRONG_ACCOUNT, link=LINK, account="a@contoso.com", expected="k")),
    ("e01", SignInRefused(Code.ENTRA_ERROR, link=LINK, claims=CLAIMS, code="AADSTS50076", case="more")),
]


@pytest.mark.parametrize("error", [pytest.param(error, id=f"{row} {error.code}") for row, error in WAYS_ON])
async def test_a_refusal_leads_on_to_a_new_link_with_microsofts_claims_here_and_in_slack(site, error):
    page = await site.come_back(await site.begun(), error)
    assert (page.status_code, without_markup(ENGLISH.error(error)) in words(page)) == (403, True)
    [url] = re.findall(r'<a class="button" href="([^"]+)">Sign in again</a>', page.text)
    assert site.resumed == [(LINK, error, url)]
    [new] = site.bot.links.links.values()
    assert (new.user, new.request_id, new.view_id) == (KEN.id, LINK.request_id, "V1")
    assert new.claims == (error.claims or LINK.claims)
    again = (await site.http.get(url)).headers["location"]
    assert (await site.press(await site.come_back(again))).status_code == 200


@pytest.mark.parametrize("step", ["asked", "refused", "yes", "no"])
async def test_a_form_that_is_sent_again_is_answered_as_the_first_time(site, step):
    """Pressed twice, or reloaded: by then the cookie is gone."""
    state = await site.begun()
    refused = WAYS_ON[0][1] if step == "refused" else None

    async def send() -> httpx.Response:
        if step in ("asked", "refused"):
            return await site.come_back(state, refused)
        return await site.press(asked, step)

    asked = None if step in ("asked", "refused") else await site.come_back(state)
    pages = [*await asyncio.gather(send(), send()), await send()]
    assert {page.status_code for page in pages} == {403 if refused else 200}
    assert len({page.text for page in pages}) == 1
    assert len(site.resumed) == (0 if step == "asked" else 1)
    if step == "asked":
        assert (await site.press(pages[-1])).status_code == 200
    site.bot.clock.advance(site.bot.deps.timing.link_lifetime)
    assert (await send()).status_code == 410


@pytest.mark.parametrize(
    "name",
    [NASTY, "nek\u202e", "K\u200ben", "Ken\u2066\u2069", "Ken\n\nMei", "K" + "\u0301" * 300 + "en"],
    ids=ascii,
)
async def test_no_name_is_markup_or_turns_covers_or_breaks_the_words_around_it(site, name):
    site.bot.directory.change(KEN, name=name)
    asked = await site.asked(account_of(KEN, name=name))
    for page in (asked, await site.press(asked)):
        assert (page.status_code, "&lt;script&gt;" in page.text) == (200, name is NASTY)
        assert not set(page.text) & set("\u202e\u200b\u2066\u2069")
        assert page.text.count("\u0301") <= 8
        assert not any(text in page.text for text in (NASTY, "Ken\n"))


async def without_a_length() -> AsyncIterator[bytes]:
    for _ in range(9):
        yield b"x" * (MAX_BODY // 8)


EVERY = {
    "a page": ("GET", "/sign-in/unknown", b"", 410),
    "a callback": ("POST", "/sign-in/callback", b"state=x", 410),
    "no page": ("GET", "/nowhere", b"", 404),
    "another method": ("DELETE", "/sign-in/unknown", b"", 405),
    "too large": ("POST", "/sign-in/callback", b"x" * (MAX_BODY + 1), 413),
    "too large before its end": ("POST", "/sign-in/callback", without_a_length, 413),
    "as large as may be": ("POST", "/sign-in/callback", b"x" * MAX_BODY, 410),
    "a crash": ("GET", "/crashes", b"", 500),
    "a probe": ("GET", "/readyz", b"", 200),
    "a slash too many": ("GET", "/sign-in/unknown/", b"", 404),
    "a way on": ("POST", "/sign-in/callback?next=https://evil.example", b"", 410),
}
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src …; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    **{"cache-control": "no-store", "referrer-policy": "no-referrer", "x-robots-tag": "noindex"},
    **{"x-content-type-options": "nosniff", "x-frame-options": "DENY"},
}
HOSTS = ["unlatch.contoso.com", "evil.example", "unlatch.contoso.com@evil.example", "evil.example:x", "é"]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize(("method", "path", "body", "status"), EVERY.values(), ids=EVERY)
async def test_every_answer_carries_the_security_headers_and_no_exceptions_text(
    site, method, path, body, status, host
):
    """Nor an address that the peer sends."""
    headers = {"host": host.encode(), "x-forwarded-host": host.encode()}
    content = body() if callable(body) else body
    answer = await site.http.request(method, path, content=content, headers=headers)
    assert answer.status_code == status
    for name, text in HEADERS.items():
        assert [re.sub(r"'sha256-[\w+/]+='", "…", one) for one in answer.headers.get_list(name)] == [text]
    assert "max-age=" in answer.headers["strict-transport-security"]
    assert not re.search("secret words|evil", answer.text + str(answer.headers))
