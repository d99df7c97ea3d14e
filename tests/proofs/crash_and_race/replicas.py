"""Where the rounds are round_: the sandbox in this process, and one process of the bot a replica."""

import asyncio
import os
import sys
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bot.store.database import Database
from sandbox.app import Sandbox, serve
from sandbox.cast import DEFAULT_CAST, MEI, SUPPORT, Cast, Person
from sandbox.demo import Bot
from sandbox.demo import settings as demo_settings
from sandbox.slack.local_slack import Slack
from tests.proofs.crash_and_race.kill_cases import PIXEL
from tests.proofs.crash_and_race.proxy import Delivery, HttpProxy, Proxy, SocketProxy, delivering
from tests.proofs.crash_and_race.race_plan import AIKO, KEN, Stop, serial
from tests.support.database import audit_log
from tests.support.postgres import free_port
from tests.support.user_actions import AIKO_ACCOUNT, KEN_ACCOUNT, Browser


@dataclass(frozen=True, slots=True)
class Replicas:
    """Everything that a round touches."""

    sandbox: Sandbox
    proxy: Proxy
    database: Database
    bots: Sequence[Bot]
    requesters: Sequence[Person]

    @property
    def slack(self) -> Slack:
        return self.sandbox.slack


@asynccontextmanager
async def replicas_of(
    database_url: str, folder: Path, *, replicas: int, requesters: int, rounds: int, socket_mode: bool
) -> AsyncIterator[Replicas]:
    """A there on which Ken and Aiko are signed in; every replica has ended by SIGTERM after the block."""
    urls = [f"http://127.0.0.1:{free_port()}" for _ in range(replicas)]
    cast = with_requesters(requesters)
    http = HttpProxy(urls)
    sandbox = Sandbox(cast=cast, bot_url=urls[0], transport=http, action_seconds=0.03)
    proxy = SocketProxy(sandbox.slack.sockets) if socket_mode else http
    sandbox.slack.platform.modals.side_by_side = True
    _hand_out_phones(sandbox, rounds)
    async with AsyncExitStack() as stack:
        database = Database(database_url, audit_log())
        stack.push_async_callback(database.close)
        await stack.enter_async_context(serve(sandbox))
        bots = _bots(sandbox, database_url, folder, urls, socket_mode=socket_mode)
        await _migrate(bots[0])
        for bot in bots:
            stack.push_async_callback(bot.stop)
            await bot.start()
        stack.push_async_callback(http.aclose)
        stack.push_async_callback(proxy.arrived)
        there = Replicas(sandbox, proxy, database, bots, _requesters(cast))
        for user, account in ((KEN, KEN_ACCOUNT), (AIKO, AIKO_ACCOUNT)):
            await sign_in(there, user, account)
        yield there


def _hand_out_phones(sandbox: Sandbox, rounds: int) -> None:
    """A phone for every round, all of the kind that Tomás has."""
    phones = sandbox.intune._fleet.phones
    pattern = phones[PIXEL]
    for number in range(1, rounds + 1):
        named = {"id": f"5b000000-0000-4000-8000-{number:012}", "serialNumber": serial(number)}
        phone = replace(pattern, properties=dict(pattern.properties) | named, actions=[])
        phones[phone.id] = phone


def with_requesters(count: int) -> Cast:
    """The usual people, and more support engineers like Mei: one for each round that runs at a time."""
    others = [_colleague(number) for number in range(2, count + 1)]
    channels = [
        replace(channel, members=(*channel.members, *(person.id for person in others)))
        if channel.id == SUPPORT
        else channel
        for channel in DEFAULT_CAST.channels
    ]
    return replace(DEFAULT_CAST, people=(*DEFAULT_CAST.people, *others), channels=channels)


async def sign_in(there: Replicas, user: str, account: str) -> None:
    """The command, the link, Microsoft's page in a browser, and the window that goes on by itself."""
    slack, browser = there.slack, Browser()
    with delivering(Delivery([Stop(0)])):
        await slack.command(user, "C0ONCALL", "/reset-passcode sign-in")
    link = await slack.until(lambda: _link(slack, user))
    await browser.sign_in(link, account)
    await browser.http.aclose()
    await slack.until(lambda: slack.view(user).title == "Signed in")
    slack.platform.modals.clear(user)


def _link(slack: Slack, user: str) -> str:
    view = slack.modal(user)
    elements = [element for block in (view.blocks if view else []) for element in block.get("elements", [])]
    return next((str(element["url"]) for element in elements if "url" in element), "")


def _requesters(cast: Cast) -> list[Person]:
    return [person for person in cast.people if person.id.startswith(MEI.id)]


def _colleague(number: int) -> Person:
    return replace(
        MEI,
        id=f"{MEI.id}{number}",
        name=f"Mei the {number}th",
        handle=f"mei{number}",
        email=f"mei{number}@contoso.com",
    )


def _bots(
    sandbox: Sandbox, database_url: str, folder: Path, urls: Sequence[str], *, socket_mode: bool
) -> list[Bot]:
    """Replicas of one installation: one set of keys, one public address."""
    common = demo_settings(sandbox, int(urls[0].rpartition(":")[2]), folder, socket_mode=socket_mode)
    common |= {"DATABASE_URL": database_url, "ASKS_PER_HOUR": "100000"}
    return [Bot(common | {"PORT": url.rpartition(":")[2]}, folder, deque()) for url in urls]


async def _migrate(bot: Bot) -> None:
    environment = dict(os.environ) | dict(bot.settings)
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bot", "migrate", env=environment)
    assert await process.wait() == 0
