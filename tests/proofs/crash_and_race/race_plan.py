"""What happens in one round, drawn from the seed alone: the same seed gives the same rounds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

from tests.support.user_actions import AIKO, KEN


class Decision(StrEnum):
    """What may end a request. The value says it in a report."""

    APPROVED_BY_KEN = "approve by Ken"
    APPROVED_BY_AIKO = "approve by Aiko"
    DENIED_BY_KEN = "deny by Ken"
    DENIED_BY_AIKO = "deny by Aiko"
    WITHDRAWN = "withdraw by Mei"
    EXPIRED = "expiry by the clock"


APPROVALS: Final[Mapping[Decision, str]] = {Decision.APPROVED_BY_KEN: KEN, Decision.APPROVED_BY_AIKO: AIKO}
DENIALS: Final[Mapping[Decision, str]] = {Decision.DENIED_BY_KEN: KEN, Decision.DENIED_BY_AIKO: AIKO}
MIXES: Final[Sequence[Sequence[Decision]]] = (
    (*APPROVALS,),
    (*APPROVALS, *DENIALS),
    (*APPROVALS, Decision.WITHDRAWN),
    (*APPROVALS, Decision.EXPIRED),
    (*DENIALS, Decision.WITHDRAWN, Decision.EXPIRED),
    (*Decision,),
)
SPREADS: Final = (0.0, 0.0, 0.3, 1.0)
"""Over how many seconds the quick decisions of a round are spread. An approval has to ask Intune first, so
in a dead heat it would always lose."""
DOUBLE_CLICK: Final = 0.03
"""Seconds between the presses of a double click, at most."""


@dataclass(frozen=True, slots=True)
class Stop:
    """One delivery: to which replica, and how many seconds after the start of the round's race."""

    replica: int
    after: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One round. Several stops of one approval or denial are one form that arrives several times."""

    number: int
    asked: Sequence[Stop]
    pressed: Mapping[Decision, int]
    """The replica that opens the modal of each approval and denial."""
    submitted: Mapping[Decision, Sequence[Stop]]
    withdrawn: Sequence[Stop]
    asked_again: Sequence[Stop]
    expires_after: float | None
    """Seconds after the start of the race; None: the clock takes no part."""

    @property
    def delivered(self) -> Counter[Decision]:
        """How often each decision of a person arrives."""
        found = Counter({decision: len(stops) for decision, stops in self.submitted.items()})
        found[Decision.WITHDRAWN] = len(self.withdrawn)
        return found

    def __str__(self) -> str:
        taken = [f"{times} × {decision}" for decision, times in self.delivered.items() if times]
        taken += [str(Decision.EXPIRED)] if self.expires_after is not None else []
        return f"round {self.number} ({', '.join(taken)})"


def plan(seed: object, number: int, *, replicas: int) -> Plan:
    """Draw two to eight decisions for one request, and now and then a command that arrives again."""
    draw = Random(f"{seed}:{number}")  # noqa: S311  it can be replayed
    spread = draw.choice(SPREADS)

    def stops(times: int, within: float = spread) -> list[Stop]:
        found = [Stop(draw.randrange(replicas), draw.uniform(0, within)) for _ in range(times)]
        return sorted(found, key=lambda one: one.after)

    # How often each; the clock strikes once, and a person acts beside it.
    drawn = Counter(draw.choices(draw.choice(MIXES), k=draw.randint(2, 8)))
    clock = bool(drawn.pop(Decision.EXPIRED, 0))
    withdrawn = drawn.pop(Decision.WITHDRAWN, 0)
    if clock and not withdrawn and not drawn:
        drawn[draw.choice([*APPROVALS])] = 1
    return Plan(
        number=number,
        asked=stops(draw.choice((1, 1, 1, 2)), 0),
        pressed={decision: draw.randrange(replicas) for decision in drawn},
        submitted={
            decision: stops(times, DOUBLE_CLICK if decision in APPROVALS else spread)
            for decision, times in drawn.items()
        },
        withdrawn=stops(withdrawn),
        asked_again=stops(draw.choice((0, 0, 1, 2))),
        expires_after=draw.uniform(0.05, 1.0) if clock else None,
    )
