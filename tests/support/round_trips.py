"""How long a server's answers take, one right after the other, on one connection where it keeps one."""

import time
from http.client import HTTPConnection
from statistics import median

DELAYED_ACK = 0.04
"""Seconds for which Linux holds an ACK back; a head and a body that are sent apart would wait for it."""


def round_trip(port: int, path: str, body: bytes, headers: dict[str, str]) -> float:
    """Return the median of the seconds that a POST takes."""
    connection, taken = HTTPConnection("127.0.0.1", port, timeout=10), []
    for _ in range(15):
        began = time.perf_counter()
        connection.request("POST", path, body, headers)
        connection.getresponse().read()
        taken.append(time.perf_counter() - began)
    connection.close()
    return median(taken)
