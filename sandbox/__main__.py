"""`python -m sandbox`: the sandbox and the unchanged bot, or the sandbox alone for a bot of one's own."""

import argparse
import asyncio
import errno
import os
import signal
import sys
import webbrowser
from collections.abc import Sequence

from sandbox.app import Sandbox, serve
from sandbox.cast import KEN
from sandbox.demo import BotEnded, first, sandbox_and_bot


async def _with_bot(chosen: argparse.Namespace) -> None:
    run = sandbox_and_bot(
        port=chosen.port,
        socket_mode=chosen.socket_mode,
        action_seconds=chosen.action_seconds,
        grid=chosen.grid,
    )
    stopped = _signalled()
    async with run as (sandbox, bot):
        print(f"Unlatch runs here, with a local Slack, Entra and Intune:\n\n    {sandbox.base_url}/\n")
        print("Everything is in a temporary folder and gone after Ctrl-C.", flush=True)
        if not chosen.no_browser:
            await asyncio.to_thread(webbrowser.open, f"{sandbox.base_url}/")
        await first(stopped.wait(), bot.ended())


async def _alone(chosen: argparse.Namespace) -> None:
    sandbox = Sandbox(bot_url=chosen.bot_url, action_seconds=chosen.action_seconds)
    if chosen.grid:
        sandbox.slack.workspace.become_grid(KEN.id)
    stopped = _signalled()
    async with serve(sandbox, port=chosen.port):
        print(f"The sandbox listens on {sandbox.base_url}", flush=True)
        await stopped.wait()


def _signalled() -> asyncio.Event:
    """An event that is set by Ctrl-C or SIGTERM."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal; the exit status is 0 stopped, 1 it could not run, 2 wrong arguments."""
    chosen = _parser().parse_args(arguments)
    try:
        asyncio.run(_alone(chosen) if chosen.without_bot or chosen.bot_url else _with_bot(chosen))
    except BotEnded as end:
        print(f"The bot ended by itself. The end of its log:\n{end}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            print(f"Cannot listen on port {chosen.port}: {os.strerror(error.errno or 0)}.", file=sys.stderr)
            return 1
        advice = "stop what uses it, or choose another port with --port (0 takes any free one)"
        print(f"Port {chosen.port} is taken: {advice}.", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox", description="A local Slack, Entra and Intune, and a page to use them."
    )
    parser.add_argument("--port", type=_port, default=8080, help="0 takes any free one (default 8080)")
    parser.add_argument("--no-browser", action="store_true", help="print the page's address, open nothing")
    parser.add_argument("--socket-mode", action="store_true", help="let the bot use Socket Mode")
    parser.add_argument("--grid", action="store_true", help="let Slack be of an Enterprise Grid organization")
    parser.add_argument("--without-bot", action="store_true", help="start no bot: yours will connect")
    parser.add_argument("--bot-url", help="start no bot: yours listens at this address")
    parser.add_argument(
        "--action-seconds", type=_seconds, default=6.0, help="how long a phone takes to reset (default 6)"
    )
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise ValueError
    return port


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise ValueError
    return seconds


if __name__ == "__main__":
    sys.exit(main())
