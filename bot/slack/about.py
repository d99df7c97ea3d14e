"""What a window is about, as it travels through Slack in `private_metadata`."""

import re
from dataclasses import dataclass
from typing import Final, Self

from bot.domain.identifiers import RequestId

_REQUEST_ID: Final = "[0-9a-f]{32}"
_WRITTEN: Final = re.compile(rf"({_REQUEST_ID})(?::([0-9]{{1,9}}))?")
NO_REQUEST: Final = RequestId("")
"""What came back was no id; no row has it."""


@dataclass(frozen=True, slots=True)
class About:
    """A request, and the round of it that the window shows; in round 0 no request ever is."""

    request: RequestId
    round: int = 0

    @classmethod
    def read(cls, text: str) -> Self:
        """Read what came back from Slack, whatever it is."""
        found = _WRITTEN.fullmatch(text)
        return cls(RequestId(found[1]), int(found[2] or 0)) if found else cls(NO_REQUEST)

    def written(self) -> str:
        """`<id>:<round>`."""
        return f"{self.request}:{self.round}"


def request_id(text: str) -> RequestId:
    """The id, or NO_REQUEST where the text is none."""
    return RequestId(text) if re.fullmatch(_REQUEST_ID, text) else NO_REQUEST
