"""`POST /slack/events`: verify the signature over the raw bytes, parse, hand to Bolt as a socket would.

Bolt 1.30 parses a body before it checks the signature, answers malformed ones with 500, and loses every
slash command whose raw body contains the word `payload`.
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from urllib.parse import parse_qsl

import structlog
from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from bot.domain.values import Secret, read_object

MAX_AGE: Final = 300
"""Seconds that a signature is valid, either way."""
MAX_FIELDS: Final = 100

log = structlog.get_logger()


def http_receiver(
    app: AsyncApp, signing_secret: Secret, now: Callable[[], float]
) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint. `now`: seconds since the epoch.

    401 for whoever did not sign, 400 for a body that is none of Slack's, else what Bolt answers.
    """

    async def slack_events(request: Request) -> Response:
        try:
            raw = await request.body()
        except ClientDisconnect:
            return Response(status_code=400)
        if not is_signed(raw, request.headers, signing_secret, now=now()):
            return Response("The signature is missing, wrong or too old.", status_code=401)
        try:
            payload = parse(raw, request.headers.get("content-type", ""))
            answer = await app.async_dispatch(AsyncBoltRequest(mode="socket_mode", body=payload))
        except Exception as error:  # of no shape that Bolt expects; a listener's crash ends in `app.error`
            log.warning("malformed_payload", error=type(error).__name__)
            return Response("This is no payload of Slack's.", status_code=400)
        headers = {name: values[0] for name, values in answer.headers.items() if name != "content-length"}
        return Response(answer.body, status_code=answer.status, headers=headers)

    return slack_events


def is_signed(raw: bytes, headers: Mapping[str, str], secret: Secret, *, now: float) -> bool:
    """Return whether this is Slack's v0 signature over timestamp and body, at most five minutes old.

    Source: docs.slack.dev, "Verifying requests from Slack".
    """
    stamp, given = headers.get("x-slack-request-timestamp", ""), headers.get("x-slack-signature", "")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 12 and given.isascii()):
        return False
    if abs(now - int(stamp)) > MAX_AGE:
        return False
    wanted = hmac.new(secret.reveal().encode(), b"v0:" + stamp.encode() + b":" + raw, hashlib.sha256)
    return hmac.compare_digest(f"v0={wanted.hexdigest()}", given)


def parse(raw: bytes, content_type: str) -> dict[str, object]:
    """Return the body as a socket would deliver it: a form's fields or `payload`'s JSON; or ValueError."""
    text = raw.decode()
    if content_type.startswith("application/json"):
        value = read_object(text)
    else:
        fields = dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS))
        value = {**fields} if "command" in fields else read_object(fields.get("payload", ""))
    if not value:
        raise ValueError("no object")
    return value
