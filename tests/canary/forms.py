"""The forms in which a secret may lie about, and a search for all of them."""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

from bot.slack import modals
from bot.slack.wording import ENGLISH

SHORTEST = 6
"""Characters; anything shorter would be found everywhere."""


def forms(secret: str) -> Iterator[bytes]:
    """As it is, escaped, encoded, cut, and spelled."""
    plain = secret.encode()
    yield plain
    yield plain[: max(SHORTEST, len(plain) * 2 // 3)]
    yield plain[-max(SHORTEST, len(plain) * 2 // 3) :]
    yield plain[::-1]
    yield plain.hex().encode()
    yield from (quote(secret, safe="").encode(), quote_plus(secret).encode())
    yield from (json.dumps(secret)[1:-1].encode(), repr(secret)[1:-1].encode())
    yield from (json.dumps(json.dumps(secret))[3:-3].encode(), repr(plain)[2:-1].encode())
    yield from _base64(plain)
    yield secret.encode("utf-16-le")
    if len(secret) <= 40:
        yield modals._spelled(secret, ENGLISH).encode()
        yield json.dumps(modals._spelled(secret, ENGLISH))[1:-1].encode()
        yield " ".join(secret).encode()


def _base64(plain: bytes) -> Iterator[bytes]:
    """Wherever in a longer text it began: of each of the three cases, what its neighbours do not change."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            encoded = encode(b"\0" * before + plain)
            core = encoded[(before * 8 + 5) // 6 : len(plain) * 8 // 6]
            if len(core) >= SHORTEST:
                yield core


@dataclass(frozen=True)
class Hit:
    """A secret where none may be."""

    name: str
    where: str
    around: str


def hits(secrets: Mapping[str, str], places: Mapping[str, bytes]) -> list[Hit]:
    """Every secret in every place, in any form."""
    found = []
    for name, secret in secrets.items():
        wanted = set(forms(secret))
        for where, content in places.items():
            at = next(
                (at for form in wanted if len(form) >= SHORTEST and (at := content.find(form)) >= 0), -1
            )
            if at >= 0:
                found.append(Hit(name, where, repr(content[max(0, at - 60) : at + 60])))
    return found
