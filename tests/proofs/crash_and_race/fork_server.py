"""Starts bots fast: everything is imported once, and every bot is a fork that runs the launcher.

A bot is a process of its own all the same: it opens its own files and sockets, and SIGKILL ends it whole.
Orders come as JSON lines on standard input, news go out on standard output. At the end of the input every
bot dies.
"""

import gc
import json
import os
import random
import select
import signal
import sys
import traceback
from typing import Any

import bot.app  # noqa: F401  what a start spends its time on
from tests.proofs.crash_and_race.launcher import launch

Order = dict[str, Any]


def main() -> None:
    """Obey until the input ends."""
    gc.freeze()
    wakeup_read, wakeup_write = os.pipe()
    os.set_blocking(wakeup_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakeup_write)
    alive: set[int] = set()
    unread = b""
    _report(ready=True)
    while True:
        readable, _, _ = select.select([0, wakeup_read], [], [])
        if wakeup_read in readable:
            os.read(wakeup_read, 1024)
            _reap(alive)
        if 0 in readable:
            heard = os.read(0, 65536)
            if not heard:
                break
            *lines, unread = (unread + heard).split(b"\n")
            for line in lines:
                _run(json.loads(line), alive, (wakeup_read, wakeup_write))
    for pid in alive:
        os.kill(pid, signal.SIGKILL)


def _run(order: Order, alive: set[int], private: tuple[int, int]) -> None:
    if order["do"] == "kill":
        if order["pid"] in alive:  # it is not buried, so its number belongs to nobody else
            os.kill(order["pid"], signal.SIGKILL)
        return
    pid = os.fork()
    if pid == 0:
        _become_bot(order, private)
    alive.add(pid)
    _report(started=pid)


def _become_bot(order: Order, private: tuple[int, int]) -> None:
    """Become a bot."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for pipe in private:
        os.close(pipe)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, file in ((0, nothing), (1, log), (2, log)):
        os.dup2(file, number)
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    random.seed()
    status = 70
    try:
        status = launch(order["arguments"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _reap(alive: set[int]) -> None:
    while alive:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        alive.discard(pid)
        _report(ended=pid, status=os.waitstatus_to_exitcode(status))


def _report(**news: object) -> None:
    os.write(1, json.dumps(news).encode() + b"\n")


if __name__ == "__main__":
    main()
