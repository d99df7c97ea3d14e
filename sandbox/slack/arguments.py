"""The arguments of a Web API call, however they were sent."""

import json
from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.datastructures import FormData
from starlette.requests import Request

from sandbox.slack.refusals import Refused, refused_because
from sandbox.slack.shapes import JsonObject


class Arguments:
    """Typed access to arguments that may be form fields, query fields or JSON."""

    def __init__(self, given: Mapping[str, object]) -> None:
        self._given = given

    def __contains__(self, name: str) -> bool:
        return self._given.get(name) is not None

    def text(self, name: str, default: str = "") -> str:
        """A string; numbers are taken as they are written."""
        value = self._given.get(name)
        return default if value is None else str(value)

    def required(self, name: str) -> str:
        """A string that must be there: `invalid_arguments` otherwise."""
        if not self.text(name):
            raise refused_because("invalid_arguments", [f"[ERROR] missing required field: {name}"])
        return self.text(name)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """A boolean, in any of Slack's spellings."""
        value = self.text(name).lower()
        return value in ("true", "1") if value else default

    def number(self, name: str, default: int) -> int:
        """An integer: `invalid_arguments` if it is not one."""
        try:
            return int(self.text(name) or default)
        except ValueError:
            raise refused_because("invalid_arguments", [f"[ERROR] {name} must be a number"]) from None

    def json(self, name: str, *, malformed: str) -> object:
        """A JSON value, given as such or as a JSON string; refused as `malformed` if it is neither."""
        value = self._given.get(name)
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value) if value else None
        except ValueError:
            raise Refused(malformed) from None


async def read_arguments(request: Request) -> tuple[Arguments, str]:
    """Return the arguments and the token of a call.

    A token is read from the Authorization header, a form field or the query; never from a JSON body.
    """
    given: dict[str, object] = dict(request.query_params)
    content_type = request.headers.get("content-type", "").partition(";")[0].strip()
    is_json = content_type == "application/json"
    if request.method == "POST":
        given |= await _body(request, content_type)
    header = request.headers.get("authorization", "")
    if header.startswith("Bearer "):
        return Arguments(given), header.removeprefix("Bearer ").strip()
    token = "" if is_json else str(given.get("token", ""))
    return Arguments(given), token


async def _body(request: Request, content_type: str) -> Mapping[str, object]:
    if content_type == "multipart/form-data":
        return _fields(await request.form())
    raw = await request.body()
    if content_type == "application/json":
        return _object(raw)
    if content_type in ("application/x-www-form-urlencoded", "text/plain"):
        return dict(parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True))
    if raw:
        raise Refused("invalid_post_type" if content_type else "missing_post_type")
    return {}


def _fields(form: FormData) -> Mapping[str, object]:
    return {name: value for name, value in form.items() if isinstance(value, str)}


def _object(raw: bytes) -> JsonObject:
    try:
        body = json.loads(raw or b"{}")
    except ValueError:
        raise Refused("invalid_json") from None
    if not isinstance(body, dict):
        raise Refused("json_not_object")
    return body
