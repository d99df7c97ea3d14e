"""The sieve: of a delivery, Bolt gets the texts in the places where Slack has them, and nothing else.

Bolt 1.30 takes many shapes for granted, some of which no listener of ours needs: a `team` that is a number,
an `authorizations` of texts, an empty `actions` each end in an exception before a listener is looked for.
"""

from collections.abc import Mapping
from typing import Final

Fields = dict[str, object]

_OBJECTS: Final = ("team", "user", "enterprise", "channel", "container", "view", "event")
_NEVER_PLAIN: Final = frozenset({*_OBJECTS, "actions", "authorizations", "response_urls"})


def sifted(body: Mapping[str, object]) -> Fields:
    """The delivery with its texts, its objects with theirs, what was pressed and what was typed."""
    kept = {name: value for name, value in _plain(body).items() if name not in _NEVER_PLAIN}
    kept |= {name: _plain(found) for name in _OBJECTS if isinstance(found := body.get(name), Mapping)}
    if view := _view(body.get("view")):
        kept["view"] = view
    if pressed := _pressed(body.get("actions")):
        kept["actions"] = pressed
    return kept


def _view(view: object) -> Fields:
    """Bolt asks every view for its type."""
    if not isinstance(view, Mapping):
        return {}
    state = view.get("state")
    return {"type": ""} | _plain(view) | ({"state": state} if isinstance(state, Mapping) else {})


def _pressed(actions: object) -> list[Fields]:
    """The actions that have a name; a chosen option is one object deeper."""
    found = [action for action in actions if isinstance(action, Mapping)] if isinstance(actions, list) else []
    named = [action for action in found if isinstance(action.get("action_id"), str)]
    return [_plain(action) | _chosen(action) for action in named]


def _chosen(action: Mapping[str, object]) -> Fields:
    option = action.get("selected_option")
    return {"selected_option": _plain(option)} if isinstance(option, Mapping) else {}


def _plain(fields: Mapping[str, object]) -> Fields:
    return {name: value for name, value in fields.items() if isinstance(value, str)}
