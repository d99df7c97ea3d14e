"""Slack's request signatures (docs.slack.dev/authentication/verifying-requests-from-slack)."""

import hashlib
import hmac


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """Return the `X-Slack-Signature` of a raw body sent at `timestamp` (Unix seconds)."""
    base = b"v0:%d:%s" % (timestamp, body)
    return "v0=" + hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()
