"""A value that must be seen by one reader only: it has no text form, so no log or exception can carry it."""

from dataclasses import dataclass
from typing import Final

MASK: Final = "Secret(…)"


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A token or a passcode. `reveal()` is the only way to the text; look for its callers when you review."""

    _text: str

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        """Never the text."""
        return MASK
