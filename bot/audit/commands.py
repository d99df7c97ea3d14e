"""What `unlatch audit …` takes, and where its database and its keys come from."""

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bot.settings import read_settings

if TYPE_CHECKING:
    from bot.notary import Notary

FORMATS: Final = ("jsonl", "csv")

# What needs a database or a key is imported where it is used: the other commands start faster without.


def add_to(parser: argparse.ArgumentParser) -> None:
    """Offer `verify`, `export` and `key`."""
    commands = parser.add_subparsers(required=True, metavar="command")
    check = commands.add_parser("verify", help="find rows that were changed, removed, reordered or put in")
    _add_database(check)
    check.add_argument("--heads", type=Path, metavar="FILE", help="heads that were kept elsewhere, or a log")
    check.add_argument(
        "--public-key",
        action="append",
        metavar="KEY",
        help="as `unlatch audit key` prints it, also several times (default: the keys of VAULT_KEYS)",
    )
    check.set_defaults(run=_verify)
    rows = commands.add_parser("export", help="write rows to standard output")
    _add_database(rows)
    rows.add_argument("--since", type=moment, required=True, metavar="WHEN", help="a day or a time, ISO 8601")
    rows.add_argument("--until", type=moment, metavar="WHEN", help="before this time (default: all)")
    rows.add_argument("--format", choices=FORMATS, default="jsonl", help="default jsonl")
    rows.set_defaults(run=_export)
    key = commands.add_parser("key", help="print the public keys that check a head, newest first")
    key.set_defaults(run=_key)


def _add_database(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--database", metavar="URL", help="in the place of DATABASE_URL: a copy, say")


def _database(chosen: argparse.Namespace) -> str:
    return str(chosen.database or read_settings().database_url)


def moment(text: str) -> datetime:
    """A day or a time in ISO 8601, in UTC where it names no zone, or raise ValueError."""
    at = datetime.fromisoformat(text)
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _notary() -> "Notary":
    from bot.notary import Notary

    return Notary(read_settings().vault_keys.get_secret_value().split(","))


def _verify(chosen: argparse.Namespace) -> int:
    from bot.audit.verify import CANNOT_READ, verify
    from bot.notary import Witness

    database = _database(chosen)
    try:
        witness = Witness(chosen.public_key or _notary().public_keys)
    except ValueError as wrong:
        print(f"{wrong}.", file=sys.stderr)
        return CANNOT_READ
    return verify(database, witness, chosen.heads)


def _export(chosen: argparse.Namespace) -> int:
    from bot.audit.export import export
    from bot.domain.errors import StoreAway

    # Bytes that are no text, which only somebody else can have stored, must not end the export.
    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]  # it is a TextIOWrapper
    database = _database(chosen)
    try:
        export(database, sys.stdout, format_=chosen.format, since=chosen.since, until=chosen.until)
        sys.stdout.flush()
    except StoreAway:
        print("The record cannot be read. Is this Unlatch's database, and up to date?", file=sys.stderr)
        return 1
    except ValueError as wrong:
        print(f"{wrong}.", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever reads has read enough; the interpreter would complain at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _key(_chosen: argparse.Namespace) -> int:
    for key in _notary().public_keys:
        print(key)
    return 0
