"""Each test starts in an empty folder, with an environment that sets nothing of ours."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from bot.settings import CONFIG_VARIABLE, Settings


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ours = {CONFIG_VARIABLE, *(name.upper() for name in Settings.model_fields)}
    for name in ours & set(os.environ):
        monkeypatch.delenv(name)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, str]], None]:
    def put(values: Mapping[str, str]) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return put
