"""The ordinary `unlatch serve`, with a crash planted in one room: its text holds whatever secret is at hand.

python -m tests.canary.launcher --plant graph --level debug
"""

import argparse
import asyncio
import json
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from bot import logs
from bot.cli import main as unlatch
from bot.entra.client import EntraClient
from bot.entra.sign_ins import EntraSignIns
from bot.graph.devices import GraphDevices
from bot.slack.board import SlackBoard
from bot.slack.conversation import Conversation
from bot.slack.listeners import Listeners
from bot.slack.views import Views
from tests.crash.haste import hurry


class Planted(Exception):
    """A crash with a secret in its text."""


def _graph() -> None:
    async def actions(self: Any, _device: Any, token: Any) -> Any:
        raise Planted(f"{self} {token.reveal()}")

    GraphDevices.actions = actions  # type: ignore[method-assign]  # that is the plant


def _passcode() -> None:
    read = GraphDevices.passcode

    async def passcode(self: Any, device: Any, token: Any, *, since: Any) -> Any:
        code = await read(self, device, token, since=since)
        raise Planted(code.reveal() if code else "", token.reveal())

    GraphDevices.passcode = passcode  # type: ignore[method-assign]  # as above


def _entra() -> None:
    def redeem(_self: Any, flow: Any, form: Mapping[str, str], *, now: Any) -> Any:
        raise Planted(flow.reveal(), dict(form), now)

    EntraClient.redeem = redeem  # type: ignore[method-assign]  # as above


def _vault() -> None:
    async def keep(self: Any, _user: Any, arrival: Any) -> None:
        raise Planted(arrival.cache.reveal(), self._vault)

    EntraSignIns.keep = keep  # type: ignore[method-assign]  # as above


def _windows() -> None:
    update = Views.update

    async def updating(self: Any, view_id: str, view: Any) -> None:
        await update(self, view_id, view)
        raise Planted(json.dumps(view), self._client.token)

    Views.update = updating  # type: ignore[method-assign]  # as above


def _listener() -> None:
    async def deny_pressed(_self: Any, _ack: Any, body: Any) -> None:
        raise Planted(json.dumps(dict(body)))

    Listeners.deny_pressed = deny_pressed  # type: ignore[method-assign]  # as above


def _board() -> None:
    async def receipt(self: Any, request: Any, _shown: Any) -> Any:
        raise Planted(self._client.token, request.reason)

    SlackBoard.receipt = receipt  # type: ignore[method-assign]  # as above


def _python() -> None:
    """What nobody catches: in a task, a callback, a thread, a destructor, in the log, in a warning."""
    resume = Conversation.resume

    async def resumed(self: Any, ticket: Any, account: Any) -> None:
        secret = (await self._desk.sign_ins.token(ticket.user)).reveal()
        _uncaught(secret)
        await resume(self, ticket, account)

    Conversation.resume = resumed  # type: ignore[method-assign]  # as above


def _uncaught(secret: str) -> None:
    class Falls:
        def __del__(self) -> None:
            raise Planted(secret)

    async def breaks() -> None:
        raise Planted(secret)

    def throws(*_: object) -> None:
        raise Planted(secret)

    loop = asyncio.get_running_loop()
    loop.call_soon(throws, secret)
    loop.create_task(breaks())  # noqa: RUF006  nobody looks at it: that is the point
    thread = threading.Thread(target=throws)
    thread.start()
    thread.join()
    del thread
    Falls()
    logging.getLogger("bot.graph").warning("%d", secret)
    logging.getLogger("slack_sdk.socket_mode").error(
        f"Failed to connect (error: url=wss://x/?ticket={secret})"
    )
    warnings.warn(f"old: {secret}", UserWarning, stacklevel=1)
    for name in LIBRARIES:
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
            logging.getLogger(name).log(level, "Sending: %s", secret, exc_info=Planted(secret))


LIBRARIES: Final = (
    *(
        "msal.application",
        "msal.token_cache",
        "httpx",
        "httpcore.http11",
        "httpcore.connection",
        "uvicorn.error",
    ),
    *(
        "uvicorn.access",
        "slack_bolt.unlatch",
        "slack_sdk.web.async_client",
        "aiohttp.access",
        "aiohttp.client",
    ),
    *(
        "sqlalchemy.engine.Engine",
        "sqlalchemy.pool",
        "asyncio",
        "aiosqlite",
        "alembic.runtime",
        "websockets.server",
    ),
    *("psycopg", "urllib3.connectionpool", "some.library.of.tomorrow"),
)
PLANTS: Final[Mapping[str, Callable[[], None]]] = {
    "graph": _graph,
    "passcode": _passcode,
    "entra": _entra,
    "vault": _vault,
    "windows": _windows,
    "listener": _listener,
    "board": _board,
    "python": _python,
}


def launch(arguments: Sequence[str]) -> int:
    """Run the bot; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.canary.launcher")
    parser.add_argument("--plant", choices=PLANTS)
    parser.add_argument("--level", help="also one that no setting allows, such as debug")
    chosen = parser.parse_args(arguments)
    hurry()
    if chosen.plant:
        PLANTS[chosen.plant]()
    if chosen.level:
        set_up = logs.set_up_logs
        logs.set_up_logs = lambda _level: set_up(chosen.level)
    return unlatch(["serve"])


if __name__ == "__main__":
    sys.exit(launch(sys.argv[1:]))
