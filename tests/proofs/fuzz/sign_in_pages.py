"""What a browser sends to the sign-in pages: paths, methods, forms, hosts; before and during a sign-in."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

import httpx
from bot.entra.links import EntraLinks
from bot.entra.vault import Vault
from bot.slack.wording import ENGLISH
from bot.web.app import HEADERS, web_app
from bot.web.sign_in import SignInPages
from hypothesis import strategies as st
from tests.proofs.fuzz.openings import Play, emptied, temporary_database
from tests.proofs.fuzz.strategies import near, near_bytes, usually
from tests.support.bot import Bot
from tests.support.builders import KEN, TIMING
from tests.support.clock import NOON
from tests.unit.entra.fake_entra import ORIGIN, FakeEntra, a_client
from tests.unit.entra.sign_in_fixture import OLD_KEY, PUBLIC

ODD_PATHS: Final = ("/sign-in", "/", "//sign-in/x", "/sign-in/..%2fcallback", "/sign-in/callback/../x")
METHODS: Final = ("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "X")
HOST: Final = "unlatch.contoso.com"
HOSTS: Final = ("evil.example", "", "[", "localhost:99999", f"{HOST}@evil.example")


@dataclass(frozen=True)
class Visit:
    """LINK, STATE, CODE and PAGE stand for what a browser has that came as far as `begun`."""

    method: str
    path: str
    body: bytes
    host: str
    begun: int
    """0: nothing, 1: a link, 2: at Microsoft, 3: back, and asked whether the account is theirs."""


def _quoted(text: str) -> str:
    return "/" + quote(text[:300].encode(errors="replace"), safe="/?=&%").lstrip("/")


GOOD: Final = (
    Visit("GET", "/sign-in/LINK", b"", HOST, 1),
    Visit("POST", "/sign-in/callback", b"state=STATE&code=CODE", HOST, 2),
    Visit("POST", "/sign-in/callback", b"state=STATE&error=access_denied&error_description=x", HOST, 2),
    Visit("POST", "/sign-in/confirm", b"page=PAGE&answer=yes", HOST, 3),
    Visit("POST", "/sign-in/confirm", b"page=PAGE&answer=no", HOST, 3),
)
visits = st.sampled_from(GOOD).flatmap(
    lambda good: st.builds(
        Visit,
        usually(good.method, st.sampled_from(METHODS)),
        usually(
            good.path,
            st.sampled_from(ODD_PATHS)
            | near(good.path).map(_quoted)
            | near("next=https://evil.example").map(lambda text: f"{good.path}?{_quoted(text)[1:]}"),
        ),
        usually(good.body, near_bytes(good.body)),
        usually(HOST, st.sampled_from(HOSTS)),
        usually(good.begun, st.integers(0, 3)),
    )
)


@asynccontextmanager
async def opening() -> AsyncIterator[Play]:
    """The pages over a real vault and MSAL, and an Entra that signs Ken in."""
    async with temporary_database() as database:

        async def play(visit: Visit) -> None:
            bot = await emptied(database)
            bot.clock.advance(datetime.now(UTC) - NOON)  # MSAL reads its own clock
            bot.sign_ins.accounts.clear()
            entra = FakeEntra(bot.clock)
            client, options = a_client(entra), {"public_url": PUBLIC, "timing": TIMING, "now": bot.clock.now}
            bot.deps = replace(bot.deps, links=EntraLinks(client, Vault([OLD_KEY]), database, **options))
            asgi = web_app(SignInPages(bot.deps, lambda *_: None, ENGLISH.error).routes(), https=True)
            try:
                async with httpx.AsyncClient(transport=httpx.ASGITransport(asgi), base_url=PUBLIC) as http:
                    await _visit(http, bot, await _begin(http, bot, entra, visit.begun), visit)
            finally:
                client.close()

        yield play


async def _visit(http: httpx.AsyncClient, bot: Bot, names: dict[str, str], visit: Visit) -> None:
    path, body = visit.path, visit.body
    for name, value in names.items():
        path, body = path.replace(name, value), body.replace(name.encode(), value.encode())
    headers = {"host": visit.host, "content-type": "application/x-www-form-urlencoded"}
    url = httpx.URL(PUBLIC).copy_with(raw_path=path.encode("latin-1"))
    answer = await http.request(visit.method, url, content=body, headers=headers)
    assert answer.status_code < 500
    assert not re.search("<script|<img", answer.text)
    assert f"{answer.headers.get('location', ORIGIN)}/".startswith(f"{ORIGIN}/")
    assert not [name for name in HEADERS if name not in answer.headers]
    confirmed = b"page=" + names.get("PAGE", "-").encode() in body and b"answer=yes" in body
    assert confirmed or not bot.sign_ins.accounts, "linked without a yes"


async def _begin(http: httpx.AsyncClient, bot: Bot, entra: FakeEntra, steps: int) -> dict[str, str]:
    """Go as far as this; return what the browser has by then."""
    names: dict[str, str] = {}
    if steps >= 1:
        names["LINK"] = (await bot.offer(KEN)).reveal()
    if steps >= 2:
        opened = await http.get(f"/sign-in/{names['LINK']}")
        form = entra.sign_in(opened.headers["location"])
        names |= {"STATE": form["state"], "CODE": form["code"]}
    if steps >= 3:
        asked = await http.post("/sign-in/callback", data=form)
        [names["PAGE"]] = re.findall(r'name="page" value="([^"]+)"', asked.text)
    return names
