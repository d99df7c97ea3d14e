"""A connection to PostgreSQL that waits for no answer longer than the server itself may take to give one."""

from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import PQGen

ANSWER: Final = 7.0
"""Seconds; longer than the server's own limits (engine.LIMITS), which it enforces only while it runs."""

T = TypeVar("T")


class BoundedConnection(psycopg.Connection[Any]):
    """Gives up on a server that falls silent, such as a stopped host or a paused pooler.

    TCP does not notice: the kernel, or a proxy, goes on acknowledging. `wait` is under the ping, BEGIN, each
    statement and COMMIT alike.
    """

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = ANSWER) -> T:
        """Return what the server answers; where it does not, close the connection: OperationalError."""
        try:
            return super().wait(gen, interval, timeout)
        except psycopg.errors._WaitTimeout:  # what `wait` is documented to raise
            self.close()
            raise psycopg.OperationalError("the server does not answer") from None
