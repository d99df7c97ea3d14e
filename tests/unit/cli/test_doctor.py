"""`unlatch doctor` names each first-day error, and what to do about it."""

import ast
import asyncio
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from bot import app, doctor
from bot.audit import HeadKeeper
from bot.doctor import CHECKS
from bot.keys import new_key
from bot.settings import CATALOG
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from sandbox.cast import AIKO, APP_TOKEN, GUS, KEN, MEI
from sandbox.faults.rules import Rule
from sandbox.slack.local_slack import SCOPES
from sandbox.slack.web_api import METHODS
from slack_sdk.web.async_client import AsyncWebClient
from tests.support.certificates import certificate, pem
from tests.support.database import opened
from tests.support.environment import COMPLETE
from tests.unit.cli.conftest import Installation

SLACK = Path(__file__).parents[3] / "bot" / "slack"
NOWHERE = "http://127.0.0.1:9"
GUID = "99999999-9999-4999-8999-999999999999"
GROUP, EMPTY = {"approvers": "usergroup:S0ONCALL"}, {"usergroup": "empty"}
NONE = EMPTY | {"person": AIKO.id, "requesters": "usergroup:S0ONCALL"}
MEIS, KENS = {"person": MEI.id}, {"person": KEN.id}
BOTH = "channel:C0ONCALL, usergroup:S0ONCALL"
WRONG = {"credential": "wrong"}
MICROSOFT = "https://login.microsoftonline.com/contoso.com"
TOKEN, CHANNEL, ASKS = "Slack: bot token", "Slack: approver channel", "Slack: requesters"
APPROVES, MESSAGES = "Slack: approvers", "Slack: direct messages"
TENANT, APP, PUBLIC = "Entra: tenant", "Entra: app", "Reached at PUBLIC_URL"


async def examine(it: Installation, *, person: str = "", post_to: str = "", **planted: Any) -> Any:
    """Return each result by its check. `planted`: as for `Installation`, and `fault` (vendor, kind)."""
    (it.folder / "mounts").write_text(planted.pop("mounts", "disk / ext4"))
    if fault := planted.pop("fault", None):
        it.sandbox.faults.add(Rule(to=fault[0], kind=fault[1], status=502))
    settings = it.settings(**{"port": "0"} | planted)
    return {result.check: result for result in await doctor.examine(settings, person=person, post_to=post_to)}


@pytest.fixture
async def migrated(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """An installation whose database is up to date, on a disk that stays."""
    monkeypatch.setattr("bot.store.engine.MOUNTS", installation.folder / "mounts")
    await installation.migrate()
    return installation


@cache
def key_and_certificate(days: int) -> str:
    """Return both; the certificate ends in so many days, for 0 it is an elliptic curve's."""
    key = ec.generate_private_key(ec.SECP256R1()) if days == 0 else rsa.generate_private_key(65537, 2048)
    return pem(key) + certificate(key, days=days)


async def test_where_all_is_right_nothing_is_wrong_and_nothing_is_done(migrated):
    found = await examine(migrated, **GROUP, slack_app_token=APP_TOKEN)
    untold = {"Audit heads": "unknown", MESSAGES: "unknown", PUBLIC: "unknown"}
    assert {name: result.state for name, result in found.items() if result.state != "ok"} == untold
    assert set(found) == {name for name, *_ in CHECKS} - {"Person"}
    slack = migrated.sandbox.slack  # no socket was opened, nothing was posted
    assert (slack.mode, slack.messages("C0ONCALL"), slack.direct(KEN.id)) == ("http", [], [])


FEW = [scope for scope in SCOPES if scope not in ("im:history", "groups:history", "usergroups:read")]
PLANTED: dict[str, tuple[str, str, dict[str, Any]]] = {
    # the check; its mark, and words of what is found and what to do; what is planted
    "o31": ("Database", "✗ unlatch migrate … {folder}/no", {"database_url": "sqlite:///{folder}/no"}),
    "another's": ("Database", "✗ belongs to … as they were", {"entra_client_id": GUID}),
    "passing": ("Disk", "? ends with the container .*tmpfs … lose every request", {"mounts": "none / tmpfs"}),
    "no address": ("Database", "✗ no address … configure.md", {"database_url": "postgresql://db:x/y"}),
    "other key": ("Vault keys", "✗ none of them … VAULT_KEYS", {"vault_keys": new_key()}),
    "no heads": ("Audit heads", "? old copy … on a disk", {}),
    "heads unread": ("Audit heads", "✗ cannot be read … AUDIT_HEADS", {"audit_heads": "{folder}"}),
    "heads unwritten": ("Audit heads", "✗ be written … AUDIT_HEADS", {"audit_heads": "{folder}/no/heads"}),
    "heads of others": ("Audit heads", "✗ no head … VAULT_KEYS", {"audit_heads": "{folder}/9.pem"}),
    "refused": (TOKEN, "✗ invalid_auth … SLACK_BOT_TOKEN", {"slack_bot_token": "xoxb-wrong"}),
    "o24": (TOKEN, "✗ whole organization … one workspace", {"organization_wide": True}),
    "no Slack": (TOKEN, "✗ ClientConnectorError … SLACK_API_URL", {"slack_api_url": f"{NOWHERE}/"}),
    "s21": (TOKEN, "? ratelimited … in a minute", {"fault": ("slack", "429")}),
    "no channel": (CHANNEL, "✗ channel_not_found … /invite", {"approver_channel": "C0NO"}),
    "left": (CHANNEL, "✗ channel_not_found … /invite", {"channel": "left"}),
    "not in": (CHANNEL, "✗ not in #support … /invite", {"approver_channel": "C0SUPPORT"}),
    "public": (CHANNEL, "✗ is public … private", {"channel": "public"}),
    "shared": (CHANNEL, "✗ another organization … sharing", {"channel": "shared"}),
    "archived": (CHANNEL, "✗ #on-call-leads is archived … Unarchive", {"channel": "archived"}),
    "no group": (ASKS, "✗ no_such_subteam … id again", {"requesters": "usergroup:S0NO"}),
    "no audience": (ASKS, "✗ channel_not_found … id again", {"requesters": "channel:C0NO"}),
    "disabled": (APPROVES, "✗ no_such_subteam … enabled", {**GROUP, "usergroup": "disabled"}),
    "empty": (APPROVES, "✗ no members … Add people", GROUP | EMPTY),
    "lacking": (APPROVES, "✗ missing_scope … usergroups:read", {**GROUP, "scopes": FEW}),
    "scopes": ("Slack: scopes", "✗ groups:history, im:history … Add them", {"scopes": FEW}),
    "untold": ("Slack: scopes", "? does not say … manifest.yml", {"tells_scopes": False}),
    "untried": (MESSAGES, "? not tried … --post-to", {}),
    "s24": (MESSAGES, "✗ tab_disabled … Messages Tab", {"messages_tab": False, "post_to": KEN.id}),
    "app": ("Slack: app token", "✗ invalid_auth … connections:write", {"slack_app_token": "xapp-wrong"}),
    "form": ("Slack: signing secret", "? 32 hexadecimal … Basic Information", {}),
    "asks": ("Person", "✓ ^Mei .* may ask, by channel:C0SUPPORT; may not approve: .* in none … ", MEIS),
    "approves": ("Person", "✓ ^Ken .* by channel:C0SUPPORT; may approve, by channel:C0ONCALL$ … ", KENS),
    "by two": ("Person", f"✓ ^Ken .*by workspace; .*{BOTH} … ", KENS | GROUP | {"requesters": "workspace"}),
    "off call": ("Person", "✓ ^Ken .* may not approve: .* APPROVERS … ", KENS | GROUP | EMPTY),
    "in none": ("Person", "✓ ^Aiko .* may not ask: in no audience … ", NONE),
    "guest": ("Person", "✗ Gus Weber may not ask: .*guest … add a full member", {"person": GUS.id}),
    "stranger": ("Person", "✗ user_not_found … profile", {"person": "U0NO"}),
    "no Entra": (TENANT, "✗ ConnectError … ENTRA_AUTHORITY", {"entra_authority": f"{NOWHERE}/t"}),
    "no TLS": (TENANT, "✗ SSL … SSL_CERT_FILE", {"entra_authority": "{tls}/entra/t"}),
    "proxy": (TENANT, "✗ 502 … proxy", {"fault": ("entra", "5xx")}),
    "another tenant": (TENANT, "? Entra names http … Overview", {"entra_tenant_id": GUID}),
    "tenant": (TENANT, "✗ no such tenant … Overview", {"entra_authority": "{sandbox}/entra/other/v2.0"}),
    "cloud": (TENANT, "✗ CLOUD=usgov … CLOUD", {"entra_authority": MICROSOFT, "cloud": "usgov"}),
    "o23": (TENANT, "✗ not RSA … install.md", {"entra_client_certificate": "{folder}/0.pem"}),
    "expired": (TENANT, "✗ ended on … install.md", {"entra_client_certificate": "{folder}/-1.pem"}),
    "expires": (APP, "? expires on … upload", {"entra_client_certificate": "{folder}/9.pem"}),
    "not uploaded": (APP, "✗ 700027 … Upload", WRONG | {"entra_client_certificate": "{folder}/99.pem"}),
    "client id": (APP, "✗ AADSTS700016 … ENTRA_CLIENT_ID", {"entra_client_id": GUID}),
    "client secret": (APP, "✗ AADSTS7000215 … value, not its id", WRONG),
    "old secret": (APP, "✗ AADSTS7000222 … Make a new one", {"credential": "expired"}),
    "redirect": ("Entra: redirect URI", "✗ not know .*/callback … Add it", {"redirect_uris": []}),
    "no Graph": ("Graph", "✗ ConnectError … GRAPH_URL", {"graph_url": f"{NOWHERE}/v1.0"}),
    "not Graph": ("Graph", "✗ 502 … proxy", {"fault": ("graph", "5xx")}),
    "other Graph": ("Graph", "✗ CLOUD=global … Leave", {"graph_url": "https://graph.microsoft.us/v1.0"}),
    "fast": ("Clock", "✗ ahead of … NTP", {"clock_ahead": -400}),
    "slow": ("Clock", "✗ behind … NTP", {"clock_ahead": 70}),
    "not reached": (PUBLIC, "? ConnectError … browser", {"public_url": "http://127.0.0.1:9"}),
    "not the bot": (PUBLIC, "? 404 … HOST and PORT", {"public_url": "{sandbox}"}),
    "address": ("Listens on PORT", "✗ 192.0.2.1 … HOST", {"host": "192.0.2.1"}),
    "in use": ("Listens on METRICS_PORT", "? in use … while the bot runs", {"metrics_port": "{port}"}),
}


@pytest.mark.parametrize(("check", "said", "planted"), PLANTED.values(), ids=PLANTED)
async def test_what_is_found_is_named_with_its_cure(migrated, monkeypatch, check, said, planted):
    near = (check.partition(":")[0], "Database", TOKEN, CHANNEL)  # to look at the others takes time
    monkeypatch.setattr(doctor, "CHECKS", [row for row in CHECKS if row[0].startswith(near)])
    for days in (-1, 0, 9, 99):
        (migrated.folder / f"{days}.pem").write_text(key_and_certificate(days))
    mark, found, cure = said[0], *said[2:].format(folder=migrated.folder).split(" … ")
    result = (await examine(migrated, **planted))[check]
    assert doctor.MARKS[result.state] == mark, result
    assert [bool(re.search(found, result.detail)), bool(re.search(cure, result.cure))] == [True, True], result
    assert not re.search("xox.-wrong|xapp-wrong|sandbox-client", f"{result}")


def test_each_check_has_a_fault_that_is_planted():
    assert {check for check, *_ in PLANTED.values()} == {name for name, *_ in CHECKS}


def test_every_code_is_in_the_catalog_and_has_the_facts_of_its_sentences():
    sources = [Path(module.__file__).read_text() for module in (app, doctor)]
    nodes = [node for source in sources for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    calls = [node for node in nodes if getattr(node.func, "id", "") == "Finding"]
    for call in calls:
        facts = {keyword.arg for keyword in call.keywords}
        said = call.args[0]
        ways = [said.body, said.orelse] if isinstance(said, ast.IfExp) else [said]
        for code in [way.value for way in ways if isinstance(way, ast.Constant)]:
            texts = "".join((CATALOG["wrong"] | CATALOG["unknown"]).get(code, [f"{{{code}}}"]))
            assert None in facts or {*re.findall(r"\{(\w+)", texts)} <= facts, code


async def test_a_bot_that_is_reached_by_plain_http_is_in_doubt(migrated):
    async def alive(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nalive\n")
        writer.close()

    async with await asyncio.start_server(alive, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        assert "plain http" in (await examine(migrated, public_url=url))[PUBLIC].detail


async def test_a_disk_that_is_nearly_full_is_named(migrated, monkeypatch):
    monkeypatch.setattr("bot.doctor.MIN_FREE", 10**9)
    result = (await examine(migrated))["Disk"]
    assert (result.state, "MB are free in" in result.detail) == ("wrong", True)


async def test_a_kept_head_that_is_not_in_the_database_is_named(migrated):
    heads = migrated.folder / "heads"
    now, old = {"audit_heads": f"{heads}"}, {"database_url": f"sqlite:///{migrated.folder}/old"}
    async with opened(migrated.settings().database_url, await migrated.migrate()) as database:
        await HeadKeeper(database, heads).keep()
    assert (await examine(migrated, **now))["Audit heads"].detail == "up to row 1"
    await migrated.migrate(**old)
    assert "row 1, which was kept" in (await examine(migrated, **now, **old))["Audit heads"].detail


async def test_a_test_message_is_sent_to_the_person_alone(migrated):
    assert (await examine(migrated, post_to=KEN.id))[MESSAGES].state == "ok"
    [message] = migrated.sandbox.slack.direct(KEN.id)
    assert message.text == CATALOG["message"]


async def test_without_settings_each_is_named_and_what_needs_none_is_checked(environment, tmp_path, capsys):
    environment({"GRAPH_URL": NOWHERE, "APROVERS": "x"})
    assert await doctor.run(as_json=True) == 1
    found = {row["check"]: row for row in json.loads(capsys.readouterr().out)}
    wrong = {name for name, row in found.items() if row["state"] == "wrong"}
    assert wrong == {*COMPLETE, "APROVERS", "Graph"}
    assert found["Database"]["cure"].startswith("First put APPROVER_CHANNEL, ")
    assert found["Listens on METRICS_PORT"]["state"] == "ok"
    assert list(tmp_path.iterdir()) == []  # no database was made
    environment(COMPLETE | {"ENTRA_CLIENT_CERTIFICATE": "app.pem", "SLACK_API_URL": NOWHERE})
    await doctor.run()
    assert "✗ ENTRA_CLIENT_SECRET     set only one of the three, not" in capsys.readouterr().out
    (tmp_path / ".env").write_bytes("LOG_LEVEL=é".encode("utf-16"))
    assert await doctor.run() == 1
    assert capsys.readouterr().out.startswith("✗ Settings")


def test_the_scopes_are_those_of_the_methods_that_the_bot_calls():
    """By an attribute that Slack's client has too, or by a text that is such a method's name."""
    nodes = [node for path in SLACK.glob("*.py") for node in ast.walk(ast.parse(path.read_text()))]
    named = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    named |= {str(node.value).replace(".", "_") for node in nodes if isinstance(node, ast.Constant)}
    methods = {name for name in dir(AsyncWebClient) if "_" in name.strip("_")} - {"api_call"}
    scoped = [(method, scope) for scope, methods in CATALOG["scopes"].items() for method in methods]
    assert CATALOG["scopes"].keys() - {scope for _, scope in scoped} == {"commands"}
    assert named & methods == {name.replace(".", "_") for name in (*dict(scoped), *CATALOG["unscoped"])}
    for method, scope in scoped:  # a person's address comes with users.info, where it is granted
        kind = method.partition(".")[0].replace("conversations", "groups")
        assert scope.format(kind=kind, approvers=kind) in (*METHODS[method].accepts, "users:read.email")
