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
from tests.proofs.fuzz.ground import Play
from tests.proofs.fuzz.strategies import near
from tests.support.builders import TIMING
from tests.support.environment import COMPLETE, SECRETS

NAMES: Final = [name.upper() for name in Settings.model_fields]
PART: Final = 8
"""Characters of a secret that no message may hold."""
GOOD: Final = {
    "SLACK_APP_TOKEN": "xapp-secret",
    "REQUESTERS": "channel:C0SUPPORT,usergroup:S0HELP",
    "APPROVERS": "usergroup:S0ONCALL",
    "ENTRA_AUTHORITY": "https://login.contoso.com/tenant/v2.0",
    "ENTRA_CLIENT_CERTIFICATE": "/nonexistent.pem",
    "CLOUD": "usgov",
    "SIGN_IN_MAX_AGE": "PT8H",
    "REQUEST_LIFETIME": "3600",
    "PORT": "3000",
    "DATABASE_URL": "postgresql://unlatch:database-secret@db/unlatch",
    **COMPLETE,
}


@st.composite
def _cases(draw: st.DrawFn) -> Mapping[str, str]:
    values = dict(COMPLETE)
    for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3)):
        text = draw(near(GOOD.get(name, "true")))
        # An environment holds neither NUL nor what is not bytes.
        values[name] = os.fsdecode(text.encode("utf-8", "replace").replace(b"\x00", b""))
    return values


cases = _cases()
examples = (
    *({**COMPLETE, "VAULT_KEYS": text} for text in (",", "é" * 43, f"{COMPLETE['VAULT_KEYS']},,")),
    *(
        {**COMPLETE, "REQUEST_LIFETIME": text}
        for text in ("9" * 400, "P9999999999D", "NaN", "1e999", "-PT1H")
    ),
    *({**COMPLETE, name: "9" * 5000} for name in ("PORT", "ASKS_PER_HOUR")),
    {**COMPLETE, "ENTRA_AUTHORITY": "http://["},
    {**COMPLETE, "PUBLIC_URL": "https://["},
    {**COMPLETE, "APPROVERS": COMPLETE["SLACK_BOT_TOKEN"]},
)


@asynccontextmanager
async def opening() -> AsyncIterator[Play]:
    """In an empty folder, with nothing of this machine's environment."""

    async def play(case: Mapping[str, str]) -> None:
        with patch.dict(os.environ, case, clear=True):  # the environment is what is tested
            _read(case)

    with TemporaryDirectory() as folder, chdir(folder):
        yield play


def _read(case: Mapping[str, str]) -> None:
    try:
        settings = read_settings()
    except SettingsError as error:
        _check_no_secret(str(error), case)
        return
    for text in without_secrets(settings).values():
        _check_no_secret(text, case)
    try:
        app.rules(settings, TIMING)
        app.entra_client(settings, TIMING).close()
        assert Keys.parse(settings.vault_keys.get_secret_value()).public_keys
    except CannotStart as error:
        _check_no_secret(str(error), case)


def _check_no_secret(said: str, case: Mapping[str, str]) -> None:
    """No part of a secret, unless a description or an open setting says the same: `xoxb-…`."""
    shown_anyway = " ".join(str(field.description) for field in Settings.model_fields.values())
    shown_anyway += " ".join(text for name, text in case.items() if name not in SECRETS)
    for secret in (case[name][:300] for name in SECRETS if name in case):
        parts = {secret[at : at + PART] for at in range(len(secret) - PART + 1)}
        assert not [part for part in parts if part in said and part not in shown_anyway]
