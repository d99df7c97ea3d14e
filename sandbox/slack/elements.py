"""What a person enters into an element, and what Slack reports of it."""

from collections.abc import Iterable, Mapping
from typing import Final

from sandbox.slack.blocks import elements
from sandbox.slack.refusals import NotPossible
from sandbox.slack.shapes import Block, JsonObject

# Where the entry of each kind of element is reported, and where its initial entry is given.
_ENTRY: Final[Mapping[str, tuple[str, str]]] = {
    "plain_text_input": ("value", "initial_value"),
    "email_text_input": ("value", "initial_value"),
    "url_text_input": ("value", "initial_value"),
    "number_input": ("value", "initial_value"),
    "static_select": ("selected_option", "initial_option"),
    "radio_buttons": ("selected_option", "initial_option"),
    "overflow": ("selected_option", ""),
    "users_select": ("selected_user", "initial_user"),
    "conversations_select": ("selected_conversation", "initial_conversation"),
    "channels_select": ("selected_channel", "initial_channel"),
    "checkboxes": ("selected_options", "initial_options"),
    "multi_static_select": ("selected_options", "initial_options"),
    "multi_users_select": ("selected_users", "initial_users"),
    "multi_conversations_select": ("selected_conversations", "initial_conversations"),
    "multi_channels_select": ("selected_channels", "initial_channels"),
    "datepicker": ("selected_date", "initial_date"),
    "timepicker": ("selected_time", "initial_time"),
    "datetimepicker": ("selected_date_time", "initial_date_time"),
}
_EMPTY_LIST: Final = ("selected_options", "selected_users", "selected_conversations", "selected_channels")
_STATELESS: Final = ("button", "overflow")

Entry = str | Mapping[str, object] | None


def entered(element: JsonObject, entry: Entry) -> JsonObject:
    """Return `{"type": …, "value"|"selected_…": …}` for what a person entered.

    `entry` is plain text, the value of an option, an id, or the reported fields themselves.
    NotPossible if the element does not offer that.
    """
    kind = str(element["type"])
    name, _ = _ENTRY.get(kind, ("value", ""))
    if isinstance(entry, Mapping):
        given = entry.get(name)
        return _checked(element, name, given)
    if entry is not None and name == "selected_option":
        return _checked(element, name, {"value": entry})
    if entry is not None and name == "selected_options":
        return _checked(element, name, [{"value": part} for part in entry.split(",") if part])
    if entry is not None and name in _EMPTY_LIST:
        return {"type": kind, name: [part for part in entry.split(",") if part]}
    return _checked(element, name, entry)


def _checked(element: JsonObject, name: str, given: object) -> JsonObject:
    kind = str(element["type"])
    if name == "selected_option" and given is not None:
        return {"type": kind, name: _option(element, given)}
    if name == "selected_options":
        chosen = given if isinstance(given, list) else []
        return {"type": kind, name: [_option(element, one) for one in chosen]}
    if name in _EMPTY_LIST:
        return {"type": kind, name: given or []}
    return {"type": kind, name: given or None}


def _option(element: JsonObject, given: object) -> JsonObject:
    value = given.get("value") if isinstance(given, Mapping) else None
    for option in options(element):
        if option["value"] == value:
            return option
    raise NotPossible(f"there is no option {value!r} to choose")


def options(element: JsonObject) -> list[JsonObject]:
    """All options of a select, in or out of groups."""
    grouped = [option for group in element.get("option_groups", []) for option in group["options"]]
    return [*element.get("options", []), *grouped]


def initial_state(blocks: Iterable[Block]) -> dict[str, dict[str, JsonObject]]:
    """What a form reports before it is filled in."""
    state: dict[str, dict[str, JsonObject]] = {}
    for block in blocks:
        for element in _stateful(block):
            _, initial = _ENTRY[element["type"]]
            name, _ = _ENTRY[element["type"]]
            given = {name: element.get(initial)}
            state.setdefault(block["block_id"], {})[element["action_id"]] = entered(element, given)
    return state


def kept_state(
    blocks: Iterable[Block], before: Mapping[str, Mapping[str, JsonObject]]
) -> dict[str, dict[str, JsonObject]]:
    """The state of a changed form: what was typed stays where block and action ids are the same."""
    state = initial_state(blocks)
    for block_id, entries in state.items():
        for action_id, entry in entries.items():
            old = before.get(block_id, {}).get(action_id)
            if old is not None and old["type"] == entry["type"]:
                entries[action_id] = old
    return state


def _stateful(block: Block) -> Iterable[JsonObject]:
    return (e for e in elements(block) if e["type"] in _ENTRY and e["type"] not in _STATELESS)


def complaint(block: Block, entry: JsonObject) -> str:
    """What Slack's own client says of an entry before it sends a form; empty if nothing."""
    element = block["element"]
    name, _ = _ENTRY.get(element["type"], ("value", ""))
    content = entry.get(name)
    if not content:
        return "" if block.get("optional") else "Please complete this required field."
    if isinstance(content, str) and len(content) < element.get("min_length", 0):
        return f"Please enter at least {element['min_length']} characters."
    if isinstance(content, str) and len(content) > element.get("max_length", 3000):
        return f"Please enter at most {element['max_length']} characters."
    return ""
