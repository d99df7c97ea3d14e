"""`make mutants`: change one thing in a module that holds a promise, and see a test fail. `--help` says more.

The last line is `N mutants, K killed, A accepted, S survived`; the exit status is 1 where any survived.
"""

import argparse
import importlib.abc
import importlib.util
import os
import random
import signal
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest
from tests.proofs.mutants.mutate import Mutant, mutants

ROOT = Path(__file__).parents[3]
ACCEPTED = Path(__file__).with_name("accepted.toml")
TIMEOUT = 90.0
"""Seconds; a mutant that waits for ever is killed too."""
UNIT = "tests/unit"
STORE = ([f"{UNIT}/store", "-k", "not postgresql"], [f"{UNIT}/store", "-k", "postgresql"])
TESTS: dict[str, Sequence[Sequence[str]]] = {
    "bot/domain/request.py": ([f"{UNIT}/domain"], [f"{UNIT}/use_cases"]),
    "bot/domain/policy.py": ([f"{UNIT}/domain"], [f"{UNIT}/use_cases"]),
    "bot/use_cases/decide.py": ([f"{UNIT}/use_cases"],),
    "bot/use_cases/review.py": ([f"{UNIT}/use_cases"],),
    "bot/use_cases/execute.py": ([f"{UNIT}/use_cases"],),
    "bot/use_cases/sign_in.py": ([f"{UNIT}/use_cases"],),
    "bot/use_cases/deps.py": ([f"{UNIT}/use_cases"],),
    "bot/entra/id_token.py": ([f"{UNIT}/entra"],),
    "bot/entra/vault.py": ([f"{UNIT}/entra"],),
    "bot/entra/sign_ins.py": ([f"{UNIT}/entra"],),
    "bot/entra/links.py": ([f"{UNIT}/entra"],),
    "bot/graph/errors.py": ([f"{UNIT}/graph"],),
    "bot/graph/devices.py": ([f"{UNIT}/graph"],),
    "bot/slack/receiver.py": ([f"{UNIT}/slack"],),
    "bot/slack/payloads.py": ([f"{UNIT}/slack"],),
    "bot/store/database.py": STORE,
    "bot/store/requests.py": STORE,
    "bot/store/sign_ins.py": STORE,
    "bot/store/audit_log.py": STORE,
    "bot/audit.py": STORE,
    "bot/keys.py": ([f"{UNIT}/keys", f"{UNIT}/store", "-k", "not postgresql"],),
    "bot/worker.py": ([f"{UNIT}/worker"],),
    "bot/timing.py": ([f"{UNIT}/domain"],),
}
"""Which tests have to notice, the quickest first."""

LIBRARIES = (
    *("aiohttp", "alembic.command", "cryptography", "httpx", "hypothesis", "msal", "prometheus_client"),
    *("psycopg", "pydantic_settings", "pytest_asyncio", "sandbox.app", "slack_bolt.async_app"),
    *("sqlalchemy", "stamina", "starlette", "structlog", "uvicorn"),
)


@dataclass
class Run:
    """A process that runs one stage of the tests on one mutant."""

    mutant: Mutant
    stage: int
    pid: int
    until: float


class _Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant
        self._name = mutant.path.removesuffix(".py").replace("/", ".")

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(fullname, ROOT / self._mutant.path, loader=self)  # type: ignore[arg-type]

    def exec_module(self, module: ModuleType) -> None:
        code = compile(self._mutant.source, module.__file__ or "", "exec")
        exec(code, module.__dict__)  # noqa: S102  it is our module, with one change


def main() -> int:
    """Run; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", help=f"default: {', '.join(TESTS)}")
    parser.add_argument("--sample", type=int, default=400, help="how many, at random; 0 for all (400)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the sample")
    parser.add_argument("--part", default="1/1", metavar="N/M", help="every Mth of all, from the Nth")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    modules = chosen.modules or list(TESTS)
    unchanged = [Mutant(path, 0, "", "", (ROOT / path).read_text()) for path in modules]
    if len(_run(unchanged, chosen.jobs, quiet=True)) < len(modules):
        raise SystemExit("The tests fail without a change: run `make test` first.")
    found = [one for path in modules for one in mutants(ROOT / path, ROOT)]
    number, parts = map(int, chosen.part.split("/"))
    found = found[number - 1 :: parts]
    if 0 < chosen.sample < len(found):
        found = random.Random(chosen.seed).sample(found, chosen.sample)  # noqa: S311  a sample
    print(f"{len(found)} mutants, --seed {chosen.seed}", flush=True)
    survived = _run(found, chosen.jobs)
    accepted = {(one["path"], one["before"], one["after"]) for one in _accepted()}
    unexplained = [one for one in survived if (one.path, one.before, one.after) not in accepted]
    for one in sorted(unexplained, key=lambda one: (one.path, one.line)):
        print(f"SURVIVED {one}")
    killed, known = len(found) - len(survived), len(survived) - len(unexplained)
    print(f"{len(found)} mutants, {killed} killed, {known} accepted, {len(unexplained)} survived")
    return 1 if unexplained else 0


def _accepted() -> list[dict[str, str]]:
    found: list[dict[str, str]] = tomllib.loads(ACCEPTED.read_text()).get("mutant", [])
    return found


def _run(waiting: list[Mutant], jobs: int, *, quiet: bool = False) -> list[Mutant]:
    """Return those that every stage of their tests passed."""
    _import_libraries()
    todo = [(one, 0) for one in reversed(waiting)]
    running: list[Run] = []
    survived = []
    while todo or running:
        while todo and len(running) < jobs:
            mutant, stage = todo.pop()
            running.append(Run(mutant, stage, _start(mutant, stage), time.monotonic() + TIMEOUT))
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            for one in running:
                if time.monotonic() > one.until:
                    os.killpg(one.pid, signal.SIGKILL)
            time.sleep(0.05)
            continue
        ended = next(one for one in running if one.pid == pid)
        running.remove(ended)
        code = os.waitstatus_to_exitcode(status)
        if code > pytest.ExitCode.INTERRUPTED:  # no test ran
            raise SystemExit(f"pytest ended with {code} on {ended.mutant}")
        if code == 0:
            if ended.stage + 1 < len(TESTS[ended.mutant.path]):
                todo.append((ended.mutant, ended.stage + 1))
            else:
                survived.append(ended.mutant)
                quiet or print(f"survived {ended.mutant}", flush=True)
    return survived


def _import_libraries() -> None:
    """What every process needs, once; nothing of the bot, of which each has its own."""
    for name in LIBRARIES:
        importlib.import_module(name)


def _start(mutant: Mutant, stage: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    out = os.open(os.devnull, os.O_WRONLY)
    os.dup2(out, 1)
    os.dup2(out, 2)
    tempfile.tempdir = tempfile.mkdtemp(prefix="unlatch-mutant-")
    sys.meta_path.insert(0, _Mutated(mutant))
    arguments = ["-x", "-q", "--assert=plain", "--hypothesis-seed=1", *TESTS[mutant.path][stage]]
    os._exit(int(pytest.main(arguments)))


if __name__ == "__main__":
    sys.exit(main())
