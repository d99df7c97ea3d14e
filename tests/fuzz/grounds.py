"""What is fuzzed: each ground draws a case, as JSON, and plays it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

Case = Mapping[str, Any]


@dataclass(frozen=True)
class Ground:
    """`play` raises Wrong, or whatever broke. `share`: how many of a hundred inputs."""

    name: str
    share: int
    draw: Callable[[Random], Case]
    play: Callable[[Case], Awaitable[None]]
