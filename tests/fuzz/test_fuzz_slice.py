"""A slice of `make fuzz` in `make test`: what failed once, and the first inputs of one seed."""

from tests.fuzz.playing import CORPUS, Tally, drawn, replayed

SLICE = 2500


async def test_what_failed_once_does_not_fail_again():
    tally = Tally()
    await replayed(sorted(CORPUS.glob("*.json")), tally)
    assert tally.failures == []


async def test_inputs_that_nobody_would_send_break_nothing():
    tally = Tally()
    await drawn("slice", range(SLICE), tally, keep_in=None)
    assert tally.failures == []
    assert tally.inputs.total() == SLICE
    assert len(tally.inputs) == 7
