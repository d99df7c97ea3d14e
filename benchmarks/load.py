"""A generator of signed deliveries over raw sockets, so that what takes time is the server."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from urllib.parse import urlencode

from sandbox.cast import SIGNING_SECRET

from benchmarks.figures import percentile

HEAD = (
    "POST /slack/events HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    "Content-Type: application/x-www-form-urlencoded\r\n"
)
NUMBERS = count(1)
"""Each delivery is another person's, for another phone."""


@dataclass(frozen=True, slots=True)
class Load:
    """What came of some deliveries. `waits`: seconds from connecting to the end of the answer."""

    waits: list[float]
    seconds: float
    refused: int
    """Answers other than 200."""

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.waits) / self.seconds

    def ms(self, share: float) -> float:
        """Milliseconds within which so great a share was answered."""
        return percentile(self.waits, share) * 1000


def deliveries(how_many: int, text: str = "", user: str = "") -> Iterator[bytes]:
    """Yield signed slash commands, whole requests of HTTP/1.1.

    `text`: in place of a target and a reason; `user`: who types all of them, in place of somebody new each.
    """
    for _ in range(how_many):
        number = next(NUMBERS)
        fields = {
            "command": "/reset-passcode",
            "text": text or f"p{number}@contoso.com locked out at a customer",
            "user_id": user or f"U{number:08}",
            "team_id": "T0CONTOSO",
            "trigger_id": f"{number}.1.benchmark",
            "channel_id": "C0SUPPORT",
            "response_url": "https://hooks.slack.com/commands/T0CONTOSO/1/x",
        }
        body, stamp = urlencode(fields), str(int(time.time()))
        signature = hmac.new(
            SIGNING_SECRET.encode(), f"v0:{stamp}:{body}".encode(), hashlib.sha256
        ).hexdigest()
        signed = f"X-Slack-Request-Timestamp: {stamp}\r\nX-Slack-Signature: v0={signature}\r\n"
        yield f"{HEAD}{signed}Content-Length: {len(body)}\r\n\r\n{body}".encode()


async def deliver(port: int, requests: Iterable[bytes], *, clients: int, pause: float = 0) -> Load:
    """Deliver each, made as it is sent, on its own connection; `pause`: a client's seconds between two."""
    answers: list[tuple[float, bool]] = []
    left = iter(requests)

    async def client() -> None:
        for request in left:
            answers.append(await _answered(port, request))
            if pause:
                await asyncio.sleep(pause)

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return _load(answers, began)


async def pour(port: int, requests: Sequence[bytes], *, seconds: float) -> Load:
    """Deliver all within so many seconds, each at its time, whether earlier ones are answered or not."""
    began = time.perf_counter()

    async def later(number: int, request: bytes) -> tuple[float, bool]:
        await asyncio.sleep(began + number * seconds / len(requests) - time.perf_counter())
        return await _answered(port, request)

    return _load(await asyncio.gather(*map(later, count(), requests)), began)


async def _answered(port: int, request: bytes) -> tuple[float, bool]:
    """Return the seconds from connecting to the end of the answer, and whether it is 200."""
    began = time.perf_counter()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        answer = await reader.read(-1)
        writer.close()
    except OSError:  # it was aborted
        answer = b""
    return time.perf_counter() - began, answer.startswith(b"HTTP/1.1 200")


def _load(answers: Sequence[tuple[float, bool]], began: float) -> Load:
    waits = [seconds for seconds, _ in answers]
    return Load(waits, time.perf_counter() - began, [good for _, good in answers].count(False))
