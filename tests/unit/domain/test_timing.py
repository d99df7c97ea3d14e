"""The promised durations, and the order on which "at most one reset" stands."""

from dataclasses import fields, replace
from datetime import timedelta

import pytest
from bot.timing import Timing
from hypothesis import given
from hypothesis import strategies as st

PROMISED = {
    "lifetime": timedelta(hours=1),
    "remind_every": timedelta(minutes=15),
    "verify_for": timedelta(minutes=5),
    "verify_retry": timedelta(seconds=10),
    "send_for": timedelta(minutes=2),
    "send_retry": timedelta(seconds=5),
    "attempt": timedelta(seconds=60),
    "settle": timedelta(minutes=15),
    "skew": timedelta(minutes=2),
    "same_reset": timedelta(seconds=1),
    "silent_after": timedelta(hours=24),
    "recently": timedelta(minutes=15),
    "reveal_for": timedelta(hours=1),
    "publish_for": timedelta(days=1),
    "link_lifetime": timedelta(minutes=10),
    "sign_in_max_age": timedelta(hours=8),
    "fresh_within": timedelta(minutes=10),
    "graph_timeout": timedelta(seconds=30),
    "entra_timeout": timedelta(seconds=15),
    "slack_timeout": timedelta(seconds=10),
    "trigger_timeout": timedelta(seconds=2.5),
    "acknowledgement_drawn": timedelta(seconds=0.5),
    "lease": timedelta(seconds=90),
    "work_timeout": timedelta(seconds=75),
    "retry": timedelta(seconds=5),
    "idle": timedelta(seconds=5),
    "periodic": timedelta(minutes=1),
    "stalled_after": timedelta(seconds=30),
    "grace": timedelta(seconds=20),
}
ORDER = ("lease", "work_timeout", "attempt", "graph_timeout")


def test_every_duration_is_as_promised():
    assert {field.name: field.default for field in fields(Timing)} == PROMISED


@pytest.mark.parametrize("name", PROMISED)
@pytest.mark.parametrize("value", [timedelta(0), timedelta(seconds=-1)])
def test_no_duration_is_nothing(name, value):
    with pytest.raises(ValueError, match=f"{name} must be longer than nothing"):
        replace(Timing(), **{name: value})


@given(st.lists(st.integers(min_value=1, max_value=5), min_size=4, max_size=4))
def test_no_order_can_be_built_in_which_a_row_is_taken_while_its_call_is_out(seconds):
    values = {name: timedelta(seconds=each) for name, each in zip(ORDER, seconds, strict=True)}
    if sorted(set(seconds), reverse=True) == seconds:
        Timing(**values)
    else:
        with pytest.raises(ValueError, match="must be longer than"):
            Timing(**values)


@pytest.mark.parametrize(("longer", "shorter"), [("stalled_after", "idle"), ("send_for", "send_retry")])
def test_a_queue_that_only_sleeps_is_not_stalled_and_a_retry_fits_into_its_time(longer, shorter):
    with pytest.raises(ValueError, match=f"{longer} must be longer than {shorter}"):
        replace(Timing(), **{longer: getattr(Timing(), shorter)})


@pytest.mark.parametrize(
    ("waited", "pause"),
    [
        (timedelta(0), timedelta(seconds=5)),
        (timedelta(seconds=59), timedelta(seconds=5)),
        (timedelta(minutes=1), timedelta(seconds=30)),
        (timedelta(minutes=14, seconds=59), timedelta(seconds=30)),
        (timedelta(minutes=15), timedelta(minutes=10)),
        (timedelta(hours=20), timedelta(minutes=10)),
    ],
)
def test_the_longer_a_device_has_had_the_command_the_longer_the_pause(waited, pause):
    assert Timing().poll_after(waited) == pause
