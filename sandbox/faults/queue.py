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


class ActiveRule:
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
        self._active: dict[int, ActiveRule] = {}
        self._ids = count(1)

    @property
    def rules(self) -> list[ActiveRule]:
        """The rules in force, oldest first."""
        return list(self._active.values())

    def add(self, rule: Rule) -> ActiveRule:
        """Put a rule in force."""
        active = ActiveRule(next(self._ids), rule)
        self._active[active.id] = active
        self._tell()
        return active

    def remove(self, id: int) -> None:
        """Remove one rule; KeyError if it is not in force."""
        del self._active[id]
        self._tell()

    def clear(self) -> None:
        """Remove every rule, and forget the hits. Calls that hang go on hanging."""
        self._active.clear()
        self.hits.clear()
        self._tell()

    def take(self, target: Target) -> Rule | None:
        """The rule that strikes this call, counted as used, or None."""
        active = next((s for s in self._active.values() if s.strikes(target)), None)
        if active is None:
            return None
        if active.spent:
            del self._active[active.id]
        self.hits.append(Hit(at=self._clock.now(), rule_id=active.id, rule=active.rule, target=target))
        self._tell()
        return active.rule

    def snapshot(self) -> list[dict[str, object]]:
        """The rules in force, as JSON."""
        return [active.snapshot() for active in self._active.values()]

    def close(self) -> None:
        """Let go of every call that waits: its connection is reset."""
        self.closed.set()

    def _tell(self) -> None:
        for changed in self.on_change:
            changed()
