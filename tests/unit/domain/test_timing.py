"""The promised numbers, held against the documents, and the order on which "at most one reset" stands."""

import re
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from bot.domain.policy import Rules
from bot.entra.authority import Authority, MsalHttp
from bot.graph.devices import graph_client
from bot.settings import Settings
from bot.slack import receiver
from bot.store import database, requests
from bot.timing import Timing
from bot.worker import MAX_ROWS

DOCS = Path(__file__).parents[3] / "docs"
PROMISED: dict[str, tuple[timedelta, str]] = {
    "lifetime": (timedelta(hours=1), "configure: `REQUEST_LIFETIME` | `PT1H`"),
    "remind_every": (timedelta(minutes=15), ""),
    "verify_for": (timedelta(minutes=5), ""),
    "verify_retry": (timedelta(seconds=10), ""),
    "send_for": (timedelta(minutes=2), ""),
    "send_retry": (timedelta(seconds=5), ""),
    "attempt": (timedelta(seconds=60), ""),
    "settle": (timedelta(minutes=15), "reliability: the device is read for 15 minutes"),
    "skew": (timedelta(minutes=2), "reliability: may be two minutes behind ours"),
    "same_reset": (timedelta(seconds=1), "reliability: may differ by one second from one read to the next"),
    "silent_after": (timedelta(hours=24), "reliability: After a day of silence the request ends"),
    "recently": (timedelta(minutes=15), "security: within 15 minutes it has to be confirmed"),
    "reveal_for": (timedelta(hours=1), "security: the requester alone, for an hour (`REVEAL_FOR`)"),
    "publish_for": (timedelta(days=1), ""),
    "link_lifetime": (timedelta(minutes=10), "operate: each works once, for ten minutes"),
    "sign_in_max_age": (timedelta(hours=8), "operate: `SIGN_IN_MAX_AGE` (8 hours)"),
    "fresh_within": (timedelta(minutes=10), "configure: at most ten minutes old"),
    "graph_timeout": (timedelta(seconds=30), ""),
    "entra_timeout": (timedelta(seconds=15), ""),
    "entra_away": (timedelta(seconds=10), "reliability: for ten seconds nobody else waits for it"),
    "slack_timeout": (timedelta(seconds=10), "reliability: A call is waited for ten seconds"),
    "trigger_timeout": (timedelta(seconds=2.5), ""),
    "start_for": (timedelta(minutes=1), "reliability: waits for a minute"),
    "socket_ping": (timedelta(seconds=5), ""),
    "socket_retry": (timedelta(seconds=2), ""),
    "acknowledgement_drawn": (timedelta(seconds=0.5), ""),
    "lock_timeout": (timedelta(seconds=2), ""),
    "idle_timeout": (timedelta(seconds=3), ""),
    "statement_timeout": (timedelta(seconds=5), ""),
    "database_answer": (timedelta(seconds=7), ""),
    "database_wait": (timedelta(seconds=10), ""),
    "lease": (timedelta(seconds=90), "reliability: when its lease has run out, after 90 seconds at most"),
    "work_timeout": (timedelta(seconds=75), ""),
    "retry": (timedelta(seconds=5), ""),
    "idle": (timedelta(seconds=5), ""),
    "periodic": (timedelta(minutes=1), "operate: is a log line `audit_head` each minute"),
    "channel_looked_at": (timedelta(hours=1), "security: looked at when the bot starts and each hour"),
    "stalled_after": (timedelta(seconds=30), ""),
    "grace": (timedelta(seconds=20), "operate: 20 seconds each at the most"),
}
"""Each duration, and the document that states it, where one does."""
AUTHORITY = Authority.parse("https://login.microsoftonline.com/tenant")
SETTINGS = {name: field.default for name, field in Settings.model_fields.items()}
ELSEWHERE: list[tuple[object, object, str]] = [
    (SETTINGS["request_lifetime"], Timing().lifetime, ""),
    (SETTINGS["reveal_for"], Timing().reveal_for, "configure: `REVEAL_FOR` | `PT1H`"),
    (SETTINGS["sign_in_max_age"], Timing().sign_in_max_age, "configure: `SIGN_IN_MAX_AGE` | `PT8H`"),
    (Timing().fresh_within, timedelta(minutes=10), "security: `FRESH_SIGN_IN` makes it ten minutes"),
    (timedelta(seconds=receiver.MAX_AGE), timedelta(minutes=5), "security: at most five minutes old"),
    (database.MAX_SKEW, timedelta(seconds=5), "operate: have to agree within five seconds"),
    (requests.HOUR, timedelta(hours=1), "operate: sign-in links | an hour, encrypted"),
    (Timing().lease, timedelta(seconds=90), "operate: leaves its rows leased for at most 90 seconds"),
    (SETTINGS["asks_per_hour"], 20, "configure: `ASKS_PER_HOUR` | `20`"),
    (Rules.__dataclass_fields__["links_per_hour"].default, 20, ""),
    (MAX_ROWS, 16, ""),
    (graph_client(Timing()).timeout, httpx.Timeout(5, read=20), ""),
    (MsalHttp(AUTHORITY, Timing())._http.timeout, httpx.Timeout(5, read=15), ""),
]
"""A number in the code, what it has to be, and the document that states it."""
WORDS = {"a": 1, "an": 1, "each": 1, "one": 1, "two": 2, "five": 5, "ten": 10}
UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "S": 1, "M": 60, "H": 3600}


def number_in(sentence: str) -> timedelta | int:
    """Return the duration that a sentence states, else its number."""
    for amount, unit in re.findall(r"(?:PT)?(\w+?) ?(second|minute|hour|day|(?<=\d)[SMH]\b)", sentence):
        return timedelta(seconds=int(WORDS.get(amount, amount)) * UNITS[unit])
    return int(re.findall(r"`(\d+)`", sentence)[0])


def test_every_duration_is_in_the_table():
    assert [field.name for field in fields(Timing)] == list(PROMISED)


@pytest.mark.parametrize(
    ("value", "promised", "stated"),
    [*((getattr(Timing(), name), *promise) for name, promise in PROMISED.items()), *ELSEWHERE],
    ids=str,
)
def test_a_number_is_as_promised_and_as_the_document_states_it(value, promised, stated):
    assert value == promised
    if stated:
        document, _, sentence = stated.partition(": ")
        assert sentence in (DOCS / f"{document}.md").read_text()
        assert number_in(sentence) == promised


@pytest.mark.parametrize("name", PROMISED)
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
        replace(Timing(), **{shorter: getattr(Timing(), longer)})
