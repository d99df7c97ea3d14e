"""What Slack would refuse of blocks and views, and the ids it adds to what it accepts."""

import json
import secrets
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError

from sandbox.slack.refusals import refused_because
from sandbox.slack.shapes import Block, JsonObject

MESSAGE_BLOCKS: Final = 50
VIEW_BYTES: Final = 250_000
_FORMATS: Final = FormatChecker(formats=())

# Interactive elements get an action_id when the app sent none.
_INTERACTIVE: Final = frozenset(
    {
        "button",
        "checkboxes",
        "radio_buttons",
        "overflow",
        "datepicker",
        "timepicker",
        "datetimepicker",
        "plain_text_input",
        "email_text_input",
        "url_text_input",
        "number_input",
        "rich_text_input",
        "file_input",
    }
)


@_FORMATS.checks("uri")
def _is_uri(value: object) -> bool:
    if not isinstance(value, str):
        return True
    return bool(urlsplit(value).scheme) and " " not in value


@cache
def _schema() -> JsonObject:
    text = Path(__file__).with_name("block-kit.schema.json").read_text("utf-8")
    return cast(JsonObject, json.loads(text))


@cache
def _validator(definition: str) -> Draft202012Validator:
    schema = {"$ref": f"#/$defs/{definition}", "$defs": _schema()["$defs"]}
    return Draft202012Validator(schema, format_checker=_FORMATS)


def accepted_blocks(blocks: object) -> list[Block]:
    """Return a message's blocks as Slack stores them (with ids), or refuse: `invalid_blocks`."""
    mistakes = list(_message_mistakes(blocks))
    if mistakes:
        raise refused_because("invalid_blocks", mistakes)
    return with_ids(cast(list[Block], blocks))


def accepted_view(view: object) -> JsonObject:
    """Return a modal as Slack stores it, or refuse: `invalid_arguments`, `view_too_large`."""
    mistakes = list(_view_mistakes(view))
    if mistakes:
        raise refused_because("invalid_arguments", mistakes)
    accepted = cast(JsonObject, view)
    if len(json.dumps(accepted).encode()) > VIEW_BYTES:
        raise refused_because("view_too_large", ["[ERROR] view is larger than 250 kB"])
    return accepted | {"blocks": with_ids(accepted["blocks"])}


def with_ids(blocks: Iterable[Block]) -> list[Block]:
    """Return the blocks with a block_id and action_ids where the app gave none."""
    return [_block_with_ids(block) for block in blocks]


def elements(block: Block) -> Iterator[JsonObject]:
    """The elements of a block that a person can use."""
    found = [*block.get("elements", []), block.get("accessory"), block.get("element")]
    for element in found:
        if isinstance(element, dict) and _interactive(element):
            yield element


def find_element(
    blocks: Iterable[Block], action_id: str, block_id: str | None
) -> tuple[str, JsonObject] | None:
    """Return the block id and the element with this action id, or None."""
    for block in blocks:
        for element in elements(block):
            if element.get("action_id") == action_id and block_id in (None, block["block_id"]):
                return block["block_id"], element
    return None


def _interactive(element: JsonObject) -> bool:
    kind = str(element.get("type", ""))
    return kind in _INTERACTIVE or kind.endswith("_select")


def _block_with_ids(block: Block) -> Block:
    identified = {**block, "block_id": block.get("block_id") or secrets.token_urlsafe(4)}
    for slot in ("accessory", "element"):
        if slot in identified:
            identified[slot] = _element_with_id(identified[slot])
    if isinstance(identified.get("elements"), list):
        identified["elements"] = [_element_with_id(e) for e in identified["elements"]]
    return identified


def _element_with_id(element: JsonObject) -> JsonObject:
    if _interactive(element) and "action_id" not in element:
        return {**element, "action_id": secrets.token_urlsafe(4)}
    return element


def _message_mistakes(blocks: object) -> Iterator[str]:
    if not isinstance(blocks, list):
        yield "[ERROR] must be an array [json-pointer:/blocks]"
        return
    if len(blocks) > MESSAGE_BLOCKS:
        yield f"[ERROR] no more than {MESSAGE_BLOCKS} items allowed [json-pointer:/blocks]"
    yield from _block_mistakes(blocks, "/blocks")


def _view_mistakes(view: object) -> Iterator[str]:
    if not isinstance(view, dict) or view.get("type") != "modal":
        yield "[ERROR] must be a view of type modal [json-pointer:/view/type]"
        return
    # The blocks are judged one by one below, where a mistake can be named more closely.
    frame = {**view, "blocks": [{"type": "divider"}] if view.get("blocks") else view.get("blocks", [])}
    for error in _validator("modal_view").iter_errors(frame):
        yield _sentence(error, "/view")
    blocks = view.get("blocks")
    if isinstance(blocks, list):
        yield from _modal_mistakes(view, blocks)
        yield from _block_mistakes(blocks, "/view/blocks")


def _modal_mistakes(view: JsonObject, blocks: Sequence[object]) -> Iterator[str]:
    if len(blocks) > 100:
        yield "[ERROR] no more than 100 items allowed [json-pointer:/view/blocks]"
    has_input = any(isinstance(block, dict) and block.get("type") == "input" for block in blocks)
    if has_input and "submit" not in view:
        yield "[ERROR] missing required field: submit [json-pointer:/view]"


def _block_mistakes(blocks: Sequence[object], at: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, block in enumerate(blocks):
        where = f"{at}/{index}"
        kind = block.get("type") if isinstance(block, dict) else None
        if not isinstance(block, dict) or f"{kind}_block" not in _schema()["$defs"]:
            yield f"[ERROR] unsupported type: {kind} [json-pointer:{where}/type]"
            continue
        for error in _validator(f"{kind}_block").iter_errors(block):
            yield _sentence(error, where)
        yield from _repeated_ids(block, where, seen)


def _repeated_ids(block: JsonObject, where: str, seen: set[str]) -> Iterator[str]:
    block_id = block.get("block_id")
    if block_id in seen:
        yield f"[ERROR] block_id `{block_id}` already exists [json-pointer:{where}/block_id]"
    if isinstance(block_id, str):
        seen.add(block_id)
    action_ids: set[str] = set()
    for element in elements(block):
        action_id = element.get("action_id")
        if isinstance(action_id, str):
            if action_id in action_ids:
                yield f"[ERROR] action_id `{action_id}` already exists [json-pointer:{where}]"
            action_ids.add(action_id)


def _sentence(error: ValidationError, where: str) -> str:
    closest = _closest(error)
    pointer = where + "".join(f"/{part}" for part in closest.absolute_path)
    return f"[ERROR] {_reason(closest)} [json-pointer:{pointer}]"


def _closest(error: ValidationError) -> ValidationError:
    """The mistake inside the one alternative whose `type` was meant, however deep."""
    branches: dict[object, list[ValidationError]] = {}
    for inner in error.context or ():
        branches.setdefault(inner.schema_path[0], []).append(inner)
    meant = [errors for errors in branches.values() if not any(_other_type(e) for e in errors)]
    return _closest(meant[0][0]) if meant else error


def _other_type(error: ValidationError) -> bool:
    return error.validator == "const" and list(error.path)[-1:] == ["type"]


def _reason(error: ValidationError) -> str:
    limit = cast(Any, error.validator_value)  # a number, or a list of names: it depends on the rule
    match error.validator:
        case "maxLength":
            return f"must be less than {int(limit) + 1} characters"
        case "minLength":
            return f"must be more than {int(limit) - 1} characters"
        case "maxItems":
            return f"no more than {limit} items allowed"
        case "minItems":
            return f"no less than {limit} items allowed"
        case "required":
            missing = [name for name in limit if name not in cast(JsonObject, error.instance)]
            return f"missing required field: {missing[0]}"
        case "additionalProperties":
            return "additional properties are not allowed"
        case "const" | "enum" | "oneOf" | "anyOf":
            return "unsupported or malformed value"
        case _:
            return f"fails the rule {error.validator}"
