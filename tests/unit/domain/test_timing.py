"""The promised numbers, held against the documents, and the order on which "at most one reset" stands."""

import re
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from bot import app
from bot.domain.policy import Rules
from bot.entra.authority import Authority, MsalHttp
from bot.graph.devices import graph_client
from bot.settings import Settings
from bot.slack import receiver
from bot.store import database, requests
from bot.timing import Timing
from bot.worker import MAX_ROWS

DOCS = Path(__file__).parents[3] / "docs"
TIMING = Timing()
DURATIONS = [field.name for field in fields(Timing)]
SETTINGS = {name: field.default for name, field in Settings.model_fields.items()}
STATED: list[tuple[str, str]] = [
    ("lifetime", "configure: `REQUEST_LIFETIME` | `PT1H`"),
    ("settle", "reliability: the device is read for 15 minutes"),
    ("skew", "reliability: may be two minutes behind ours"),
    ("same_reset", "reliability: may differ by one second from one read to the next"),
    ("silent_after", "reliability: After a day of silence the request ends"),
    ("recently", "security: within 15 minutes it has to be confirmed"),
    ("reveal_for", "security: the requester alone, for an hour (`REVEAL_FOR`)"),
    ("link_lifetime", "operate: each works once, for ten minutes"),
    ("sign_in_max_age", "operate: `SIGN_IN_MAX_AGE` (8 hours)"),
    ("fresh_within", "configure: at most ten minutes old"),
    ("fresh_within", "security: `FRESH_SIGN_IN` makes it ten minutes"),
    ("entra_away", "reliability: for ten seconds nobody else waits for it"),
    ("slack_timeout", "reliability: A call is waited for ten seconds"),
    ("start_for", "reliability: waits for a minute"),
    ("lease", "reliability: when its lease has run out, after 90 seconds at most"),
    ("lease", "operate: leaves its rows leased for at most 90 seconds"),
    ("periodic", "operate: is a log line `audit_head` each minute"),
    ("channel_looked_at", "security: looked at when the bot starts and each hour"),
    ("handover", "operate: waits up to 30 seconds for the first to end"),
    ("unready", "operate: answers 503 for 2 seconds"),
    ("answers", "operate: that are under way have 5 seconds"),
    ("grace", "operate: the worker's rows 20 seconds"),
    ("stop", "operate: within 30 seconds whatever hangs"),
]
"""A duration, and how a document states it."""
SECONDS = """
remind_every 900, verify_for 300, verify_retry 10, send_for 120, send_retry 5, attempt 60, publish_for 86400
graph_timeout 30, entra_timeout 15, trigger_timeout 2.5, socket_ping 5, socket_retry 2, lock_timeout 2
idle_timeout 3, statement_timeout 5, database_answer 7, database_wait 10, acknowledgement_drawn 0.5
work_timeout 75, retry 5, idle 5, stalled_after 30"""
OTHERS = {name: timedelta(seconds=float(number)) for name, number in re.findall(r"(\w+) ([\d.]+)", SECONDS)}
"""Every duration that no document states."""
ELSEWHERE: list[tuple[timedelta | int, str]] = [
    (SETTINGS["reveal_for"], "configure: `REVEAL_FOR` | `PT1H`"),
    (SETTINGS["sign_in_max_age"], "configure: `SIGN_IN_MAX_AGE` | `PT8H`"),
    (SETTINGS["asks_per_hour"], "configure: `ASKS_PER_HOUR` | `20`"),
    (timedelta(seconds=receiver.MAX_AGE), "security: at most five minutes old"),
    (database.MAX_SKEW, "operate: have to agree within five seconds"),
    (requests.HOUR, "operate: sign-in links | an hour, encrypted"),
]
"""A number in the code, and how a document states it."""
AUTHORITY = Authority.parse("https://login.microsoftonline.com/tenant")
UNSTATED: list[tuple[object, object]] = [
    (SETTINGS["request_lifetime"], TIMING.lifetime),
    (Rules.__dataclass_fields__["links_per_hour"].default, 20),
    (MAX_ROWS, 8),
    (graph_client(TIMING).timeout, httpx.Timeout(5, read=20)),
    (MsalHttp(AUTHORITY, TIMING)._http.timeout, httpx.Timeout(5, read=15)),
]
WORDS = {"a": 1, "an": 1, "each": 1, "one": 1, "two": 2, "five": 5, "ten": 10}
UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "S": 1, "M": 60, "H": 3600}


def number_in(sentence: str) -> timedelta | int:
    """Return the duration that a sentence states, else its number."""
    for amount, unit in re.findall(r"(?:PT)?(\w+?) ?(second|minute|hour|day|(?<=\d)[SMH]\b)", sentence):
        return timedelta(seconds=int(WORDS.get(amount, amount)) * UNITS[unit])
    return int(re.findall(r"`(\d+)`", sentence)[0])


@pytest.mark.parametrize(
    ("value", "stated"), [*((getattr(TIMING, name), stated) for name, stated in STATED), *ELSEWHERE], ids=str
)
def test_a_number_is_as_the_document_states_it(value, stated):
    document, _, sentence = stated.partition(": ")
    assert sentence in (DOCS / f"{document}.md").read_text()
    assert number_in(sentence) == value


def test_every_duration_is_stated_and_a_number_that_no_document_states_is_as_it_was_meant():
    assert {name for name, _ in STATED} | set(OTHERS) == set(DURATIONS)
    assert {name: getattr(TIMING, name) for name in OTHERS} == OTHERS
    assert [found for found, _ in UNSTATED] == [meant for _, meant in UNSTATED]
    assert TIMING.stop > TIMING.unready + TIMING.answers + app.SCRAPE + TIMING.grace


@pytest.mark.parametrize("name", DURATIONS)
@pytest.mark.parametrize("value", [timedelta(0), timedelta(seconds=-1)])
def test_no_duration_is_nothing(name, value):
    with pytest.raises(ValueError, match=f"{name} must be longer than nothing"):
        replace(Timing(), **{name: value})


@pytest.mark.parametrize(
    ("longer", "shorter"),
    [
        # else a row is taken by another replica, or is uncertain, while its call is out
        ("lease", "work_timeout"),
        ("work_timeout", "attempt"),
        ("attempt", "graph_timeout"),
        ("stalled_after", "idle"),
        ("send_for", "send_retry"),
        *(("database_answer", own) for own in ("lock_timeout", "idle_timeout", "statement_timeout")),
    ],
)
def test_what_waits_for_another_time_is_longer_than_it(longer, shorter):
    with pytest.raises(ValueError, match=f"{longer} must be longer than"):
        replace(Timing(), **{shorter: getattr(TIMING, longer)})
