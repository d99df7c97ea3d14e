"""The Web API's front door: methods, tokens, scopes, encodings, the journal."""

import json

import pytest
from sandbox.cast import APP_TOKEN, BOT_TOKEN
from sandbox.slack.web_api import METHODS
from slack_office import BASE, BOT, BOT_AUTH, MEI, ON_CALL, SUPPORT, Office


async def test_an_unknown_method_is_named_so():
    assert await Office().error("chat.shout") == "unknown_method"


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"api.test"}))
async def test_every_method_wants_a_token_that_it_knows(method: str):
    office = Office()

    without = await office.http.post(f"/slack/api/{method}")
    wrong = await office.http.post(f"/slack/api/{method}", headers={"Authorization": "Bearer xoxb-other"})

    assert without.json() == {"ok": False, "error": "not_authed"}
    assert wrong.json() == {"ok": False, "error": "invalid_auth"}


async def test_each_kind_of_token_has_its_methods():
    office = Office()
    app_level = {"Authorization": f"Bearer {APP_TOKEN}"}

    assert await office.error("apps.connections.open") == "not_allowed_token_type"
    said = (await office.http.post("/slack/api/auth.test", headers=app_level)).json()
    assert said["error"] == "not_allowed_token_type"
    opened = (await office.http.post("/slack/api/apps.connections.open", headers=app_level)).json()
    assert opened["url"].startswith("ws://127.0.0.1:8080/slack/socket?ticket=")


async def test_auth_test_says_who_the_bot_is():
    body = await Office().done("auth.test")

    assert (body["team_id"], body["user_id"], body["bot_id"]) == ("T0CONTOSO", BOT, "B0UNLATCH")


async def test_arguments_come_as_form_json_or_query():
    office, ask = Office(), "/slack/api/users.info"

    form = await office.http.post(ask, data={"token": BOT_TOKEN, "user": MEI})
    multipart = await office.http.post(
        ask, files={"user": (None, MEI)}, data={"token": BOT_TOKEN}, headers=BOT_AUTH
    )
    as_json = await office.http.post(ask, json={"user": MEI}, headers=BOT_AUTH)
    query = await office.http.get(ask, params={"user": MEI, "token": BOT_TOKEN})

    assert [r.json()["user"]["id"] for r in (form, multipart, as_json, query)] == [MEI] * 4


async def test_a_token_inside_a_json_body_is_not_read():
    office = Office()

    response = await office.http.post("/slack/api/users.info", json={"user": MEI, "token": BOT_TOKEN})

    assert response.json()["error"] == "not_authed"


@pytest.mark.parametrize(
    ("content", "content_type", "error"),
    [
        (b"{not", "application/json", "invalid_json"),
        (b"[]", "application/json", "json_not_object"),
        (b"<x/>", "application/xml", "invalid_post_type"),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused(content: bytes, content_type: str, error: str):
    headers = {**BOT_AUTH, "Content-Type": content_type}

    response = await Office().http.post("/slack/api/auth.test", content=content, headers=headers)

    assert response.json()["error"] == error


@pytest.mark.parametrize(
    ("method", "arguments", "needed"),
    [
        ("chat.postMessage", {"channel": ON_CALL, "text": "x"}, "chat:write"),
        ("users.info", {"user": MEI}, "users:read"),
        ("users.lookupByEmail", {"email": "mei@contoso.com"}, "users:read,users:read.email"),
        ("conversations.members", {"channel": ON_CALL}, "groups:read"),
        ("conversations.info", {"channel": SUPPORT}, "channels:read"),
        ("conversations.info", {"channel": "D0MEI"}, "im:read"),
        ("conversations.history", {"channel": ON_CALL}, "groups:history"),
        ("conversations.open", {"users": MEI}, "im:write"),
        ("usergroups.list", {}, "usergroups:read"),
    ],
)
async def test_a_missing_scope_is_named(method: str, arguments: dict[str, str], needed: str):
    office = Office(scopes=["commands"])

    body = await office.call(method, **arguments)

    assert body == {"ok": False, "error": "missing_scope", "needed": needed, "provided": "commands"}
    assert office.slack.scopes_used == set()


async def test_the_scopes_that_were_used_are_remembered():
    office = Office()
    await office.done("usergroups.list")
    await office.done("conversations.members", channel=ON_CALL)
    await office.slack.command(MEI, SUPPORT, "/reset-passcode")

    assert office.slack.scopes_used == {"usergroups:read", "groups:read", "commands"}


async def test_the_headers_tell_the_scopes():
    response = await Office().http.post("/slack/api/usergroups.list", headers=BOT_AUTH)

    assert "chat:write" in response.headers["x-oauth-scopes"].split(",")
    assert response.headers["x-accepted-oauth-scopes"] == "usergroups:read"


async def test_the_journal_keeps_who_called_what_and_never_a_token_or_a_text():
    office = Office()
    await office.done("chat.postMessage", channel=ON_CALL, text="the passcode is 4711")
    await office.error("chat.postMessage", channel="C0NOWHERE", text="x")
    await office.http.post("/slack/api/auth.test", headers={"Authorization": "Bearer stolen"})

    noted = [(c.to, c.method, c.status, c.bearer.kind, c.note) for c in office.journal.calls]

    assert noted == [
        ("slack", "chat.postMessage", 200, "bot", ON_CALL),
        ("slack", "chat.postMessage", 200, "bot", "ok:false channel_not_found"),
        ("slack", "auth.test", 200, "unknown", "ok:false invalid_auth"),
    ]
    kept = repr(office.journal.calls)
    assert not [secret for secret in ("4711", "stolen", BOT_TOKEN) if secret in kept]


async def test_a_bad_moment_of_slack_happens_on_demand():
    office = Office()
    office.slack.limit_next("chat.postMessage", seconds=7)
    office.slack.fail_next("chat.postMessage", "internal_error")
    office.slack.break_next("chat.postMessage", 503, after=True)

    answers = [
        await office.http.post(
            "/slack/api/chat.postMessage", json={"channel": ON_CALL, "text": "x"}, headers=BOT_AUTH
        )
        for _ in range(4)
    ]

    assert [a.status_code for a in answers] == [429, 200, 503, 200]
    assert answers[0].headers["retry-after"] == "7"
    assert json.loads(answers[1].content)["error"] == "internal_error"
    assert len(office.slack.messages(ON_CALL)) == 2  # the third was carried out before it broke


async def test_api_test_needs_no_token():
    response = await Office().http.post(f"{BASE}/slack/api/api.test")

    assert response.json()["ok"] is True
