"""What Slack delivers, read into values: every field may be missing or of another shape."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from bot.domain.identifiers import ChannelId, RequestId, TeamId, UserId
from bot.domain.people import Actor
from bot.domain.secret import Secret
from bot.domain.storable import storable
from bot.slack.about import About, request_id

_QUOTED: Final = re.compile(r'\s*([a-z]+:)?["“]([^"”]*)["”]\s*(.*)', re.IGNORECASE | re.DOTALL)
_LINKED: Final = re.compile(r"<([@#!]?)([^<>|]*)(?:\|([^<>]*))?>")
LONGEST_ID: Final = 32
LONGEST_TRIGGER: Final = 255


class Malformed(Exception):
    """The delivery is not what Slack sends; nobody can be answered."""


def dig(body: object, *path: str | int) -> object:
    """The value at the path, or None where anything on the way is missing or of another shape."""
    for step in path:
        match body, step:
            case Mapping(), str():
                body = body.get(step)
            case list(), int() if len(body) > step:
                body = body[step]
            case _:
                return None
    return body


def text_at(body: object, *path: str | int) -> str:
    """The text at the path, or the empty text; without what no database stores (NUL, half a surrogate)."""
    value = dig(body, *path)
    return storable(value) if isinstance(value, str) else ""


def id_at(body: object, *path: str | int, longest: int = LONGEST_ID) -> str:
    """An id of Slack's, or the empty text; Malformed where it is longer than any, and than its column."""
    found = text_at(body, *path)
    if len(found) > longest:
        raise Malformed
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A typed slash command."""

    actor: Actor
    team: TeamId
    trigger: str
    text: str
    aside: Secret | None = None
    """Where a sentence for this person alone can be posted."""

    @classmethod
    def parse(cls, body: Mapping[str, object]) -> Self:
        """Read Slack's fields; Slack escapes &, < and > in `text`, and writes mentions as `<@U…>`."""
        user, trigger = id_at(body, "user_id"), id_at(body, "trigger_id", longest=LONGEST_TRIGGER)
        if not user or not trigger:
            raise Malformed
        team = TeamId(id_at(body, "team_id"))
        actor = Actor(user=UserId(user), team=team or None)
        text = text_at(body, "text").strip()
        return cls(actor=actor, team=team, trigger=trigger, text=text, aside=_aside(body))

    def split(self) -> tuple[str, str]:
        """The target and the reason: `serial:X a reason`, or with quotes `name:"Ken's iPhone" a reason`."""
        if quoted := _QUOTED.match(self.text):
            prefix, value, rest = quoted.groups()
            return _as_typed(f"{prefix or ''}{value}"), _as_typed(rest.strip())
        target, rest = (*self.text.split(maxsplit=1), "", "")[:2]
        return target if target.startswith("<") else _as_typed(target), _as_typed(rest.strip())


@dataclass(frozen=True, slots=True, kw_only=True)
class Click:
    """A pressed button."""

    actor: Actor
    team: TeamId
    trigger: str
    request: RequestId
    channel: ChannelId | None
    aside: Secret | None = None
    """As with a command."""

    @classmethod
    def parse(cls, body: Mapping[str, object]) -> Self:
        """Read who pressed what. The user's own team is in `user`: `team` says ours even for an outsider."""
        trigger = id_at(body, "trigger_id", longest=LONGEST_TRIGGER)
        if not trigger:
            raise Malformed
        channel = id_at(body, "channel", "id") or id_at(body, "container", "channel_id")
        return cls(
            actor=_actor(body),
            team=TeamId(id_at(body, "team", "id")),
            trigger=trigger,
            request=request_id(text_at(body, "actions", 0, "value")),
            channel=ChannelId(channel) if channel else None,
            aside=_aside(body),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A submitted form."""

    actor: Actor
    team: TeamId
    view: str
    about: About
    values: Mapping[str, object]

    @classmethod
    def parse(cls, body: Mapping[str, object]) -> Self:
        """Read the view; what it is about is in `private_metadata`."""
        view, values = (
            id_at(body, "view", "id", longest=LONGEST_TRIGGER),
            dig(body, "view", "state", "values"),
        )
        if not view:
            raise Malformed
        return cls(
            actor=_actor(body),
            team=TeamId(id_at(body, "team", "id") or id_at(body, "view", "team_id")),
            view=view,
            about=About.read(text_at(body, "view", "private_metadata")),
            values=values if isinstance(values, Mapping) else {},
        )

    def typed(self, block: str, action: str) -> str:
        """What was typed or chosen in a field, the empty text where nothing was."""
        field = dig(self.values, block, action)
        return text_at(field, "value") or text_at(field, "selected_option", "value")


def _as_typed(text: str) -> str:
    """What was typed: Slack links people, channels and addresses in it, and escapes three characters."""
    unlinked = _LINKED.sub(_label, text)
    return unlinked.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _label(link: re.Match[str]) -> str:
    sign, value, label = link.groups()
    said = str(label or value.removeprefix("mailto:"))
    return said if said.startswith(("@", "#")) else sign.replace("!", "@") + said


def _aside(body: Mapping[str, object]) -> Secret | None:
    address = text_at(body, "response_url")
    return Secret(address) if address else None


def _actor(body: Mapping[str, object]) -> Actor:
    user, team = id_at(body, "user", "id"), id_at(body, "user", "team_id")
    if not user:
        raise Malformed
    return Actor(user=UserId(user), team=TeamId(team) if team else None)
