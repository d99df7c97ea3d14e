"""Every answer, whoever made it, is kept and framed by nobody, and leads nowhere that a stranger named."""

from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest
from bot.domain.identifiers import UserId
from bot.resets.sign_in import Continuation, offer
from bot.slack.wording import ENGLISH
from bot.web.pages import HEADERS
from bot.web.probes import probe_routes
from bot.web.sign_in import SignInPages
from bot.web.site import site
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.fakes.desk import a_desk
from tests.fakes.people import KEN, TEAM, actor
from tests.fakes.sign_ins import account_of
from tests.fuzz import asgi

HSTS = "strict-transport-security"


class Nobody:
    """No window waits."""

    async def resume(self, *_: object) -> None: ...

    async def resume_refused(self, *_: object) -> None: ...


class Front:
    """The pages, the probes, and a page that breaks."""

    def __init__(self, *, https: bool = True) -> None:
        self.staffed = a_desk()

        async def breaks(_: Request) -> Response:
            raise RuntimeError("secret words")

        desk, links = self.staffed.desk, self.staffed.sign_ins
        pages = SignInPages(desk, links, Nobody(), ENGLISH.refusal, lambda _work: None, secure=https)
        routes = [*pages.routes(), *probe_routes({}), Route("/breaks", breaks)]
        self.app = site(routes, https=https)
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        self.http = httpx.AsyncClient(transport=transport, base_url="https://unlatch.contoso.com")

    async def link(self) -> str:
        invitation = await offer(self.staffed.desk, actor(KEN), TEAM, Continuation())
        return invitation.url.rpartition("/")[2]

    async def asked(self) -> str:
        """The page that asks whether both are Ken."""
        state = (await self.http.get(f"/sign-in/{await self.link()}")).headers["location"]
        self.staffed.sign_ins.answers[state] = account_of(KEN)
        return (await self.http.post("/sign-in/callback", data={"state": state})).text


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    front = Front()
    yield front
    await front.http.aclose()


EVERY = {
    "a page": ("GET", "/sign-in/unknown", b"", 410),
    "a return": ("POST", "/sign-in/callback", b"state=x", 410),
    "no page": ("GET", "/nowhere", b"", 404),
    "another method": ("DELETE", "/sign-in/unknown", b"", 405),
    "too large": ("POST", "/sign-in/callback", b"x" * 600_000, 413),
    "a crash": ("GET", "/breaks", b"", 500),
    "a probe": ("GET", "/readyz", b"", 200),
    "a slash too many": ("GET", "/sign-in/unknown/", b"", 404),
}


@pytest.mark.parametrize(("method", "path", "body", "status"), EVERY.values(), ids=EVERY)
async def test_every_answer_says_how_it_may_be_used(front, method, path, body, status):
    answer = await front.http.request(method, path, content=body)
    assert answer.status_code == status
    for name, text in HEADERS.items():
        assert answer.headers.get_list(name) == [text], name
    assert "secret words" not in answer.text


@pytest.mark.parametrize("path", ["/sign-in/unknown", "/nowhere", "/breaks"])
async def test_browsers_shall_keep_to_https_where_we_are_reached_by_it(path):
    by_https, by_http = Front(https=True), Front(https=False)
    assert "max-age=" in (await by_https.http.get(path)).headers[HSTS]
    assert HSTS not in (await by_http.http.get(path)).headers


HOSTS = ("evil.example", "", "[", "unlatch.contoso.com@evil.example", "evil.example:x", "é", "a" * 5000)


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host[:20])
async def test_no_host_that_a_stranger_sends_comes_back(front, host):
    link = await front.link()
    for method, path in (
        *(
            ("GET", f"/sign-in/{link}"),
            ("GET", f"/sign-in/{link}/"),
            ("GET", "/sign-in/"),
            ("GET", "//evil.example"),
        ),
        *(("GET", "/"), ("POST", f"/sign-in/{link}")),
    ):
        answer = await asgi.request(front.app, method, path, [("host", host), ("x-forwarded-host", host)])
        assert answer.status < 500
        assert "evil" not in answer.text + str(answer.headers)
        assert "<form" not in answer.text


@pytest.mark.parametrize("name", ["next", "redirect_uri", "return_to", "url", "RelayState", "iss"])
async def test_the_return_leads_nowhere(front, name):
    for method in ("GET", "POST"):
        path = f"/sign-in/callback?{name}=https://evil.example"
        answer = await front.http.request(
            method, path, content=f"{name}=https://evil.example&state=x".encode()
        )
        assert "location" not in answer.headers
        assert "evil" not in answer.text


async def test_who_leaves_in_the_middle_of_a_body_leaves_no_crash(front):
    async def gone() -> dict[str, object]:
        return parts.pop(0)

    parts = [{"type": "http.request", "body": b"state=", "more_body": True}, {"type": "http.disconnect"}]
    scope = {
        **{"type": "http", "http_version": "1.1", "method": "POST", "path": "/sign-in/callback"},
        **{"raw_path": b"/sign-in/callback", "query_string": b"", "headers": [], "scheme": "http"},
    }
    sent = []

    async def send(message: object) -> None:
        sent.append(message)

    await front.app(scope, gone, send)
    assert sent == []


async def test_the_same_header_twice_signs_nobody_in_twice(front):
    headers = [
        ("host", "a"),
        ("host", "b"),
        ("content-type", "text/plain"),
        ("content-type", "x"),
        ("cookie", "a=b"),
    ]
    answer = await asgi.request(front.app, "POST", "/sign-in/callback", headers, [b"state=x&state=y"])
    assert answer.status == 410
    assert "set-cookie" not in answer.headers
    assert front.staffed.sign_ins.accounts.keys() == {UserId("U0KEN"), UserId("U0AIKO")}


@pytest.mark.parametrize(
    "name", ["nek\u202e", "K\u200ben", "Ken\u2066\u2069", "Ken\n\nMei", "K" + "\u0301" * 300 + "en"]
)
async def test_no_name_turns_covers_or_breaks_the_words_around_it(front, name):
    front.staffed.people.change(replace(KEN, name=name))
    page = await front.asked()
    assert "about to be tied" in page
    assert not set(page) & set("\u202e\u200b\u2066\u2069")
    assert page.count("\u0301") <= 4
    assert "Ken\n" not in page
