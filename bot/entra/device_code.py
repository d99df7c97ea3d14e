"""MSAL's device code flow, one question at a time. Synchronous."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import msal  # type: ignore[import-untyped]  # msal ships no types

from bot.domain.errors import CouldNotVerify, SignInRefused
from bot.domain.secret import Secret
from bot.entra.answers import ENTRA, Result, guarded, is_away, json_object, refused

LONGEST: Final = 24 * 3600
"""Seconds that a code may live or a question may wait; Entra's are 900 and 5."""
STILL_WAITING: Final = frozenset({"authorization_pending", "slow_down"})


@dataclass(frozen=True, slots=True)
class StartedCode:
    """A device code that waits for its owner."""

    url: str
    """Where the code is typed."""
    code: Secret
    """What the person types."""
    flow: Secret
    """What we ask Microsoft about it with, JSON."""
    life: timedelta
    interval: timedelta
    """How long to wait before each question."""


@dataclass(frozen=True, slots=True)
class Pending:
    """Nobody has used the code yet."""

    flow: Secret
    interval: timedelta


def start(app: msal.PublicClientApplication, scopes: Sequence[str], claims: str | None) -> StartedCode:
    """Ask for a code; raises SignInRefused where Entra gives none, CouldNotVerify."""
    try:
        answer: Mapping[str, object] = guarded(
            lambda: app.initiate_device_flow(list(scopes), claims_challenge=json_object(claims))
        )
    except SignInRefused:  # nobody has signed in yet: an answer that cannot be read is an Entra that is away
        raise CouldNotVerify(ENTRA) from None
    match answer:
        case {
            "user_code": str(code),
            "device_code": str(device_code),
            "verification_uri": str(url),
            "interval": int(interval),
            "expires_in": int(life),
        } if 0 <= interval <= LONGEST and 0 < life <= LONGEST:
            flow = _flow(device_code, interval)
            return StartedCode(url, Secret(code), flow, timedelta(seconds=life), timedelta(seconds=interval))
    raise CouldNotVerify(ENTRA) if is_away(answer) else refused(answer)


def ask(app: msal.PublicClientApplication, flow: Secret, claims: str | None) -> Result | Pending:
    """Ask once whether the code was used; MSAL's own waiting would hold a thread a person."""
    begun = json.loads(flow.reveal())
    answer: Result = guarded(
        lambda: app.acquire_token_by_device_flow(
            begun, claims_challenge=json_object(claims), exit_condition=lambda _flow: True
        )
    )
    if is_away(answer):
        raise CouldNotVerify(ENTRA)
    if answer.get("error") not in STILL_WAITING:
        return answer
    interval = int(begun["interval"])  # MSAL adds five seconds where Entra asks to slow down
    return Pending(_flow(begun["device_code"], interval), timedelta(seconds=interval))


def _flow(device_code: str, interval: int) -> Secret:
    """Without the time of the latest question: when to ask next is in the row."""
    return Secret(json.dumps({"device_code": device_code, "interval": interval}))
