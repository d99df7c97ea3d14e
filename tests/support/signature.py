"""Slack's signature of what it delivers, made from its documentation and not with the bot's own code."""

import hashlib
import hmac
from datetime import datetime

FORM = "application/x-www-form-urlencoded"


def signed(body: bytes, *, at: datetime, secret: str) -> dict[str, str | bytes | None]:
    """The headers that Slack sends with this body."""
    stamp = str(int(at.timestamp()))
    digest = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    return {"x-slack-request-timestamp": stamp, "x-slack-signature": f"v0={digest}", "content-type": FORM}
