"""List, parse and check a person's devices, beside raw httpx and `json.loads` on the same answer."""

import json
import time
from datetime import UTC, datetime
from statistics import median

from bot.domain.target import parse_target
from bot.domain.values import Secret
from bot.graph.devices import Intune, graph_client
from bot.log import set_up_log
from bot.timing import Timing

from benchmarks.figures import Figures, Goal
from benchmarks.processes import server

CALLS = 200
PERSON = parse_target("grace.hopper@contoso.com")
FIELDS = "id,deviceName,userId"
GOALS = [
    Goal(
        what="list, parse and check a person's devices",
        name="devices",
        of="raw_devices",
        unit="ms",
        at_most=1.3,
        kept=1.6,
    )
]


async def measure(figures: Figures, rounds: int) -> None:
    """Add `rounds` medians of each, in turns."""
    set_up_log("warning")
    async with server("graph") as port, graph_client(Timing()) as http:
        base = f"http://127.0.0.1:{port}/v1.0"
        intune = Intune(http, base, timing=Timing(), now=lambda: datetime.now(UTC))
        url, headers = (
            f"{base}/users/{PERSON.value}/managedDevices?$select={FIELDS}",
            {"Authorization": "Bearer x"},
        )
        for _ in range(rounds):
            raw, ours = [], []
            for _ in range(CALLS):
                began = time.perf_counter()
                json.loads((await http.get(url, headers=headers)).content)
                raw.append(time.perf_counter() - began)
                began = time.perf_counter()
                found = await intune.find(PERSON, Secret("x"))
                ours.append(time.perf_counter() - began)
                if len(found.devices) != 1:
                    raise SystemExit(f"Not found: {found}")
            figures.add(devices=median(ours) * 1000, raw_devices=median(raw) * 1000)
