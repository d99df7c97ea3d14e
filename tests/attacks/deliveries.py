"""Deliveries as only Slack can make them, signed, with whatever an attacker would like to stand in them."""

from datetime import UTC, datetime
from typing import Any

import httpx
from bot.slack import ids
from sandbox.cast import SIGNING_SECRET
from tests.face.post import FORM, interaction, signed
from tests.whole.installed import ON_CALL, Installed

TEAM = "T0CONTOSO"


async def deliver(there: Installed, payload: dict[str, Any]) -> httpx.Response:
    """One interaction, signed with the app's secret."""
    trigger = there.slack.platform.triggers.issue(payload["user"]["id"])
    body = interaction(payload | {"trigger_id": trigger})
    given = signed(body, at=datetime.now(UTC), secret=SIGNING_SECRET)
    headers = {name.replace("_", "-"): str(value) for name, value in given.items()}
    return await there.http.post("/slack/events", content=body, headers=headers | {"content-type": FORM})


def pressed(user: str, action: str, value: str, *, team: str = TEAM) -> dict[str, Any]:
    """A button that nobody was shown."""
    return _interaction("block_actions", user, team) | {
        "channel": {"id": ON_CALL},
        "actions": [{"type": "button", "action_id": action, "block_id": "b", "value": value}],
    }


def submitted(user: str, callback: str, about: str, *, team: str = TEAM, **typed: str) -> dict[str, Any]:
    """A form that was never opened."""
    state = {block: {ids.VALUE: {"type": "plain_text_input", "value": text}} for block, text in typed.items()}
    view = {
        "id": "V0FORGED",
        "type": "modal",
        "callback_id": callback,
        "private_metadata": about,
        "state": {"values": state},
    }
    return _interaction("view_submission", user, team) | {"view": view}


def _interaction(kind: str, user: str, team: str) -> dict[str, Any]:
    return {
        "type": kind,
        "team": {"id": TEAM},
        "user": {"id": user, "team_id": team},
    }
