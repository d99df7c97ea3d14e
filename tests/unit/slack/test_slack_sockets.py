"""Sockets to the sandbox: whatever ends them, both are open again soon, each by an address of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from bot.domain.errors import SlackRefused, SlackUnavailable
from bot.domain.values import Secret
from bot.slack.client import slack_client, slack_session
from bot.slack.receiver import SOCKETS, Socket, Sockets
from bot.timing import Timing
from sandbox.app import Sandbox, serve
from sandbox.cast import APP_TOKEN, BOT_TOKEN
from sandbox.slack.delivery import Ack, Envelope
from slack_bolt.async_app import AsyncAck, AsyncApp
from structlog.testing import capture_logs

SECOND = timedelta(seconds=1)
PAYLOAD = {"command": "/reset-passcode", "team_id": "T0CONTOSO", "user_id": "U0MEI"}
COMMAND = Envelope(kind="slash_commands", payload=PAYLOAD, takes_answer=True)
QUICK = Timing(socket_ping=SECOND / 5, socket_retry=SECOND / 100, slack_timeout=SECOND)


class Side:
    def __init__(self, sandbox: Sandbox, sockets: Sockets) -> None:
        self.sandbox, self.slack, self.sockets = sandbox, sandbox.slack, sockets
        self.at_slack = sandbox.slack.sockets

    async def are_open(self) -> None:
        """Wait until Slack has as many as there should be that it has not given up."""
        await self.slack.until(lambda: sum(not c.retiring for c in self.at_slack._open) >= SOCKETS, 10)


async def acknowledge(ack: AsyncAck) -> None:
    await ack()


@asynccontextmanager
async def side(token: str = APP_TOKEN) -> AsyncIterator[Side]:
    sandbox = Sandbox()
    async with serve(sandbox), slack_session(QUICK) as session:
        client = slack_client(Secret(BOT_TOKEN), f"{sandbox.base_url}/slack/api/", session)
        app = AsyncApp(client=client, request_verification_enabled=False, signing_secret="unused")
        app.command("/reset-passcode")(acknowledge)
        sockets = Sockets(lambda: Socket(app, Secret(token), client, QUICK), QUICK)
        try:
            yield Side(sandbox, sockets)
        finally:
            await sockets.close()


ENDS = {
    "S26-frozen": ("freeze", []),
    "S26-lost": ("cut", []),
    **{f"S26-lost-then-{status}": ("cut", [status] * 3) for status in (408, 409, 503)},
    "S26-frozen-then-409": ("freeze", [409] * 2),
}


@pytest.mark.parametrize(("end", "refusals"), ENDS.values(), ids=ENDS)
async def test_sockets_that_end_are_open_again_and_a_refused_handshake_takes_another_address(end, refusals):
    async with side() as it:
        await it.sockets.open()
        await it.are_open()
        it.at_slack.refused_handshakes += refusals
        with capture_logs() as logs:
            getattr(it.at_slack, end)()
            await it.are_open()
            while logs[-1]["event"] != "sockets_back":  # noqa: ASYNC110  nothing else tells
                await asyncio.sleep(0)
        assert it.at_slack.refused_handshakes == []
        lines = [(line["event"], line["cause"]) for line in logs if line["event"].startswith("socket")]
        assert lines[0] == ("socket_lost", "")
        assert ("socket_lost", f"handshake_{refusals[0]}") in lines if refusals else True
        assert lines[-1][0] == "sockets_back"


async def test_what_comes_over_a_socket_is_acknowledged():
    async with side() as it:
        await it.sockets.open()
        await it.are_open()
        assert await it.at_slack.carry(COMMAND) == Ack("ok")


@pytest.mark.parametrize("reason", ["warning", "refresh_requested", "too_many_websockets", "link_disabled"])
async def test_a_socket_that_slack_wants_back_is_closed_after_the_next_one_takes_over(reason):
    async with side() as it:
        await it.sockets.open()
        await it.are_open()
        old, fewest = list(it.at_slack._open), []
        it.slack.changed.listeners.append(lambda: fewest.append(it.at_slack.connections))
        await it.at_slack.disconnect(reason)
        await it.slack.until(lambda: not set(old) & set(it.at_slack._open), 10)
        await it.are_open()
        assert min(fewest) >= SOCKETS or reason == "link_disabled"  # which cuts it
        assert await it.at_slack.carry(COMMAND) == Ack("ok")


async def test_s21_a_start_tells_a_busy_slack_from_a_refused_token_and_opens_what_is_missing():
    async with side() as it:
        it.at_slack.refused_handshakes += [409]
        with pytest.raises(SlackUnavailable, match="handshake_409"):
            await it.sockets.open()
        it.slack.fail_next("apps.connections.open", "internal_error")
        with pytest.raises(SlackUnavailable, match="internal_error"):
            await it.sockets.open()
        await it.sockets.open()
        assert (it.at_slack.connections, await it.sockets.problem()) == (SOCKETS, "")
        it.slack.refuse("apps.connections.open", "invalid_auth")
        it.at_slack.cut()
        await it.slack.until(lambda: not it.at_slack.connections)
        while "invalid_auth" not in await it.sockets.problem():  # noqa: ASYNC110  as above
            await asyncio.sleep(0)
    async with side("xapp-wrong") as it:
        with pytest.raises(SlackRefused, match="invalid_auth"):
            await it.sockets.open()


def test_the_worst_that_ends_a_socket_is_over_within_thirty_seconds():
    timing = Timing()
    noticed = timing.socket_ping * 1.5 + timing.socket_ping / 5
    hangs, pause = timing.slack_timeout, timing.socket_retry * 4
    assert noticed + hangs + pause < timedelta(seconds=30)
