"""Every entry point, with its inputs and what is checked there."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import example, given, settings
from hypothesis.strategies import SearchStrategy
from tests.proofs.fuzz import (
    entra_answers,
    graph_answers,
    settings_values,
    sign_in_pages,
    slack_answers,
    slack_deliveries,
)
from tests.proofs.fuzz.ground import Play


@dataclass(frozen=True)
class Opening:
    """`cases`: what is sent; `examples`: what failed once, always sent; `opened`: how to send one."""

    name: str
    cases: SearchStrategy[Any]
    opened: Callable[[], AbstractAsyncContextManager[Play]]
    examples: Sequence[Any] = ()


OPENINGS: Final = (
    Opening("receiver", slack_deliveries.raw, slack_deliveries.opening, slack_deliveries.raw_examples),
    Opening("commands", slack_deliveries.commands, slack_deliveries.opening),
    Opening("interactions", slack_deliveries.interactions, slack_deliveries.opening),
    Opening("pages", sign_in_pages.cases, sign_in_pages.opening, sign_in_pages.examples),
    Opening("slack", slack_answers.cases, slack_answers.opening, slack_answers.examples),
    Opening("entra", entra_answers.cases, entra_answers.opening, entra_answers.examples),
    Opening("graph", graph_answers.cases, graph_answers.opening, graph_answers.examples),
    Opening("settings", settings_values.cases, settings_values.opening, settings_values.examples),
)


def property_of(opening: Opening, play: Callable[[Any], None], chosen: settings) -> Callable[[], None]:
    """Return hypothesis's test that no case breaks anything."""

    def nothing_breaks(case: Any) -> None:
        play(case)

    found = given(case=opening.cases)(chosen(nothing_breaks))
    for case in opening.examples:
        found = example(case=case)(found)
    return found
