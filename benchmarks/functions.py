"""How many functions of `bot/`, in how many files, run until an acknowledgement, and in one whole job."""

import argparse
import asyncio
import sys
from pathlib import Path

from sandbox.app import Sandbox, serve
from tests.support.postgres import free_port
from tests.support.user_actions import MEI, People

from benchmarks.measure import ROOT, bot_process, environment, measure, result, settings_for


async def run(tree: Path, python: str) -> None:
    """Print both pairs of numbers."""
    async with environment() as values:
        acknowledged = await measure(tree, python, values, "functions")
    for what, found in (("acknowledgement", acknowledged), ("whole job", await whole_job(tree, python))):
        print(f"{what}: {found['functions']} functions in {found['files']} files")


async def whole_job(tree: Path, python: str) -> dict[str, float]:
    """Count while a reset is asked for, approved after a sign-in, done, and its passcode shown."""
    port = free_port()
    sandbox = Sandbox(bot_url=f"http://127.0.0.1:{port}", action_seconds=0.5)
    async with serve(sandbox), bot_process(tree, python, settings_for(sandbox, port), "whole-job") as process:
        people = People(sandbox)
        assert process.stdout is not None
        await process.stdout.readline()
        await people.command(MEI, "serial:59040DLJH001 locked out in the field")
        await people.until(lambda: people.messages("C0ONCALL"))
        await people.approve()
        await people.until(lambda: "show_passcode" in str(people.direct(MEI)), seconds=60)
        await people.show_passcode()
        await people.aclose()
        return await result(process)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tree", type=Path, default=ROOT)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("-v", action="store_true", help="show the bot's log")
    chosen = parser.parse_args()
    asyncio.run(run(chosen.tree, chosen.python))
