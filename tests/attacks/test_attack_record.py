"""Attacks on the record, by name: rows edited and cut by somebody who owns the database."""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from bot.audit.verify import FINE, TAMPERED, verify
from bot.notary import Notary, Witness
from tests.whole.process import Served, served


async def _a_days_work(folder: Path) -> tuple[Served, Path]:
    """A request that was approved, by a process that has ended and shipped its heads."""
    heads = folder / "heads.jsonl"
    async with served(folder, AUDIT_HEADS=str(heads)) as it:
        await it.there.pending()
        await it.there.signed_in()
        await it.there.approved()
        assert await it.process.stop() == 0
    return it, heads


def _tamper(folder: Path, statements: Sequence[str]) -> None:
    """The triggers off, then anything."""
    with closing(sqlite3.connect(folder / "unlatch.sqlite3")) as rows, rows:
        for (name,) in rows.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            rows.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            rows.execute(statement)


@pytest.mark.parametrize(
    ("statements", "named"),
    [
        (["UPDATE audit SET actor = 'U0MALLORY' WHERE event = 'approved'"], "was changed"),
        (["DELETE FROM audit WHERE event = 'approved'"], "is missing"),
        (["DELETE FROM audit WHERE id > 3", "DELETE FROM audit_chain WHERE seq > 3"], "the record ends at"),
        (
            [
                "DELETE FROM audit WHERE id > 3",
                "DELETE FROM audit_chain WHERE seq > 3",
                "DELETE FROM audit_heads WHERE seq > 3",
                "UPDATE audit_tip SET seq = 3, hash = (SELECT hash FROM audit_chain WHERE seq = 3)",
            ],
            "the record ends at",
        ),
    ],
    ids=["edited audit row", "removed audit row", "cut audit tail", "audit tail cut from every table"],
)
async def test_attack_on_the_record(tmp_path, capsys, statements, named):
    it, heads = await _a_days_work(tmp_path)
    url, keys = it.process.settings["DATABASE_URL"], it.process.settings["VAULT_KEYS"].split(",")
    witness = Witness(Notary(keys).public_keys)

    before = await asyncio.to_thread(verify, url, witness, heads)
    _tamper(tmp_path, statements)
    capsys.readouterr()
    after = await asyncio.to_thread(verify, url, witness, heads)

    assert (before, after) == (FINE, TAMPERED)
    assert named in capsys.readouterr().out
