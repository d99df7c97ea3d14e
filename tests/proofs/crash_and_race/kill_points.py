"""The named points of a request's life, planted around the bot from outside, and the death at one of them.

A point is `before` or `after` one of these:

- a unit of work that commits: `add_request`, `move A to B`, `claim`/`release advance`/`publish`,
  `save_messages`, `audit EVENT`, `link …`, `sign-in …`. "Before" is inside the unit, "after" is when its
  COMMIT has been answered (on SQLite it may hold other units too) and its caller has not gone on;
- an outgoing call: `slack METHOD`, `entra GRANT`, `graph find|reset_passcode|actions|passcode`. "Before"
  nothing has left; "after" the vendor has done it and nothing here has used the answer.
"""

import asyncio
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from types import ModuleType
from typing import Any

from bot.domain.request import ResetRequest, Status
from bot.entra.authority import MsalHttp
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

    die_at: str = ""
    nth: int = 1
    late: float = 0
    """It dies up to so many seconds after the point."""
    latency: float = 0
    """Every call takes up to this many seconds more on each side, so that random kills land inside."""
    committed: Counter[str] = field(default_factory=Counter)

    def before(self, what: str) -> None:
        """Reach the point before `what`. Called in a thread: the event loop goes on."""
        if self.die_at == f"before {what}":
            time.sleep(PAUSE)
            self._reached()

    def after(self, what: str) -> None:
        """Reach the point after `what`."""
        if self.die_at == f"after {what}":
            self._reached()

    def linger(self) -> float:
        """Return how long a call takes more on one side."""
        return random.random() * self.latency  # noqa: S311  a delay, no secret

    def _reached(self) -> None:
        self.nth -= 1
        if self.nth == 0 and self.late:
            wait = random.random() * self.late  # noqa: S311  a delay, no secret
            threading.Timer(wait, os.kill, (os.getpid(), signal.SIGKILL)).start()
        elif self.nth == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def stage(request: ResetRequest) -> str:
    """Return the status, told apart further: whether an attempt is out, whether only a human can go on."""
    if request.status is Status.APPROVED and request.attempt is not None:
        return "attempting"
    return "needs a human" if request.needs_a_human else str(request.status)


def plant(points: KillPoints) -> None:
    """Wrap what commits and what calls, for a process that ends with this bot: nothing is unwrapped."""
    names = threading.local()
    _watch_units(points, names)
    _name(names, requests, "add_request", _always("add_request"))
    _name(names, requests, "move", lambda _, old, new, *__: f"move {stage(old)} to {stage(new)}")
    _name(names, requests, "claim", lambda _, queue, **__: f"claim {queue.value}")
    _name(names, requests, "release", lambda _, claimed, **__: f"release {claimed.queue.value}")
    _name(names, requests, "save_messages", _always("save_messages"))
    for function in ("add_link", "begin_flow", "take", "hold_result"):
        _name(names, sign_ins, function, _always(f"link {function}"))
    for function in ("put_sign_in", "update_sealed", "delete_sign_in"):
        _name(names, sign_ins, function, _always(f"sign-in {function}"))
    for call in ("find", "reset_passcode", "actions", "passcode"):
        _watch(points, Intune, call, _always(f"graph {call}"))
    _watch(points, AsyncWebClient, "api_call", _slack_call)
    _watch_entra(points)


def _always(name: str) -> Naming:
    return lambda *_, **__: name


def _slack_call(_client: AsyncWebClient, method: str, **given: Any) -> str:
    """Tell cards and receipts apart: only a card goes to a channel."""
    if method not in ("chat.postMessage", "chat.update"):
        return f"slack {method}"
    channel = str((given.get("json") or given.get("params") or {}).get("channel", ""))
    return f"slack {method} {'card' if channel.startswith('C') else 'receipt'}"


def _watch_units(points: KillPoints, names: threading.local) -> None:
    """Die inside a unit, or when it is committed and its caller is not told."""
    real = Database.run

    @wraps(real)
    async def run(self: Database, work: Callable[[Any], Any]) -> Any:
        found: list[str] = []

        def unit(tx: Any) -> Any:
            names.found = found
            found.clear()  # a unit may run twice
            result = work(tx)
            found.extend(f"audit {entry.event}" for entry in tx.entries if entry.version is None)
            for name in found:
                points.before(name)
            return result

        answer = await real(self, unit)
        points.committed.update(found)
        for name in found:
            points.after(name)
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
    async def watched(*given: Any, **more: Any) -> Any:
        what = naming(*given, **more)
        await asyncio.sleep(points.linger())
        await asyncio.to_thread(points.before, what)
        try:
            answer = await real(*given, **more)
        finally:
            points.after(what)
        await asyncio.sleep(points.linger())
        return answer

    setattr(owner, method, watched)


def _watch_entra(points: KillPoints) -> None:
    """MSAL is synchronous and runs in a thread."""
    real = MsalHttp._send

    @wraps(real)
    def watched(self: MsalHttp, method: str, url: str, **more: Any) -> Any:
        grant = (more.get("data") or {}).get("grant_type", "configuration")
        points.before(f"entra {grant}")
        answer = real(self, method, url, **more)
        points.after(f"entra {grant}")
        time.sleep(points.linger())
        return answer

    MsalHttp._send = watched  # type: ignore[method-assign]
