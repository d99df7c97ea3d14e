"""conversations.*: channels, who is in them and what was said (docs.slack.dev/reference/methods)."""

from collections.abc import Callable, Mapping
from typing import Final

from sandbox.slack.api_call import HISTORY_SCOPES, READ_SCOPES, ApiCall, Method, page, scope_for, visible
from sandbox.slack.refusals import Refused
from sandbox.slack.shapes import JsonObject
from sandbox.slack.workspace import Conversation, Message

CREATED: Final = 1_767_225_600


def _info(call: ApiCall) -> JsonObject:
    conversation = _readable(call, "read")
    channel = _channel_json(call, conversation)
    if call.arguments.flag("include_num_members"):
        channel["num_members"] = len(conversation.members)
    return {"channel": channel}


def _members(call: ApiCall) -> JsonObject:
    conversation = _readable(call, "read")
    members, cursor = page(conversation.members, call.arguments)
    return {"members": members, "response_metadata": {"next_cursor": cursor}}


def _history(call: ApiCall) -> JsonObject:
    return _messages(call, lambda message: message.thread_ts in (None, message.ts), newest_first=True)


def _replies(call: ApiCall) -> JsonObject:
    """The parent and its replies, the oldest first."""
    parent = call.arguments.required("ts")
    if parent not in visible(call, call.arguments.required("channel")).messages:
        raise Refused("thread_not_found")
    return _messages(call, lambda message: parent in (message.ts, message.thread_ts), newest_first=False)


def _messages(call: ApiCall, wanted: Callable[[Message], bool], *, newest_first: bool) -> JsonObject:
    conversation = _readable(call, "history")
    if call.platform.workspace.bot.id not in conversation.members:
        raise Refused("not_in_channel")
    arguments = call.arguments
    latest, oldest = arguments.text("latest", "9999999999"), arguments.text("oldest", "0")
    inclusive = arguments.flag("inclusive")
    within = [
        message
        for ts, message in sorted(conversation.messages.items(), reverse=newest_first)
        if (oldest < ts < latest or (inclusive and ts in (oldest, latest))) and wanted(message)
    ]
    shown, cursor = page(within, arguments)
    with_metadata = arguments.flag("include_all_metadata")
    workspace = call.platform.workspace
    body: JsonObject = {
        "messages": [workspace.message_json(m, with_metadata=with_metadata) for m in shown],
        "has_more": bool(cursor),
        "pin_count": 0,
    }
    return body | {"response_metadata": {"next_cursor": cursor}} if cursor else body


def _open(call: ApiCall) -> JsonObject:
    call.need("im:write")
    users = [user for user in call.arguments.required("users").split(",") if user]
    workspace = call.platform.workspace
    if len(users) != 1:
        raise Refused("method_not_supported_for_channel_type")
    person = workspace.find(users[0])
    if person is None or person.id == workspace.bot.id:
        raise Refused("user_not_found")
    if not workspace.active(person.id):
        raise Refused("user_disabled")
    return {"channel": {"id": person.direct}}


def _readable(call: ApiCall, verb: str) -> Conversation:
    conversation = visible(call, call.arguments.required("channel"))
    call.need(scope_for(conversation, verb))
    return conversation


def _channel_json(call: ApiCall, conversation: Conversation) -> JsonObject:
    if conversation.direct_with is not None:
        return _direct_json(call, conversation, conversation.direct_with)
    workspace = call.platform.workspace
    teams = [workspace.team.id, *([workspace.other_team.id] if conversation.shared else [])]
    empty = {"value": "", "creator": "", "last_set": 0}
    return {
        "id": conversation.id,
        "name": conversation.name,
        "name_normalized": conversation.name,
        "is_channel": True,
        "is_group": False,
        "is_im": False,
        "is_mpim": False,
        "is_private": conversation.private,
        "is_archived": conversation.archived,
        "is_general": False,
        "is_member": workspace.bot.id in conversation.members,
        "is_shared": conversation.shared,
        "is_ext_shared": conversation.shared,
        "is_org_shared": False,
        "is_pending_ext_shared": conversation.pending_share,
        "pending_shared": [workspace.other_team.id] if conversation.pending_share else [],
        "shared_team_ids": teams,
        "context_team_id": workspace.team.id,
        "conversation_host_id": workspace.team.id,
        "parent_conversation": None,
        "previous_names": [],
        "creator": conversation.members[0] if conversation.members else "",
        "created": CREATED,
        "updated": CREATED * 1000,
        "unlinked": 0,
        "topic": empty,
        "purpose": empty,
    }


def _direct_json(call: ApiCall, conversation: Conversation, user: str) -> JsonObject:
    return {
        "id": conversation.id,
        "created": CREATED,
        "is_im": True,
        "is_archived": False,
        "is_org_shared": False,
        "context_team_id": call.platform.workspace.team.id,
        "user": user,
        "is_user_deleted": not call.platform.workspace.active(user),
        "is_open": True,
        "priority": 0,
    }


METHODS: Final[Mapping[str, Method]] = {
    "conversations.info": Method(run=_info, accepts=READ_SCOPES, subject="channel"),
    "conversations.members": Method(run=_members, accepts=READ_SCOPES, subject="channel"),
    "conversations.history": Method(run=_history, accepts=HISTORY_SCOPES, subject="channel"),
    "conversations.replies": Method(run=_replies, accepts=HISTORY_SCOPES, subject="channel"),
    "conversations.open": Method(run=_open, accepts=("im:write", "mpim:write"), subject="users"),
}
