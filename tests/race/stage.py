"""Where the rounds are played: the sandbox in this process, and one process of the bot a replica."""

import socket
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bot.store import Store, migrate, open_store
from sandbox.app import Sandbox, serve
from sandbox.cast import DEFAULT_CAST, MEI, SUPPORT, Cast, Person
from sandbox.demo import Bot
from sandbox.demo import settings as demo_settings
from sandbox.slack.local_slack import Slack
from tests.crash.cases import PIXEL
from tests.race.balancer import Balancer, Road, Switchboard, Trip, going
from tests.race.plan import AIKO, KEN, Stop, serial
from tests.whole.brisk import patient_slack
from tests.whole.browser import AIKO_ACCOUNT, KEN_ACCOUNT, Browser


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that a round touches."""

    sandbox: Sandbox
    road: Road
    store: Store
    bots: Sequence[Bot]
    requesters: Sequence[Person]

    @property
    def slack(self) -> Slack:
        return self.sandbox.slack


@asynccontextmanager
async def staged(
    database_url: str, folder: Path, *, replicas: int, requesters: int, rounds: int, socket_mode: bool
) -> AsyncIterator[Stage]:
    """A stage on which Ken and Aiko are signed in; every replica has ended by SIGTERM after the block."""
    urls = [f"http://127.0.0.1:{_free_port()}" for _ in range(replicas)]
    cast = with_requesters(requesters)
    balancer = Balancer(urls)
    sandbox = Sandbox(cast=cast, bot_url=urls[0], transport=balancer, action_seconds=0.03)
    road = Switchboard(sandbox.slack.sockets) if socket_mode else balancer
    sandbox.slack.platform.modals.side_by_side = True
    _hand_out_phones(sandbox, rounds)
    migrate(database_url)
    async with AsyncExitStack() as stack:
        stack.enter_context(patient_slack())
        store = open_store(database_url)
        stack.push_async_callback(store.close)
        await stack.enter_async_context(serve(sandbox))
        bots = _bots(sandbox, database_url, folder, urls, socket_mode=socket_mode)
        for bot in bots:
            stack.push_async_callback(bot.stop)
            await bot.start()
        stack.push_async_callback(balancer.aclose)
        stack.push_async_callback(road.arrived)
        stage = Stage(sandbox, road, store, bots, _requesters(cast))
        for user, account in ((KEN, KEN_ACCOUNT), (AIKO, AIKO_ACCOUNT)):
            await sign_in(stage, user, account)
        yield stage


def _hand_out_phones(sandbox: Sandbox, rounds: int) -> None:
    """A phone for every round, all of the kind that Tomás has."""
    phones = sandbox.intune._fleet.phones
    [pattern] = [phone for phone in phones.values() if phone.id == PIXEL]
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


async def sign_in(stage: Stage, user: str, account: str) -> None:
    """The command, the link, Microsoft's page in a browser, and the window that goes on by itself."""
    slack, browser = stage.slack, Browser()
    with going(Trip([Stop(0)])):
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


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
