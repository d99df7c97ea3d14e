"""The forms in which a secret may lie about, and a search for all of them."""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

SHORTEST = 6
"""Characters; anything shorter would be found everywhere."""
SHORTEST_DIGITS = 8
"""A passcode of digits is searched for as a whole: a part of it is in every other timestamp."""


def forms(secret: str) -> Iterator[bytes]:
    """As it is, escaped, encoded, cut, and spelled."""
    plain = secret.encode()
    shortest = SHORTEST_DIGITS if secret.isdigit() else SHORTEST
    part = max(shortest, len(plain) * 2 // 3)
    yield plain
    yield from (plain[:part], plain[-part:], plain[::-1])
    yield plain.hex().encode()
    yield from (quote(secret, safe="").encode(), quote_plus(secret).encode())
    yield from (json.dumps(secret)[1:-1].encode(), repr(secret)[1:-1].encode())
    yield from (json.dumps(json.dumps(secret))[3:-3].encode(), repr(plain)[2:-1].encode())
    yield from _base64(plain)
    yield secret.encode("utf-16-le")
    if len(secret) <= 40:
        aloud = " · ".join(secret)  # as the modal spells digits
        yield from (aloud.encode(), json.dumps(aloud)[1:-1].encode(), " ".join(secret).encode())


def _base64(plain: bytes) -> Iterator[bytes]:
    """Wherever in a longer text it begins: of the three cases, what its neighbours do not change."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            encoded = encode(b"\0" * before + plain)
            core = encoded[(before * 8 + 5) // 6 : len(plain) * 8 // 6]
            if len(core) >= SHORTEST:
                yield core


@dataclass(frozen=True)
class Leak:
    """A secret where none may be."""

    name: str
    where: str
    around: str


def find_leaks(secrets: Mapping[str, str], places: Mapping[str, bytes]) -> list[Leak]:
    """Return every secret in every place, in any form."""
    found = []
    for name, secret in secrets.items():
        wanted = {form for form in forms(secret) if len(form) >= SHORTEST}
        for where, content in places.items():
            at = next((at for form in wanted if (at := content.find(form)) >= 0), -1)
            if at >= 0:
                found.append(Leak(name, where, repr(content[max(0, at - 60) : at + 60])))
    return found
