"""One call of the Web API: its arguments, its caller, and which conversations the bot can see."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeVar
from urllib.parse import parse_qsl

from starlette.datastructures import FormData
from starlette.requests import Request

from sandbox.journal import Bearer
from sandbox.slack.platform import Platform
from sandbox.slack.refusals import Refused, refused_because
from sandbox.slack.shapes import JsonObject
from sandbox.slack.workspace import Conversation

TokenKind = Literal["bot", "app-level"]
T = TypeVar("T")

DEFAULT_LIMIT: Final = 100
MOST: Final = 999
READ_SCOPES: Final = ("channels:read", "groups:read", "im:read", "mpim:read")
HISTORY_SCOPES: Final = ("channels:history", "groups:history", "im:history", "mpim:history")


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


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One call being answered."""

    platform: Platform
    arguments: Arguments
    bearer: Bearer

    def need(self, *scopes: str) -> None:
        """Require every one of these scopes: `missing_scope` with what is needed and what is there."""
        granted = self.platform.scopes
        missing = [scope for scope in scopes if scope not in granted]
        if missing:
            raise Refused("missing_scope", needed=",".join(missing), provided=",".join(granted))


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One Web API method.

    `caller`: the kind of token it takes. `accepts`: the scopes that Slack's documentation names.
    `subject`: the argument that the journal notes.
    """

    run: Callable[[ApiCall], JsonObject]
    accepts: tuple[str, ...] = ()
    caller: TokenKind = "bot"
    subject: str = ""


def page(items: Sequence[T], arguments: Arguments) -> tuple[list[T], str]:
    """Return one page of `items` and the cursor of the next, empty at the end."""
    limit = arguments.number("limit", DEFAULT_LIMIT)
    if not 1 <= limit <= MOST:
        raise refused_because("invalid_arguments", [f"[ERROR] limit must be between 1 and {MOST}"])
    start = _position(arguments.text("cursor"))
    end = start + limit
    return list(items[start:end]), _cursor(end) if end < len(items) else ""


def _cursor(position: int) -> str:
    return base64.b64encode(f"next:{position}".encode()).decode()


def _position(cursor: str) -> int:
    if not cursor:
        return 0
    try:
        return int(base64.b64decode(cursor, validate=True).decode().removeprefix("next:"))
    except ValueError:
        raise Refused("invalid_cursor") from None


def visible(call: ApiCall, channel: str) -> Conversation:
    """Return a conversation that the bot can see; a private one without it does not exist for it."""
    workspace = call.platform.workspace
    found = workspace.conversations.get(channel)
    if found is None or (found.private and workspace.bot.id not in found.members):
        raise Refused("channel_not_found")
    return found


def scope_for(conversation: Conversation, verb: str) -> str:
    """The scope that reads this kind of conversation; `verb` is read or history."""
    if conversation.direct_with is not None:
        return f"im:{verb}"
    return f"groups:{verb}" if conversation.private else f"channels:{verb}"


def writable(call: ApiCall, channel: str) -> Conversation:
    """Return where a message goes: a channel the bot is in, or the direct messages with a person."""
    workspace = call.platform.workspace
    if person := workspace.find(channel):
        channel = person.direct
    found = visible(call, channel)
    if found.direct_with is not None:
        _must_be_reachable(call, found.direct_with)
    if found.archived:
        raise Refused("is_archived")
    if workspace.bot.id not in found.members:
        raise Refused("not_in_channel")
    return found


def _must_be_reachable(call: ApiCall, user: str) -> None:
    workspace = call.platform.workspace
    # A bot reaches outsiders only through a channel that both are in (docs.slack.dev/apis/slack-connect).
    stranger = workspace.external(user) and not workspace.shares_a_channel(user)
    if not workspace.active(user) or stranger:
        raise Refused("channel_not_found")
    if not call.platform.messages_tab:
        raise Refused("messages_tab_disabled")
