"""The named points of a request's life, planted around the bot from outside, and the death at one of them.

A point is `before` or `after` one of these:

- a commit: `add`, `move A to B`, `claim`/`release drive`/`show`, `save_shown`, `note E`, `ticket …`,
  `sign-in …`;
- an outgoing call: `slack METHOD`, `entra GRANT`, `graph find|reset|actions|passcode`. "Before" it
  nothing has left; "after" it the far side has done it and nothing here has used the answer.
"""

import asyncio
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Any

from bot.domain.request import ResetRequest, Status
from bot.entra.wire import Wire
from bot.graph.devices import GraphDevices
from bot.ports import Lane
from bot.store.record import SqlRecord
from bot.store.requests import SqlRequests
from bot.store.sign_ins import SqlSignIns
from bot.store.tickets import SqlTickets
from slack_sdk.web.async_client import AsyncWebClient

A_BREATH = 0.1
"""Seconds before a death before something: whatever does not wait for it gets out first, such as an
acknowledgement that should."""

Naming = Callable[..., str]
Method = Callable[..., Coroutine[Any, Any, Any]]


@dataclass
class Trap:
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
        if self.nth == 0:
            self._die()

    def _die(self) -> None:
        if self.late:
            wait = random.random() * self.late  # noqa: S311  a delay, no secret
            threading.Timer(wait, os.kill, (os.getpid(), signal.SIGKILL)).start()
        else:
            os.kill(os.getpid(), signal.SIGKILL)

    async def around(self, what: str, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Do `work` between its two points."""
        await self._linger()
        if self.die_at == f"before {what}":
            await asyncio.sleep(A_BREATH)
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


def plant(trap: Trap) -> None:
    """Wrap what commits and what calls. For a process that ends with this bot: nothing is unwrapped."""
    _watch(trap, SqlRequests, "add", lambda *_: "add")
    _watch(trap, SqlRequests, "replace", lambda _, old, new, *__: f"move {stage(old)} to {stage(new)}")
    _watch(trap, SqlRequests, "release", lambda _, lane, *__, **___: f"release {lane}")
    _watch(trap, SqlRequests, "save_shown", lambda *_: "save_shown")
    _watch(trap, SqlRecord, "note", lambda _, entry: f"note {entry.event}")
    for step in ("add", "begin", "take", "hold"):
        _watch(trap, SqlTickets, step, _named(f"ticket {step}"))
    for step in ("put", "update_cache", "delete"):
        _watch(trap, SqlSignIns, step, _named(f"sign-in {step}"))
    for call in ("find", "reset", "actions", "passcode"):
        _watch(trap, GraphDevices, call, _named(f"graph {call}"))
    _watch(trap, AsyncWebClient, "api_call", _slack_call)
    _watch_claims(trap)
    _watch_entra(trap)


def _named(name: str) -> Naming:
    return lambda *_, **__: name


def _slack_call(_client: AsyncWebClient, method: str, **given: Any) -> str:
    """Cards and receipts apart: only a card goes to a channel."""
    channel = str((given.get("json") or given.get("params") or {}).get("channel", ""))
    if method in ("chat.postMessage", "chat.update"):
        return f"slack {method} {'card' if channel.startswith('C') else 'receipt'}"
    return f"slack {method}"


def _watch(trap: Trap, owner: type, method: str, name: Naming) -> None:
    real: Method = getattr(owner, method)

    @wraps(real)
    async def watched(*given: Any, **named: Any) -> Any:
        return await trap.around(name(*given, **named), lambda: real(*given, **named))

    setattr(owner, method, watched)


def _watch_claims(trap: Trap) -> None:
    """The worker looks all the time; a point is only a look that finds something due."""
    real: Method = SqlRequests.claim

    @wraps(real)
    async def watched(self: SqlRequests, lane: Lane, *, now: datetime, **named: Any) -> Any:
        if trap.die_at == f"before claim {lane}":
            due = await self.next_due(lane)
            if due is not None and due <= now:
                trap.reached(f"before claim {lane}")
        rows = await real(self, lane, now=now, **named)
        if rows:
            trap.reached(f"after claim {lane}")
        return rows

    SqlRequests.claim = watched  # type: ignore[method-assign]


def _watch_entra(trap: Trap) -> None:
    """MSAL is synchronous and runs in a thread."""
    real = Wire._send

    @wraps(real)
    def watched(self: Wire, method: str, url: str, *given: Any) -> Any:
        data = given[2] if len(given) > 2 else None
        what = f"entra {data.get('grant_type')}" if data else "entra configuration"
        trap.reached(f"before {what}")
        answer = real(self, method, url, *given)
        trap.reached(f"after {what}")
        time.sleep(random.random() * trap.latency)  # noqa: S311  as above
        return answer

    Wire._send = watched  # type: ignore[method-assign]
