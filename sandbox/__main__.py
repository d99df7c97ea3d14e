"""`python -m sandbox`: the sandbox and the unchanged bot, or the sandbox alone for a bot of one's own."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence

from sandbox import demo
from sandbox.app import Sandbox, serve


async def run(*, port: int, bot_url: str | None, action_seconds: float) -> None:
    """Serve, say where in one line, and return after a signal. OSError if the port is taken."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with serve(Sandbox(bot_url=bot_url, action_seconds=action_seconds), port=port) as sandbox:
        print(f"The sandbox listens on {sandbox.base_url}", flush=True)
        await stopped.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; the exit status is 0 stopped, 1 the port is taken, 2 called wrongly."""
    chosen = _parser().parse_args(arguments)
    if not chosen.without_bot and chosen.bot_url is None:
        return asyncio.run(
            demo.run(port=chosen.port, open_browser=not chosen.no_browser, socket_mode=chosen.socket_mode)
        )
    try:
        asyncio.run(run(port=chosen.port, bot_url=chosen.bot_url, action_seconds=chosen.action_seconds))
    except OSError as error:
        print(f"Cannot listen on port {chosen.port}: {os.strerror(error.errno or 0)}.", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox", description="A local Slack, Entra and Intune, and a page to play in."
    )
    parser.add_argument("--port", type=_port, default=8080, help="0 takes any free one (default 8080)")
    parser.add_argument("--no-browser", action="store_true", help="print the page's address, open nothing")
    parser.add_argument("--socket-mode", action="store_true", help="let the bot use Socket Mode")
    parser.add_argument("--without-bot", action="store_true", help="start no bot: yours will connect")
    parser.add_argument("--bot-url", help="where the bot's HTTP server is: http://127.0.0.1:3000")
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
