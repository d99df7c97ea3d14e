"""A backup is whole, private and checked; where it cannot be, nothing is left and a sentence says why."""

from urllib.parse import quote

import pytest
from bot.cli import main
from tests.support.database import VAULT_KEYS, opened
from tests.unit.store.rows import a_request, stored


@pytest.fixture
def backup(tmp_path, monkeypatch, capsys):
    """`unlatch backup`, of a database whose settings and key are the only ones; returns status and words."""
    monkeypatch.setenv("VAULT_KEYS", VAULT_KEYS)

    def run(url: str) -> tuple[int, str]:
        monkeypatch.setenv("DATABASE_URL", url)
        status = main(["backup", str(tmp_path / "copy?%41")])
        return status, "".join(capsys.readouterr())

    return run


async def test_o10_a_backup_beside_a_running_bot_has_every_row_and_works(on_sqlite, sqlite, tmp_path, backup):
    for _ in range(4):  # what was committed last stands in -wal alone
        await stored(on_sqlite, a_request())
    status, said = backup(sqlite)
    assert (status, "OK: 5 rows verified, signed" in said) == (0, True), said
    [copy] = tmp_path.glob("copy*")  # one file is all of it
    assert copy.stat().st_mode & 0o777 == 0o600
    before, address = copy.read_bytes(), f"sqlite:///{quote(str(copy))}"
    assert backup(sqlite) == (1, f"{copy}: File exists.\n")
    assert main(["audit", "export", "--since", "2020-01-01", "--database", address]) == 0  # which reads alone
    assert copy.read_bytes() == before
    async with opened(address) as restored:
        await stored(restored, a_request())


NO_BACKUPS = {
    "o31 no such file": ("sqlite:///no/such/rows.sqlite3", "/no/such/rows.sqlite3 could not be copied"),
    "no database": (f"sqlite:///{__file__}", "file is not a database"),
    "PostgreSQL": ("postgresql://db/rows", "pg_dump"),
}


@pytest.mark.parametrize(("url", "words"), NO_BACKUPS.values(), ids=NO_BACKUPS)
def test_where_no_backup_can_be_made_a_sentence_says_why_and_no_file_is_left(url, words, tmp_path, backup):
    status, said = backup(url)
    assert (status, words in said, list(tmp_path.glob("copy*"))) == (1, True, []), said
