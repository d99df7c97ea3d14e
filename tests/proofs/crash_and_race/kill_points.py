"""The named points of a request's life, planted around the bot from outside, and the death at one of them.

A point is `before` or `after` one of these:

- a unit of work that commits: `move A to B`, `claim`/`release advance`/`publish`, `audit EVENT`, or the
  store's function that it calls. "Before" is inside the unit, "after" is when its COMMIT has been answered
  (on SQLite it may hold other units too) and its caller has not gone on;
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
from dataclasses import dataclass
from functools import wraps
from types import ModuleType
from typing import Any

from bot.domain.request import ResetRequest, Status
from bot.entra.authority import MsalHttp
from bot.graph.devices import Intune
from bot.slack.payloads import text_at
from bot.store import requests, sign_ins
from bot.store.database import Database
from slack_sdk.web.async_client import AsyncWebClient

PAUSE = 0.1
"""Seconds before a death before something: what does not wait for it gets out first, such as an
acknowledgement that should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """Where a process dies: at the point `at`, when it is reached for the `nth` time."""

    at: str = ""
    nth: int = 1
    late: float = 0
    """It dies up to so many seconds after the point."""
    latency: float = 0
    """Every call takes up to this many seconds more, so that random kills land inside."""


NEVER = Death()


class KillPoints:
    """Kills this very process; `committed` counts the units until then."""

    def __init__(self, death: Death) -> None:
        self.committed: Counter[str] = Counter()
        self._death = death
        self._reached = 0
        self._unit = threading.local()
        """The names of the unit that runs in this thread."""

    def plant(self) -> None:
        """Wrap what commits and what calls, for a process that ends with this bot: nothing is unwrapped."""
        self._wrap_units()
        for function in ("add_request", "move", "claim", "release", "save_messages"):
            self._name_unit(requests, function)
        for function in ("add_link", "begin_flow", "take", "hold_result", "put_sign_in", "delete_sign_in"):
            self._name_unit(sign_ins, function)
        for call in ("find", "reset_passcode", "actions", "passcode"):
            self._wrap_call(Intune, call)
        self._wrap_call(AsyncWebClient, "api_call")
        self._wrap_msal()

    def _reach(self, side: str, what: str) -> None:
        """Die here where it is time. Before something this is called in a thread: the event loop goes on."""
        if self._death.at != f"{side} {what}":
            return
        if side == "before":
            time.sleep(PAUSE)
        self._reached += 1
        if self._reached == self._death.nth and self._death.late:
            wait = random.random() * self._death.late  # noqa: S311  a delay, no secret
            threading.Timer(wait, os.kill, (os.getpid(), signal.SIGKILL)).start()
        elif self._reached == self._death.nth:
            os.kill(os.getpid(), signal.SIGKILL)

    def _wrap_units(self) -> None:
        """Die inside a unit, or when it is committed and its caller is not told."""
        real = Database.run

        async def run(database: Database, work: Callable[[Any], Any], **how: Any) -> Any:
            found: list[str] = []

            def unit(tx: Any) -> Any:
                self._unit.names = found
                found.clear()  # a unit may run twice
                result = work(tx)
                found.extend(f"audit {entry.event}" for entry in tx.entries if entry.version is None)
                for name in found:
                    self._reach("before", name)
                return result

            answer = await real(database, unit, **how)
            self.committed.update(found)
            for name in found:
                self._reach("after", name)
            return answer

        Database.run = run

    def _name_unit(self, module: ModuleType, function: str) -> None:
        """Let a unit be named by what it calls; a claim only where it finds something due."""
        real = getattr(module, function)

        @wraps(real)
        def named(*given: Any, **more: Any) -> Any:
            result = real(*given, **more)
            if function != "claim" or result:
                self._unit.names.append(_unit_name(function, *given[1:], *more.values()))
            return result

        setattr(module, function, named)

    def _wrap_call(self, owner: type, method: str) -> None:
        real = getattr(owner, method)

        @wraps(real)
        async def wrapped(*given: Any, **more: Any) -> Any:
            part = text_at(more.get("json"), "metadata", "event_payload", "part")  # card, receipt, or a line
            what = f"slack {given[1]} {part}".rstrip() if method == "api_call" else f"graph {method}"
            await asyncio.sleep(random.random() * self._death.latency)  # noqa: S311  a delay, no secret
            await asyncio.to_thread(self._reach, "before", what)
            try:
                return await real(*given, **more)
            finally:
                self._reach("after", what)

        setattr(owner, method, wrapped)

    def _wrap_msal(self) -> None:
        """MSAL is synchronous and runs in a thread."""
        real = MsalHttp._send

        def send(http: MsalHttp, method: str, url: str, **more: Any) -> Any:
            grant = (more.get("data") or {}).get("grant_type", "configuration")
            self._reach("before", f"entra {grant}")
            answer = real(http, method, url, **more)
            self._reach("after", f"entra {grant}")
            return answer

        MsalHttp._send = send


def _unit_name(function: str, *given: Any) -> str:
    match function, given:
        case "move", (old, new, *_):
            return f"move {_stage(old)} to {_stage(new)}"
        case "claim", (queue, *_):
            return f"claim {queue.value}"
        case "release", (claimed, *_):
            return f"release {claimed.queue.value}"
    return function


def _stage(request: ResetRequest) -> str:
    """Return the status, told apart further: whether an attempt is out, whether only a human can go on."""
    if request.status is Status.APPROVED and request.attempt is not None:
        return "attempting"
    return "needs a human" if request.needs_a_human else str(request.status)
