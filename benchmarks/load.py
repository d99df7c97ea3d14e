"""A generator of signed deliveries over raw sockets, so that what takes time is the server."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Iterable, Iterator
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


def deliveries(how_many: int, text: str = "") -> Iterator[bytes]:
    """Yield signed slash commands, whole requests of HTTP/1.1; `text`: in place of a target and a reason."""
    for _ in range(how_many):
        number = next(NUMBERS)
        fields = {
            "command": "/reset-passcode",
            "text": text or f"p{number}@contoso.com locked out at a customer",
            "user_id": f"U{number:08}",
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
    waits: list[float] = []
    left, refused = iter(requests), 0

    async def client() -> None:
        nonlocal refused
        for request in left:
            began = time.perf_counter()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            answer = await reader.read(-1)
            waits.append(time.perf_counter() - began)
            refused += not answer.startswith(b"HTTP/1.1 200")
            writer.close()
            if pause:
                await asyncio.sleep(pause)

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return Load(waits, time.perf_counter() - began, refused)
