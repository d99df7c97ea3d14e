"""Which conversations the app's bot can see, and where it may write."""

from typing import Final

from sandbox.slack.method import ApiCall
from sandbox.slack.refusals import Refused
from sandbox.slack.workspace import Conversation

READ_SCOPES: Final = ("channels:read", "groups:read", "im:read", "mpim:read")
HISTORY_SCOPES: Final = ("channels:history", "groups:history", "im:history", "mpim:history")


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
    if channel in workspace.people:
        channel = workspace.people[channel].direct
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
