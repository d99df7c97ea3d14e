"""The page's API: gestures in, the whole picture out, and nobody from elsewhere."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sandbox.app import Sandbox, serve
from sandbox.cast import BOT_TOKEN, SIGNING_SECRET
from slack_office import KEN, MEI, OLGA, ON_CALL, SUPPORT, App, actions, modal


class Stage:
    """The sandbox in this process, an app that does as it is told, and the page's requests."""

    def __init__(self) -> None:
        self.app = App()
        transport = httpx.ASGITransport(self.app.asgi, raise_app_exceptions=False)
        self.sandbox = Sandbox(bot_url="http://bot.test", transport=transport)
        self.slack = self.sandbox.slack
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.sandbox.asgi), base_url=self.sandbox.base_url
        )

    async def does(self, user: str, gesture: str, **body: Any) -> httpx.Response:
        return await self.http.post(f"/sandbox/people/{user}/{gesture}", json=body)

    async def api(self, method: str, **arguments: Any) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {BOT_TOKEN}"}
        response = await self.http.post(f"/slack/api/{method}", json=arguments, headers=headers)
        answer: dict[str, Any] = response.json()
        assert answer["ok"], answer
        return answer

    async def state(self) -> dict[str, Any]:
        state: dict[str, Any] = (await self.http.get("/sandbox/state")).json()
        return state

    async def opens_a_modal(self) -> dict[str, Any]:
        await self.slack.command(MEI, SUPPORT, "/reset-passcode")
        view: dict[str, Any] = (
            await self.api("views.open", trigger_id=self.app.last["trigger_id"], view=modal())
        )["view"]
        return view


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    yield stage
    await stage.sandbox.close()


async def test_a_typed_command_reaches_the_bot(stage: Stage):
    answer = await stage.does(MEI, "command", channel=SUPPORT, text="/reset-passcode help")
    await stage.slack.until(lambda: stage.app.bodies)

    assert (answer.status_code, answer.json()) == (202, {})
    assert stage.app.last["text"] == "help"


async def test_a_message_stands_in_the_channel(stage: Stage):
    await stage.does(MEI, "message", channel=SUPPORT, text="my phone is locked")

    [message] = (await stage.state())["messages"][SUPPORT]
    assert message["from"] == {"id": MEI, "name": "Mei Tanaka", "app": False}
    assert message["text"] == "my phone is locked"


async def test_a_click_reaches_the_bot(stage: Stage):
    card = await stage.api("chat.postMessage", channel=ON_CALL, text="card", blocks=[actions()])
    place = {"channel": ON_CALL, "ts": card["ts"], "block_id": "decision", "action_id": "approve"}

    answer = await stage.does(KEN, "click", **place, value="ignored")
    await stage.slack.until(lambda: stage.app.bodies)

    assert answer.status_code == 202
    assert stage.app.last["actions"][0]["value"] == "R1"  # what the app put there, not what the page says


async def test_a_form_is_submitted_and_its_errors_come_back(stage: Stage):
    view = await stage.opens_a_modal()
    typed = {"reason": {"reason_typed": {"type": "plain_text_input", "value": "x"}}}
    stage.app.says({"response_action": "errors", "errors": {"reason": "Say more."}})

    refused = await stage.does(MEI, "submit", view_id=view["id"], values=typed)
    shown = (await stage.state())["modals"][MEI][0]
    stage.app.says("")
    accepted = await stage.does(MEI, "submit", view_id=view["id"], values=typed)

    assert refused.json() == {"errors": {"reason": "Say more."}}
    assert shown["errors"] == {"reason": "Say more."}
    assert shown["state"]["reason"]["reason_typed"]["value"] == "x"
    assert accepted.json() == {"closed": True}
    assert (await stage.state())["modals"][MEI] == []


async def test_a_bot_in_trouble_is_told_to_the_person(stage: Stage):
    view = await stage.opens_a_modal()
    stage.app.fails(500)
    values = {"reason": {"reason_typed": {"type": "plain_text_input", "value": "x"}}}

    answer = await stage.does(MEI, "submit", view_id=view["id"], values=values)

    assert answer.status_code == 502
    assert "trouble connecting" in answer.json()["error"]
    [notice] = (await stage.state())["notices"][MEI]
    assert (await stage.does(MEI, "dismiss", id=notice["id"])).status_code == 200
    assert (await stage.state())["notices"][MEI] == []


async def test_a_modal_is_closed_and_an_ephemeral_message_dismissed(stage: Stage):
    view = await stage.opens_a_modal()
    shown = await stage.api("chat.postEphemeral", channel=ON_CALL, user=KEN, text="only you")
    [message] = (await stage.state())["messages"][ON_CALL]
    assert message["only_for"] == KEN

    await stage.does(MEI, "close", view_id=view["id"])
    await stage.does(KEN, "dismiss", id=shown["message_ts"])

    state = await stage.state()
    assert state["modals"][MEI] == []
    assert state["messages"][ON_CALL] == []


@pytest.mark.parametrize(
    ("user", "gesture", "body", "status"),
    [
        ("U0NOBODY", "command", {"channel": SUPPORT, "text": "/x"}, 404),
        (MEI, "dance", {}, 404),
        (MEI, "command", {"channel": ON_CALL, "text": "/reset-passcode"}, 409),
        (MEI, "command", {"channel": SUPPORT}, 400),
        (MEI, "click", {"channel": SUPPORT, "block_id": "b", "action_id": "a"}, 409),
        (MEI, "submit", {"view_id": "V1", "values": {}}, 409),
        (MEI, "submit", {"view_id": "V1", "values": []}, 409),
        (MEI, "close", {"view_id": "V1"}, 409),
        (MEI, "dismiss", {"id": "N1"}, 404),
    ],
)
async def test_what_cannot_be_done_is_said_in_a_sentence(
    stage: Stage, user: str, gesture: str, body: dict[str, Any], status: int
):
    answer = await stage.does(user, gesture, **body)

    assert answer.status_code == status
    assert answer.json()["error"].endswith(".")


async def test_phones_and_roles_are_changed_from_the_page(stage: Stage):
    state = await stage.state()
    phone, role = state["phones"][0]["id"], state["roles"][0]["oid"]

    await stage.http.post(f"/sandbox/phones/{phone}", json={"behaviour": "fails"})
    await stage.http.post(f"/sandbox/roles/{role}", json={"reset_passcode": True})
    tried = await stage.http.post(f"/sandbox/phones/{phone}/unlock", json={"passcode": "0000"})
    wrong = [
        await stage.http.post("/sandbox/phones/none", json={"behaviour": "fails"}),
        await stage.http.post(f"/sandbox/phones/{phone}", json={"behaviour": "explodes"}),
        await stage.http.post(f"/sandbox/phones/{phone}", json={}),
    ]

    state = await stage.state()
    assert state["phones"][0]["behaviour"] == "fails"
    assert state["roles"][0]["reset_passcode"] is True
    assert tried.json() == {"open": False}
    assert [answer.status_code for answer in wrong] == [404, 400, 400]


async def test_the_picture_is_whole(stage: Stage):
    state = await stage.state()

    assert set(state) == {
        *("seq", "bot", "team", "people", "channels", "messages", "modals", "notices", "usergroups"),
        *("phones", "roles", "faults", "calls"),
    }
    olga = next(person for person in state["people"] if person["id"] == OLGA)
    assert (olga["initials"], olga["team"]["name"], olga["direct"]) == ("ON", "Fabrikam", "D0OLGA")
    assert olga["channels"] == [SUPPORT, "D0OLGA"]
    assert state["channels"][ON_CALL] == {
        "id": ON_CALL,
        "name": "on-call-leads",
        "private": True,
        "direct": False,
        "shared": False,
        "members": [KEN, "U0AIKO", "U0UNLATCH"],
    }
    assert state["bot"] == {"reachable": True, "mode": "http"}


async def test_the_picture_holds_no_secret(stage: Stage):
    await stage.api("auth.test")

    picture = (await stage.http.get("/sandbox/state")).text

    assert not [secret for secret in (BOT_TOKEN, SIGNING_SECRET) if secret in picture]


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
async def test_a_page_from_elsewhere_drives_nothing(stage: Stage, path: str, headers: dict[str, str]):
    body = {"channel": SUPPORT, "text": "x"}

    answer = await stage.http.post(path, json=body, headers=headers)

    assert answer.status_code == 403
    assert stage.slack.messages(SUPPORT) == []


async def test_the_sandboxes_own_page_may(stage: Stage):
    headers = {"Origin": stage.sandbox.base_url}

    answer = await stage.http.post(
        f"/sandbox/people/{MEI}/message", json={"channel": SUPPORT, "text": "x"}, headers=headers
    )

    assert answer.status_code == 202


async def test_a_plain_form_is_not_json(stage: Stage):
    answer = await stage.http.post(
        f"/sandbox/people/{MEI}/message",
        content=json.dumps({"channel": SUPPORT, "text": "x"}),
        headers={"Content-Type": "text/plain"},
    )

    assert answer.status_code == 400


async def test_whoever_watches_sees_each_change():
    async with (
        serve(Sandbox()) as sandbox,
        httpx.AsyncClient(base_url=sandbox.base_url, timeout=5) as client,
        client.stream("GET", "/sandbox/events") as stream,
    ):
        states = _states(stream)
        first = await anext(states)
        sandbox.slack.message(MEI, SUPPORT, "one")
        sandbox.slack.message(MEI, SUPPORT, "two")
        second = await anext(states)

        assert stream.headers["content-type"].startswith("text/event-stream")
        assert first["messages"][SUPPORT] == []
        assert [m["text"] for m in second["messages"][SUPPORT]] == ["one", "two"]
        assert second["seq"] > first["seq"]


async def test_a_bot_that_comes_up_is_seen(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sandbox.reachability.SECONDS_BETWEEN_LOOKS", 0.02)
    async with serve(Sandbox()) as sandbox, serve(Sandbox()) as somebody:
        assert sandbox.content()["bot"]["reachable"] is False
        sandbox.bot_url = somebody.base_url
        await sandbox.slack.until(lambda: sandbox.content()["bot"]["reachable"])


async def test_the_page_is_served_to_itself_only():
    async with (
        serve(Sandbox()) as sandbox,
        httpx.AsyncClient(base_url=sandbox.base_url) as client,
    ):
        page = await client.get("/")

        assert page.headers["content-type"].startswith("text/html")
        assert page.headers["x-frame-options"] == "DENY"


async def _states(stream: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in stream.aiter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))
