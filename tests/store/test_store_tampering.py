"""Whoever can change the database changes it, by every way we know; the auditor's command names the row."""

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from bot.audit import verify as command
from bot.audit.verify import CANNOT_READ, FINE, MOST_NAMED, TAMPERED
from bot.domain.chain import Tip
from bot.entra import new_key
from bot.notary import Notary
from bot.shipping import append, line
from bot.store.reading import RecordReader
from sqlalchemy import text
from written import VAULT_KEY, Ask, Written, writing


@pytest.fixture(params=["sqlite", "postgresql"])
async def written(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Written]:
    """A day's record on either database."""
    if request.param == "sqlite":
        url = f"sqlite:///{request.getfixturevalue('path')}"
    else:
        url = request.getfixturevalue("postgresql")
    async with writing(url, tmp_path) as made:
        await made.day()
        yield made


# What nobody touched


async def test_a_record_that_nobody_touched_is_fine(written: Written, verdict: Ask) -> None:
    said = await verdict(written, shipped=True)

    assert said.status == FINE, said
    assert said.said == [
        "fine: 12 rows as they were written; the head of 2026-03-02T12:03:12.000000Z signs 12 of them."
    ]


async def test_rows_that_wait_for_their_head_are_fine(written: Written, verdict: Ask) -> None:
    await written.note(3)

    assert (await verdict(written, shipped=True)).status == FINE


async def test_an_empty_record_is_fine(path: Path, tmp_path: Path, verdict: Ask) -> None:
    async with writing(f"sqlite:///{path}", tmp_path) as empty:
        assert (await verdict(empty)).said == ["fine: 0 rows as they were written; no head signs them yet."]


async def test_a_row_of_an_older_version_waits_to_be_linked_and_then_is_like_any_other(
    written: Written, verdict: Ask
) -> None:
    now = "2026-03-02T12:03:30.000000Z"
    async with written.store.engine.begin() as connection:
        await connection.execute(
            text("INSERT INTO audit (at, event, facts) VALUES (:at, 'asked', '{}')"), {"at": now}
        )
    before = await verdict(written)
    await written.seal()
    after = await verdict(written, shipped=True)

    assert (before.status, before.said[0].split(";")[0]) == (FINE, "note: 1 rows wait to be linked")
    assert (after.status, len(after.said)) == (FINE, 1)
    assert "13 rows" in after.said[0]


# An edited row


async def test_an_edited_row_is_named(written: Written, verdict: Ask) -> None:
    await written.change("UPDATE audit SET actor = 'U0MALLORY' WHERE id = 6")

    said = await verdict(written)

    assert (said.status, said.said[0]) == (TAMPERED, "row 6 was changed")
    assert said.said[-1] == "TAMPERED: 1 found."


@pytest.mark.parametrize(
    "change",
    [
        "at = '2026-03-02T11:00:00.000000Z'",
        "event = 'denied'",
        "actor = NULL",
        "request_id = 'f'",
        """facts = '{"reason": "locked  out"}'""",
    ],
)
async def test_no_column_of_a_row_can_be_edited(written: Written, verdict: Ask, change: str) -> None:
    await written.change(f"UPDATE audit SET {change} WHERE id = 6")  # noqa: S608  this test's own words

    assert "row 6 was changed" in (await verdict(written)).said


async def test_an_edit_of_a_row_that_is_not_yet_signed_is_named(written: Written, verdict: Ask) -> None:
    await written.note(2)
    await written.change("UPDATE audit SET actor = 'U0MALLORY' WHERE id = 14")

    assert (await verdict(written)).said[0] == "row 14 was changed"


async def test_an_edited_row_with_its_own_link_made_anew_is_found_by_the_next(
    written: Written, verdict: Ask
) -> None:
    await written.change(
        "UPDATE audit SET actor = 'U0MALLORY' WHERE id = 6", "UPDATE audit_chain SET hash = 'x' WHERE seq = 6"
    )

    said = await verdict(written)

    assert said.status == TAMPERED
    assert said.said[:2] == ["row 6 was changed", "row 7 was changed"]


# A removed row


async def test_a_removed_row_is_named(written: Written, verdict: Ask) -> None:
    await written.change("DELETE FROM audit WHERE id = 6")

    said = await verdict(written)

    assert (said.status, said.said[0]) == (TAMPERED, "row 6 is missing")


async def test_a_row_that_is_removed_with_its_link_is_named(written: Written, verdict: Ask) -> None:
    await written.change("DELETE FROM audit WHERE id = 6", "DELETE FROM audit_chain WHERE seq = 6")

    said = await verdict(written)

    assert (said.status, said.said[0]) == (TAMPERED, "link 6 is missing: what was there was removed")


async def test_several_rows_removed_with_their_links_are_named(written: Written, verdict: Ask) -> None:
    await written.change("DELETE FROM audit_chain WHERE seq IN (1, 2, 3)")

    said = await verdict(written)

    assert (said.status, said.said[0]) == (TAMPERED, "links 1 to 3 are missing: what was there was removed")


async def test_a_removed_row_whose_gap_is_closed_is_found_by_the_next(written: Written, verdict: Ask) -> None:
    closing = [f"UPDATE audit_chain SET seq = {n - 1} WHERE seq = {n}" for n in range(7, 13)]  # noqa: S608  numbers
    await written.change("DELETE FROM audit WHERE id = 6", "DELETE FROM audit_chain WHERE seq = 6", *closing)

    said = await verdict(written)

    assert (said.status, said.said[0]) == (TAMPERED, "row 7 was changed")


# Reordered rows


async def test_two_rows_whose_ids_are_swapped_are_both_named(written: Written, verdict: Ask) -> None:
    await written.change(
        "UPDATE audit SET id = -1 WHERE id = 6",
        "UPDATE audit SET id = 6 WHERE id = 7",
        "UPDATE audit SET id = 7 WHERE id = -1",
    )

    said = await verdict(written)

    assert (said.status, said.said[:2]) == (TAMPERED, ["row 6 was changed", "row 7 was changed"])


async def test_two_rows_whose_links_are_swapped_are_both_named(written: Written, verdict: Ask) -> None:
    await written.change(
        "UPDATE audit_chain SET audit_id = -1 WHERE seq = 6",
        "UPDATE audit_chain SET audit_id = 6 WHERE seq = 7",
        "UPDATE audit_chain SET audit_id = 7 WHERE seq = 6",
    )

    said = await verdict(written)

    assert (said.status, said.said[:2]) == (TAMPERED, ["row 7 was changed", "row 6 was changed"])


# An inserted row


INSERT = "INSERT INTO audit (id, at, event, facts) VALUES (99, '2026-03-01T12:00:00.000000Z', 'denied', '{}')"


async def test_a_row_that_is_put_in_is_named(written: Written, verdict: Ask) -> None:
    await written.change(INSERT)

    said = await verdict(written)

    assert (said.status, said.said[0]) == (TAMPERED, "row 99 is in no link: it was put in")


async def test_a_row_that_is_put_in_is_named_even_after_it_was_linked_and_signed(
    written: Written, verdict: Ask
) -> None:
    """Unlatch adopts rows without a link; one that says it happened yesterday stays recognizable."""
    await written.change(INSERT)
    await written.note(1)
    await written.seal()

    said = await verdict(written, shipped=True)

    assert (said.status, len(said.said)) == (TAMPERED, 2)
    assert said.said[0] == (
        "row 99 says 2026-03-01T12:00:00.000000Z, but came after the head of 2026-03-02T12:03:12.000000Z: "
        "it was put in"
    )


# A cut tail


CUT = [
    "DELETE FROM audit WHERE id > 9",
    "DELETE FROM audit_chain WHERE seq > 9",
    "DELETE FROM audit_heads WHERE seq > 9",
    "UPDATE audit_tip SET seq = 9, hash = (SELECT hash FROM audit_chain WHERE seq = 9)",
]


async def test_a_cut_tail_is_found_by_the_stored_head(written: Written, verdict: Ask) -> None:
    await written.change(CUT[0], CUT[1], CUT[3])

    said = await verdict(written)

    assert (said.status, said.said[0]) == (
        TAMPERED,
        "the record ends at 9, but a head of 2026-03-02T12:03:12.000000Z signs 12",
    )


async def test_a_tail_that_is_cut_from_every_table_is_found_by_the_shipped_head(
    written: Written, verdict: Ask
) -> None:
    await written.change(*CUT)

    alone, shipped = await verdict(written), await verdict(written, shipped=True)

    assert alone.status == FINE, "nothing in the database tells: that is why heads are shipped"
    assert (shipped.status, shipped.said[0]) == (
        TAMPERED,
        "the record ends at 9, but a head of 2026-03-02T12:03:12.000000Z signs 12",
    )


async def test_a_tip_that_was_forgotten_tells_of_the_cut(written: Written, verdict: Ask) -> None:
    await written.change(*CUT[:3])

    assert "the chain ends at 9, but the database says that it ends at 12" in (await verdict(written)).said


async def test_a_record_that_is_emptied_is_found_by_the_shipped_head(written: Written, verdict: Ask) -> None:
    tables = ("audit", "audit_chain", "audit_heads")
    await written.change(*(f"DELETE FROM {table}" for table in tables))  # noqa: S608  tables of ours
    await written.change(f"UPDATE audit_tip SET seq = 0, hash = '{'0' * 64}'")  # noqa: S608  as above

    said = await verdict(written, shipped=True)

    assert said.said[0] == "the record ends at 0, but a head of 2026-03-02T12:03:12.000000Z signs 12"


# A chain made anew


EDIT = "UPDATE audit SET actor = 'U0MALLORY' WHERE id = 6"


async def test_a_chain_that_is_made_anew_is_found_by_the_signed_head(written: Written, verdict: Ask) -> None:
    await written.change(EDIT, remake=True)

    said = await verdict(written)

    assert (said.status, len(said.said)) == (TAMPERED, 2), "said once, not for every head that follows"
    assert said.said[0] == (
        "the chain was made anew: between link 5 and 8 it is not what the head of "
        "2026-03-02T12:02:08.000000Z signs"
    )


async def test_a_chain_and_heads_made_anew_with_another_key_are_found(written: Written, verdict: Ask) -> None:
    """With the stored heads replaced, only the key tells; with a shipped head, the chain does too."""
    await written.change(EDIT, "DELETE FROM audit_heads", remake=True)
    honest, written.notary = written.notary, Notary([new_key()])
    written.shipped, kept = written.shipped.with_name("theirs"), written.shipped
    await written.seal()

    alone = await verdict(written, keys=honest.public_keys)
    shipped = await verdict(written, keys=honest.public_keys, file=kept)

    assert (alone.status, alone.said[0]) == (TAMPERED, "no head is signed with a key that is known here")
    assert shipped.status == TAMPERED
    assert "the chain was made anew: between link 5 and 8" in shipped.said[0]


async def test_a_chain_made_anew_without_any_head_is_found_once_it_is_longer_than_a_head_may_take(
    written: Written, verdict: Ask
) -> None:
    written.clock.pass_(timedelta(minutes=20))
    await written.note(1)
    await written.change(EDIT, "DELETE FROM audit_heads", remake=True)

    said = await verdict(written)

    assert (said.status, said.said[0]) == (
        TAMPERED,
        "links 1 to 13 are signed by no head whose key is known here",
    )


async def test_a_tail_that_is_made_anew_after_the_last_head_left_is_found_by_the_shipped_one(
    written: Written, verdict: Ask
) -> None:
    await written.change(
        "UPDATE audit SET actor = 'U0MALLORY' WHERE id = 10",
        "DELETE FROM audit_heads WHERE seq = 12",
        remake=True,
    )

    assert (await verdict(written)).status == FINE, "four rows of one minute, signed by nothing that is left"
    assert (await verdict(written, shipped=True)).said[0] == (
        "the chain was made anew: between link 9 and 12 it is not what the head of "
        "2026-03-02T12:03:12.000000Z signs"
    )


# Heads


async def test_an_edited_head_is_named(written: Written, verdict: Ask) -> None:
    await written.change("UPDATE audit_heads SET at = '2026-03-02T13:00:00.000000Z' WHERE seq = 8")

    assert (await verdict(written)).said[0] == (
        "a head of 2026-03-02T13:00:00.000000Z for link 8 has a signature that does not fit"
    )


@pytest.mark.parametrize("field", ["seq", "hash", "at", "signature"])
async def test_a_shipped_head_that_was_edited_is_named(written: Written, verdict: Ask, field: str) -> None:
    *before, last = written.shipped.read_text().splitlines()
    edited = json.loads(last) | {field: 4 if field == "seq" else "YQ=="}
    written.shipped.write_text("\n".join([*before, json.dumps(edited)]))

    said = await verdict(written, shipped=True)

    assert (said.status, said.said[0].split(" has ")[1]) == (TAMPERED, "a signature that does not fit")


async def test_a_key_that_is_unknown_is_said_and_the_known_ones_count(written: Written, verdict: Ask) -> None:
    """After a rotation the heads of a key that is gone are passed over; newer heads sign what those did."""
    written.notary = Notary([new_key()])
    await written.note(1)
    await written.seal()

    new = await verdict(written, shipped=True)
    both = await verdict(written, keys=[*written.notary.public_keys, *Notary([VAULT_KEY]).public_keys])

    assert new.status == both.status == FINE
    assert new.said[0].startswith("note: heads of keys that are unknown here were passed over: ")
    assert len(both.said) == 1


async def test_heads_are_found_in_a_whole_log(written: Written, verdict: Ask) -> None:
    log = "".join(
        f'{{"event": "serving"}}\nno JSON\n[]\n{line[:-2]}, "level": "info"}}\n'
        for line in written.shipped.read_text().splitlines(keepends=True)
    )
    written.shipped.write_text(log)
    await written.change(*CUT)

    assert (await verdict(written, shipped=True)).status == TAMPERED


async def test_a_head_that_is_shipped_while_the_record_is_read_accuses_nobody(
    written: Written, verdict: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counts is the file as it was before the record was looked at."""
    opened = command.reading

    def late(url: str) -> AbstractContextManager[RecordReader]:
        append(written.shipped, line(written.notary.sign(Tip(13, "a" * 64), written.clock.now())))
        return opened(url)

    monkeypatch.setattr(command, "reading", late)

    assert (await verdict(written, shipped=True)).status == FINE


# What cannot be read


async def test_what_cannot_be_read_ends_with_2(tmp_path: Path, path: Path, verdict: Ask) -> None:
    nowhere, noise = tmp_path / "nowhere.sqlite3", tmp_path / "noise.sqlite3"
    noise.write_bytes(b"no database at all, but long enough to be taken for the head of one" * 99)
    async with writing(f"sqlite:///{path}", tmp_path) as empty:
        for url in (f"sqlite:///{nowhere}", f"sqlite:///{noise}", "mysql://db/unlatch"):
            assert (await verdict(replace(empty, url=url))).status == CANNOT_READ
        assert not nowhere.exists()
        assert (await verdict(empty, file=tmp_path / "no-such-file")).status == CANNOT_READ
        (tmp_path / "log").write_text("no head\n")
        said = await verdict(empty, file=tmp_path / "log")
    assert (said.status, said.said) == (CANNOT_READ, ["There is no head in the file of --heads."])


async def test_bytes_that_are_no_text_are_a_changed_row(path: Path, tmp_path: Path, verdict: Ask) -> None:
    async with writing(f"sqlite:///{path}", tmp_path) as written:
        await written.day()
        await written.change(
            "UPDATE audit SET actor = CAST(x'ff' AS TEXT) WHERE id = 2",
            "UPDATE audit SET facts = x'00ff' WHERE id = 3",
            "UPDATE audit SET at = x'ff' WHERE id = 4",
            "UPDATE audit_chain SET hash = x'ff' WHERE seq = 9",
            "UPDATE audit_heads SET signature = 'é', at = x'ff' WHERE seq = 8",
        )

        said = await verdict(written)

    assert said.status == TAMPERED
    assert {f"row {id_} was changed" for id_ in (2, 3, 4, 9)} < set(said.said)


async def test_more_findings_than_anybody_reads_are_counted(path: Path, tmp_path: Path, verdict: Ask) -> None:
    async with writing(f"sqlite:///{path}", tmp_path) as written:
        await written.note(MOST_NAMED + 5)
        await written.change("UPDATE audit SET actor = 'U0MALLORY'")

        said = await verdict(written)

    assert len(said.said) == MOST_NAMED + 2
    assert said.said[-2:] == ["and 5 more", f"TAMPERED: {MOST_NAMED + 5} found."]


# As a command


async def test_the_command_needs_no_settings_beside_a_copy_and_a_public_key(
    path: Path, tmp_path: Path
) -> None:
    async with writing(f"sqlite:///{path}", tmp_path) as written:
        await written.day()
        [key] = written.notary.public_keys
    copy = Path(shutil.copy(path, tmp_path / "a copy.sqlite3"))
    told = [sys.executable, "-m", "bot", "audit", "verify", "--public-key", key]
    told += ["--database", f"sqlite:///{copy}", "--heads", str(written.shipped)]

    fine = await asyncio.to_thread(_ran, told)
    await Written(f"sqlite:///{copy}", written.store, written.shipped).change(EDIT)
    tampered = await asyncio.to_thread(_ran, told)

    assert (fine.returncode, fine.stderr) == (FINE, ""), fine
    assert (tampered.returncode, tampered.stdout.splitlines()[0]) == (TAMPERED, "row 6 was changed")


def _ran(told: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(told, capture_output=True, text=True, check=False)  # noqa: S603  our own command
