"""The forms in which a secret may lie about, and a search for all of them."""

import base64
import json
from collections.abc import Iterator, Mapping
from urllib.parse import quote, quote_plus

SHORTEST = 6
"""Characters; anything shorter would be found everywhere."""
SHORTEST_DIGITS = 8
"""A passcode of digits is searched for as a whole: a part of it is in every other timestamp."""


def forms(secret: str) -> set[bytes]:
    """As it is, escaped, encoded, cut, and spelled."""
    plain = secret.encode()
    part = max(SHORTEST_DIGITS if secret.isdigit() else SHORTEST, len(plain) * 2 // 3)
    found = {plain, plain[:part], plain[-part:], plain[::-1], secret.encode("utf-16-le")}
    texts = {plain.hex(), quote(secret, safe=""), quote_plus(secret), repr(plain)[2:-1], repr(secret)[1:-1]}
    texts |= {json.dumps(secret)[1:-1], json.dumps(json.dumps(secret))[3:-3]}
    if len(secret) <= 40:
        aloud = " · ".join(secret)  # as the modal spells digits
        texts |= {aloud, json.dumps(aloud)[1:-1], " ".join(secret)}
    found |= {text.encode() for text in texts} | set(_base64(plain))
    return {form for form in found if len(form) >= SHORTEST}


def _base64(plain: bytes) -> Iterator[bytes]:
    """Wherever in a longer text it begins: of the three cases, what its neighbours do not change."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            encoded = encode(b"\0" * before + plain)
            yield encoded[(before * 8 + 5) // 6 : len(plain) * 8 // 6]


def find_leaks(secrets: Mapping[str, str], places: Mapping[str, bytes]) -> list[str]:
    """Return every secret in every place, in any form, with what is around it."""
    found = []
    for name, secret in secrets.items():
        wanted = forms(secret)
        for where, content in places.items():
            at = next((at for form in wanted if (at := content.find(form)) >= 0), -1)
            if at >= 0:
                found.append(f"{name} in {where}: {content[max(0, at - 60) : at + 60]!r}")
    return found
