"""One ordered failure: the next call that changes something is answered badly, before or after its effect."""

from collections import deque
from dataclasses import dataclass
from typing import Literal

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sandbox.intune.refusals import faulty

When = Literal["before", "after"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`status` None: the connection breaks and no answer arrives. `when`: before or after the effect."""

    status: int | None
    when: When = "before"
    retry_after: int | None = None


class Broken(Response):
    """No answer: the headers promise a body, then the connection ends.

    Served by uvicorn the client sees the connection close; in process the ConnectionResetError comes through.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's shape
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
        raise ConnectionResetError("the sandbox was told to break this connection")


class Faults:
    """The ordered failures, first in, first out. A richer injector may replace `take`."""

    def __init__(self) -> None:
        self._ordered: deque[Fault] = deque()

    def order(self, fault: Fault) -> None:
        self._ordered.append(fault)

    def take(self) -> Fault | None:
        """The failure for this call, used up; None if nothing was ordered."""
        return self._ordered.popleft() if self._ordered else None


def answer_of(fault: Fault) -> Response:
    """The broken answer; raises GraphError for one with a status, returns Broken for none."""
    if fault.status is None:
        return Broken()
    raise faulty(fault.status, fault.retry_after)
