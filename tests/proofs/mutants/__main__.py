"""`make mutants`: change one thing in a module that holds a promise, and see a test fail. `--help` says more.

The last line is `N mutants, K killed, A accepted, S survived`; the exit status is 1 where any survived.
accepted.toml names those that no test has to notice, each with the reason; they are not tried.
"""

import argparse
import gc
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

import pytest
from hypothesis import HealthCheck, Phase, settings
from tests.proofs.mutants.mutate import Mutant, mutants

ROOT = Path(__file__).parents[3]
ACCEPTED = Path(__file__).with_name("accepted.toml")
TIMEOUT = 90.0
"""Seconds; a mutant that waits for ever is killed too."""
GRACE = 10.0
Stage = Sequence[str]
STORE: Sequence[Stage] = (
    ["tests/unit/store", "-k", "not postgresql"],
    ["tests/unit/store", "-k", "postgresql"],
)


def _stages(folder: str, *first: str) -> Sequence[Stage]:
    """One file of a folder of unit tests, then the folder."""
    whole = STORE if folder == "store" else ([f"tests/unit/{folder}"],)
    return [*([f"tests/unit/{folder}/test_{name}.py", "-k", "not postgresql"] for name in first), *whole]


TESTS: dict[str, Sequence[Stage]] = {
    "bot/domain/request.py": [*_stages("domain"), *_stages("use_cases")],
    "bot/domain/policy.py": [*_stages("domain"), *_stages("use_cases")],
    "bot/use_cases/decide.py": _stages("use_cases", "decide"),
    "bot/use_cases/review.py": _stages("use_cases", "review"),
    "bot/use_cases/execute.py": _stages("use_cases", "execute"),
    "bot/use_cases/sign_in.py": _stages("use_cases", "linking"),
    "bot/use_cases/deps.py": _stages("use_cases", "execute"),
    "bot/entra/id_token.py": _stages("entra", "entra_sign_ins"),
    "bot/entra/vault.py": _stages("entra", "vault"),
    "bot/entra/sign_ins.py": _stages("entra", "entra_sign_ins"),
    "bot/entra/links.py": _stages("entra", "entra_links"),
    "bot/graph/errors.py": _stages("graph"),
    "bot/graph/devices.py": _stages("graph"),
    "bot/slack/receiver.py": _stages("slack", "slack_receiver"),
    "bot/slack/payloads.py": _stages("slack", "slack_payloads"),
    "bot/store/database.py": _stages("store", "store_units"),
    "bot/store/requests.py": _stages("store", "store_requests"),
    "bot/store/sign_ins.py": [*_stages("store", "store_sign_ins"), *_stages("entra", "entra_sign_ins")[:1]],
    "bot/store/audit_log.py": _stages("store", "store_audit_log"),
    "bot/audit.py": _stages("store", "store_audit_log"),
    "bot/keys.py": [*_stages("keys"), STORE[0]],
    "bot/worker.py": _stages("worker"),
    "bot/timing.py": _stages("domain", "timing"),
}
"""Which tests have to notice, the quickest first."""

FIRST = "the first failing example will do"
LIBRARIES = (
    *("aiohttp", "alembic.command", "cryptography", "httpx", "hypothesis", "msal", "prometheus_client"),
    *("psycopg", "pydantic_settings", "pytest_asyncio", "pytest_cov.plugin", "pytest_playwright"),
    *("sandbox.app", "slack_bolt.async_app", "sqlalchemy", "stamina", "starlette", "structlog", "uvicorn"),
    "xdist.plugin",
)


@dataclass
class Run:
    mutant: Mutant
    later: Sequence[Stage]
    pid: int
    until: float
    stop_with: signal.Signals = signal.SIGINT


class _Mutated(importlib.abc.InspectLoader):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant
        self._name = mutant.path.removesuffix(".py").replace("/", ".")

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(fullname, ROOT / self._mutant.path, loader=self)

    def get_source(self, _: str) -> str:
        return self._mutant.source


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", help=f"default: {', '.join(TESTS)}")
    parser.add_argument("--sample", type=int, default=400, help="how many, at random; 0 for all (400)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the sample")
    parser.add_argument("--part", default="1/1", metavar="N/M", help="every Mth of the sample, from the Nth")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    every = {path: list(mutants(ROOT / path, ROOT)) for path in TESTS}
    accepted = _accepted({one.key for found in every.values() for one in found})
    modules = chosen.modules or list(TESTS)
    source = (ROOT / modules[0]).read_text()
    stages = {" ".join(stage): stage for path in modules for stage in TESTS[path]}
    unchanged = [(Mutant(modules[0], 0, "", each, "", source), [stages[each]]) for each in stages]
    if failing := stages.keys() - {one.before for one in _run(unchanged, chosen.jobs, quiet=True)}:
        raise SystemExit(f"These fail without a change; run `make test` first: {sorted(failing)}")
    # By a number of its own, each mutant stays in a seed's sample when others come and go.
    found = [one for path in modules for one in every[path]]
    found.sort(key=lambda one: random.Random(f"{chosen.seed} {one.key}").random())  # noqa: S311  a sample
    number, parts = map(int, chosen.part.split("/"))
    found = found[: chosen.sample or None][number - 1 :: parts]
    print(f"{len(found)} mutants, --seed {chosen.seed}", flush=True)
    began = time.monotonic()
    tried = [one for one in found if one.key not in accepted]
    survived = _run([(one, TESTS[one.path]) for one in tried], chosen.jobs)
    for one in sorted(survived, key=lambda one: (one.path, one.line)):
        print(f"SURVIVED {one}")
    print(f"--seed {chosen.seed}, --part {chosen.part}, {time.monotonic() - began:.0f} s")
    killed, known = len(tried) - len(survived), len(found) - len(tried)
    print(f"{len(found)} mutants, {killed} killed, {known} accepted, {len(survived)} survived")
    return 1 if survived else 0


def _accepted(keys: set[tuple[str, str, str, str]]) -> set[tuple[str, str, str, str]]:
    """Read which mutants are not tried; each has to be one of `keys`, with its reason."""
    rows = tomllib.loads(ACCEPTED.read_text()).get("mutant", [])
    for row in rows:
        if not row["reason"] or (row["path"], row["function"], row["before"], row["after"]) not in keys:
            raise SystemExit(f"{ACCEPTED.name}: not a mutant any more, or without its reason: {row}")
    return {(row["path"], row["function"], row["before"], row["after"]) for row in rows}


def _run(
    waiting: Sequence[tuple[Mutant, Sequence[Stage]]], jobs: int, *, quiet: bool = False
) -> list[Mutant]:
    """Return those that every stage of their tests passed."""
    todo = [*reversed(waiting)]
    running: list[Run] = []
    survived = []
    while todo or running:
        while todo and len(running) < jobs:
            mutant, (stage, *later) = todo.pop()
            running.append(Run(mutant, later, _start(mutant, stage), time.monotonic() + TIMEOUT))
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            for one in running:
                if time.monotonic() > one.until:  # with SIGINT, pytest stops what the tests started
                    if one.stop_with == signal.SIGINT:
                        print(f"waits for ever {one.mutant}", flush=True)
                    os.killpg(one.pid, one.stop_with)
                    one.stop_with, one.until = signal.SIGKILL, time.monotonic() + GRACE
            time.sleep(0.05)
            continue
        ended = next(one for one in running if one.pid == pid)
        running.remove(ended)
        code = os.waitstatus_to_exitcode(status)
        if code == pytest.ExitCode.NO_TESTS_COLLECTED:
            raise SystemExit(f"No test for {ended.mutant}")
        if code == 0:
            if ended.later:
                todo.append((ended.mutant, ended.later))
            else:
                survived.append(ended.mutant)
                quiet or print(f"survived {ended.mutant}", flush=True)
    return survived


def _import_libraries() -> None:
    """What every process needs, once; nothing of the bot, of which each has its own."""
    for name in LIBRARIES:
        importlib.import_module(name)
    quick = {"phases": (Phase.explicit, Phase.generate), "report_multiple_bugs": False}
    settings.register_profile(FIRST, deadline=None, suppress_health_check=list(HealthCheck), **quick)
    gc.freeze()
    sys.dont_write_bytecode = False  # else each process compiles all that the bot and the tests are


def _start(mutant: Mutant, stage: Stage) -> int:
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    out = os.open(os.devnull, os.O_WRONLY)
    os.dup2(out, 1)
    os.dup2(out, 2)
    tempfile.tempdir = tempfile.mkdtemp()
    sys.meta_path.insert(0, _Mutated(mutant))
    arguments = ["-x", "-q", "--assert=plain", "--hypothesis-seed=1", f"--hypothesis-profile={FIRST}", *stage]
    os._exit(int(pytest.main(arguments)))


if __name__ == "__main__":
    _import_libraries()
    with tempfile.TemporaryDirectory(prefix="unlatch-mutants-") as tempfile.tempdir:
        sys.exit(main())
