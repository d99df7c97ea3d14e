"""The terminal: `unlatch serve`, `doctor`, `migrate`, `vault …`, `audit …`."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence

from bot.audit import commands as audit_commands
from bot.settings import SettingsError, read_settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0 done, 1 it failed, 2 it was called or configured wrongly."""
    chosen = _parser().parse_args(arguments)
    try:
        return int(chosen.run(chosen))
    except SettingsError as wrong:
        print(wrong, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="unlatch", description="Reset the passcode of a locked-out phone.")
    commands = parser.add_subparsers(required=True, metavar="command")
    serve = commands.add_parser("serve", help="run the bot")
    serve.set_defaults(run=_serve)
    doctor = commands.add_parser("doctor", help="say what is missing before the bot can work")
    doctor.set_defaults(run=_doctor)
    migrate = commands.add_parser("migrate", help="bring the database up to date")
    migrate.set_defaults(run=_migrate)
    vault = commands.add_parser("vault", help="keys of the sign-in vault").add_subparsers(
        required=True, metavar="command"
    )
    vault.add_parser("new-key", help="print a new key for VAULT_KEYS").set_defaults(run=_new_key)
    rotate = vault.add_parser("rotate", help="seal every sign-in anew, with the newest key of VAULT_KEYS")
    rotate.add_argument(
        "--forget-unreadable", action="store_true", help="remove sign-ins that no key of VAULT_KEYS opens"
    )
    rotate.set_defaults(run=_rotate)
    audit = commands.add_parser("audit", help="check and export the record, for auditors")
    audit_commands.add_to(audit)
    return parser


def _serve(_chosen: argparse.Namespace) -> int:
    from bot import logs, serving  # here, since the other commands start faster without
    from bot.entrance import CannotStart  # as above

    settings = read_settings()
    events = logs.set_up_logs(settings.log_level)
    try:
        asyncio.run(serving.serve(settings, events))
    except CannotStart as reason:
        print(reason, file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"Cannot listen on {settings.host}:{settings.port}: {os.strerror(error.errno or 0)}.",
            file=sys.stderr,
        )
        return 1
    return 0


def _doctor(_chosen: argparse.Namespace) -> int:
    from bot import doctor  # as above

    return asyncio.run(doctor.run(read_settings()))


def _migrate(_chosen: argparse.Namespace) -> int:
    from bot.domain.errors import StoreAway  # as above
    from bot.store import migrate  # as above

    try:
        migrate(read_settings().database_url)
    except StoreAway:
        print("The database does not answer. Check DATABASE_URL, then try again.", file=sys.stderr)
        return 1
    print("The database is up to date.")
    return 0


def _new_key(_chosen: argparse.Namespace) -> int:
    from bot.entra import new_key  # as above

    print(new_key())
    return 0


def _rotate(chosen: argparse.Namespace) -> int:
    from bot import rotating  # as above
    from bot.domain.errors import StoreAway  # as above

    settings = read_settings()
    try:
        return asyncio.run(rotating.run(settings, forget_unreadable=chosen.forget_unreadable))
    except StoreAway:
        print("The database does not answer. Check DATABASE_URL, then try again.", file=sys.stderr)
        return 1
