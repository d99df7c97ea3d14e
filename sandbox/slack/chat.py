"""chat.postMessage, chat.update and chat.delete (docs.slack.dev/reference/methods)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from sandbox.slack.api_call import ApiCall, Method, visible, writable
from sandbox.slack.blocks import accepted_blocks
from sandbox.slack.refusals import Refused
from sandbox.slack.shapes import Block, JsonObject
from sandbox.slack.workspace import Message

POSTED_TEXT: Final = 40_000
UPDATED_TEXT: Final = 4_000
"""Bytes of UTF-8, though the documentation says characters (measured: )."""
METADATA_BYTES: Final = 16_000


def _post_message(call: ApiCall) -> JsonObject:
    call.need("chat:write")
    where = writable(call, call.arguments.required("channel"))
    text, blocks = _content(call)
    thread_ts = call.arguments.text("thread_ts") or None
    if thread_ts is not None and thread_ts not in where.messages:
        raise Refused("thread_not_found")
    workspace = call.platform.workspace
    message = workspace.post(
        where.id,
        user=workspace.bot.id,
        text=text[:POSTED_TEXT],
        blocks=blocks,
        metadata=_metadata(call),
        thread_ts=thread_ts,
    )
    said = workspace.message_json(message, with_metadata=True)
    return {"channel": where.id, "ts": message.ts, "message": said}


def _update(call: ApiCall) -> JsonObject:
    call.need("chat:write")
    message = _own(call)
    text, blocks = _content(call)
    if len(text.encode()) > UPDATED_TEXT:
        raise Refused("msg_too_long")
    workspace = call.platform.workspace
    if "metadata" in call.arguments:
        message = replace(message, metadata=_metadata(call))
    edited = workspace.edit(message, text=text, blocks=blocks)
    said = workspace.message_json(edited, with_metadata=True)
    return {"channel": edited.channel, "ts": edited.ts, "text": edited.text, "message": said}


def _delete(call: ApiCall) -> JsonObject:
    call.need("chat:write")
    message = _own(call)
    call.platform.workspace.remove(message)
    return {"channel": message.channel, "ts": message.ts}


def _own(call: ApiCall) -> Message:
    # A user id is not a channel here: the message lives in the D… channel that chat.postMessage returned.
    where = visible(call, call.arguments.required("channel"))
    message = where.messages.get(call.arguments.required("ts"))
    if message is None:
        raise Refused("message_not_found")
    if not message.by_app:
        raise Refused("cant_update_message")
    return message


def _content(call: ApiCall) -> tuple[str, list[Block] | None]:
    text = call.arguments.text("text")
    given = call.arguments.json("blocks", malformed="invalid_blocks_format")
    if given is not None and not isinstance(given, list):
        raise Refused("invalid_blocks_format")
    blocks = accepted_blocks(given) if given else None
    if not text and not blocks and "attachments" not in call.arguments:
        raise Refused("no_text")
    return text, blocks


def _metadata(call: ApiCall) -> JsonObject | None:
    given = call.arguments.json("metadata", malformed="invalid_metadata_format")
    if not given:
        return None
    if not isinstance(given, dict) or not isinstance(given.get("event_type"), str):
        raise Refused("invalid_metadata_format")
    if not isinstance(given.get("event_payload"), dict):
        raise Refused("invalid_metadata_format")
    if len(str(given)) > METADATA_BYTES:
        raise Refused("metadata_too_large")
    return given


_WRITE: Final = ("chat:write",)

METHODS: Final[Mapping[str, Method]] = {
    "chat.postMessage": Method(run=_post_message, accepts=_WRITE, subject="channel"),
    "chat.update": Method(run=_update, accepts=_WRITE, subject="channel"),
    "chat.delete": Method(run=_delete, accepts=_WRITE, subject="channel"),
}
