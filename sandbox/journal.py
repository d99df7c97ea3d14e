"""The journal: every request that the local vendors answered, without bodies, tokens or passcodes."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from sandbox.clock import Clock

BearerKind = Literal["bot", "app-level", "user", "none", "unknown"]
Vendor = Literal["slack", "entra", "graph"]

KEPT_CALLS: Final = 2000

_NOTED: Final[ContextVar[str]] = ContextVar("noted", default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """Whose authority a call carried: a kind, and a name fit to be shown ("Ken Ito")."""

    kind: BearerKind
    who: str


NO_TOKEN: Final = Bearer(kind="none", who="nobody")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call. `note` is the object or the error ("C0ONCALL").

    `status` is the HTTP status; 0 where an ordered fault left the call without any answer.
    """

    id: int
    at: datetime
    to: Vendor
    method: str
    path: str
    status: int
    bearer: Bearer
    note: str = ""
    duration_ms: float


@dataclass(slots=True)
class Line:
    """What is known of a call while it is being answered."""

    bearer: Bearer = NO_TOKEN
    status: int = 0
    note: str = ""


class Journal:
    """The last 2000 calls, newest last; `on_change` callbacks run after each new one."""

    def __init__(self, clock: Clock) -> None:
        self.calls: deque[Call] = deque(maxlen=KEPT_CALLS)
        self.on_change: list[Callable[[], None]] = []
        self._clock = clock
        self._last_id = 0

    @contextmanager
    def noting(self, note: str) -> Iterator[None]:
        """Begin the note of every call that is recorded in this block, by this task, with `note`."""
        before = _NOTED.set(note)
        try:
            yield
        finally:
            _NOTED.reset(before)

    @contextmanager
    def recording(self, to: Vendor, method: str, path: str) -> Iterator[Line]:
        """Time a call and record it at the end of the block; not where the block raises."""
        line, started = Line(), time.perf_counter()
        yield line
        self.record(
            to=to,
            method=method,
            path=path,
            status=line.status,
            bearer=line.bearer,
            note=line.note,
            duration_ms=(time.perf_counter() - started) * 1000,
        )

    def record(
        self,
        *,
        to: Vendor,
        method: str,
        path: str,
        status: int,
        bearer: Bearer = NO_TOKEN,
        note: str = "",
        duration_ms: float = 0.0,
    ) -> Call:
        """Keep one call, stamped with the sandbox's time."""
        self._last_id += 1
        call = Call(
            id=self._last_id,
            at=self._clock.now(),
            to=to,
            method=method,
            path=path,
            status=status,
            bearer=bearer,
            note="; ".join(filter(None, (_NOTED.get(), note))),
            duration_ms=round(duration_ms, 1),
        )
        self.calls.append(call)
        for changed in self.on_change:
            changed()
        return call
