"""The named points of a request's life, planted around the bot from outside, and the death at one of them.

A point is `before` or `after` one of these:

- a unit of work that commits: `add_request`, `move A to B`, `claim`/`release advance`/`publish`,
  `save_messages`, `audit EVENT`, `link …`, `sign-in …`. "Before" is inside the unit, "after" is when its
  COMMIT has been answered and its caller has not gone on;
- an outgoing call: `slack METHOD`, `entra GRANT`, `graph find|reset_passcode|actions|passcode`. "Before"
  nothing has left; "after" the vendor has done it and nothing here has used the answer.
"""

import asyncio
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import wraps
from types import ModuleType
from typing import Any

from bot.domain.request import ResetRequest, Status
from bot.entra.msal_http import MsalHttp
from bot.graph.devices import Intune
from bot.store import requests, sign_ins
from bot.store.database import Database
from slack_sdk.web.async_client import AsyncWebClient

PAUSE = 0.1
"""Seconds before a death before something: what does not wait for it gets out first, such as an
acknowledgement that should."""

Naming = Callable[..., str]


@dataclass
class KillPoints:
    """Kills this very process when the point `die_at` is reached for the `nth` time."""

    die_at: str | None = None
    nth: int = 1
    late: float = 0
    """It dies up to so many seconds after the point."""
    latency: float = 0
    """Every call takes up to this many seconds more on each side, so that random kills land inside."""

    def reached(self, point: str) -> None:
        """Die, if this is the place."""
        if point != self.die_at:
            return
        self.nth -= 1
        if self.nth:
            return
        if self.late:
            wait = random.random() * self.late  # noqa: S311  a delay, no secret
            threading.Timer(wait, os.kill, (os.getpid(), signal.SIGKILL)).start()
        else:
            os.kill(os.getpid(), signal.SIGKILL)

    async def around(self, what: str, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Do `work` between its two points."""
        await self._linger()
        if self.die_at == f"before {what}":
            await asyncio.sleep(PAUSE)
        self.reached(f"before {what}")
        try:
            answer = await work()
        finally:
            self.reached(f"after {what}")
        await self._linger()
        return answer

    async def _linger(self) -> None:
        if self.latency:
            await asyncio.sleep(random.random() * self.latency)  # noqa: S311  a delay, no secret


def stage(request: ResetRequest) -> str:
    """The status, told apart further: whether an attempt is out, whether only a human can go on."""
    if request.status is Status.APPROVED and request.attempt is not None:
        return "attempting"
    return "needs a human" if request.needs_a_human else str(request.status)


def plant(points: KillPoints) -> None:
    """Wrap what commits and what calls, for a process that ends with this bot: nothing is unwrapped."""
    names = threading.local()
    _name_units(points, names)
    _name(names, requests, "add_request", lambda *_, **__: "add_request")
    _name(names, requests, "move", lambda _, old, new, *__: f"move {stage(old)} to {stage(new)}")
    _name(names, requests, "claim", lambda _, queue, **__: f"claim {queue.value}")
    _name(names, requests, "release", lambda _, claimed, **__: f"release {claimed.queue.value}")
    _name(names, requests, "save_messages", lambda *_, **__: "save_messages")
    for function in ("add_link", "begin_flow", "take", "hold_result"):
        _name(names, sign_ins, function, _fixed(f"link {function}"))
    for function in ("put_sign_in", "update_sealed", "delete_sign_in"):
        _name(names, sign_ins, function, _fixed(f"sign-in {function}"))
    for call in ("find", "reset_passcode", "actions", "passcode"):
        _watch(points, Intune, call, _fixed(f"graph {call}"))
    _watch(points, AsyncWebClient, "api_call", _slack_call)
    _watch_entra(points)


def _fixed(name: str) -> Naming:
    return lambda *_, **__: name


def _slack_call(_client: AsyncWebClient, method: str, **given: Any) -> str:
    """Cards and receipts apart: only a card goes to a channel."""
    channel = str((given.get("json") or given.get("params") or {}).get("channel", ""))
    if method in ("chat.postMessage", "chat.update"):
        return f"slack {method} {'card' if channel.startswith('C') else 'receipt'}"
    return f"slack {method}"


def _name_units(points: KillPoints, names: threading.local) -> None:
    """Die inside a unit, or when it is committed and its caller is not told."""
    real = Database.run

    @wraps(real)
    async def run(self: Database, work: Callable[[Any], Any]) -> Any:
        found: list[str] = []

        def unit(tx: Any) -> Any:
            names.found = found
            found.clear()
            result = work(tx)
            found.extend(f"audit {entry.event}" for entry in tx.entries if entry.version is None)
            for name in found:
                if points.die_at == f"before {name}":
                    time.sleep(PAUSE)
                points.reached(f"before {name}")
            return result

        answer = await real(self, unit)
        for name in found:
            points.reached(f"after {name}")
        return answer

    Database.run = run  # type: ignore[method-assign]


def _name(names: threading.local, module: ModuleType, function: str, naming: Naming) -> None:
    """Let a unit be named by what it calls; a claim only where it finds something due."""
    real = getattr(module, function)

    @wraps(real)
    def named(*given: Any, **more: Any) -> Any:
        result = real(*given, **more)
        if function != "claim" or result:
            names.found.append(naming(*given, **more))
        return result

    setattr(module, function, named)


def _watch(points: KillPoints, owner: type, method: str, naming: Naming) -> None:
    real = getattr(owner, method)

    @wraps(real)
    async def watched(*given: Any, **named: Any) -> Any:
        return await points.around(naming(*given, **named), lambda: real(*given, **named))

    setattr(owner, method, watched)


def _watch_entra(points: KillPoints) -> None:
    """MSAL is synchronous and runs in a thread."""
    real = MsalHttp._send

    @wraps(real)
    def watched(self: MsalHttp, method: str, url: str, *given: Any, **named: Any) -> Any:
        data = named.get("data") or next(
            (part for part in given if isinstance(part, dict) and "grant_type" in part), None
        )
        what = f"entra {data.get('grant_type')}" if data else "entra configuration"
        points.reached(f"before {what}")
        answer = real(self, method, url, *given, **named)
        points.reached(f"after {what}")
        time.sleep(random.random() * points.latency)  # noqa: S311  a delay, no secret
        return answer

    MsalHttp._send = watched  # type: ignore[method-assign]
