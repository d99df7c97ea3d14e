"""A release to come, whose migration runs while this one serves."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from bot.store import migrations

NEXT = "9999"


@contextmanager
def next_release() -> Iterator[None]:
    """Inside the block `migrate` is that of a release to come."""
    ours = migrations.config

    def theirs() -> Config:
        made = ours()
        places = f"{migrations.HERE / 'versions'}:{Path(__file__).parent / 'next_release'}"
        made.set_main_option("version_locations", places)
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "config", theirs)
        patch.setattr(migrations, "HEAD", NEXT)
        yield


async def migrate_to_the_next(url: str, **given: Any) -> None:
    with next_release():
        await asyncio.to_thread(migrations.upgrade, url, **given)
