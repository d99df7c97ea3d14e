"""One whole job: what it looks up in Slack, and how long an approval takes until the reset leaves."""

import asyncio
import time
from collections import Counter

from sandbox.app import Sandbox
from sandbox.demo import sandbox_and_bot
from tests.support.user_actions import KEN, MEI, People

from benchmarks.figures import Figures, Goal

GOALS = [
    Goal(
        what="approval pressed to `POST …/resetPasscode`, vendors' time taken off",
        name="click",
        unit="ms",
        at_most=15,
        kept=150,
    ),
    Goal(what="look-ups of people and members in one whole job", name="lookups", unit="", at_most=15),
    Goal(what="messages and updates in one whole job", name="messages", unit=""),
    Goal(what="modals in one whole job", name="views", unit=""),
]
PHONES = ("serial:R5CX70ABCDE", "serial:59040DLJH001")
LOOKUPS = ("users.info", "conversations.members", "usergroups.users.list")


async def measure(figures: Figures, rounds: int) -> None:
    """Add the figures of `rounds` jobs, each the second one of a bot, whose approver is signed in."""
    for _ in range(rounds):
        async with sandbox_and_bot(action_seconds=0.5) as (sandbox, _):
            people = People(sandbox)
            try:
                await _asked(people, PHONES[0])
                await people.approve()
                await people.until(lambda people=people: "show_passcode" in str(people.direct(MEI)))
                sandbox.journal.calls.clear()
                await _job(figures, sandbox, people)
            finally:
                await people.aclose()


async def _asked(people: People, phone: str) -> None:
    await people.command(MEI, f"{phone} locked out in the field")
    await people.until(lambda: people.offered("approve"))


async def _job(figures: Figures, sandbox: Sandbox, people: People) -> None:
    await _asked(people, PHONES[1])
    await people.open(KEN, "approve")
    [choice] = [block for block in people.modal(KEN)["blocks"] if block.get("block_id") == "device"]
    marks, began = len(sandbox.journal.calls), time.perf_counter()
    left = asyncio.create_task(_left(sandbox))
    await people.submit(KEN, device=choice["element"]["options"][-1]["value"])
    seconds = await left - began
    since = list(sandbox.journal.calls)[marks:]
    vendors = sum(call.duration_ms for call in since if "resetPasscode" not in call.path)
    figures.add(click=max(0.0, seconds * 1000 - vendors))
    await people.until(lambda: "show_passcode" in str(people.direct(MEI)[-1:]))
    await people.show_passcode()
    done = Counter(call.path.rpartition("/")[2] for call in sandbox.journal.calls if call.to == "slack")
    figures.add(
        lookups=sum(done[name] for name in LOOKUPS),
        messages=done["chat.postMessage"] + done["chat.update"],
        views=done["views.open"] + done["views.update"],
    )


async def _left(sandbox: Sandbox) -> float:
    """Wait until Graph has the reset; returns when."""
    changed, known = asyncio.Event(), {call.id for call in sandbox.journal.calls}
    sandbox.journal.on_change.append(changed.set)
    while not any("resetPasscode" in call.path for call in sandbox.journal.calls if call.id not in known):
        changed.clear()
        await changed.wait()
    return time.perf_counter()
