"""A real Bolt app over signed HTTP, with Slack's own libraries. tests/end_to_end has one over a socket."""

from collections.abc import AsyncIterator

import httpx
import pytest
from local_slack import KEN, MEI, ON_CALL, SUPPORT, Json, actions, field, modal
from sandbox.app import Sandbox, serve
from sandbox.cast import BOT_TOKEN, SIGNING_SECRET
from slack_bolt.adapter.starlette.async_handler import AsyncSlackRequestHandler
from slack_bolt.async_app import AsyncAck, AsyncApp, AsyncRespond
from slack_sdk.web.async_client import AsyncWebClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    asgi = Starlette()
    transport = httpx.ASGITransport(asgi, raise_app_exceptions=False)
    async with serve(Sandbox(bot_url="http://bot.test", transport=transport)) as served:
        handler = AsyncSlackRequestHandler(_bolt(served.base_url))

        async def events(request: Request) -> Response:
            return await handler.handle(request)

        asgi.router.routes.append(Route("/slack/events", events, methods=["POST"]))
        yield served


def _bolt(base_url: str) -> AsyncApp:
    client = AsyncWebClient(token=BOT_TOKEN, base_url=f"{base_url}/slack/api/")
    app = AsyncApp(client=client, signing_secret=SIGNING_SECRET, process_before_response=True)

    @app.command("/reset-passcode")
    async def asked(ack: AsyncAck, body: Json, client: AsyncWebClient) -> None:
        await ack()
        await client.views_open(trigger_id=body["trigger_id"], view=modal(field(), callback_id="ask"))

    @app.view("ask")
    async def filed(ack: AsyncAck, body: Json, client: AsyncWebClient) -> None:
        reason = body["view"]["state"]["values"]["reason"]["reason_typed"]["value"]
        if reason == "because":
            await ack(response_action="errors", errors={"reason": "Say more."})
            return
        await ack()
        await client.chat_postMessage(channel=ON_CALL, text=f"Mei: {reason}", blocks=[actions()])

    @app.action("approve")
    async def approved(ack: AsyncAck, body: Json, client: AsyncWebClient, respond: AsyncRespond) -> None:
        await ack()
        await respond("You decided.", replace_original=False)
        await client.chat_update(channel=body["channel"]["id"], ts=body["message"]["ts"], text="decided")

    return app


async def test_ask_file_and_approve(sandbox):
    slack = sandbox.slack
    assert (await slack.command(MEI, SUPPORT, "/reset-passcode")).delivered
    await slack.until(lambda: slack.modal(MEI))

    assert (await slack.submit(MEI, {"reason": "because"})).errors == {"reason": "Say more."}
    assert slack.view(MEI).state["reason"]["reason_typed"]["value"] == "because"
    assert (await slack.submit(MEI, {"reason": "locked out"})).closed
    await slack.until(lambda: slack.messages(ON_CALL))

    assert (await slack.click(KEN, "approve", channel=ON_CALL)).delivered
    await slack.until(lambda: slack.messages(ON_CALL)[0].text == "decided")
    assert [m.text for m in slack.ephemerals(KEN)] == ["You decided."]
