"""The rules in force, in order, and what they did so far."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from random import Random
from typing import Final

from sandbox.clock import Clock
from sandbox.faults.rules import Rule, Target

KEPT_HITS: Final = 2000

Sleep = Callable[[float], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One call that went wrong as ordered."""

    at: datetime
    rule_id: int
    rule: Rule
    target: Target


class Standing:
    """A rule in force. `left`: calls that will still go wrong, None for no limit; `hits`: those that did."""

    def __init__(self, id: int, rule: Rule) -> None:
        self.id = id
        self.rule = rule
        self.left = rule.times
        self.hits = 0
        self._to_skip = rule.skip
        self._random = Random(rule.seed)  # noqa: S311 - repeatable, nothing secret

    @property
    def spent(self) -> bool:
        return self.left == 0

    def strikes(self, target: Target) -> bool:
        """Whether this call goes wrong; counts it if so."""
        if not self.rule.matches(target):
            return False
        if self._to_skip:
            self._to_skip -= 1
            return False
        if self._random.random() >= self.rule.probability:
            return False
        self.hits += 1
        if self.left is not None:
            self.left -= 1
        return True

    def snapshot(self) -> dict[str, object]:
        """The rule as JSON, with `id`, `left` and `hits`."""
        return {"id": self.id, **self.rule.model_dump(), "left": self.left, "hits": self.hits}


class Faults:
    """What goes wrong: the first rule that strikes a call. A rule that is used up is gone.

    `sleep` is how a late answer waits: tests may give one that takes no time.
    """

    def __init__(self, clock: Clock, *, sleep: Sleep = asyncio.sleep) -> None:
        self.sleep = sleep
        self.hits: deque[Hit] = deque(maxlen=KEPT_HITS)
        self.on_change: list[Callable[[], None]] = []
        self.closed = asyncio.Event()
        self._clock = clock
        self._standing: dict[int, Standing] = {}
        self._ids = count(1)

    @property
    def rules(self) -> list[Standing]:
        """The rules in force, oldest first."""
        return list(self._standing.values())

    def add(self, rule: Rule) -> Standing:
        """Put a rule in force."""
        standing = Standing(next(self._ids), rule)
        self._standing[standing.id] = standing
        self._tell()
        return standing

    def remove(self, id: int) -> None:
        """Remove one rule; KeyError if it is not in force."""
        del self._standing[id]
        self._tell()

    def clear(self) -> None:
        """Remove every rule, and forget the hits. Calls that hang go on hanging."""
        self._standing.clear()
        self.hits.clear()
        self._tell()

    def take(self, target: Target) -> Rule | None:
        """The rule that strikes this call, counted as used, or None."""
        standing = next((s for s in self._standing.values() if s.strikes(target)), None)
        if standing is None:
            return None
        if standing.spent:
            del self._standing[standing.id]
        self.hits.append(Hit(at=self._clock.now(), rule_id=standing.id, rule=standing.rule, target=target))
        self._tell()
        return standing.rule

    def snapshot(self) -> list[dict[str, object]]:
        """The rules in force, as JSON."""
        return [standing.snapshot() for standing in self._standing.values()]

    def close(self) -> None:
        """Let go of every call that waits: its connection is reset."""
        self.closed.set()

    def _tell(self) -> None:
        for changed in self.on_change:
            changed()
