"""What a browser sends to the sign-in pages: paths, methods, forms, hosts; before and during a sign-in."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, urlencode

import httpx
from bot.entra.links import EntraLinks
from bot.entra.vault import Vault
from bot.slack.wording import ENGLISH
from bot.use_cases.sign_in import Continuation
from bot.web.app import HEADERS, web_app
from bot.web.health import probe_routes
from bot.web.sign_in import SignInPages
from hypothesis import strategies as st
from tests.proofs.fuzz.ground import Play, emptied, temporary_database
from tests.proofs.fuzz.strategies import mutated_bytes, near, usually
from tests.support.bot import Bot
from tests.support.builders import KEN, TIMING
from tests.support.clock import NOON
from tests.unit.entra.fake_entra import ORIGIN, FakeEntra, a_client
from tests.unit.entra.sign_in_fixture import OLD_KEY, PUBLIC

PATHS: Final = (
    *("/sign-in/LINK", "/sign-in/callback", "/sign-in/confirm") * 3,
    *("/sign-in/unknown", "/sign-in", "/sign-in/", "/", "/healthz", "/readyz", "/metrics", "/sign-in/LINK/"),
    *("//sign-in/x", "/sign-in/..%2fcallback", "/sign-in/%2e%2e/healthz", "/sign-in/callback/../x"),
)
METHODS: Final = ("GET", "POST", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "X")
HOST: Final = "unlatch.contoso.com"
HOSTS: Final = ("evil.example", "", "[", "localhost:99999", f"{HOST}@evil.example")
FIELDS: Final = ("page", "answer", "state", "code", "error", "error_description", "iss", "next")


@dataclass(frozen=True)
class Case:
    """LINK, STATE, CODE and PAGE stand for what a browser has that came as far as `begun`."""

    method: str
    path: str
    body: bytes = b""
    host: str = HOST
    begun: int = 0
    """0: nothing, 1: a link, 2: at Microsoft, 3: back, and asked whether the account is theirs."""


@st.composite
def _cases(draw: st.DrawFn) -> Case:
    path = draw(st.sampled_from(PATHS))
    if draw(st.integers(0, 3)) == 0:
        changed = draw(near(path.rpartition("/")[2])).encode(errors="replace")
        path = f"/sign-in/{quote(changed, safe=draw(st.sampled_from(('', '/', '/%'))))}"
    if draw(st.integers(0, 4)) == 0:
        path += "?" + quote(draw(near("next=https://evil.example")).encode(errors="replace"), safe="=&%")
    confirms = path.endswith("confirm")
    good = {"page": "PAGE", "answer": "yes"} if confirms else {"state": "STATE", "code": "CODE"}
    form = dict(good) if draw(st.integers(0, 3)) else {}
    for name in draw(st.lists(st.sampled_from(FIELDS), max_size=2)):
        form[name] = draw(near(form.get(name, "x")))
    body = urlencode(form, errors="replace").encode()
    return Case(
        draw(st.sampled_from(METHODS)),
        path,
        draw(usually(body, mutated_bytes(body))),
        draw(usually(HOST, st.sampled_from(HOSTS))),
        draw(st.integers(0, 3)),
    )


cases = _cases()
examples = (
    Case("POST", "/sign-in/confirm", b"page=PAGE&answer=yes", begun=3),
    Case("POST", "/sign-in/callback", b"state=STATE&error=<script>&error_description=AADSTS65001", begun=2),
)


@asynccontextmanager
async def opening() -> AsyncIterator[Play]:
    """The pages over a real vault and MSAL, and an Entra that signs Ken in."""
    async with temporary_database() as database:

        async def play(case: Case) -> None:
            bot = await emptied(database)
            bot.clock.advance(datetime.now(UTC) - NOON)  # MSAL reads its own clock
            bot.sign_ins.accounts.clear()
            entra = FakeEntra(bot.clock)
            client = a_client(entra)
            links = EntraLinks(
                client, Vault([OLD_KEY]), database, public_url=PUBLIC, timing=TIMING, now=bot.clock.now
            )
            bot.deps = replace(bot.deps, links=links)
            try:
                await _browse(bot, entra, case)
            finally:
                client.close()

        yield play


async def _browse(bot: Bot, entra: FakeEntra, case: Case) -> None:
    pages = SignInPages(bot.deps, lambda *_: None, ENGLISH.error)
    asgi = web_app([*pages.routes(), *probe_routes(_no_checks)], https=True)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(asgi), base_url=PUBLIC) as http:
        names = await _begin(http, bot, entra, case.begun)
        path, body = case.path, case.body
        for name, value in names.items():
            path, body = path.replace(name, value), body.replace(name.encode(), value.encode())
        headers = {"host": case.host, "content-type": "application/x-www-form-urlencoded"}
        url = httpx.URL(PUBLIC).copy_with(raw_path=path.encode("latin-1"))
        answer = await http.request(case.method, url, content=body, headers=headers)
    assert answer.status_code < 500
    assert "<script" not in answer.text
    assert "<img" not in answer.text
    assert f"{answer.headers.get('location', ORIGIN)}/".startswith(f"{ORIGIN}/")
    missing = [name for name in HEADERS if name not in answer.headers]
    assert not missing, f"{answer.status_code} without {missing}"
    confirmed = b"page=" + names.get("PAGE", "-").encode() in body and b"answer=yes" in body
    assert confirmed or not bot.sign_ins.accounts, "linked without a yes"


async def _no_checks() -> dict[str, str]:
    return {}


async def _begin(http: httpx.AsyncClient, bot: Bot, entra: FakeEntra, steps: int) -> dict[str, str]:
    """Go as far as this; return what the browser has by then."""
    names: dict[str, str] = {}
    if steps >= 1:
        names["LINK"] = (await bot.offer(KEN, Continuation(view_id="V1"))).reveal()
    if steps >= 2:
        opened = await http.get(f"/sign-in/{names['LINK']}")
        form = entra.sign_in(opened.headers["location"])
        names |= {"STATE": form["state"], "CODE": form["code"]}
    if steps >= 3:
        asked = await http.post("/sign-in/callback", data=form)
        [names["PAGE"]] = re.findall(r'name="page" value="([^"]+)"', asked.text)
    return names
