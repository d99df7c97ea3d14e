"""Values of the environment: a bot that could start, or a message about what is wrong, without a secret."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, chdir
from tempfile import TemporaryDirectory
from typing import Final
from unittest.mock import patch

from bot import app
from bot.keys import Keys
from bot.settings import CannotStart, Settings, SettingsError, read_settings, without_secrets
from hypothesis import strategies as st
from tests.proofs.fuzz.openings import Play
from tests.proofs.fuzz.strategies import near
from tests.support.builders import TIMING
from tests.support.environment import COMPLETE, SECRETS

NAMES: Final = [name.upper() for name in Settings.model_fields]
PART: Final = 8
"""Characters of a secret that no message may hold."""
GOOD: Final = COMPLETE | {
    "REQUESTERS": "channel:C0SUPPORT,usergroup:S0HELP",
    "APPROVERS": "usergroup:S0ONCALL",
    "ENTRA_AUTHORITY": "https://login.contoso.com/tenant/v2.0",
    "REQUEST_LIFETIME": "3600",
    "DATABASE_URL": "postgresql://unlatch:database-secret@db/unlatch",
}


def _environment(text: str) -> str:
    """An environment holds neither NUL nor what is not bytes."""
    return os.fsdecode(text.encode("utf-8", "replace").replace(b"\x00", b""))


environments = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).flatmap(
    lambda names: st.fixed_dictionaries(
        {name: st.just(text) for name, text in COMPLETE.items()}
        | {name: near(GOOD.get(name, "true")).map(_environment) for name in names}
    )
)


@asynccontextmanager
async def opening() -> AsyncIterator[Play]:
    """In an empty folder, with nothing of this machine's environment."""

    async def play(environment: Mapping[str, str]) -> None:
        with patch.dict(os.environ, environment, clear=True):  # the environment is what is tested
            _check_no_secret(_read(), environment)

    with TemporaryDirectory() as folder, chdir(folder):
        yield play


def _read() -> str:
    """Return what an operator gets to read."""
    try:
        settings = read_settings()
        app.rules(settings, TIMING)
        app.entra_client(settings, TIMING).close()
        assert Keys.parse(settings.vault_keys.get_secret_value()).public_keys
    except (SettingsError, CannotStart) as error:
        return str(error)
    return str(without_secrets(settings))


def _check_no_secret(said: str, environment: Mapping[str, str]) -> None:
    """No part of a secret, unless a description or an open setting says the same: `xoxb-…`."""
    shown_anyway = " ".join(str(field.description) for field in Settings.model_fields.values())
    shown_anyway += " ".join(text for name, text in environment.items() if name not in SECRETS)
    for secret in (environment[name][:300] for name in SECRETS if name in environment):
        parts = {secret[at : at + PART] for at in range(len(secret) - PART + 1)}
        assert not [part for part in parts if part in said and part not in shown_anyway]
