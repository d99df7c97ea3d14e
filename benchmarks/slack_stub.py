"""A Slack that answers `auth.test` and never answers anything else: what is measured is the bot alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from json import dumps

AUTH = {"ok": True, "user_id": "U0BOT", "bot_id": "B0BOT", "team_id": "T0CONTOSO", "team": "Contoso"}


@asynccontextmanager
async def slack_stub() -> AsyncIterator[str]:
    """Serve it; yields the base of its Web API."""
    hanging = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"auth.test" not in head.split(b"\r\n", 1)[0]:
            await hanging.wait()
        body = dumps(AUTH).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d"
        writer.write(head % len(body) + b"\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/api/"
    finally:
        hanging.set()
        server.close()
