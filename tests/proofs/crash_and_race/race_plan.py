"""What happens in one round, drawn from the seed alone: the same seed gives the same rounds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

KEN, AIKO = "U0KEN", "U0AIKO"


def serial(number: int) -> str:
    """The serial number of the round's own phone: only one request may wait for a phone at a time."""
    return f"RACE{number:06}"


class Kind(StrEnum):
    """What may end a request. The value says it in a report."""

    APPROVED_BY_KEN = "approve by Ken"
    APPROVED_BY_AIKO = "approve by Aiko"
    DENIED_BY_KEN = "deny by Ken"
    DENIED_BY_AIKO = "deny by Aiko"
    WITHDRAWN = "withdraw by Mei"
    EXPIRED = "expiry by the clock"


APPROVALS: Final[Mapping[Kind, str]] = {Kind.APPROVED_BY_KEN: KEN, Kind.APPROVED_BY_AIKO: AIKO}
DENIALS: Final[Mapping[Kind, str]] = {Kind.DENIED_BY_KEN: KEN, Kind.DENIED_BY_AIKO: AIKO}

_BOTH: Final = (Kind.APPROVED_BY_KEN, Kind.APPROVED_BY_AIKO)
_MIXES: Final[Sequence[Sequence[Kind]]] = (
    _BOTH,
    (*_BOTH, Kind.DENIED_BY_KEN, Kind.DENIED_BY_AIKO),
    (*_BOTH, Kind.WITHDRAWN),
    (*_BOTH, Kind.EXPIRED),
    (Kind.DENIED_BY_KEN, Kind.DENIED_BY_AIKO, Kind.WITHDRAWN, Kind.EXPIRED),
    (*Kind,),
)
_SPREADS: Final = (0.0, 0.0, 0.3, 1.0)
"""Over how many seconds the quick decisions of a round are spread. An approval has to ask Intune first, so
in a dead heat it would always lose."""
_DOUBLE_CLICK: Final = 0.03
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
    phone: str
    asked: Sequence[Stop]
    pressed: Mapping[Kind, int]
    """The replica that opens the window of each approval and denial."""
    submitted: Mapping[Kind, Sequence[Stop]]
    withdrawn: Sequence[Stop]
    asked_again: Sequence[Stop]
    expires_after: float | None
    """Seconds after the start of the race; None: the clock takes no part."""

    def __str__(self) -> str:
        kinds = [f"{len(stops)} × {kind}" for kind, stops in self.submitted.items()]
        kinds += [f"{len(self.withdrawn)} × {Kind.WITHDRAWN}"] if self.withdrawn else []
        kinds += [str(Kind.EXPIRED)] if self.expires_after is not None else []
        return f"round {self.number} ({', '.join(kinds)})"


def plan(seed: int, number: int, *, replicas: int) -> Plan:
    """Two to eight decisions for one request, and now and then a command that arrives again."""
    draw = Random(f"{seed}:{number}")  # noqa: S311  a game that can be replayed
    spread = draw.choice(_SPREADS)

    def stop(within: float = spread) -> Stop:
        return Stop(draw.randrange(replicas), draw.uniform(0, within))

    def form(kind: Kind, times: int) -> list[Stop]:
        within = _DOUBLE_CLICK if kind in APPROVALS else spread
        return sorted((stop(within) for _ in range(times)), key=lambda one: one.after)

    decisions = _decisions(draw)
    forms = [kind for kind in decisions if kind in APPROVALS or kind in DENIALS]
    return Plan(
        number=number,
        phone=serial(number),
        asked=[Stop(draw.randrange(replicas)) for _ in range(draw.choice((1, 1, 1, 2)))],
        pressed={kind: draw.randrange(replicas) for kind in forms},
        submitted={kind: form(kind, decisions[kind]) for kind in forms},
        withdrawn=[stop() for _ in range(decisions[Kind.WITHDRAWN])],
        asked_again=[stop() for _ in range(draw.choice((0, 0, 1, 2)))],
        expires_after=draw.uniform(0.05, 1.0) if Kind.EXPIRED in decisions else None,
    )


def _decisions(draw: Random) -> Counter[Kind]:
    """How often each; the clock strikes once, and somebody acts beside it."""
    drawn = Counter(draw.choices(draw.choice(_MIXES), k=draw.randint(2, 8)))
    if Kind.EXPIRED in drawn:
        drawn[Kind.EXPIRED] = 1
        if drawn.total() < 2:
            drawn[draw.choice(_BOTH)] += 1
    return drawn
