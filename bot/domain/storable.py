"""Text that every database and every wire takes: JSON can hold more than that."""

import re
from typing import Final

_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


def storable(text: str) -> str:
    """Without NUL, which PostgreSQL refuses, and halves of a surrogate pair, which UTF-8 has no bytes for."""
    return _UNSTORABLE.sub("", text)
