"""Everything that the page shows, as one JSON document."""

from collections.abc import Collection
from itertools import islice
from typing import Any, Final

from sandbox.cast import Person
from sandbox.journal import Call
from sandbox.slack import Message, Slack, View
from sandbox.slack.workspace import Conversation

Json = dict[str, Any]  # JSON for the page; its shape is what this module builds
SHOWN_CALLS: Final = 200


def slack_snapshot(slack: Slack) -> Json:
    """People, channels, messages, modals, notices and user groups."""
    workspace = slack.workspace
    people = [p for p in workspace.people.values() if p.kind != "bot"]
    return {
        "team": {"id": workspace.team.id, "name": workspace.team.name},
        "people": [_person(slack, person) for person in people],
        "channels": {c.id: _channel(c) for c in workspace.conversations.values()},
        "messages": {c.id: _messages(slack, c) for c in workspace.conversations.values()},
        "modals": {p.id: [_modal(v) for v in slack.platform.modals.stacks.get(p.id, [])] for p in people},
        "notices": {p.id: [{"id": n.id, "text": n.text} for n in slack.notices(p.id)] for p in people},
        "usergroups": [
            {"id": g.id, "handle": g.handle, "users": list(g.users)} for g in workspace.groups.values()
        ],
    }


def calls_snapshot(calls: Collection[Call]) -> list[Json]:
    """The last 200 calls, newest last."""
    return [_call(call) for call in islice(calls, max(0, len(calls) - SHOWN_CALLS), None)]


def _person(slack: Slack, person: Person) -> Json:
    workspace = slack.workspace
    team = workspace.other_team if workspace.external(person.id) else workspace.team
    return {
        "id": person.id,
        "name": person.name,
        "handle": person.handle,
        "title": person.title,
        "kind": person.kind,
        "initials": "".join(word[0] for word in person.name.split()[:2]).upper(),
        "color": person.color,
        "team": {"id": team.id, "name": team.name},
        "channels": [c.id for c in workspace.conversations.values() if person.id in c.members],
        "direct": person.direct,
    }


def _channel(conversation: Conversation) -> Json:
    return {
        "id": conversation.id,
        "name": conversation.name,
        "private": conversation.private,
        "direct": conversation.direct_with is not None,
        "shared": conversation.shared,
        "members": list(conversation.members),
    }


def _messages(slack: Slack, conversation: Conversation) -> list[Json]:
    ephemerals = [m for seen in slack.workspace.ephemerals.values() for m in seen]
    here = [m for m in ephemerals if m.channel == conversation.id]
    return [_message(slack, m) for m in sorted([*conversation.messages.values(), *here], key=_when)]


def _when(message: Message) -> str:
    return message.ts


def _message(slack: Slack, message: Message) -> Json:
    return {
        "ts": message.ts,
        "from": {
            "id": message.user,
            "name": slack.workspace.people[message.user].name,
            "app": message.by_app,
        },
        "text": message.text,
        "blocks": list(message.blocks) if message.blocks is not None else None,
        "edited": message.edited_at is not None,
        "at": message.at.isoformat(),
        "only_for": message.only_for,
        "thread_ts": message.thread_ts,
    }


def _modal(view: View) -> Json:
    content = view.content
    return {
        "id": view.id,
        "title": content["title"],
        "submit": content.get("submit"),
        "close": content.get("close"),
        "blocks": view.blocks,
        "callback_id": view.callback_id,
        "errors": dict(view.errors),
        "state": view.state,
    }


def _call(call: Call) -> Json:
    return {
        "id": call.id,
        "at": call.at.isoformat(),
        "to": call.to,
        "method": call.method,
        "path": call.path,
        "status": call.status,
        "bearer": {"kind": call.bearer.kind, "who": call.bearer.who},
        "note": call.note,
        "duration_ms": call.duration_ms,
    }
