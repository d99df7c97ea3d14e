"""Where a request can stand, and which moves there are: the table is the documentation."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from enum import StrEnum
from typing import Final


class Status(StrEnum):
    """Where a request stands. The value is stored."""

    RECEIVED = "received"
    REFUSED = "refused"
    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    SENT = "sent"
    DONE = "done"
    FAILED = "failed"
    UNCERTAIN = "uncertain"


HOLDING: Final = frozenset({Status.APPROVED, Status.SENT, Status.UNCERTAIN})
"""A request in one of these may have a reset under way."""
OPEN: Final = frozenset({Status.PENDING, Status.APPROVED, Status.UNCERTAIN})
"""A request in one of these waits for somebody, or may come to wait again."""

MOVES: Final[Mapping[Status, AbstractSet[Status]]] = {
    Status.RECEIVED: {Status.PENDING, Status.REFUSED},
    Status.PENDING: {Status.APPROVED, Status.DENIED, Status.WITHDRAWN, Status.EXPIRED, Status.REFUSED},
    Status.APPROVED: {Status.SENT, Status.PENDING, Status.FAILED, Status.UNCERTAIN},
    Status.SENT: {Status.DONE, Status.FAILED},
    Status.UNCERTAIN: {Status.SENT, Status.FAILED, Status.APPROVED},
    Status.REFUSED: set(),
    Status.DENIED: set(),
    Status.WITHDRAWN: set(),
    Status.EXPIRED: set(),
    Status.DONE: set(),
    Status.FAILED: set(),
}
