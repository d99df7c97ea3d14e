"""What Slack makes of a typed command when `should_escape` is on: mentions and links in angle brackets."""

import re
from collections.abc import Mapping
from typing import Final

_PARTS: Final = re.compile(
    r"(?P<url>https?://[^\s<>|]+)"
    r"|(?P<email>[\w.+%'-]+@[\w-]+(?:\.[\w-]+)+)"
    r"|(?<![\w@])@(?P<handle>[a-z0-9][a-z0-9._-]*)"
    r"|(?<![\w#])#(?P<channel>[\w-]+)"
    r"|(?<![\w@./-])(?P<domain>(?:[a-z0-9-]+\.)+(?:com|org|net|io|dev))(?![\w@.-]*[\w@-])"
)


def escaped(text: str, *, handles: Mapping[str, str], channels: Mapping[str, str]) -> str:
    """Return typed text as a slash command carries it.

    `handles` and `channels` map the name to the id. Sources: docs.slack.dev
    interactivity/implementing-slash-commands (should_escape) and messaging/formatting-message-text.
    """
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    def replaced(found: re.Match[str]) -> str:
        name, value = found.lastgroup, found[found.lastgroup or 0]
        if name == "url":
            return f"<{value}>"
        if name == "email":
            return f"<mailto:{value}|{value}>"
        if name == "domain":
            return f"<http://{value}|{value}>"
        known = handles if name == "handle" else channels
        sign = "@" if name == "handle" else "#"
        return f"<{sign}{known[value]}|{value}>" if value in known else found[0]

    return _PARTS.sub(replaced, plain)
