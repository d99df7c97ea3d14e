"""What holds whatever comes in."""

from collections.abc import AsyncIterator, Container, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from bot.domain.errors import UnlatchError
from bot.domain.request import ResetRequest, Status
from bot.domain.target import TargetKind
from bot.slack.blocks import Message, View
from bot.slack.messages import card, receipt, thread_line
from bot.slack.wording import ENGLISH
from bot.store.database import Database
from bot.store.requests import read_request, request_columns
from tests.support.bot import Bot
from tests.support.builders import TIMING
from tests.support.database import MEMORY, opened, sqlite_url
from tests.unit.slack.shown import check_accepted, check_text, texts


@asynccontextmanager
async def empty_database() -> AsyncIterator[Database]:
    with TemporaryDirectory(dir=MEMORY) as folder:
        async with opened(sqlite_url(Path(folder))) as database:
            yield database


def check_shown(shown: Message | View) -> None:
    """Slack accepts the message or view, and all of its texts are escaped."""
    check_accepted(shown)
    for said in texts(shown):
        check_text(said)


def check_error(error: UnlatchError) -> None:
    check_text(ENGLISH.error(error))
    check_text(ENGLISH.title(error))


async def check_stored(bot: Bot, but: Container[ResetRequest] = ()) -> None:
    """All rows `but` these come back from their columns, are storable on any database, and can be shown."""
    for row in (await bot.rows()).values():
        if row not in but and row.target.kind is not TargetKind.MENTION:  # which is shown as one, as asked
            check_shown(card(row, ENGLISH, ["S0ONCALL"]))
            check_shown(receipt(row, ENGLISH, reveal_for=TIMING.reveal_for))
            if row.status is Status.PENDING:
                check_shown(thread_line(row, ENGLISH, ["S0ONCALL"]))
            columns = request_columns(row)
            check_storable(columns)
            assert read_request(SimpleNamespace(**columns, _mapping=columns)) == row
    for entry in await bot.entries():
        check_storable(entry.facts)


def check_storable(columns: Mapping[str, Any]) -> None:
    """A database takes text that is UTF-8 and holds no NUL."""
    for name, value in columns.items():
        if isinstance(value, str):
            value.encode()
            assert "\x00" not in value, f"{name} holds a NUL"
