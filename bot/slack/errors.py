"""Slack's own words for what went wrong: which pass by themselves, and what somebody has to mend.

Source: the error tables of the Web API's method pages.
"""

from datetime import timedelta
from typing import Final

from bot.domain.errors import SlackError, SlackRefused, SlackUnavailable
from bot.domain.values import text_at

MAX_PAUSE: Final = timedelta(minutes=10)
"""How long `Retry-After` is believed."""
PASSING: Final = frozenset(
    {"external_channel_migrating", "fatal_error", "fetch_members_failed", "internal_error", "timeout"}
    | {"message_limit_exceeded", "org_login_required", "rate_limited", "ratelimited", "request_timeout"}
    | {"service_unavailable", "team_added_to_org"}
)
"""Slack is busy or under repair; `timeout` is our word, for no answer in time."""
TOKEN: Final = frozenset(
    {"account_inactive", "invalid_auth", "invalid_token", "not_allowed_token_type", "not_authed"}
    | {"team_access_not_granted", "token_expired", "token_revoked", "two_factor_setup_required"}
)
"""The token is no good, whatever is called: the operator has to put in another."""
SCOPE: Final = frozenset({"missing_scope", "no_permission"})
GONE: Final = frozenset(
    {"message_not_found", "cant_update_message", "edit_window_closed", "thread_not_found"}
)
"""The message was deleted, or is too old or not ours to change: only a new one can show the row."""
CONTENT: Final = frozenset(
    {"invalid_arguments", "invalid_blocks", "invalid_blocks_format", "invalid_metadata_format"}
    | {"invalid_metadata_schema", "metadata_too_large", "msg_blocks_too_long", "msg_too_long", "no_text"}
)
"""Slack takes no such message; a shorter one may do."""
HIDDEN: Final = frozenset({"user_not_found", "user_not_visible", "users_not_found"})
"""Slack does not show this person to the bot, and will not later."""
TRIGGER: Final = frozenset(
    {"exchanged_trigger_id", "expired_trigger_id", "invalid_trigger_id"}
    | {"trigger_exchanged", "trigger_expired"}
)
"""The press was too long ago for a modal."""


def meaning(response: object) -> SlackUnavailable | SlackRefused:
    """What has no error code of Slack's did not come from the Web API but from something on the way."""
    status = getattr(response, "status_code", getattr(response, "status", 0))
    code, needed = (text_at(getattr(response, "data", None), name) for name in ("error", "needed"))
    if not isinstance(status, int) or status == 429 or status >= 500 or not code or code in PASSING:
        return SlackUnavailable(code or f"http_{status}", retry_after(response), is_undone=status == 429)
    return SlackRefused(code, needed=needed)


def retry_after(response: object) -> timedelta | None:
    """Return how long Slack asks to wait, in whole seconds, where it does."""
    seconds = getattr(response, "headers", {}).get("Retry-After", "").strip()
    return min(timedelta(seconds=int(seconds[:6])), MAX_PAUSE) if seconds.isdecimal() else None


def is_busy(error: SlackUnavailable) -> bool:
    """Whether Slack answers, only not now; else nothing that is Slack was reached."""
    return error.is_undone or error.code in PASSING or error.code.startswith(("http_5", "handshake_"))


def is_late(error: SlackError) -> bool:
    """Whether a modal was not opened in time, which another press mends."""
    return isinstance(error, SlackUnavailable) or error.code in TRIGGER


def reason(code: str) -> str:
    """Return the catalog's key for what is wrong, for the people who read it."""
    for words, key in ((TOKEN, "token"), (SCOPE, "missing_scope"), (CONTENT, "content")):
        if code.partition(":")[0] in words:
            return key
    return "restricted_action" if code.startswith("restricted_action") else code
