"""`make walk`: docs/install.md and docs/operate.md on an empty machine, by the documents' own commands.

A clone in an empty folder, with a home of its own; a phone is reset meanwhile, and an older copy restored.
The last line is `N commands, T s`; the exit status is 1 where a command did not end as the documents say.
"""

import asyncio
import os
import shlex
import shutil
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sandbox.app import Sandbox, serve
from sandbox.demo import settings
from tests.docs.test_docs import ROOT, UNLATCH, commands_of
from tests.support.postgres import free_port
from tests.support.user_actions import MEI, People

ASKED = ("PUBLIC_URL", "SLACK_BOT_TOKEN", "SLACK_SIGNING_SECRET", "APPROVER_CHANNEL", "ENTRA_TENANT_ID")
ASKED += ("ENTRA_CLIENT_ID", "ENTRA_CLIENT_SECRET")
"""What `init` asks for, in its order."""
KEPT = ("PATH", "LANG", "SSL_CERT_FILE", "PIP_CERT")
"""Of this machine's environment."""


class Walk:
    """An operator in a clone, beside the vendors on loopback."""

    def __init__(self, sandbox: Sandbox, folder: Path, given: Mapping[str, str]) -> None:
        self.people, self.folder, self.given = People(sandbox), folder / "unlatch", given
        self.environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        self.environment["HOME"] = str(folder)
        self.commands = 0

    async def start(self, command: str, **pipes: int) -> asyncio.subprocess.Process:
        self.commands += 1
        folder, words = self.folder, shlex.split(command)
        return await asyncio.create_subprocess_exec(*words, cwd=folder, env=self.environment, **pipes)

    async def run(self, command: str, *, typed: str = "", ends_with: int = 0, says: str = "") -> None:
        """Run it as it is written, and look at its exit status and its words."""
        began, pipe = time.monotonic(), asyncio.subprocess.PIPE
        process = await self.start(command, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
        said = (await process.communicate(typed.encode()))[0].decode()
        print(f"{time.monotonic() - began:6.1f} s  {command}", flush=True)
        if process.returncode != ends_with or says not in said:
            raise SystemExit(f"{command} ended with {process.returncode}:\n{said}")

    async def init(self, command: str) -> None:
        """Answer what it asks, and write down the addresses that only this proof needs."""
        answers = ["n", *(self.given[name] for name in ASKED), "", ""]
        await self.run(command, typed="\n".join(answers) + "\n", says="/sign-in/callback")
        others = self.given.keys() - {*ASKED, "VAULT_KEYS", "DATABASE_URL"}
        with (self.folder / ".env").open("a") as file:
            file.writelines(f"{name}={self.given[name]}\n" for name in [*sorted(others), "AUDIT_HEADS"])

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        process = await self.start(f"{UNLATCH}serve", stderr=asyncio.subprocess.PIPE)
        assert process.stderr is not None
        async for line in process.stderr:
            if b'"serving"' in line:
                break
        draining = asyncio.create_task(process.stderr.read())
        try:
            yield
        finally:
            process.terminate()
            await draining
            if await process.wait() != 0:
                raise SystemExit(f"serve ended with {process.returncode}")

    async def reset(self) -> None:
        """Mei asks, Ken signs in and approves, and Mei sees the new passcode."""
        await self.people.command(MEI, "serial:R5CX70ABCDE locked out in the field")
        await self.people.until(lambda: self.people.messages("C0ONCALL"))
        await self.people.approve()
        await self.people.until(lambda: "show_passcode" in str(self.people.direct(MEI)))
        await self.people.show_passcode()

    async def install(self) -> None:
        for command in commands_of(ROOT / "docs" / "install.md"):
            match command.removeprefix(UNLATCH):
                case "init":
                    await self.init(command)
                case "doctor":
                    await self.run(command, ends_with=1, says="→ Run `unlatch migrate`")
                case "serve":
                    pass  # from here on it runs beside what an operator does
                case _:
                    await self.run(command)

    async def operate(self) -> None:
        commands = commands_of(ROOT / "docs" / "operate.md")
        async with self.serving():
            await self.reset()
            for command in commands:
                if not command.endswith("audit resume"):
                    await self.run(command)
            await self.people.command(MEI, "ada@contoso.com locked out at a customer")
        for rest in self.folder.glob("unlatch.sqlite3-*"):
            rest.unlink()
        shutil.copy(self.folder / "copy.sqlite3", self.folder / "unlatch.sqlite3")
        await self.run(f"{UNLATCH}audit verify --heads heads", ends_with=1, says="kept head names row")
        await self.run(f"{UNLATCH}audit resume", says="Resumed after row")
        await self.run(f"{UNLATCH}audit verify --heads heads", says="restored at")
        async with self.serving():
            await self.run(f"{UNLATCH}doctor")


async def main() -> None:
    began = time.monotonic()
    with TemporaryDirectory(prefix="unlatch-walk-") as name:
        port, folder = free_port(), Path(name)
        sandbox = Sandbox(bot_url=f"http://127.0.0.1:{port}", action_seconds=0.5)
        async with serve(sandbox):
            given = settings(sandbox, port, folder, socket_mode=False) | {"AUDIT_HEADS": "heads"}
            walk = Walk(sandbox, folder, given)
            clone = await asyncio.create_subprocess_exec("git", "clone", "--quiet", ROOT, walk.folder)
            assert await clone.wait() == 0
            await walk.install()
            await walk.operate()
            await walk.people.aclose()
    print(f"{walk.commands} commands, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
