"""The claims challenge in `WWW-Authenticate`: what Microsoft asks of a fresh sign-in.

Source: Microsoft's page "Claims challenges, claims requests, and client capabilities". Graph sends the
claims in base64; the sign-in wants the JSON text.
"""

import base64
import re
from collections.abc import Iterable, Iterator
from typing import Final

from bot.domain.json_objects import read_object

_PARAMETER: Final = re.compile(r'(?<![\w\-])([A-Za-z][\w\-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_ESCAPED: Final = re.compile(r"\\(.)")


def claims_in(headers: Iterable[str]) -> str | None:
    """The first readable claims of the `WWW-Authenticate` headers, as the text of a JSON object."""
    for header in headers:
        for name, value in parameters(header):
            if name == "claims" and (claims := _decoded(value)):
                return claims
    return None


def parameters(header: str) -> Iterator[tuple[str, str]]:
    """The auth parameters of one header, quoted strings unescaped (RFC 9110, section 11.2)."""
    for match in _PARAMETER.finditer(header):
        name, quoted, token = match.groups()
        yield name.lower(), token if quoted is None else _ESCAPED.sub(r"\1", quoted)


def _decoded(value: str) -> str | None:
    padded = value.replace("-", "+").replace("_", "/").rstrip("=")
    padded += "=" * (-len(padded) % 4)
    try:
        text = base64.b64decode(padded, validate=True).decode()
    except ValueError:  # no base64, no ASCII, or no UTF-8 in it
        text = value
    return text if read_object(text) is not None else None
