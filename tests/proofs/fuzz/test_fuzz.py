"""A slice of `make fuzz`: the first inputs at every entry point."""

from typing import Final

import pytest
from hypothesis import settings
from tests.proofs.fuzz import (
    entra_answers,
    graph_answers,
    settings_values,
    sign_in_pages,
    slack_answers,
    slack_deliveries,
)
from tests.proofs.fuzz.openings import Opening

OPENINGS: Final = (
    Opening("receiver", slack_deliveries.receiver, slack_deliveries.opening),
    Opening("commands", slack_deliveries.commands, slack_deliveries.opening),
    Opening("presses", slack_deliveries.presses, slack_deliveries.opening),
    Opening("forms", slack_deliveries.forms, slack_deliveries.opening),
    Opening("sign-in pages", sign_in_pages.visits, sign_in_pages.opening),
    Opening("answers of Slack", slack_answers.cases, slack_answers.opening),
    Opening("answers of Entra", entra_answers.cases, entra_answers.opening),
    Opening("answers of Graph", graph_answers.cases, graph_answers.opening),
    Opening("settings", settings_values.environments, settings_values.opening),
)
SLICE = settings(max_examples=60, derandomize=True, database=None, deadline=None)


@pytest.mark.parametrize("opening", OPENINGS, ids=lambda opening: opening.name)
def test_inputs_that_no_vendor_sends_break_nothing(opening: Opening):
    with opening.fuzzed(SLICE) as nothing_breaks:
        nothing_breaks()
