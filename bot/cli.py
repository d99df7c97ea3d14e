"""The command line: `unlatch serve` and what an operator does before and beside it."""

import argparse
import asyncio
import ctypes
import io
import os
import re
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import gettempdir
from urllib.parse import quote

from bot import __version__
from bot.domain.errors import AuditBroken, BadAddress, StoreError, StoreUnavailable
from bot.keys import new_key
from bot.network import clean_environment, note
from bot.settings import DEPLOYMENT, CannotStart, SettingsError, place_of, read_settings

# Commands import what they need where they run: those that need no Slack or web server start faster.


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0 done, 1 failed, 2 called or configured wrongly."""
    chosen = _parser().parse_args(arguments)
    forbid_dumps()
    _set_up_environment()
    try:
        status = int(chosen.run(chosen))
        print(end="", flush=True)
        return status
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if isinstance(error, OSError) and error.filename is None:  # of stdout, which is tried again
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if isinstance(error, BrokenPipeError):  # who read it has read enough
            return 1
        return _failed(_reason(error, chosen), 2 if isinstance(error, SettingsError) else 1)


def _reason(error: Exception, chosen: argparse.Namespace) -> str:
    match error:
        case SettingsError() | CannotStart():
            return str(error)
        case AuditBroken():
            return f"The audit log cannot be continued: {error}."
        case StoreUnavailable():
            url = getattr(chosen, "database", None) or read_settings("database_url").database_url
            return f"The database {error.reason}. It is {place_of(url)}."
        case StoreError():
            return "It is not known whether the database stored it. Look before you try again."
        case BadAddress():
            return f"{error}. Check DATABASE_URL."
        case OSError():
            return f"{error.filename or 'Failed'}: {error.strerror or type(error).__name__}."
        case ImportError():
            return f"{error.name} is not installed: run `make install`, or install requirements.txt."
    # nobody foresaw it: its text may hold a secret, its place does not
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"Unlatch cannot go on: {type(error).__name__} at {frame.filename}:{frame.lineno}. Compare the "
        "settings with docs/configure.md; if they are right, report this line."
    )


def _set_up_environment() -> None:
    """Let the variables and the terminal of others decide nothing; says what is ignored."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    os.environ.setdefault("HOME", gettempdir())  # slack_sdk looks for it when it is imported
    for ignored in clean_environment():
        note(ignored)


def _failed(sentence: str, status: int = 1) -> int:
    print(sentence, file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="unlatch", description="Reset the passcode of a locked-out phone.")
    parser.add_argument("--version", action="version", version=f"unlatch {__version__}")
    parser.set_defaults(run=lambda _: _failed(parser.format_help(), 2))
    groups = {"": parser.add_subparsers(metavar="command")}

    def add(path: str, run: Callable[[argparse.Namespace], int] | None, what: str) -> argparse.ArgumentParser:
        group, _, name = path.rpartition(" ")
        command = groups[group].add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
        command.set_defaults(run=run)
        if run is None:
            groups[path] = command.add_subparsers(required=True, metavar="command")
        return command

    add("init", _init, "ask for the settings, write .env and the Slack app's manifest")
    add("serve", _serve, "run the bot")
    doctor = add("doctor", _doctor, "say what is wrong or missing before the bot can work")
    doctor.add_argument("--json", action="store_true", help="print a list of check, state, detail and cure")
    doctor.add_argument("--post-to", type=_user, metavar="U…", help="send this Slack user one real message")
    doctor.add_argument("--explain-person", type=_user, metavar="U…", help="say what this Slack user may do")
    add("migrate", _migrate, "bring the database up to date")
    copy = add("backup", _backup, "copy the SQLite database to a new file, and verify the copy")
    copy.add_argument("file", type=Path, metavar="FILE")

    add("requests", None, "where requests stand, and all that became of one")
    listed = add("requests list", _requests, "list the requests that have not ended, newest first")
    listed.add_argument("--all", action="store_true", help="those that ended too")
    listed.add_argument("--limit", type=int, default=50, metavar="N", help="at most so many (default 50)")
    listed.set_defaults(id=None)
    shown = add("requests show", _requests, "tell the whole story of one request")
    shown.add_argument("id", metavar="ID", help="as Slack shows it, or more of it")
    shown.set_defaults(all=True, limit=1)
    for command in (listed, shown):
        command.add_argument("--json", action="store_true", help="for programs")

    add("vault", None, "keys of the sign-in vault")
    add("vault new-key", _new_key, "print a new key for VAULT_KEYS")
    rotate = add("vault rotate", _rotate, "re-encrypt all sign-ins with the newest key")
    forget = "delete sign-ins that no key of VAULT_KEYS opens"
    rotate.add_argument("--forget-unreadable", action="store_true", help=forget)

    add("audit", None, "verify and export the audit log")
    verify = add("audit verify", _verify, "find rows that were changed, removed or inserted")
    verify.add_argument("--heads", type=Path, metavar="FILE", help="kept heads, or a whole log of the bot")
    verify.add_argument("--full", action="store_true", help="check every signature, not only the newest")
    verify.add_argument("--deployment", metavar="NAME", help="the deployment's name, as row 1 gives it")
    keys = "as `unlatch audit key` prints it; may be repeated (default: the keys of VAULT_KEYS)"
    verify.add_argument("--public-key", action="append", metavar="KEY", help=keys)
    export = add("audit export", _export, "write rows to standard output")
    export.add_argument("--since", type=_moment, required=True, metavar="WHEN", help="day or time, ISO 8601")
    export.add_argument("--until", type=_moment, metavar="WHEN", help="before this time (default: all)")
    export.add_argument("--format", choices=("jsonl", "csv"), default="jsonl", help="default jsonl")
    for command in (verify, export):
        command.add_argument("--database", type=_url, metavar="URL", help="instead of DATABASE_URL: a copy")
    add("audit key", _key, "print the public keys that check the log, newest first")
    resume = add("audit resume", _resume, "go on after an honest restore that lost rows")
    resume.add_argument("--heads", type=Path, metavar="FILE", help="instead of the file of AUDIT_HEADS")
    return parser


def _moment(text: str) -> datetime:
    """Read a day or a time in ISO 8601, in UTC where it names no zone."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"“{text}” is no day or time such as 2026-01-31") from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _user(text: str) -> str:
    if not re.fullmatch(r"[UW][A-Z0-9]+", text):
        raise argparse.ArgumentTypeError("it is no id of a Slack user, U… or W…: see the person's profile")
    return text


def _url(text: str) -> str:
    if not re.match(r"(sqlite|postgres(ql)?)(\+[a-z0-9]+)?://", text):
        raise argparse.ArgumentTypeError("it is no sqlite:// or postgresql:// address")
    return text


def forbid_dumps() -> None:
    """Keep the keys in memory out of core dumps, and out of reach of debuggers of the same user."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE of prctl(2)


def _serve(_chosen: argparse.Namespace) -> int:
    for number in (signal.SIGTERM, signal.SIGINT):  # until the bot's own event loop runs
        signal.signal(number, lambda *_: os._exit(0))  # an exception could be lost in a destructor
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    settings = read_settings()

    from bot.app import serve
    from bot.log import set_up_log

    asyncio.run(serve(settings, set_up_log(settings.log_level)))
    return 0


def _doctor(chosen: argparse.Namespace) -> int:
    from bot import doctor
    from bot.log import set_up_log

    set_up_log("critical")  # what the adapters log, the list says
    return asyncio.run(doctor.run(as_json=chosen.json, post_to=chosen.post_to, person=chosen.explain_person))


def _init(_chosen: argparse.Namespace) -> int:
    from bot.init import run

    return run()


def _migrate(_chosen: argparse.Namespace) -> int:
    from bot.store.audit_log import AuditLog
    from bot.store.migrations import migrate

    settings = read_settings(*DEPLOYMENT)
    migrate(settings.database_url, AuditLog(settings.keys, settings.audit_log_name))
    print("The database is up to date.")
    return 0


def _backup(chosen: argparse.Namespace) -> int:
    from bot.audit import verify
    from bot.store.engine import backup

    for number in (signal.SIGTERM, signal.SIGHUP):  # leaves no half file either
        signal.signal(number, signal.default_int_handler)
    settings = read_settings("vault_keys")
    if not settings.database_url.startswith("sqlite"):
        return _failed("`backup` copies SQLite alone. For PostgreSQL: pg_dump --format=custom --file=FILE.")
    backup(settings.database_url, chosen.file)
    print(f"Copied to {chosen.file}.")
    copy = f"sqlite:///{quote(str(chosen.file))}"
    return verify(copy, settings.keys.public_keys, name=None, heads=None, full=False)


def _requests(chosen: argparse.Namespace) -> int:
    from bot.history import tell
    from bot.log import set_up_log
    from bot.store.audit_log import AuditLog

    settings = read_settings(*DEPLOYMENT)
    set_up_log("error")
    audit_log = AuditLog(settings.keys, settings.audit_log_name)
    which = {"id_": chosen.id, "ended": chosen.all, "limit": chosen.limit}
    print(tell(settings.database_url, audit_log, **which, as_json=chosen.json))
    return 0


def _new_key(_chosen: argparse.Namespace) -> int:
    print(new_key())
    if sys.stdout.isatty():
        print("Put it into VAULT_KEYS, and keep it out of the database's reach.", file=sys.stderr)
    return 0


def _rotate(chosen: argparse.Namespace) -> int:
    from bot.audit import signing_key
    from bot.entra.sign_ins import rotate
    from bot.entra.vault import Vault
    from bot.store.audit_log import AuditLog
    from bot.store.database import Database

    settings, forget = read_settings(*DEPLOYMENT), chosen.forget_unreadable
    vault = Vault(settings.keys.vault)

    async def run() -> int:
        database = Database(settings.database_url, AuditLog(settings.keys, settings.audit_log_name))
        try:
            rotated = await rotate(database, vault, now=lambda: datetime.now(UTC), forget_unreadable=forget)
            signing = await signing_key(database)
        finally:
            await database.close()
        names = {key: f"key {number} ({key})" for number, key in enumerate(vault.key_ids, start=1)}
        print(f"Re-encrypted {rotated.resealed} sign-ins with {vault.key_id}; {rotated.current} up to date.")
        done = "was deleted" if forget else "stays: the person has to sign in again"
        for user, key in rotated.unreadable.items():
            print(f"No key in VAULT_KEYS opens the sign-in of {user} (encrypted with {key}): it {done}.")
        if rotated.unreadable and not forget:
            print("Put the missing key back, or delete these with --forget-unreadable.")
        signer = None if signing is None else vault.key_ids[signing]
        if unused := [names[key] for key in rotated.unused if key != signer]:
            print(f"Not used: {', '.join(unused)}. Take it out of VAULT_KEYS, or put a new one first.")
        if signer is not None and signer in rotated.unused:
            print(f"Keep {names[signer]}: the newest row of the audit log is signed with it.")
            print("Start a bot that has the newest key first, then run this again.")
        if still := ", ".join(names[key] for key in rotated.under_way):
            print(f"Still used by sign-ins or requests under way, run this again tomorrow: {still}.")
        return 1 if rotated.unreadable and not forget else 0

    return asyncio.run(run())


def _verify(chosen: argparse.Namespace) -> int:
    from bot.audit import verify

    public_keys, database, name = chosen.public_key, chosen.database, chosen.deployment
    if not (public_keys and database):
        settings = read_settings(*DEPLOYMENT)
        public_keys = public_keys or settings.keys.public_keys
        name = name or (None if database else settings.audit_log_name)
        database = database or settings.database_url
    return verify(database, public_keys, name=name, heads=chosen.heads, full=chosen.full)


def _export(chosen: argparse.Namespace) -> int:
    from bot.audit import export

    # Bytes that are no text, which only another program can have stored, must not end the export.
    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]  # a TextIOWrapper
    database = chosen.database or read_settings("database_url").database_url
    export(database, sys.stdout, format_=chosen.format, since=chosen.since, until=chosen.until)
    return 0


def _key(_chosen: argparse.Namespace) -> int:
    print("\n".join(read_settings("vault_keys").keys.public_keys))
    return 0


def _resume(chosen: argparse.Namespace) -> int:
    from bot.audit import resume
    from bot.store.audit_log import AuditLog

    settings = read_settings(*DEPLOYMENT)
    heads = chosen.heads or settings.audit_heads
    if heads is None:
        return _failed("Name the file of kept heads: --heads, or AUDIT_HEADS.", 2)
    audit_log = AuditLog(settings.keys, settings.audit_log_name)
    print(resume(settings.database_url, audit_log, heads, settings.audit_heads or heads))
    return 0
