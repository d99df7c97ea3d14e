"""A slice of `make fuzz`: what failed once, and the first inputs at every entry point."""

import pytest
from hypothesis import settings
from tests.proofs.fuzz.ground import played
from tests.proofs.fuzz.openings import OPENINGS, Opening, property_of

SLICE = settings(max_examples=60, derandomize=True, database=None, deadline=None)


@pytest.mark.parametrize("opening", OPENINGS, ids=lambda opening: opening.name)
def test_inputs_that_no_vendor_sends_break_nothing(opening: Opening):
    with played(opening.opened) as play:
        property_of(opening, play, SLICE)()
