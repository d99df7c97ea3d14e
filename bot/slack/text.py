"""People's text made safe for Slack, and Slack's text objects. Everything that was typed comes through here.

Sources: Slack's pages “Formatting message text” (what to escape) and “Text object” (3000 characters).
"""

import re
from datetime import UTC, datetime
from typing import Final

from bot.domain.visible import visible
from bot.slack.message import Block

TEXT_LIMIT: Final = 3000
FIELD_LIMIT: Final = 2000
HEADER_LIMIT: Final = 150
LABEL_LIMIT: Final = 75
"""Buttons, options and their accessibility labels."""
TITLE_LIMIT: Final = 24
MESSAGE_LIMIT: Final = 3900
"""chat.update refuses a text longer than 4000 characters."""

NOTHING: Final = "–"
_TORN: Final = re.compile(r"(&[a-z]{0,3}|<[^<>]*)$")
_USER: Final = re.compile(r"[UW][A-Z0-9]+")
# Bold, strike, code and emoji marks have no escape: their look-alikes show the same and mark nothing.
_MARKS: Final = str.maketrans({"*": "∗", "~": "∼", "`": "ˋ"})
_ITALIC: Final = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
_EMOJI: Final = re.compile(r":(?=[a-z0-9_+\-']+:)", re.IGNORECASE)


def escaped(text: str) -> str:
    """Text as one line that Slack shows as typed: no mention, no link, nothing unseen."""
    return visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def cut(text: str, limit: int) -> str:
    """Text of at most `limit` characters, with … where some are missing; never half an entity or mention."""
    if len(text) <= limit:
        return text
    return _TORN.sub("", text[: limit - 1]).rstrip() + "…"


def inline(text: str, limit: int = 300) -> str:
    """People's text inside a sentence of ours: escaped, cut, and without marks that would format it."""
    marks_off = _ITALIC.sub("ˍ", escaped(text).translate(_MARKS))
    return cut(_EMOJI.sub("∶", marks_off), limit) or NOTHING


def plain(text: str, limit: int = TEXT_LIMIT) -> Block:
    """A plain text object; `text` is our own or went through `escaped`."""
    return {"type": "plain_text", "text": cut(text, limit) or NOTHING, "emoji": False}


def mrkdwn(text: str, limit: int = TEXT_LIMIT) -> Block:
    """A marked-up text object of our own sentences; Slack links nothing in it that we did not."""
    return {"type": "mrkdwn", "text": cut(text, limit) or NOTHING, "verbatim": True}


def at(moment: datetime) -> str:
    """A time that Slack shows in the reader's own zone; `moment` is aware."""
    fallback = moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"<!date^{int(moment.timestamp())}^{{date_short_pretty}} {{time}}|{fallback}>"


def mention(user: str) -> str:
    """A Slack user, linked; anything that is no user id is only text."""
    return f"<@{user}>" if _USER.fullmatch(user) else inline(user)


def group(usergroup: str) -> str:
    """A Slack user group, linked and notified."""
    return f"<!subteam^{usergroup}>" if usergroup.isalnum() else inline(usergroup)


def channel(channel_id: str) -> str:
    """A Slack channel, linked."""
    return f"<#{channel_id}>" if channel_id.isalnum() else inline(channel_id)
