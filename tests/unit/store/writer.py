"""A process that stores requests and says which are acknowledged, until it is killed.

`python -m tests.unit.store.writer URL`
"""

import asyncio
import sys

from bot.store.database import Database
from tests.support.database import audit_log
from tests.unit.store.rows import a_request, stored


async def main(url: str) -> None:
    """Store from sixteen callers at once; one line of output an acknowledgement."""
    database = Database(url, audit_log())

    async def caller() -> None:
        while True:
            request = await stored(database, a_request())
            print(request.id, flush=True)

    await asyncio.gather(*(caller() for _ in range(16)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
