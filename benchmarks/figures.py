"""Figures: what each round measured, its ratio to a reference of the same round, and which goal it has."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from statistics import median, quantiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What one line of the table promises. `of`: the reference's name; empty for none."""

    what: str
    name: str
    unit: str
    of: str = ""
    at_most: float | None = None
    at_least: float | None = None
    """Of the ratio where there is a reference, else of the figure itself."""
    kept: float | None = None
    """What no change may go back behind, where the goal is not reached yet."""

    @property
    def limit(self) -> float | None:
        return self.at_least if self.at_most is None else self.at_most

    def shown(self, limit: float | None) -> str:
        """Return a limit as the table has it: the goal, or what is kept instead."""
        number = "×" if self.of else f" {self.unit}"
        return "" if limit is None else f"{'≥' if self.at_most is None else '≤'} {limit:g}{number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table: medians over the rounds, and what the rounds differed by."""

    goal: Goal
    figure: float
    reference: float | None
    judged: float
    """The ratio, or the figure where there is no reference."""
    noise: float
    """Half of what lies between the quartiles of the rounds."""

    def misses(self, *, kept: bool = False) -> bool:
        """Whether the goal, or what is kept instead, is missed by more than the noise."""
        goal = self.goal
        limit = goal.limit if goal.kept is None or not kept else goal.kept
        if limit is None:
            return False
        return self.judged + self.noise < limit if goal.at_most is None else self.judged - self.noise > limit


@dataclass
class Figures:
    """What was measured, by name and round."""

    rounds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, **measured: float) -> None:
        """Keep one round's figures."""
        for name, value in measured.items():
            self.rounds[name].append(value)

    def lines(self, goals: Iterable[Goal]) -> Iterator[Line]:
        """Yield a line for each goal that was measured."""
        for goal in goals:
            values, others = self.rounds.get(goal.name, []), self.rounds.get(goal.of, [])
            if not values or (goal.of and not others):
                continue
            # A reference is measured in each round, or once for all.
            beside = (
                others if len(others) == len(values) else [median(others)] * len(values) if others else []
            )
            judged = (
                [value / other for value, other in zip(values, beside, strict=True)] if goal.of else values
            )
            yield Line(
                goal=goal,
                figure=median(values),
                reference=median(others) if goal.of else None,
                judged=median(judged),
                noise=spread(judged),
            )


def spread(values: list[float]) -> float:
    """Return half of what lies between the quartiles; nothing where there is one value alone."""
    if len(values) < 2:
        return 0.0
    first, _, third = quantiles(values, n=4, method="inclusive")
    return (third - first) / 2


def percentile(values: list[float], share: float) -> float:
    """Return the value that so great a share of them does not exceed."""
    return sorted(values)[max(0, min(len(values) - 1, round(len(values) * share) - 1))]


def table(lines: Iterable[Line]) -> str:
    """Return the lines as Markdown."""
    rows = ["| what | measured | reference | ratio | goal | | kept |", "|---|---|---|---|---|---|---|"]
    for line in lines:
        goal = line.goal
        beside = "" if line.reference is None else f"{line.reference:.3g} {goal.unit}"
        ratio = f"{line.judged:.2f} ± {line.noise:.2f}" if goal.of else ""
        cells = (
            goal.what,
            f"{line.figure:.3g} {goal.unit}",
            beside,
            ratio,
            goal.shown(goal.limit) or "reported",
            "✗" if line.misses() else "✓" if goal.limit else "",
            goal.shown(goal.kept),
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def as_json(figures: Figures, lines: Iterable[Line], about: Mapping[str, object]) -> dict[str, object]:
    """Return everything that was measured, for `results.json`."""
    return {
        **about,
        "lines": [asdict(line) | {"is_missed": line.misses()} for line in lines],
        "rounds": dict(figures.rounds),
    }
