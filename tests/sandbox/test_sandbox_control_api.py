"""The control API: what people do goes in, everything they see comes out, and no other page drives it."""

import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from local_microsoft import KEN as KEN_ACCOUNT
from local_microsoft import PIXEL
from local_slack import BOT_AUTH, KEN, MEI, OLGA, ON_CALL, SUPPORT, App, actions, modal
from sandbox.app import Sandbox, serve
from sandbox.cast import BOT_TOKEN, SIGNING_SECRET
from sandbox.faults.connections import EXTENSION
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

TYPED = {"reason": {"reason_typed": {"type": "plain_text_input", "value": "x"}}}


class Page:
    """The sandbox in this process, an app that answers as told, and the page's requests."""

    def __init__(self) -> None:
        self.app = App()
        transport = httpx.ASGITransport(self.app.asgi, raise_app_exceptions=False)
        self.sandbox = Sandbox(bot_url="http://bot.test", transport=transport)
        self.slack = self.sandbox.slack
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.sandbox.asgi), base_url=self.sandbox.base_url
        )

    async def does(self, user: str, action: str, **body: Any) -> httpx.Response:
        return await self.http.post(f"/sandbox/people/{user}/{action}", json=body)

    async def api(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Call the Web API as the bot."""
        response = await self.http.post(f"/slack/api/{method}", json=arguments, headers=BOT_AUTH)
        answer: dict[str, Any] = response.json()
        assert answer["ok"], answer
        return answer

    async def state(self) -> dict[str, Any]:
        state: dict[str, Any] = (await self.http.get("/sandbox/state")).json()
        return state

    async def opened_modal(self) -> str:
        await self.slack.command(MEI, SUPPORT, "/reset-passcode")
        opened = await self.api("views.open", trigger_id=self.app.last["trigger_id"], view=modal())
        return str(opened["view"]["id"])


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    page = Page()
    yield page
    await page.sandbox.close()


async def test_a_command_and_a_click_reach_the_bot(page):
    card = await page.api("chat.postMessage", channel=ON_CALL, text="card", blocks=[actions()])
    place = {"channel": ON_CALL, "ts": card["ts"], "block_id": "decision", "action_id": "approve"}

    typed = await page.does(MEI, "command", channel=SUPPORT, text="/reset-passcode help")
    await page.slack.until(lambda: page.app.bodies)
    command = page.app.last
    clicked = await page.does(KEN, "click", **place, value="ignored")
    await page.slack.until(lambda: len(page.app.bodies) == 2)

    assert (typed.status_code, typed.json(), command["text"]) == (202, {}, "help")
    assert clicked.status_code == 202
    assert page.app.last["actions"][0]["value"] == "R1"  # what the app put there, not what the page says


async def test_a_modal_is_submitted_with_errors_in_vain_accepted_and_closed(page):
    view = await page.opened_modal()
    page.app.says({"response_action": "errors", "errors": {"reason": "Say more."}})
    refused = await page.does(MEI, "submit", view_id=view, values=TYPED)
    [shown] = (await page.state())["modals"][MEI]
    page.app.says(500)
    failed = await page.does(MEI, "submit", view_id=view, values=TYPED)
    [notice] = (await page.state())["notices"][MEI]
    page.app.says("")
    accepted = await page.does(MEI, "submit", view_id=view, values=TYPED)
    other = await page.opened_modal()
    await page.does(MEI, "close", view_id=other)

    assert refused.json() == {"errors": {"reason": "Say more."}}
    assert shown["errors"] == {"reason": "Say more."}
    assert shown["state"]["reason"]["reason_typed"]["value"] == "x"
    assert (failed.status_code, "trouble connecting" in failed.json()["error"]) == (502, True)
    assert accepted.json() == {"closed": True}
    assert (await page.state())["modals"][MEI] == []
    assert (await page.does(MEI, "dismiss", id=notice["id"])).status_code == 200
    assert (await page.state())["notices"][MEI] == []


async def test_phones_and_roles_are_changed(page):
    phone = f"/sandbox/phones/{PIXEL}"

    await page.http.post(phone, json={"behaviour": "fails"})
    await page.http.post(f"/sandbox/roles/{KEN_ACCOUNT}", json={"reset_passcode": False})
    tried = await page.http.post(f"{phone}/unlock", json={"passcode": "0000"})

    state = await page.state()
    assert [p["behaviour"] for p in state["phones"] if p["id"] == PIXEL] == ["fails"]
    assert [r["reset_passcode"] for r in state["roles"] if r["oid"] == KEN_ACCOUNT] == [False]
    assert tried.json() == {"open": False}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("people/U0NOBODY/command", {"channel": SUPPORT, "text": "/x"}, 404),
        (f"people/{MEI}/dance", {}, 404),
        (f"people/{MEI}/command", {"channel": ON_CALL, "text": "/reset-passcode"}, 409),
        (f"people/{MEI}/command", {"channel": SUPPORT}, 400),
        (f"people/{MEI}/click", {"channel": SUPPORT, "block_id": "b", "action_id": "a"}, 409),
        (f"people/{MEI}/submit", {"view_id": "V1", "values": {}}, 409),
        (f"people/{MEI}/submit", {"view_id": "V1", "values": [1]}, 400),
        (f"people/{MEI}/close", {"view_id": "V1"}, 409),
        (f"people/{MEI}/dismiss", {"id": "N1"}, 404),
        ("phones/none", {"behaviour": "fails"}, 404),
        ("phones/none/unlock", {"passcode": "1"}, 404),
        (f"phones/{PIXEL}", {"behaviour": "explodes"}, 400),
        (f"phones/{PIXEL}", {}, 400),
        ("roles/none", {"reset_passcode": True}, 404),
        (f"roles/{KEN_ACCOUNT}", {"reset_passcode": 1}, 400),
        ("sockets", {}, 400),
        ("sockets", {"reason": "boredom"}, 400),
        ("sockets", {"reason": "warning", "most": 0}, 400),
        ("sockets", ["warning"], 400),
    ],
)
async def test_what_cannot_be_done_is_refused_in_a_sentence(page, path, body, status):
    answer = await page.http.post(f"/sandbox/{path}", json=body)

    assert answer.status_code == status
    assert answer.json()["error"].endswith(".")


async def test_the_state_is_everything_that_the_page_shows_and_no_secret(page):
    await page.api("auth.test")
    answer = await page.http.get("/sandbox/state")

    state = answer.json()
    assert set(state) == {
        *("seq", "bot", "team", "people", "channels", "messages", "modals", "notices", "usergroups"),
        *("phones", "roles", "faults", "calls"),
    }
    [olga] = [person for person in state["people"] if person["id"] == OLGA]
    assert (olga["initials"], olga["team"]["name"], olga["direct"]) == ("ON", "Fabrikam", "D0OLGA")
    assert olga["channels"] == [SUPPORT, "D0OLGA"]
    assert state["channels"][ON_CALL] == {
        **{"id": ON_CALL, "name": "on-call-leads", "private": True, "direct": False, "shared": False},
        "members": [KEN, "U0AIKO", "U0UNLATCH"],
    }
    assert state["bot"] == {"reachable": True, "mode": "http"}
    assert not [secret for secret in (BOT_TOKEN, SIGNING_SECRET) if secret in answer.text]


async def test_what_arrived_at_the_vendors_can_be_counted(page):
    token = page.sandbox.entra.access_token(KEN_ACCOUNT)
    headers = {"Authorization": f"Bearer {token}", "client-request-id": "R1"}
    path = f"/graph/v1.0/deviceManagement/managedDevices/{PIXEL}/resetPasscode"
    await page.http.post(path, headers=headers)
    metadata = {"event_type": "reset", "event_payload": {"id": "R1"}}
    await page.api("chat.postMessage", channel=ON_CALL, text="card", metadata=metadata)

    [reset] = (await page.http.get("/sandbox/resets")).json()
    [message] = (await page.http.get("/sandbox/posted", params={"channel": ON_CALL})).json()
    everywhere = (await page.http.get("/sandbox/posted")).json()

    assert set(reset) == {"device", "form", "oid", "upn", "client_request_id", "at"}
    assert (reset["upn"], reset["client_request_id"]) == ("ken@contoso.com", "R1")
    assert (message["channel"], message["text"], message["by_app"]) == (ON_CALL, "card", True)
    assert (message["metadata"], everywhere) == (metadata, [message])
    nowhere = await page.http.get("/sandbox/posted", params={"channel": "C0NOWHERE"})
    assert nowhere.status_code == 404


@pytest.mark.parametrize("path", ["/sandbox/people/U0MEI/message", "/slack/api/chat.postMessage"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Host": "evil.example:8080"},
    ],
)
async def test_a_page_of_another_origin_is_refused(page, path, headers):
    answer = await page.http.post(path, json={"channel": SUPPORT, "text": "x"}, headers=headers)

    assert answer.status_code == 403
    assert page.slack.messages(SUPPORT) == []


async def test_the_sandboxs_own_page_may_send_json_and_no_form(page):
    path, body = f"/sandbox/people/{MEI}/message", {"channel": SUPPORT, "text": "x"}
    origin = {"Origin": page.sandbox.base_url}

    as_json = await page.http.post(path, json=body, headers=origin)
    as_form = await page.http.post(
        path, content=json.dumps(body), headers=origin | {"Content-Type": "text/plain"}
    )

    assert (as_json.status_code, as_form.status_code) == (202, 400)


async def test_the_page_is_never_framed_and_hears_of_each_change():
    async with (
        serve(Sandbox()) as sandbox,
        httpx.AsyncClient(base_url=sandbox.base_url, timeout=5) as http,
        http.stream("GET", "/sandbox/events") as stream,
    ):
        html = await http.get("/")
        states = _states(stream)
        first = await anext(states)
        sandbox.slack.message(MEI, SUPPORT, "one")
        sandbox.slack.message(MEI, SUPPORT, "two")
        second = await anext(states)

    assert html.headers["content-type"].startswith("text/html")
    assert html.headers["x-frame-options"] == "DENY"
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert first["messages"][SUPPORT] == []
    assert [m["text"] for m in second["messages"][SUPPORT]] == ["one", "two"]
    assert second["seq"] > first["seq"]


async def _states(stream: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in stream.aiter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


async def test_the_page_is_told_when_the_bots_server_begins_to_listen(monkeypatch):
    monkeypatch.setattr("sandbox.network.SECONDS_BETWEEN_LOOKS", 0.02)
    async with serve(Sandbox()) as sandbox, serve(Sandbox()) as bot:
        assert sandbox.content()["bot"]["reachable"] is False
        sandbox.bot_url = bot.base_url
        await sandbox.slack.until(lambda: sandbox.content()["bot"]["reachable"])


async def test_an_answer_on_a_kept_connection_is_not_held_back():
    sandbox, no_delay = Sandbox(), []

    async def looked_at(scope: Scope, receive: Receive, send: Send) -> None:
        connection = scope["extensions"][EXTENSION]["transport"].get_extra_info("socket")
        no_delay.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        await Response()(scope, receive, send)

    sandbox.asgi = looked_at
    async with serve(sandbox), httpx.AsyncClient() as http:
        await http.get(sandbox.base_url)
    assert no_delay == [1]
