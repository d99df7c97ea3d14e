"""`unlatch doctor`: ask Slack, Entra, Graph and the database what is wrong, before a colleague meets it."""

import asyncio
import json
import os
import re
import shutil
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, closing, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import httpx
from cryptography import x509
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.app import entra_client, listener, rules, slack_finding
from bot.audit import last_head, signing_key
from bot.domain.errors import CouldNotVerify, Refusal, SlackError, StoreUnavailable
from bot.domain.people import Actor, Audience, AudienceKind
from bot.domain.policy import check_approver, check_requester
from bot.domain.values import Secret, UserId, read_object
from bot.entra.authority import Authority
from bot.entra.client import EntraClient
from bot.entra.links import CALLBACK_PATH
from bot.graph.devices import graph_client
from bot.graph.errors import HTTPX_ERRORS, graphs_id
from bot.settings import CATALOG, DEPLOYMENT, ENDPOINTS, Finding, Settings, SettingsError, read_settings
from bot.slack.client import WatchedClient, bot_user, call, slack_client, slack_session
from bot.slack.directory import SlackDirectory, problem_of
from bot.store.audit_log import HASH_AT, AuditLog
from bot.store.database import Database, write_nothing
from bot.store.engine import parse_url, passing_disk
from bot.timing import Timing

TIMING: Final = replace(Timing(), graph_timeout=timedelta(seconds=10), entra_timeout=timedelta(seconds=10))
MIN_FREE: Final = 100
"""Megabytes."""
MAX_SKEW, ENDS_SOON = timedelta(minutes=1), timedelta(days=30)
MARKS: Final = {"ok": "✓", "wrong": "✗", "unknown": "?"}
PERSON: Final = "Person"


@dataclass(eq=False, kw_only=True)
class Installation:
    """The settings, where they lead, and what earlier checks learned.

    A check returns what it found where that is right, else raises Finding. `post_to`: who is sent a test
    message. `person`: who is explained.
    """

    settings: Settings
    stack: AsyncExitStack
    slack: WatchedClient
    http: httpx.AsyncClient
    post_to: str | None = None
    person: str | None = None
    database: Database = field(init=False)
    entra: EntraClient = field(init=False)
    scopes: str = field(init=False, default="")
    kinds: dict[str, str] = field(init=False, default_factory=dict)
    """By channel or user group, as scopes name them: `groups` is for private channels."""
    skews: dict[str, timedelta] = field(init=False, default_factory=dict)
    """How far each vendor's clock is ahead of ours."""

    async def ask(self, asking: Awaitable[AsyncSlackResponse], code: str, **facts: str) -> AsyncSlackResponse:
        """Return Slack's answer with its headers; `code`: the finding where Slack refuses."""
        asked = asyncio.ensure_future(asking)
        try:
            await call(asked, within=TIMING.slack_timeout)
        except SlackError as error:
            raise slack_finding(error, code, **facts) from None
        return asked.result()

    async def get(self, url: str, setting: str, code: str = "no_microsoft") -> httpx.Response:
        """Return the answer; `code`: the finding where there is none. `setting`: what the address is from."""
        try:
            return await self.http.get(url)
        except HTTPX_ERRORS as error:
            why = f"{type(error).__name__}: {str(error)[:120]}"
        raise Finding(code, host=urlsplit(url).netloc.rpartition("@")[2], why=why, setting=setting)

    def compare_clock(self, vendor: str, headers: Mapping[str, str]) -> None:
        with suppress(ValueError, TypeError):  # it does not say
            self.skews[vendor] = parsedate_to_datetime(headers.get("date", "")) - datetime.now(UTC)

    def fit_cloud(self, url: str, setting: str) -> None:
        hosts = {name: {urlsplit(one.resource).netloc, one.authority_host} for name, one in ENDPOINTS.items()}
        own = hosts.pop(self.settings.cloud)
        if urlsplit(url).netloc in set().union(*hosts.values()) - own:
            raise Finding("other_cloud", setting=setting, cloud=self.settings.cloud)

    async def channel(self, id_: str) -> Mapping[str, object]:
        answer = await self.ask(self.slack.conversations_info(channel=id_), "channel_refused", id=id_)
        found: Mapping[str, object] = answer.get("channel") or {}
        self.kinds[id_] = "groups" if found.get("is_private") else "channels"
        if found.get("is_archived"):
            raise Finding("channel_archived", name=found.get("name"))
        return found

    async def audiences(self, audiences: Sequence[Audience]) -> str:
        for part in audiences:
            if part.kind is AudienceKind.CHANNEL:
                await self.channel(part.id)
                asking = self.slack.conversations_members(channel=part.id)
            elif part.kind is AudienceKind.USERGROUP:
                self.kinds[part.id] = "usergroups"
                asking = self.slack.usergroups_users_list(usergroup=part.id)
            else:
                continue
            answer = await self.ask(asking, "audience_refused", id=part.id)
            if not (answer.get("members") or answer.get("users")):
                raise Finding("audience_empty", part=part)
        return ", ".join(map(str, audiences)) or "not set: the members of the approver channel"

    async def port(self, *names: str) -> str:
        host, port = (getattr(self.settings, name) for name in names)
        if names != ("host", "port") and port in (None, self.settings.port):
            return "no listener of its own"
        listener(host, port, names[0].removesuffix("host").upper()).close()
        return f"{host}:{port} is free"

    def unusable(self, problem: str) -> Finding:
        """Return what is wrong with the database; the driver's own words, in brackets, decide no cure."""
        ours, cures = problem.partition(" (")[0], CATALOG["database"].items()
        cure = next(cure for words, cure in cures if words in ours)
        return Finding("database", problem=problem, cure=cure, place=self.settings.database_place)

    async def check_database(self) -> str:
        settings = self.settings
        try:
            self.database = Database(settings.database_url, AuditLog(settings.keys, settings.audit_log_name))
        except ValueError as error:
            raise Finding("database_url", why=error) from None
        self.stack.push_async_callback(self.database.close)
        if (problem := await self.database.problem()) is not None:
            raise self.unusable(problem)
        await self.database.run(write_nothing)
        return settings.database_place

    async def check_disk(self) -> str:
        url = self.settings.database_url
        if not self.database.is_sqlite:
            return "PostgreSQL's own"
        folder = Path(parse_url(url).database or "").parent
        if (free := shutil.disk_usage(folder).free >> 20) < MIN_FREE:
            raise Finding("disk", free=free, folder=folder)
        if (doubt := passing_disk(url, self.settings.platform)) is not None:
            raise Finding("disk_passing", doubt=doubt)
        return f"{free} MB are free in {folder}"

    async def check_vault_keys(self) -> str:
        if (used := await signing_key(self.database)) is None:
            raise Finding("vault_keys")
        return f"number {used + 1} of {len(self.settings.keys.vault)} signed the newest row of the audit log"

    async def check_heads(self) -> str:
        if (path := self.settings.audit_heads) is None:
            raise Finding("heads_unset")
        try:
            last = last_head(path, self.database.audit_log)
            is_empty = not path.exists() or path.stat().st_size == 0
        except OSError as error:
            raise Finding("heads_unreadable", path=path, why=error.strerror) from None
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise Finding("heads_unwritable", path=path)
        if last is None and not is_empty:
            raise Finding("heads_unsigned", path=path)
        seq = 0 if last is None else last.seq
        there = await self.database.read(lambda connection: connection.scalar(HASH_AT, {"seq": seq}))
        if last is not None and there != last.hash:
            raise Finding("heads_lost", seq=seq)
        return f"up to row {seq}"

    async def check_token(self) -> str:
        answer = await self.ask(self.slack.auth_test(), "token_refused")
        self.compare_clock("Slack", answer.headers)
        self.scopes = str(answer.headers.get("x-oauth-scopes", ""))
        if answer.get("is_enterprise_install"):
            raise Finding("org_wide_installation")
        return f"{answer.get('user')} in {answer.get('team')}"

    async def check_approver_channel(self) -> str:
        channel = await self.channel(self.settings.approver_channel)
        if not channel.get("is_member"):
            raise Finding("channel_not_in", name=channel.get("name"))
        if (problem := problem_of(channel, rota=self.settings.rota)) is not None:
            raise Finding(str(problem))
        return f"#{channel.get('name')}"

    async def check_scopes(self) -> str:
        if not self.scopes:
            raise Finding("scopes_unknown")
        own = self.kinds.get(self.settings.approver_channel, "groups")
        kinds = {own, *self.kinds.values()}
        needed = {scope.format(kind=kind, approvers=own) for scope in CATALOG["scopes"] for kind in kinds}
        if lacking := needed - set(self.scopes.replace(" ", "").split(",")):
            raise Finding("scopes_missing", lacking=", ".join(sorted(lacking)))
        if self.settings.approver_channel not in self.kinds:
            raise Finding("not_checked", first=_CHANNEL)
        return f"all {len(needed)} are granted"

    async def check_message(self) -> str:
        if not self.post_to:
            raise Finding("message_untried")
        posting = self.slack.chat_postMessage(channel=self.post_to, text=CATALOG["message"], parse="none")
        await self.ask(posting, "message_refused")
        return f"one was sent to {self.post_to}"

    async def check_app_token(self) -> str:
        """Ask for a socket's address, and never connect: Slack would send it people's presses."""
        if self.settings.slack_app_token is None:
            return "not set: HTTP mode"
        token = self.settings.slack_app_token.get_secret_value()
        await self.ask(self.slack.apps_connections_open(app_token=token), "app_token_refused")
        return "opens sockets"

    async def check_signing_secret(self) -> str:
        secret = self.settings.slack_signing_secret
        if secret is None or self.settings.slack_app_token is not None:
            return "not used: Socket Mode"
        if not re.fullmatch("[0-9a-f]{32}", secret.get_secret_value()):
            raise Finding("signing_secret")
        return "of Slack's form; the first delivery shows whether it is this app's"

    async def check_person(self) -> str:
        """Ask Slack's directory and decide by the policy, as the bot does."""
        chosen, said = rules(self.settings, TIMING), []
        channel = [Audience.channel(chosen.approver_channel)]
        try:
            directory = SlackDirectory(self.slack, await bot_user(self.slack, TIMING), timing=TIMING)
            person = await directory.person(Actor(user=UserId(self.person or ""), team=None))
            asks, here, rota = [
                [part for part in parts if await directory.is_in(person.id, part)]
                for parts in (chosen.requesters, channel, chosen.approvers)
            ]
        except CouldNotVerify as error:
            raise Finding("person_unknown", said=error.facts.get("code", "nothing that is known")) from None
        on_call = bool(rota) or not chosen.approvers
        approves = partial(check_approver, asked_by=UserId(""), in_channel=bool(here), on_call=on_call)
        asking = partial(check_requester, in_audience=bool(asks))
        for verb, check, parts in (("ask", asking, asks), ("approve", approves, here + rota)):
            theirs = ", ".join(map(str, parts)) or "none"
            try:
                check(person)
                said.append(f"may {verb}, by {theirs}")
            except Refusal as refusal:
                why = CATALOG["refusal"][refusal.code].format(**refusal.facts, theirs=theirs)
                said.append(f"may not {verb}: {why}")
        if all(one.startswith("may not") for one in said):
            raise Finding("person", who=person.name, said="; ".join(said))
        return f"{person.name} {'; '.join(said)}"

    async def check_entra(self) -> str:
        self.entra = self.stack.enter_context(closing(entra_client(self.settings, TIMING)))
        authority = Authority.parse(self.settings.authority)
        self.fit_cloud(authority.url, "ENTRA_AUTHORITY")
        answer = await self.get(authority.real_url(authority.discovery_url), "ENTRA_AUTHORITY")
        self.compare_clock("Microsoft", answer.headers)
        if re.search(r"AADSTS9000(2|2[13])\b", answer.text):
            raise Finding("tenant_unknown")
        issuer = str((read_object(answer.text) or {}).get("issuer", ""))
        if not issuer:
            raise Finding("not_microsoft", status=answer.status_code, setting="ENTRA_AUTHORITY")
        if self.settings.entra_tenant_id.lower() not in issuer.lower():
            raise Finding("tenant_other", issuer=issuer)
        return issuer

    async def check_app(self) -> str:
        """Ask for a token of the app's own, which is dropped: a refusal tells what is wrong."""
        try:
            code = await self.entra.in_thread(self.entra.refusal)
        except CouldNotVerify:
            raise Finding("entra_silent") from None
        if code:
            raise Finding(code if code in CATALOG["wrong"] else "entra_refused", number=code)
        if (path := self.settings.entra_client_certificate) is not None:
            until = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
            if until < datetime.now(UTC) + ENDS_SOON:
                raise Finding("certificate_expires", on=until.date())
        return "Entra takes it and its credential"

    async def check_redirect_uri(self) -> str:
        """Ask as a browser that is not signed in: Entra sends it back only to an address that it knows."""
        uri = f"{self.settings.public_url.rstrip('/')}{CALLBACK_PATH}"
        begin = self.entra.begin_flow
        _, flow = await self.entra.in_thread(begin, redirect_uri=uri, login_hint=None, claims=None)
        silent = {"prompt": "none", "response_mode": "query"}
        url = httpx.URL(self.entra.authorization_url(flow)).copy_merge_params(silent)
        answer = await self.get(str(url), "ENTRA_AUTHORITY")
        if answer.has_redirect_location and answer.headers["location"].startswith(f"{uri}?"):
            return uri
        told = re.search(r"AADSTS50011(3|)\b", answer.text)
        raise Finding("redirect_unknown" if told else "redirect_untold", uri=uri)

    async def check_graph(self) -> str:
        """Ask without a token: Graph's own refusal says that Graph is there."""
        url = self.settings.graph
        self.fit_cloud(url, "GRAPH_URL")
        answer = await self.get(f"{url}/deviceManagement/managedDevices", "GRAPH_URL")
        if answer.status_code != 401 or not graphs_id(answer):
            raise Finding("not_microsoft", status=answer.status_code, setting="GRAPH_URL")
        return url

    async def check_clock(self) -> str:
        if not self.skews:
            raise Finding("clock_untold")
        vendor, skew = max(self.skews.items(), key=lambda item: abs(item[1]))
        seconds, way = round(abs(skew).total_seconds()), "behind" if skew > timedelta(0) else "ahead of"
        if abs(skew) > MAX_SKEW:
            raise Finding("clock", seconds=seconds, way=way, vendor=vendor)
        return f"{seconds} s {way} {vendor}'s clock"

    async def check_public_url(self) -> str:
        url = self.settings.public_url
        answer = await self.get(f"{url}/healthz", "PUBLIC_URL", "not_reached")
        if (answer.status_code, answer.text) != (200, "alive\n"):
            raise Finding("not_the_bot", status=answer.status_code)
        if not url.startswith("https:"):
            raise Finding("plain_http")
        return url


_IT: Final = Installation
_DATABASE, _ENTRA = "Database", "Entra: tenant"
_TOKEN, _CHANNEL = "Slack: bot token", "Slack: approver channel"
CHECKS: Final[Sequence[tuple[str, Callable[[Installation], Awaitable[str]], Sequence[str], str]]] = (
    # name, what looks, the settings that it needs, the check that has to be ✓ before
    (_DATABASE, _IT.check_database, ("database_url", *DEPLOYMENT), ""),
    ("Disk", _IT.check_disk, (), _DATABASE),
    ("Vault keys", _IT.check_vault_keys, (), _DATABASE),
    ("Audit heads", _IT.check_heads, ("audit_heads",), _DATABASE),
    (_TOKEN, _IT.check_token, ("slack_bot_token", "slack_api_url"), ""),
    (_CHANNEL, _IT.check_approver_channel, ("approver_channel",), _TOKEN),
    ("Slack: requesters", lambda it: it.audiences(it.settings.requesters), ("requesters",), _TOKEN),
    ("Slack: approvers", lambda it: it.audiences(it.settings.approvers), ("approvers",), _TOKEN),
    ("Slack: scopes", _IT.check_scopes, (), _TOKEN),
    ("Slack: direct messages", _IT.check_message, (), _TOKEN),
    ("Slack: app token", _IT.check_app_token, ("slack_app_token", "slack_api_url"), ""),
    ("Slack: signing secret", _IT.check_signing_secret, ("slack_signing_secret",), ""),
    (PERSON, _IT.check_person, ("requesters", "approvers"), _CHANNEL),
    (_ENTRA, _IT.check_entra, ("entra_tenant_id", "entra_authority", "cloud"), ""),
    ("Entra: app", _IT.check_app, ("entra_client_id", "entra_client_secret"), _ENTRA),
    ("Entra: redirect URI", _IT.check_redirect_uri, ("public_url", "entra_client_id"), _ENTRA),
    ("Graph", _IT.check_graph, ("graph_url", "cloud"), ""),
    ("Clock", _IT.check_clock, (), ""),
    ("Reached at PUBLIC_URL", _IT.check_public_url, ("public_url",), ""),
    ("Listens on PORT", lambda it: it.port("host", "port"), ("host", "port"), ""),
    ("Listens on METRICS_PORT", lambda it: it.port("metrics_host", "metrics_port"), ("metrics_port",), ""),
)


class Result(NamedTuple):
    """What a check found. `state`: a key of MARKS; `cure`: what to do."""

    check: str
    state: str
    detail: str
    cure: str = ""


async def run(*, as_json: bool = False, **asked: str | None) -> int:
    """Print what each check found; return 1 where something is wrong, else 0. `asked`: as for `examine`."""
    settings, results = _settings()
    if settings is not None:
        wrong = {result.check.lower() for result in results if result.state == "wrong"}
        results += await examine(settings, wrong, **asked)
    if as_json:
        print(json.dumps([result._asdict() for result in results], indent=2))
    else:
        for check, state, detail, cure in results:
            print(f"{MARKS[state]} {check:<23} {detail}" + (f"\n{'':<25} → {cure}" if cure else ""))
    return 1 if any(result.state == "wrong" for result in results) else 0


def _settings() -> tuple[Settings | None, list[Result]]:
    """Return the settings and what is wrong with them; None where a file with them cannot be read."""
    try:
        return read_settings(), [Result("Settings", "ok", "each has a name and a value of the right form")]
    except SettingsError as error:
        if not error.lines:
            return None, [_found("Settings", Finding("settings_unreadable", why=error))]
        lines = [re.split(r": |\. ", line, maxsplit=2) for line in error.lines]
    results = [
        _found(name, Finding("setting" if cure else "name", why=why, cure=cure)) for name, why, *cure in lines
    ]
    wrong = Settings.model_fields.keys() & {result.check.lower() for result in results}
    usual = {name: Settings.model_fields[name].default for name in wrong}
    stand_ins = {name: CATALOG["stand_ins"].get(name, value) for name, value in usual.items()}
    if "entra_client_secret" in wrong:
        stand_ins |= dict.fromkeys(("entra_client_certificate", "entra_client_assertion_file"))
    return read_settings(stand_ins=stand_ins), results


async def examine(settings: Settings, wrong: Collection[str] = (), **asked: str | None) -> list[Result]:
    """Return what each check found. `wrong`: settings with values that only stand in for right ones.

    `asked`: `post_to`, who is sent a message, and `person`, who is explained: ids of Slack users.
    """
    results: dict[str, Result] = {}
    token, url = Secret(settings.slack_bot_token.get_secret_value()), settings.slack_api_url
    async with AsyncExitStack() as stack, slack_session(TIMING) as session, graph_client(TIMING) as http:
        slack = slack_client(token, url, session)
        it = Installation(settings=settings, stack=stack, slack=slack, http=http, **asked)
        for name, look, needs, after in CHECKS:
            if name == PERSON and not it.person:
                continue
            first = [need.upper() for need in needs if need in wrong]
            first += [after] if after and results[after].state != "ok" else []
            try:
                if first:
                    raise Finding("not_checked", first=", ".join(first))
                results[name] = Result(name, "ok", await look(it))
            except Finding as finding:
                results[name] = _found(name, finding)
            except StoreUnavailable as away:
                results[name] = _found(name, it.unusable(away.reason))
            except Exception as error:  # its text may hold a secret
                results[name] = _found(name, Finding("crashed", kind=type(error).__name__))
    return list(results.values())


def _found(check: str, finding: Finding) -> Result:
    return Result(check, finding.state, finding.detail, finding.cure)
