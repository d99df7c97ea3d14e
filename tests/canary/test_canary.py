"""No secret anywhere: the whole main job with every fault, and then a search of all that is left of it.

Allowed are the Authorization headers and token calls that secrets are for, the private window with the
sign-in link, the one window that shows the passcode, and what the vault has sealed.
"""

import asyncio
import io
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from bot.audit.export import export
from sandbox.faults import Rule
from sandbox.faults.rules import KINDS
from sandbox.slack.refusals import NotPossible
from tests.canary.forms import forms, hits
from tests.canary.launcher import PLANTS
from tests.canary.watched import PASSCODE, Watched, watched
from tests.postgres.cluster import Cluster, running
from tests.whole.browser import AIKO_ACCOUNT, KEN_ACCOUNT
from tests.whole.installed import AIKO, KEN, MEI, ON_CALL

ASK = "/reset-passcode serial:59040DLJH001 locked out"
START = datetime(2020, 1, 1, tzinfo=UTC)
ROUNDS = 6
SLACKS_OWN = ("delivery", "frame", "/slack/", "head of /slack/")
"""Where Slack's own short-lived secrets come from and go back to."""
PATIENCE = 30
"""Seconds; a device is asked after five, a fault costs some more."""


async def sign_in(it: Watched, user: str = KEN, account: str = KEN_ACCOUNT) -> None:
    while it.there.slack.modal(user):
        await it.there.slack.close(user)
    link = await it.there.link(user)
    it.links.append(link.rpartition("/")[2])
    await it.there.browser.http.get(link)
    await it.there.browser.sign_in(link, account)
    await it.there.until(lambda: it.there.title(user) not in ("Sign in", "One moment"))
    await it.there.slack.close(user)


async def main_job(it: Watched) -> None:
    """Ask, review, sign in, approve, done, look."""
    there = it.there
    await there.pending(ASK)
    await sign_in(it)
    await there.approved()
    await there.slack.until(lambda: "done" in there.receipt(), timeout=PATIENCE)
    await look(it)


async def look(it: Watched) -> None:
    direct = it.there.slack.workspace.people[MEI].direct
    assert await it.there.pressed(MEI, "show_passcode", channel=direct) == "New passcode"
    assert PASSCODE in it.there.words(MEI)
    await it.there.slack.close(MEI)


async def every_other_way(it: Watched) -> None:
    """Deny, withdraw, a wrong account, a forged state, a stranger, a second look, a sign-out, the probes."""
    there = it.there
    await there.pending(ASK)
    await there.pressed(KEN, "deny")
    await there.slack.submit(KEN, {"denial": "Call me first"})
    await there.until(lambda: "denied" in there.card())
    await there.pending(ASK)
    await there.until(lambda: "waiting for an approver" in there.receipt())
    await there.slack.click(MEI, "withdraw", channel=there.slack.workspace.people[MEI].direct)
    await there.until(lambda: "withdrawn" in there.card())
    await sign_in(it, AIKO, KEN_ACCOUNT)
    await sign_in(it, AIKO, AIKO_ACCOUNT)
    await there.http.post("/sign-in/callback", data={"state": "forged", "code": "forged"})
    await there.http.post("/slack/events", content=b"token=stranger&text=x")
    for path in (
        "/readyz",
        "/healthz",
        "/metrics",
        f"/sign-in/{it.links[0]}",
        "/sign-in/callback",
        "/nowhere",
    ):
        await there.http.get(path)
    await there.slack.command(KEN, ON_CALL, "/reset-passcode status")
    await there.slack.command(KEN, ON_CALL, "/reset-passcode sign-out")


FAULTS = tuple(
    Rule(to=to, kind=kind, match=match, seconds=0.2, times=1)  # type: ignore[arg-type]  # every vendor and kind
    for kind in KINDS
    for to, match in (
        *(("slack", "chat."), ("slack", "users.info"), ("slack", "views.update")),
        *(("entra", "/token"), ("graph", "managedDevices")),
    )
    if kind != "hang"
)


async def through_faults(it: Watched) -> None:
    """The way to a passcode again and again, with one fault of every kind at every vendor in its way."""
    there = it.there
    direct = there.slack.workspace.people[MEI].direct
    await sign_in(it)
    standing = [there.sandbox.faults.add(rule) for rule in FAULTS]
    for _ in range(ROUNDS):
        await there.slack.command(MEI, "C0SUPPORT", ASK)
        await _press(it, KEN, "approve")
        await asyncio.sleep(1)
        await _submit(it, KEN)
        await _press(it, MEI, "show_passcode", channel=direct)
        await _signs_in_again(it)
    assert sum(rule.hits for rule in standing) > len(FAULTS) / 2


async def _press(it: Watched, user: str, action: str, channel: str = ON_CALL) -> None:
    """Whatever comes of it."""
    while it.there.slack.modal(user):
        await it.there.slack.close(user)
    with suppress(NotPossible):
        await it.there.slack.click(user, action, channel=channel)


async def _submit(it: Watched, user: str) -> None:
    with suppress(NotPossible):
        await it.there.slack.submit(user)


async def _signs_in_again(it: Watched) -> None:
    """Entra's token endpoint is asked once more; what comes of it is a page, whichever."""
    while it.there.slack.modal(KEN):
        await it.there.slack.close(KEN)
    await it.there.slack.command(KEN, ON_CALL, "/reset-passcode sign-in")
    with suppress(TimeoutError):
        await it.there.slack.until(lambda: it.there.title(KEN) == "Sign in", timeout=2)
        link = it.there.link_in_window(KEN)
        it.links.append(link.rpartition("/")[2])
        with suppress(AssertionError, httpx.HTTPError, ValueError):
            await it.there.browser.sign_in(link, KEN_ACCOUNT)


# What was left behind


def leaks(it: Watched) -> list[str]:
    everywhere = it.places() | exported(it)
    places = {name: _without_what_is_allowed(name, content) for name, content in everywhere.items()}
    ours = {name: content for name, content in places.items() if not name.startswith(SLACKS_OWN)}
    found = [*hits(it.secrets(), places), *hits(it.secrets_of_slack(), ours)]
    return [f"{hit.name} in {hit.where}: {hit.around}" for hit in found]


def exported(it: Watched) -> dict[str, bytes]:
    """What an auditor takes away."""
    found = {}
    for format_ in ("jsonl", "csv"):
        out = io.StringIO()
        export(it.bot.settings["DATABASE_URL"], out, format_=format_, since=START, until=None)
        found[f"export {format_}"] = out.getvalue().encode()
    return found


def _without_what_is_allowed(name: str, content: bytes) -> bytes:
    if name.startswith("page /sign-in/"):  # the page of a link posts to the link
        return content.replace(b'action="' + name.split()[1].encode() + b'"', b"")
    if "/slack/api/views." not in name or not content.startswith(b"{"):
        return content
    sent = json.loads(content)
    match sent.get("view", {}).get("title", {}).get("text"):
        case "New passcode":
            return b""
        case "Sign in":
            return re.sub(rb"/sign-in/[\w-]{43}", b"", content)
    return content


def passcode_windows(it: Watched) -> int:
    """How often the passcode went to Slack at all."""
    return sum(PASSCODE.encode() in call.sent for call in it.tap.to("/slack/api/"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running() as started:
        yield started


@pytest.mark.parametrize("socket_mode", [False, True], ids=["http", "socket"])
async def test_no_secret_is_anywhere_after_the_whole_job_and_every_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, socket_mode: bool
) -> None:
    arguments = ("--level", "debug")
    async with watched(tmp_path, monkeypatch, socket_mode=socket_mode, arguments=arguments) as it:
        await main_job(it)
        await every_other_way(it)
        shown = passcode_windows(it)
        await through_faults(it)
        await it.bot.stop()
        assert leaks(it) == []
        assert all(b"passcode_seen" in content for content in exported(it).values())
    assert shown == 1
    kinds = {name.split()[0] for name in it.secrets()}
    assert kinds >= {
        "access_token",
        "refresh_token",
        "id_token",
        "code",
        "code_verifier",
        "ticket",
        "passcode",
    }


@pytest.mark.parametrize("level", ["info", "warning", "error"])
async def test_no_secret_is_anywhere_at_any_level_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    async with watched(tmp_path, monkeypatch, LOG_LEVEL=level) as it:
        await main_job(it)
        await it.bot.stop()
        assert leaks(it) == []
        assert (level == "info") == any("graph.answered" in line for line in it.bot.lines)


async def test_no_secret_is_in_a_postgresql_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Cluster
) -> None:
    from bot.store import migrate

    url = cluster.url(cluster.create())
    await asyncio.to_thread(migrate, url)
    async with watched(tmp_path, monkeypatch, DATABASE_URL=url) as it:
        await main_job(it)
        await every_other_way(it)
        await it.bot.stop()
        assert any(
            "serial" in content.decode() for name, content in it.places().items() if "requests" in name
        )
        assert leaks(it) == []


@pytest.mark.parametrize("plant", PLANTS)
async def test_a_crash_with_a_secret_in_its_text_says_its_kind_and_its_place_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: str
) -> None:
    async with watched(tmp_path, monkeypatch, arguments=("--plant", plant, "--level", "debug")) as it:
        await crash(it)
        await it.bot.stop()
        log = "\n".join(it.bot.lines)
        assert "Planted" in log, log[-2000:]
        assert leaks(it) == []
    assert all(json.loads(line) for line in it.bot.lines)


async def crash(it: Watched) -> None:
    """Each thing that somebody may do, until the plant has gone off."""
    for step in (_asks, _signs_in, _denies, _approves, _submits, _looks):
        with suppress(NotPossible, TimeoutError, ValueError, AssertionError):
            await step(it)
        with suppress(TimeoutError):
            await asyncio.wait_for(it.bot.planted.wait(), timeout=1)
            return


async def _asks(it: Watched) -> None:
    await it.there.slack.command(MEI, "C0SUPPORT", ASK)
    await it.there.slack.until(lambda: it.there.slack.messages(ON_CALL), timeout=2)


async def _signs_in(it: Watched) -> None:
    await it.there.slack.command(KEN, ON_CALL, "/reset-passcode sign-in")
    await it.there.until(lambda: it.there.title(KEN) == "Sign in")
    link = it.there.link_in_window(KEN)
    it.links.append(link.rpartition("/")[2])
    await it.there.browser.sign_in(link, KEN_ACCOUNT)


async def _denies(it: Watched) -> None:
    await _press(it, KEN, "deny")


async def _approves(it: Watched) -> None:
    await _press(it, KEN, "approve")
    await it.there.until(lambda: it.there.title(KEN) == "Review the reset")


async def _submits(it: Watched) -> None:
    await it.there.slack.submit(KEN)


async def _looks(it: Watched) -> None:
    await it.there.slack.until(lambda: "done" in it.there.receipt(), timeout=PATIENCE)
    await _press(it, MEI, "show_passcode", channel=it.there.slack.workspace.people[MEI].direct)


def test_a_secret_is_found_in_every_form_it_may_lie_about_in():
    secret = 'xoxb-12"3/ä+Kx'
    import base64
    from urllib.parse import quote

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
    assert hits({"it": secret}, {"here": b"nothing", "there": b"xx" + secret.encode()})[0].where == "there"
    assert hits({"it": secret}, {"here": b"xoxb-other"}) == []
