"""What holds for all tests."""

import gc
import os
import secrets
import shlex
from collections import defaultdict
from collections.abc import Generator
from random import Random

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

# A busy machine is no finding: what has to be fast is timed where a test says so.
settings.register_profile("unlatch", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unlatch")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose a seed where the command names none, so that a failure can say which it was."""
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(secrets.randbelow(10**6))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`ORDER=7 make test`: the files, and the tests in each, in an order drawn from this seed."""
    items.sort(key=lambda item: "proofs" not in item.path.parts)  # the longest first: nobody waits for them
    if seed := os.environ.get("ORDER"):
        place = defaultdict(Random(seed).random)  # noqa: S311  an order
        items.sort(key=lambda item: (place[item.path], place[item.nodeid]))


def pytest_collection_finish() -> None:
    """What was imported and collected lives to the end: the garbage collector leaves it alone."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure says how to see it again."""
    report = yield
    if report.failed:
        command = [".venv/bin/python", "-m", "pytest", item.nodeid]
        if is_hypothesis_test(getattr(item, "obj", None)):
            command.append(f"--hypothesis-seed={item.config.option.hypothesis_seed}")
        report.sections.append(("To run it alone", shlex.join(command)))
    return report
