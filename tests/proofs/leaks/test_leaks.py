"""No secret anywhere: the whole job with every fault and every crash, and then a search of all that is left.

Allowed are the Authorization headers and token calls that secrets are for, the private modal with the sign-in
link, the one modal that shows the passcode, and what the vault has encrypted.
"""

import asyncio
import base64
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from io import StringIO
from itertools import product
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from bot import audit
from bot.slack.wording import CATALOG_EN as ENGLISH
from tests.proofs.crash_and_race.people import GAVE_UP
from tests.proofs.crash_and_race.processes import databases
from tests.proofs.leaks.launcher import PLANTS
from tests.proofs.leaks.watched import Watched, watched
from tests.support.app_fixture import TOMAS
from tests.support.clock import NOON
from tests.support.user_actions import AIKO, AIKO_ACCOUNT, KEN, KEN_ACCOUNT, MEI, PIXEL

Step = Callable[[Watched], Awaitable[None]]

SLACKS_OWN = ("delivery", "frame", "body of /slack/", "head of /slack/")
"""Where Slack's own short-lived secrets come from and go back to."""
MORE = {"latency": {"seconds": 0.2}, "429": {"retry_after": 0}, "5xx": {"retry_after": 0}}
"""Of the rule. Without Retry-After MSAL answers every sign-in for five seconds by itself."""
KINDS = ("latency", "429", "5xx", "reset before", "reset after", "truncated", "aborted")
CALLS = [("slack", "chat."), ("slack", "users.info"), ("slack", "views.update"), ("graph", "managedDevices")]
A_WHILE = 3
"""Seconds until a person stops waiting for a modal that a fault may have taken away."""
SHORTEST = 6
"""Characters; anything shorter would be found everywhere."""
SHORTEST_DIGITS = 8
"""A passcode of digits is searched for as a whole: a part of it is in every other timestamp."""


async def redeem(it: Watched, user: str = KEN, account: str = KEN_ACCOUNT) -> None:
    """Bring a code back from Microsoft; the page says what comes of it."""
    link = await it.people.sign_in_link(user)
    it.links.append(link.rpartition("/")[2])
    await it.people.browser.sign_in(link, account)


async def sign_in(it: Watched, user: str = KEN, account: str = KEN_ACCOUNT) -> None:
    """Sign in by the command; the modal says what comes of it."""
    await redeem(it, user, account)
    await it.people.title_after(user, ENGLISH["sign_in.title"])
    await it.people.close(user)


async def ask(it: Watched) -> None:
    heard = len(it.people.direct(MEI))
    await it.people.command(MEI, TOMAS)
    await it.people.until(lambda: len(it.people.direct(MEI)) > heard)


async def open_denial(it: Watched) -> None:
    await it.people.open(KEN, "deny")


async def approve(it: Watched) -> None:
    await it.people.until(lambda: it.people.offered("approve"))
    await it.people.approve()


async def look(it: Watched) -> None:
    await it.people.until(lambda: "show_passcode" in str(it.people.direct(MEI)))
    it.passcodes.append(await it.people.show_passcode())
    assert await it.people.unlock(PIXEL, it.passcodes[-1])
    await it.people.close(MEI)


async def whole_job(it: Watched) -> None:
    for step in (ask, sign_in, approve, look):
        await step(it)


async def every_other_way(it: Watched) -> None:
    """Deny, withdraw, a wrong account, a forged state, a stranger, the probes, status and sign-out."""
    people = it.people
    await people.command(MEI, "jonas@contoso.com locked out")
    await people.until(lambda: "jonas" in people.card())
    assert await people.open(KEN, "deny") == ENGLISH["deny.title"]
    await people.submit(KEN, denial="Call me first")
    await people.until(lambda: "Call me first" in people.receipt())
    await people.command(MEI, "lea@contoso.com locked out")
    await people.until(lambda: "withdraw" in str(people.direct(MEI)[-1]["blocks"]))
    await people.press(MEI, "withdraw")
    for account in (KEN_ACCOUNT, AIKO_ACCOUNT):
        await sign_in(it, AIKO, account)
    await it.bot.http.post("/sign-in/callback", data={"state": "forged", "code": "forged"})
    await it.bot.http.post("/slack/events", content=b"token=stranger&text=x")
    for path in ("readyz", "healthz", "metrics", f"sign-in/{it.links[0]}", "sign-in/callback", "nowhere"):
        await it.bot.http.get(f"/{path}")
    for command in ("status", "sign-out"):
        await people.hear(KEN, command)


async def through_every_fault(it: Watched) -> None:
    """Until every kind of fault was met at every vendor."""
    for calls, steps in ((CALLS, (ask, open_denial, approve, look)), ([("entra", "/token")], (redeem,))):
        for kind, (to, match) in product(KINDS, calls):
            await it.people.fault(to, kind, match, **MORE.get(kind, {}))
        await go_on(it, steps, until=lambda: not it.people.state["faults"])
        assert it.people.state["faults"] == []


async def go_on(it: Watched, steps: Sequence[Step], *, until: Callable[[], object]) -> None:
    """Do what people do, whatever comes of it; a planted crash ends the step, and they begin again."""
    for _ in range(40):
        if until():
            return
        it.crashed.clear()
        for step in steps:
            doing, crash = asyncio.ensure_future(step(it)), asyncio.create_task(it.crashed.wait())
            await asyncio.wait([doing, crash], timeout=A_WHILE, return_when=asyncio.FIRST_COMPLETED)
            crash.cancel()
            doing.cancel()
            with suppress(asyncio.CancelledError, *GAVE_UP):
                await doing
            if it.crashed.is_set():
                break


def forms(secret: str) -> set[bytes]:
    """As it is, escaped, encoded, cut, and spelled."""
    plain = secret.encode()
    part = max(SHORTEST_DIGITS if secret.isdigit() else SHORTEST, len(plain) * 2 // 3)
    found = {plain, plain[:part], plain[-part:], plain[::-1], secret.encode("utf-16-le")}
    texts = {plain.hex(), quote(secret, safe=""), quote_plus(secret), repr(plain)[2:-1], repr(secret)[1:-1]}
    texts |= {json.dumps(secret)[1:-1], json.dumps(json.dumps(secret))[3:-3]}
    if len(secret) <= 40:
        aloud = " · ".join(secret)  # as the modal spells digits
        texts |= {aloud, json.dumps(aloud)[1:-1], " ".join(secret)}
    found |= {text.encode() for text in texts} | set(_base64(plain))
    return {form for form in found if len(form) >= SHORTEST}


def _base64(plain: bytes) -> Iterator[bytes]:
    """Wherever in a longer text it begins: of the three cases, what its neighbours do not change."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            encoded = encode(b"\0" * before + plain)
            yield encoded[(before * 8 + 5) // 6 : len(plain) * 8 // 6]


def find_leaks(secrets: Mapping[str, str], places: Mapping[str, bytes]) -> list[str]:
    """Return every secret in every place, in any form, with what is around it."""
    found = []
    for name, secret in secrets.items():
        wanted = forms(secret)
        for where, content in places.items():
            at = next((at for form in wanted if (at := content.find(form)) >= 0), -1)
            if at >= 0:
                found.append(f"{name} in {where}: {content[max(0, at - 60) : at + 60]!r}")
    return found


def leaks(it: Watched) -> list[str]:
    places = it.places() | {f"export {name}": export(it, name) for name in ("jsonl", "csv")}
    allowed = {name: without_what_is_allowed(name, content) for name, content in places.items()}
    ours = {name: content for name, content in allowed.items() if not name.startswith(SLACKS_OWN)}
    return [*find_leaks(it.secrets(), allowed), *find_leaks(it.secrets_of_slack(), ours)]


def export(it: Watched, format_: str) -> bytes:
    """What an auditor takes away."""
    out = StringIO()
    audit.export(it.settings["DATABASE_URL"], out, format_=format_, since=NOON.replace(year=2020), until=None)
    assert "passcode_viewed" in out.getvalue()
    return out.getvalue().encode()


def without_what_is_allowed(name: str, content: bytes) -> bytes:
    if "/slack/api/views." not in name or not content.startswith(b"{"):
        return content
    match json.loads(content).get("view", {}).get("title", {}).get("text"):
        case title if title == ENGLISH["passcode.title"]:
            return b""
        case title if title == ENGLISH["sign_in.title"]:
            return re.sub(rb"/sign-in/[\w-]{43}", b"", content)
    return content


@pytest.mark.parametrize(
    ("level", "socket_mode", "kind"),
    [("info", False, "sqlite"), ("warning", True, "sqlite"), ("error", False, "postgresql")],
)
async def test_no_secret_is_anywhere_after_the_whole_job(tmp_path, level, socket_mode, kind):
    """At each level of the log that may be set."""
    with databases(kind) as url:
        database = url(tmp_path)
        async with watched(tmp_path, socket_mode=socket_mode, LOG_LEVEL=level, DATABASE_URL=database) as it:
            await whole_job(it)
            await every_other_way(it)
            assert (await it.bot.end(), leaks(it)) == (0, [])
            assert any(b"serial" in content for content in it.places().values())
    kinds = {name.split()[0] for name in it.secrets()}
    assert kinds >= {"access_token", "refresh_token", "id_token", "code", "code_verifier", "link", "passcode"}
    shown = [call for call in it.tap.to("/slack/api/") if it.passcodes[0].encode() in call.sent]
    assert len(shown) == 1


async def test_no_secret_is_anywhere_after_every_fault(tmp_path: Path):
    async with watched(tmp_path, "--debug", ASKS_PER_HOUR="1000") as it:
        await whole_job(it)
        await through_every_fault(it)
        await it.bot.end()
        assert leaks(it) == []


async def test_a_crash_with_a_secret_in_its_text_says_its_kind_and_its_place_alone(tmp_path: Path):
    """One crash in each adapter, then it goes on: a whole job meets them all."""
    async with watched(tmp_path, "--debug", "--plant", ASKS_PER_HOUR="1000") as it:
        everything = (ask, sign_in, open_denial, approve, look)
        await go_on(it, everything, until=lambda: it.passcodes)
        await it.bot.end()
        assert {name for name in PLANTS if name not in "\n".join(it.bot.lines)} == set()
        assert leaks(it) == []
    assert all(json.loads(line) for line in it.bot.lines)


def test_a_secret_is_found_in_every_form_in_which_it_may_lie_about():
    secret = 'xoxb-12"3/ä+Kx'
    for hidden in (
        secret.encode(),
        json.dumps({"a": secret}).encode(),
        json.dumps(json.dumps({"a": secret})).encode(),
        base64.b64encode(b"user:" + secret.encode()),
        base64.urlsafe_b64encode(b"?" + secret.encode() + b"!!"),
        quote(secret, safe="").encode(),
        secret.encode().hex().encode(),
        repr({"a": secret}).encode(),
    ):
        assert any(form in hidden for form in forms(secret)), hidden
    [leak] = find_leaks({"it": secret}, {"here": b"nothing", "there": b"xx" + secret.encode()})
    assert leak.startswith("it in there: ")
    assert find_leaks({"it": secret}, {"here": b"xoxb-other"}) == []
