"""Slack's payloads, parsed into values: any field may be missing or of another shape."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from bot.domain.people import Actor
from bot.domain.values import RequestId, Secret, TeamId, UserId, dig, text_at

COMMAND: Final = "/reset-passcode"
MAX_ID: Final = 32
"""Characters of an id of Slack's, and of its column."""
MAX_TRIGGER: Final = 255
_REQUEST_ID: Final = re.compile("[0-9a-f]{32}")
_METADATA: Final = re.compile(rf"({_REQUEST_ID.pattern})(?::([0-9]{{1,9}}))?")
NO_REQUEST: Final = RequestId("")
"""What came back is no id; no row has it."""


class Action(StrEnum):
    """The `action_id` of each button."""

    APPROVE = "approve"
    DENY = "deny"
    CLOSE = "close"
    LOOK = "look"
    """Read the device as whoever presses, where nobody can read it any more."""
    WITHDRAW = "withdraw"
    SHOW_PASSCODE = "show_passcode"
    LINK = "link"
    """The requester asks for a link to sign in with."""
    SIGN_IN = "sign_in"
    """A link button; Slack reports the press all the same."""


class Callback(StrEnum):
    """The `callback_id` of each form."""

    ASK = "ask_form"
    APPROVE = "approve_form"
    AGAIN = "again_form"
    """Approves knowingly what was reset a few minutes ago."""
    DENY = "deny_form"


class Field(StrEnum):
    """The `block_id` of each input."""

    TARGET = "target"
    REASON = "reason"
    TICKET = "ticket"
    DEVICE = "device"
    DENIAL = "denial"


VALUE: Final = "value"
"""The `action_id` inside each of these blocks."""


class Malformed(Exception):
    """The payload is not what Slack sends; nobody can be answered."""


def id_at(body: object, *path: str | int, limit: int = MAX_ID) -> str:
    """Return an id of Slack's or an empty text; Malformed where it is longer than any of Slack's."""
    found = text_at(body, *path)
    if len(found) > limit:
        raise Malformed
    return found


def needed_at(body: object, *path: str | int, limit: int = MAX_ID) -> str:
    """Return an id of Slack's, or raise Malformed where there is none."""
    if found := id_at(body, *path, limit=limit):
        return found
    raise Malformed


def private_metadata(request_id: RequestId, revision: int) -> str:
    """Return what a form carries: the request, and the revision of it that the form shows."""
    return f"{request_id}:{revision}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    actor: Actor
    trigger_id: str
    text: str
    response_url: Secret | None = None
    """Where a sentence for this person alone can be posted."""

    @classmethod
    def parse(cls, body: Mapping[str, object]) -> Self:
        """Read Slack's fields; Slack escapes &, < and > in `text`, and writes mentions as `<@U…>`."""
        user, team = needed_at(body, "user_id"), id_at(body, "team_id")
        return cls(
            actor=Actor(user=UserId(user), team=TeamId(team) or None),
            trigger_id=needed_at(body, "trigger_id", limit=MAX_TRIGGER),
            text=text_at(body, "text").strip(),
            response_url=secret_at(body, "response_url"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    actor: Actor
    trigger_id: str
    request_id: RequestId
    response_url: Secret | None = None

    @classmethod
    def parse(cls, body: Mapping[str, object]) -> Self:
        """Read who pressed what. The user's own team is in `user`: `team` says ours even for an outsider."""
        value = text_at(body, "actions", 0, "value")
        return cls(
            actor=_actor(body),
            trigger_id=needed_at(body, "trigger_id", limit=MAX_TRIGGER),
            request_id=RequestId(value) if _REQUEST_ID.fullmatch(value) else NO_REQUEST,
            response_url=secret_at(body, "response_url"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    actor: Actor
    view_id: str
    request_id: RequestId
    revision: int
    """Of the request, as the form showed it; no request ever has revision 0."""
    mentioned: str
    """Who is meant by a name in the form to request a reset, as `Typed` has it."""
    values: Mapping[str, object]

    @classmethod
    def parse(cls, body: Mapping[str, object]) -> Self:
        """Read the view; a view_submission carries no channel, so `private_metadata` names the request."""
        metadata = text_at(body, "view", "private_metadata")
        carried = _METADATA.fullmatch(metadata)
        values = dig(body, "view", "state", "values")
        return cls(
            actor=_actor(body),
            view_id=needed_at(body, "view", "id", limit=MAX_TRIGGER),
            request_id=RequestId(carried[1]) if carried else NO_REQUEST,
            revision=int(carried[2] or 0) if carried else 0,
            mentioned=metadata,
            values=values if isinstance(values, Mapping) else {},
        )

    def __getitem__(self, field: Field) -> str:
        """Return what was typed or chosen, an empty text where nothing was."""
        element = dig(self.values, field, VALUE)
        return (
            text_at(element, "value")
            or text_at(element, "selected_option", "value")
            or text_at(element, "selected_options", 0, "value")
        )


def secret_at(body: Mapping[str, object], name: str) -> Secret | None:
    found = text_at(body, name)
    return Secret(found) if found else None


def _actor(body: object) -> Actor:
    user, team = needed_at(body, "user", "id"), id_at(body, "user", "team_id")
    return Actor(user=UserId(user), team=TeamId(team) or None)
