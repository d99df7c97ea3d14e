"""Text as it looks: on one line, with nothing in it that cannot be seen or that moves what is around it."""

import re
import unicodedata
from collections.abc import Iterator
from itertools import islice
from typing import Final

LONGEST: Final = 20_000
"""Characters; whoever shows less cuts it further."""
MOST_ACCENTS: Final = 4
"""On one letter; more would cover the lines above and below."""
_BLANK: Final = re.compile(r"\s+")
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_UNSEEN_LETTERS: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0\u034f\u17b4\u17b5")
_ACCENTS: Final = frozenset({"Mn", "Me"})


def visible(text: str) -> str:
    """Without controls, marks of direction, zero widths, and piles of accents."""
    return _BLANK.sub(" ", "".join(islice(_seen(text), LONGEST))).strip()


def _seen(text: str) -> Iterator[str]:
    accents = 0
    for character in text:
        if "!" <= character <= "~":  # most of all text, and the quickest to tell
            accents = 0
            yield character
            continue
        category = unicodedata.category(character)
        if character.isspace():
            accents = 0
            yield " "
        elif category in _UNSEEN or character in _UNSEEN_LETTERS:
            continue  # nor does it part an accent from the letter before
        else:
            accents = accents + 1 if category in _ACCENTS else 0
            if accents <= MOST_ACCENTS:
                yield character
