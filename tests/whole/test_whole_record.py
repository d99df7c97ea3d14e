"""The record of a real life: signed to its last row; it verifies, and what is changed in it is named."""

import asyncio
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from bot.audit.verify import FINE, TAMPERED
from bot.domain.record import Event
from tests.whole.installed import installed
from tests.whole.process import Served, served


async def _verdict(it: Served, *arguments: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bot", "audit", "verify", *arguments),
        env=dict(it.process.settings) | {"PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=it.folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


async def test_a_life_is_signed_to_its_last_row_and_a_change_of_it_is_named(tmp_path):
    heads = tmp_path / "heads.jsonl"
    async with served(tmp_path, AUDIT_HEADS=str(heads)) as it:
        await it.there.pending()
        await it.there.signed_in()
        await it.there.approved()
        assert await it.process.stop() == 0
        fine = await _verdict(it, "--heads", str(heads))
        with closing(sqlite3.connect(it.folder / "unlatch.sqlite3")) as rows, rows:
            [count] = rows.execute("SELECT count(*) FROM audit").fetchone()
            rows.execute("DROP TRIGGER audit_no_update")
            rows.execute("UPDATE audit SET actor = 'U0MALLORY' WHERE event = 'approved'")
            [approved] = rows.execute("SELECT id FROM audit WHERE event = 'approved'").fetchone()
        tampered = await _verdict(it)

    assert fine[0] == FINE, fine
    assert f"fine: {count} rows as they were written; the head of" in fine[1]
    assert f"signs {count} of them." in fine[1]
    assert (tampered[0], tampered[1].splitlines()[0]) == (TAMPERED, f"row {approved} was changed")


async def test_the_heads_in_the_log_are_enough(tmp_path):
    async with served(tmp_path) as it:
        await it.there.pending()
        assert await it.process.stop() == 0
        log = tmp_path / "log"
        log.write_text("\n".join(it.process.lines))

        assert (await _verdict(it, "--heads", str(log)))[0] == FINE


async def test_every_start_is_on_the_record_with_what_it_runs_under(tmp_path):
    for lifetime in (3600, 3600, 1800):
        async with installed(tmp_path, request_lifetime=lifetime) as there:
            rows = await there.record()

    starts = [json.loads(facts) for _, event, facts in rows if event == Event.STARTED]
    assert [json.loads(facts["settings"])["REQUEST_LIFETIME"] for facts in starts] == [
        "1:00:00",
        "1:00:00",
        "0:30:00",
    ]
    assert starts[0]["settings"].count("set") >= 3
    assert "xoxb-" not in str(starts)
    assert starts[0]["digest"] != starts[2]["digest"]


async def test_a_record_whose_writer_was_killed_is_fine(tmp_path):
    async with served(tmp_path) as it:
        await it.there.pending()
        await it.there.signed_in()
        await it.there.approved()
        await it.kill()
        killed = await _verdict(it)
        await it.start_after_all_leases_ran_out()
        assert await it.process.stop() == 0

        assert (killed[0], (await _verdict(it))[0]) == (FINE, FINE)
