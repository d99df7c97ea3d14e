"""Reading what was sent to the sandbox's own API, and refusing it with a sentence."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

Body = Mapping[str, Any]  # the JSON that was sent; each handler reads what it needs


class Malformed(Exception):
    """The request itself is wrong: a sentence why."""


async def json_body(request: Request) -> Body:
    """The JSON object that was sent; Malformed for anything else."""
    # A form on another page can send anything but this type without being asked first.
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise Malformed("Send JSON.")
    try:
        body = await request.json()
    except ValueError:
        raise Malformed("That is not JSON.") from None
    if not isinstance(body, dict):
        raise Malformed("Send a JSON object.")
    return body


def text(body: Body, name: str) -> str:
    """A text that must be there; Malformed otherwise."""
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise Malformed(f"{name} is missing.")
    return value


def refused(sentence: str, status: int) -> Response:
    """`{"error": sentence}`."""
    return JSONResponse({"error": sentence}, status)
