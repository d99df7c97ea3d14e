"""The middleware in front of the vendors: answers, delays or breaks the calls that a rule strikes."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.faults.connections import Connection
from sandbox.faults.queue import Faults
from sandbox.faults.rules import Rule, Target
from sandbox.journal import Bearer, Journal, Vendor

NO_ANSWER: Final = 0
"""The status in the journal of a call that got no answer."""

_THROTTLED: Final[dict[Vendor, dict[str, object]]] = {
    # docs.slack.dev/apis/web-api/rate-limits
    "slack": {"ok": False, "error": "ratelimited"},
    # learn.microsoft.com/graph/throttling, "Sample response"
    "graph": {
        "error": {
            "code": "TooManyRequests",
            "innerError": {
                "code": "429",
                "message": "Please retry after",
                "request-id": "94fb3b52-452a-4535-a601-69e0a90e3aa2",
                "status": "429",
            },
            "message": "Please retry again later.",
        }
    },
    # learn.microsoft.com/entra/identity-platform/reference-error-codes, AADSTS90055
    "entra": {
        "error": "temporarily_unavailable",
        "error_description": "AADSTS90055: There are too many incoming requests.",
        "error_codes": [90055],
    },
}

# What Windows' HTTP.sys sends in front of an application that is down: a page where JSON is expected.
_PAGE: Final = """\
<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01//EN""http://www.w3.org/TR/html4/strict.dtd">\r
<HTML><HEAD><TITLE>{phrase}</TITLE>\r
<META HTTP-EQUIV="Content-Type" Content="text/html; charset=us-ascii"></HEAD>\r
<BODY><h2>{phrase}</h2>\r
<hr><p>HTTP Error {status}. The service is unavailable.</p>\r
</BODY></HTML>\r
"""

WhoseToken = Callable[[Vendor, str], Bearer]
"""Whom an Authorization header ("" if there is none) at this vendor speaks for."""


@dataclass(slots=True)
class _Answer:
    """A whole answer, kept back."""

    start: Message = field(default_factory=dict)
    body: bytes = b""

    async def keep(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.start = message
        else:
            self.body += message.get("body", b"")

    async def send(self, send: Send, body: bytes, *, complete: bool = True) -> None:
        """Pass it on with this much of its body."""
        await send(self.start)
        await send({"type": "http.response.body", "body": body, "more_body": not complete})

    def shortened(self) -> "_Answer":
        """Half of it, with headers that say so."""
        half = self.body[: len(self.body) // 2]
        headers = [(k, v) for k, v in self.start["headers"] if k.lower() != b"content-length"]
        headers.append((b"content-length", str(len(half)).encode()))
        return _Answer({**self.start, "headers": headers}, half)


@dataclass(frozen=True, slots=True)
class _Exchange:
    """One call, and the rule that strikes it."""

    rule: Rule
    target: Target
    scope: Scope
    send: Send
    connection: Connection
    began: float


class FaultInjection:
    """Answers, delays or breaks the calls that a rule strikes; all others pass untouched."""

    def __init__(self, app: ASGIApp, faults: Faults, journal: Journal, whose_token: WhoseToken) -> None:
        self._app = app
        self._faults = faults
        self._journal = journal
        self._whose_token = whose_token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        target = Target.of(scope)
        rule = None if target is None else self._faults.take(target)
        if target is None or rule is None:
            await self._app(scope, receive, send)
            return
        connection = Connection(scope, receive)
        if await connection.read():
            await self._strike(_Exchange(rule, target, scope, send, connection, time.perf_counter()))

    async def _strike(self, call: _Exchange) -> None:
        match call.rule.kind:
            case "latency":
                await self._late(call)
            case "429" | "5xx":
                await self._answer(call, _refusal(call.rule))
            case "reset before" | "reset after":
                await self._reset(call)
            case "truncated" | "aborted":
                await self._cut(call)
            case "hang":
                await self._hang(call)

    async def _late(self, call: _Exchange) -> None:
        answer = await self._carried_out(call) if call.rule.after else None
        if not await self._waited(self._faults.sleep(call.rule.seconds)):
            await call.connection.reset()
            return
        # A client that gave up in the meantime has still asked for it.
        answer = answer or await self._carried_out(call)
        await answer.send(call.send, answer.body)

    async def _answer(self, call: _Exchange, answer: Response) -> None:
        if call.rule.after:
            await self._carried_out(call)
        else:
            self._record(call, answer.status_code)
        await answer(call.scope, call.connection.again(), call.send)

    async def _reset(self, call: _Exchange) -> None:
        if call.rule.kind == "reset after":
            await self._carried_out(call)
        else:
            self._record(call, NO_ANSWER)
        await call.connection.reset()

    async def _cut(self, call: _Exchange) -> None:
        answer = await self._carried_out(call)
        if not answer.body:  # a 204 has nothing to cut, so nothing of it arrives
            await call.connection.end()
        elif call.rule.kind == "truncated":
            half = answer.shortened()
            await half.send(call.send, half.body)
        else:
            await answer.send(call.send, answer.shortened().body, complete=False)
            await call.connection.end()

    async def _hang(self, call: _Exchange) -> None:
        if call.rule.after:
            await self._carried_out(call)
        else:
            self._record(call, NO_ANSWER)
        if not await self._waited(call.connection.gone()):
            await call.connection.reset()

    async def _carried_out(self, call: _Exchange) -> _Answer:
        """Let the vendor do it, and keep the answer back. The journal's line carries the fault's note."""
        answer = _Answer()
        with self._journal.noting(call.rule.note):
            await self._app(call.scope, call.connection.again(), answer.keep)
        return answer

    def _record(self, call: _Exchange, status: int) -> None:
        """Write down a call that never reached the vendor."""
        authorization = Headers(scope=call.scope).get("authorization", "")
        self._journal.record(
            to=call.target.to,
            method=call.target.method,
            path=call.target.path,
            status=status,
            bearer=self._whose_token(call.target.to, authorization),
            note=call.rule.note,
            duration_ms=(time.perf_counter() - call.began) * 1000,
        )

    async def _waited(self, patience: Awaitable[object]) -> bool:
        """Wait for it; False if the sandbox closed before."""
        waiting = asyncio.ensure_future(patience)
        closing = asyncio.create_task(self._faults.closed.wait())
        try:
            await asyncio.wait([waiting, closing], return_when=asyncio.FIRST_COMPLETED)
            return waiting.done()
        finally:
            for task in (waiting, closing):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


def _refusal(rule: Rule) -> Response:
    headers = {} if rule.retry_after is None else {"Retry-After": str(rule.retry_after)}
    if rule.kind == "429":
        return JSONResponse(_THROTTLED[rule.to], 429, headers)
    known = rule.status in HTTPStatus.__members__.values()
    phrase = HTTPStatus(rule.status).phrase if known else "Server Error"
    return HTMLResponse(_PAGE.format(phrase=phrase, status=rule.status), rule.status, headers)
