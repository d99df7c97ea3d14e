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
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.machinery import ModuleSpec
from multiprocessing import get_context
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, Phase, settings
from tests.proofs.mutants.mutate import Mutant, mutants

ROOT = Path(__file__).parents[3]
ACCEPTED = Path(__file__).with_name("accepted.toml")
TIMEOUT = 90.0
"""Seconds; a mutant that waits for ever is killed too, and named."""
GRACE = 10.0
Stage = Sequence[str]
"""Arguments of pytest."""
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
    """Run; returns the exit status."""
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
    # By a number of its own, each mutant stays in a seed's sample when others come and go.
    found = [one for path in modules for one in every[path]]
    found.sort(key=lambda one: random.Random(f"{chosen.seed} {one.key}").random())  # noqa: S311  a sample
    number, parts = map(int, chosen.part.split("/"))
    found = found[: chosen.sample or None][number - 1 :: parts]
    tried = [one for one in found if one.key not in accepted]
    print(f"{len(found)} mutants, --seed {chosen.seed}", flush=True)
    began = time.monotonic()
    with ProcessPoolExecutor(chosen.jobs, mp_context=get_context("fork")) as pool:
        stages = {" ".join(stage): stage for path in modules for stage in TESTS[path]}
        unchanged = Mutant(modules[0], 0, "", "", "", (ROOT / modules[0]).read_text())
        for each, passes in zip(stages, pool.map(partial(_passes, unchanged), stages.values()), strict=True):
            if not passes:
                raise SystemExit(f"`pytest {each}` fails without a change: run `make test` first.")
        survived = 0
        for one, survives in zip(tried, pool.map(_survives, tried), strict=True):
            if survives:
                survived += 1
                print(f"survived {one}", flush=True)
    print(f"--seed {chosen.seed}, --part {chosen.part}, {time.monotonic() - began:.0f} s")
    known = len(found) - len(tried)
    print(f"{len(found)} mutants, {len(tried) - survived} killed, {known} accepted, {survived} survived")
    return 1 if survived else 0


def _accepted(keys: set[tuple[str, str, str, str]]) -> set[tuple[str, str, str, str]]:
    """Read which mutants are not tried; each has to be one of `keys`, with its reason."""
    rows = tomllib.loads(ACCEPTED.read_text()).get("mutant", [])
    for row in rows:
        if not row["reason"] or (row["path"], row["function"], row["before"], row["after"]) not in keys:
            raise SystemExit(f"{ACCEPTED.name}: not a mutant any more, or without its reason: {row}")
    return {(row["path"], row["function"], row["before"], row["after"]) for row in rows}


def _import_libraries() -> None:
    """What every process needs, once; nothing of the bot, of which each has its own."""
    for name in LIBRARIES:
        importlib.import_module(name)
    quick = {"phases": (Phase.explicit, Phase.generate), "report_multiple_bugs": False}
    settings.register_profile(FIRST, deadline=None, suppress_health_check=list(HealthCheck), **quick)
    gc.freeze()
    sys.dont_write_bytecode = False  # else each process compiles all that the bot and the tests are


def _survives(mutant: Mutant) -> bool:
    return all(_passes(mutant, stage) for stage in TESTS[mutant.path])


def _passes(mutant: Mutant, stage: Stage) -> bool:
    """Run a stage in a process of its own, which ends with SIGINT what the tests started."""
    pid = os.fork()
    if pid == 0:
        _test(mutant, stage)
    for seconds, number in ((TIMEOUT, signal.SIGINT), (GRACE, signal.SIGKILL)):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status) == 0 and seconds == TIMEOUT
            time.sleep(0.05)  # it is another process
        print(f"no end after {seconds:.0f} s: {mutant}", flush=True)
        os.killpg(pid, number)
    os.waitpid(pid, 0)
    return False


def _test(mutant: Mutant, stage: Stage) -> NoReturn:
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
