"""Deliveries of Slack's to the whole bot: twice, at once, while vendors hang, over sockets that go away."""

import asyncio
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from bot.domain.audit import Event
from bot.domain.people import Actor
from bot.domain.request import Status
from bot.domain.values import UserId
from bot.slack.wording import CATALOG_EN as ENGLISH
from bot.use_cases.decide import deny
from tests.support.app_fixture import FAST, Bot, running_bot
from tests.support.user_actions import AIKO, KEN, MEI, ON_CALL, direct_channel

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMES = [f"name:phone-{number} locked out" for number in range(10)]


async def test_a_delivery_that_comes_again_makes_one_request(both: Bot):
    await both.pending()
    for _ in range(2):
        await both.redeliver()
    assert len(await both.rows()) == 1


async def test_the_acknowledgement_comes_while_slack_entra_and_graph_hang(both: Bot):
    people = both.people
    for vendor in ("slack", "entra", "graph"):
        await people.fault(vendor, "latency", seconds=3, times=None)
    started = time.monotonic()
    heard = len(people.private_texts(MEI))
    for text in ("ada@contoso.com locked out", "status", "help"):
        await people.command(MEI, text)
    await people.until(lambda: len(people.private_texts(MEI)) == heard + 3)
    assert time.monotonic() - started < 2
    assert people.state["notices"][MEI] == []
    await people.clear_faults()
    await people.until(lambda: people.direct(MEI))


HANGING = {
    "Entra": ("entra", "", 32),
    "Graph": ("graph", "", 9),
    "Slack's modals": ("slack", "views.open", 9),
}
"""What hangs, for how many at once; more than a small machine has threads for name lookups."""


@pytest.mark.parametrize(("vendor", "match", "many"), HANGING.values(), ids=HANGING)
async def test_requests_cards_and_denials_go_on_while_a_vendor_hangs(tmp_path, vendor, match, many):
    async with running_bot(tmp_path, timing=replace(FAST, grace=timedelta(seconds=1))) as bot:
        people, deps = bot.people, bot.app.deps
        waiting = await bot.pending(NAMES[0])
        links = []
        if vendor == "entra":
            links = [await people.sign_in_link(user) for _ in range(many // 2) for user in (KEN, AIKO)]
        else:
            await people.sign_in()
        await people.fault(vendor, "latency", match, seconds=30, times=None)
        stuck = [asyncio.create_task(bot.http.get(link)) for link in links]
        for _ in range(0 if links else many):
            await people.press(KEN, "approve", request=waiting)
        async with asyncio.timeout(10):
            changed = bot.sandbox.next_change()
            while len(await people.fault_hits()) < many:
                await changed.wait()
                changed = bot.sandbox.next_change()

        async with asyncio.timeout(5):
            await asyncio.get_running_loop().getaddrinfo("localhost", 80)
            request_id = await bot.pending(NAMES[1])
            await deny(deps, request_id, Actor(user=UserId(AIKO), team=None), "no")
            await people.until(lambda: ENGLISH["status.denied.title"] in people.receipt())
        assert not any(task.done() for task in stuck)
        await people.clear_faults()
        for task in stuck:
            task.cancel()


async def test_an_approval_that_is_delivered_again_resets_once(both: Bot):
    request_id = await both.pending("serial:59040DLJH001 locked out in the field")
    before = len(await both.people.resets())
    await both.people.sign_in()
    await both.approve()
    for _ in range(3):
        await both.redeliver()
    await both.reaches(request_id, Status.DONE)
    await both.redeliver()
    await both.app.background.drain(grace=FAST.grace)
    assert len(await both.people.resets()) == before + 1
    assert [event for _, event, _ in await both.audit_rows()].count(Event.APPROVED) == 1


async def test_the_bot_asks_once_who_it_is_and_shares_connections(bot: Bot):
    for name in NAMES[:5]:
        await bot.pending(name)
    calls = [call for call in bot.people.state["calls"] if call["to"] == "slack"]
    assert [call["method"] for call in calls].count("auth.test") == 1
    assert len(calls) >= 15
    assert len(bot.connections.to_slack) <= 4, (
        f"{len(calls)} calls over {len(bot.connections.to_slack)} connections"
    )


async def test_a_socket_that_slack_replaces_loses_nothing_and_http_takes_nothing(tmp_path: Path):
    async with running_bot(tmp_path, socket_mode=True) as bot:
        assert (await bot.http.post("/slack/events", content=b"x")).status_code == 404
        await bot.people.sockets("warning")
        await bot.pending("name:one locked out")
        await bot.pending("name:two locked out")
        assert len(await bot.rows()) == 2


async def test_every_scope_of_the_manifest_is_used_and_no_other(tmp_path_factory: pytest.TempPathFactory):
    manifest = yaml.safe_load((Path(__file__).parents[2] / "manifest.yml").read_text())
    used: set[str] = set()
    for private in (True, False):
        folder = tmp_path_factory.mktemp(str(private))
        async with running_bot(folder, approvers="usergroup:S0ONCALL") as bot:
            bot.sandbox.slack.workspace.conversations[ON_CALL].private = private
            used |= await scopes_used(bot)
    assert set(manifest["oauth_config"]["scopes"]["bot"]) == used


async def scopes_used(bot: Bot) -> set[str]:
    """Of the whole job, with answers of Slack's that are lost."""
    people = bot.people
    await people.fault("slack", "reset after", "chat.postMessage", times=2)
    await people.command(MEI, "serial:59040DLJH001 locked out")
    await people.until(lambda: ENGLISH["status.pending.title"] in people.receipt())
    await people.sign_in()
    assert await people.open(KEN, "approve") == ENGLISH["review.title"]
    await people.submit(KEN)
    await people.until(lambda: "show_passcode" in str(people.direct(MEI)[-1]["blocks"]))
    assert direct_channel(MEI) in people.state["messages"]
    return set(bot.sandbox.slack.scopes_used)
