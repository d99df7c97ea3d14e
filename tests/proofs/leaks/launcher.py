"""`unlatch serve` with short pauses; `--plant`: crashes whose text holds the secrets at hand, once in each
adapter; `--debug`: a log level that no setting allows.
"""

import asyncio
import logging
import sys
import threading
import warnings
from collections.abc import Mapping
from typing import Any, Final

from bot import log as bot_log
from bot.domain.values import Secret
from bot.entra.client import EntraClient
from bot.entra.sign_ins import EntraSignIns
from bot.graph.devices import Intune
from bot.slack.client import SlackClient
from bot.slack.handlers import Handlers
from bot.slack.notifier import SlackNotifier
from tests.support.served_bot import migrate_and_serve

# fmt: off
LIBRARIES: Final = (
    "msal.application", "msal.token_cache", "httpx", "httpcore.http11", "httpcore.connection", "psycopg",
    "uvicorn.error", "uvicorn.access", "slack_bolt.unlatch", "slack_sdk.web.async_client", "aiohttp.access",
    "aiohttp.client", "sqlalchemy.engine.Engine", "sqlalchemy.pool", "asyncio", "alembic.runtime", "stamina",
    "urllib3.connectionpool", "some.library.of.tomorrow",
)
# fmt: on
PLANTS: Final[Mapping[str, tuple[type, str]]] = {
    "PlantedInGraph": (Intune, "actions"),
    "PlantedInReveal": (Intune, "passcode"),
    "PlantedInEntra": (EntraClient, "redeem"),
    "PlantedInVault": (EntraSignIns, "keep"),
    "PlantedInModal": (SlackClient, "update_modal"),
    "PlantedInNotifier": (SlackNotifier, "update_receipt"),
    "PlantedInHandler": (Handlers, "_denial"),
}
"""By the name of the exception: the method whose first call raises it, with all that it was given."""
UNCAUGHT: Final = type("PlantedUncaught", (Exception,), {})


def plant(name: str, owner: type, method: str) -> None:
    """Let the first call of a method raise; every later one goes through."""
    original = getattr(owner, method)
    kinds = [type(name, (Exception,), {})]

    def planted(*given: Any, **named: Any) -> Any:
        if kinds:
            values = [*given, *named.values(), *vars(given[0]).values()]
            raise kinds.pop()([value.reveal() if isinstance(value, Secret) else value for value in values])
        return original(*given, **named)

    setattr(owner, method, planted)


def crash_uncaught(secret: str) -> None:
    """Crash in a task, a callback, a thread, a destructor, a log call; and let libraries log the secret."""

    class Falls:
        def __del__(self) -> None:
            raise UNCAUGHT(secret)

    async def breaks() -> None:
        raise UNCAUGHT(secret)

    def throws(*_: object) -> None:
        raise UNCAUGHT(secret)

    loop = asyncio.get_running_loop()
    loop.call_soon(throws, secret)
    loop.create_task(breaks())  # noqa: RUF006  nothing looks at it: that is the point
    thread = threading.Thread(target=throws)
    thread.start()
    thread.join()
    del thread
    Falls()
    logging.getLogger("bot.graph").warning("%d", secret)
    logging.getLogger("slack_sdk.socket_mode").error(f"Failed to connect (error: url=wss://x/?t={secret})")
    warnings.warn(f"old: {secret}", UserWarning, stacklevel=1)
    for name in LIBRARIES:
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
            logging.getLogger(name).log(level, "Sending: %s", secret, exc_info=UNCAUGHT(secret))


def launch() -> None:
    set_up, find = bot_log.set_up_log, Intune.find

    async def find_and_crash(self: Intune, target: Any, token: Any) -> Any:
        crash_uncaught(token.reveal())
        return await find(self, target, token)

    if "--plant" in sys.argv:
        for name, (owner, method) in PLANTS.items():
            plant(name, owner, method)
        Intune.find = find_and_crash  # leaves crashes that no code of ours can catch
    if "--debug" in sys.argv:
        bot_log.set_up_log = lambda _level: set_up("debug")
    migrate_and_serve()


if __name__ == "__main__":
    launch()
