"""Draws inputs, plays them, and keeps what failed in the corpus."""

import asyncio
import hashlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.fuzz import deliveries, entra_answers, microsoft, pages, slack_answers
from tests.fuzz.grounds import Case, Ground
from tests.fuzz.house import House, house
from tests.fuzz.judge import Judge, Wrong, listening

CORPUS: Final = Path(__file__).with_name("corpus")
MOVE_AFTER: Final = 2500
"""Inputs; then the house is a new one, so that its database stays small."""
MOST_SAVED: Final = 25
LONGEST: Final = 20
"""Seconds for one input; more is a hang."""


@dataclass
class Street:
    """The house of the moment."""

    there: House

    def grounds(self) -> Sequence[Ground]:
        """All that is fuzzed, with their shares of a hundred inputs."""
        return (
            Ground("raw", 49, deliveries.raw, self._at(deliveries.play)),
            Ground("command", 6, deliveries.command, self._at(deliveries.play)),
            Ground("payload", 7, deliveries.payload, self._at(deliveries.play)),
            Ground("pages", 18, pages.draw, self._at(pages.play)),
            Ground("graph", 5, microsoft.draw, microsoft.play),
            Ground("slack", 11, slack_answers.draw, slack_answers.play),
            Ground("entra", 4, entra_answers.draw, entra_answers.play),
        )

    def _at(self, play: Callable[[House, Case], Awaitable[None]]) -> Callable[[Case], Awaitable[None]]:
        async def played(case: Case) -> None:
            await play(self.there, case)

        return played


@dataclass
class Tally:
    """What came of it."""

    inputs: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.inputs.total()} inputs, {len(self.failures)} failures"


async def replayed(paths: Sequence[Path], tally: Tally) -> None:
    """Play the corpus, each case in the house as it was built."""
    with listening() as judge:
        for batch in _batches(paths, MOVE_AFTER):
            async with _street() as street:
                grounds = {ground.name: ground for ground in street.grounds()}
                for path in batch:
                    kept = json.loads(path.read_text())
                    await _one(judge, grounds[kept["ground"]], kept["case"], tally, path.name)


async def drawn(seed: str, numbers: range, tally: Tally, *, keep_in: Path | None = CORPUS) -> None:
    """Play the inputs of these numbers: the same seed and number draw the same input."""
    with listening() as judge:
        for batch in _batches(numbers, MOVE_AFTER):
            async with _street() as street:
                grounds = street.grounds()
                for number in batch:
                    dice = Random(f"{seed}:{number}")  # noqa: S311  to be drawn again, not to be secret
                    [ground] = dice.choices(grounds, [ground.share for ground in grounds])
                    case = ground.draw(dice)
                    failed = len(tally.failures)
                    await _one(judge, ground, case, tally, f"--seed {seed}, number {number}")
                    if len(tally.failures) > failed and keep_in and failed < MOST_SAVED:
                        _keep(keep_in, ground, case, tally.failures[-1])


async def _one(judge: Judge, ground: Ground, case: Case, tally: Tally, name: str) -> None:
    tally.inputs[ground.name] += 1
    judge.begin()
    try:
        async with asyncio.timeout(LONGEST):
            await ground.play(case)
        judge.end()
    except Exception as wrong:  # whatever it was, it is what we look for
        tally.failures.append(f"{ground.name} ({name}): {_said(wrong)}")


def _said(wrong: Exception) -> str:
    if isinstance(wrong, Wrong):
        return str(wrong)
    places, at = [], wrong.__traceback__
    while at is not None:
        places.append(f"{Path(at.tb_frame.f_code.co_filename).name}:{at.tb_lineno}")
        at = at.tb_next
    return f"{type(wrong).__name__}: {str(wrong)[:300]} at {' '.join(places[-6:])}"


def _keep(folder: Path, ground: Ground, case: Case, why: str) -> None:
    text = json.dumps({"ground": ground.name, "case": case, "why": why[:1000]}, indent=1, ensure_ascii=True)
    name = hashlib.sha256(json.dumps(case, sort_keys=True).encode()).hexdigest()[:12]
    folder.mkdir(exist_ok=True)
    (folder / f"{ground.name}-{name}.json").write_text(text + "\n")


@asynccontextmanager
async def _street() -> AsyncIterator[Street]:
    async with house() as there:
        yield Street(there)


def _batches(items: Any, size: int) -> Iterator[Any]:
    for at in range(0, len(items), size):
        yield items[at : at + size]


def timed(run: Callable[[], Tally]) -> tuple[Tally, float]:
    """What came of it, and how many seconds it took."""
    began = time.monotonic()
    return run(), time.monotonic() - began
