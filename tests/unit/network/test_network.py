"""Proxies, certificates and others' variables: alike for three channels to Slack and two to Microsoft."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from bot import network
from bot.domain.errors import ApproverRefused, SlackRefused, UnlatchError
from bot.domain.values import DeviceId, Secret
from bot.entra.authority import Authority, Credential
from bot.entra.client import EntraClient
from bot.graph.devices import Intune, graph_client
from bot.slack.client import SlackClient, bot_user, slack_client, slack_session
from bot.slack.receiver import Socket
from bot.timing import Timing
from cryptography.hazmat.primitives.asymmetric import ec
from sandbox.app import Sandbox, serve
from sandbox.cast import APP_TOKEN, BOT_TOKEN, CLIENT_ID, CLIENT_SECRET, TENANT_ID
from slack_bolt.async_app import AsyncApp
from tests.support.certificates import certificate, pem

CHANNELS = ("Web API", "response_url", "Socket Mode", "Entra", "Graph")
each_channel = pytest.mark.parametrize("channel", CHANNELS)
PROXIES = ("all_proxy", "http_proxy", "https_proxy", "no_proxy")
VARIABLES = (*PROXIES, "ssl_cert_file", "ssl_cert_dir", "sslkeylogfile")
OURS = "127.0.0.1,::1,localhost"
"""This machine is never reached through a proxy."""
GOV = "https://slack-gov.com"
LOGIN = b"Proxy-Authorization: Basic a2VuOnAvQHM="
"""Of ken, p/@s."""
TIMING = Timing(slack_timeout=timedelta(seconds=9))


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Sets variables, in an environment without proxies and certificates, which the clients read anew."""
    for name in (*VARIABLES, *map(str.upper, VARIABLES)):
        monkeypatch.setenv(name, "")  # so that it is put back, whatever the test takes out
        monkeypatch.delenv(name)
    network.tls_context.cache_clear()
    yield lambda values: [monkeypatch.setenv(name, value) for name, value in values.items()]
    network.tls_context.cache_clear()


@pytest.fixture(scope="module")
def ca(tmp_path_factory) -> Path:
    """A key, and its certificate for the vendors' names, which is its own CA."""
    file, key = tmp_path_factory.mktemp("ca") / "ca.pem", ec.generate_private_key(ec.SECP256R1())
    file.write_text(pem(key) + certificate(key, "localhost", "slack-gov.com", "hooks.slack-gov.com"))
    return file


class Network:
    """A sandbox behind TLS, at `url`, and a proxy that wants a login and leads there whoever is asked for."""

    def __init__(self, sandbox: Sandbox, ca: Path) -> None:
        self.sandbox, self._port = sandbox, int(sandbox.base_url.rpartition(":")[2])
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(ca)
        self.asked: list[str] = []
        """What the proxy was asked for."""

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.split()[1].decode())
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n" if LOGIN in head else b"HTTP/1.1 407 Login\r\n\r\n")
        await writer.start_tls(self.tls)
        await self.lead(reader, writer)

    async def lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_sandbox, to_sandbox = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(copy(reader, to_sandbox), copy(from_sandbox, writer))


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while some := await reader.read(65536):
            writer.write(some)
    writer.close()


@pytest.fixture
async def net(ca: Path) -> AsyncIterator[Network]:
    async with serve(Sandbox()) as sandbox:
        net = Network(sandbox, ca)
        proxy = await asyncio.start_server(net.connect, "127.0.0.1", 0)
        vendors = await asyncio.start_server(net.lead, "127.0.0.1", 0, ssl=net.tls)
        net.proxy = f"ken:p%2F%40s@127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        net.url = sandbox.base_url = f"https://localhost:{vendors.sockets[0].getsockname()[1]}"
        yield net
        proxy.close()
        vendors.close()


async def reach(channel: str, url: str) -> None:
    """Reach the sandbox through this channel, or raise; what it refuses to answer, it was reached for."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(slack_session(TIMING))
        client = slack_client(Secret(BOT_TOKEN), f"{url}/slack/api/", session)
        stack.enter_context(suppress(SlackRefused, ApproverRefused))
        match channel:
            case "Web API":
                await bot_user(client, TIMING)
            case "response_url":
                answer = Secret(f"{url.replace('slack-gov', 'hooks.slack-gov')}/x")
                await SlackClient(client, TIMING, sleep=lambda _: asyncio.sleep(0)).respond(answer, "Hello.")
            case "Socket Mode":
                app = AsyncApp(client=client, signing_secret="unused")
                socket = Socket(app, Secret(APP_TOKEN), client, TIMING)
                stack.push_async_callback(socket.close)
                await socket.connect()
            case "Entra":
                authority = Authority.parse(f"{url}/entra/{TENANT_ID}/v2.0")
                given = {"tenant": TENANT_ID, "client_id": CLIENT_ID, "scopes": [], "timing": TIMING}
                entra = EntraClient(authority, credential=Credential(CLIENT_SECRET), **given)
                await asyncio.to_thread(stack.enter_context(closing(entra)).warm_up)
            case "Graph":
                http = await stack.enter_async_context(graph_client(TIMING))
                intune = Intune(http, f"{url}/graph/v1.0", timing=TIMING, now=lambda: datetime.now(UTC))
                await intune.actions(DeviceId("none"), Secret("none"))


@each_channel
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "all_proxy"])
async def test_a_proxy_is_used_with_its_login_also_for_govslack(net, environment, ca, name, channel):
    environment({name: net.proxy, "SSL_CERT_FILE": str(ca), "NO_PROXY": "localhost,gov.com"})
    net.sandbox.base_url = GOV
    await reach(channel, GOV)
    host = "hooks.slack-gov.com" if channel == "response_url" else "slack-gov.com"
    assert net.asked == [f"{host}:443"] * (2 if channel == "Socket Mode" else 1)


@each_channel
async def test_no_proxy_names_hosts_that_are_reached_without_it(net, environment, ca, channel):
    environment({"HTTPS_PROXY": f"http://{net.proxy}", "NO_PROXY": "x.example,localhost"})
    environment({"SSL_CERT_FILE": str(ca)})
    await reach(channel, net.url)
    assert net.asked == []


@each_channel
@pytest.mark.parametrize("store", ["SSL_CERT_FILE", "the system’s"])
async def test_a_private_ca_is_trusted_where_the_machine_has_it(
    net, environment, ca, monkeypatch, store, channel
):
    with pytest.raises(UnlatchError):
        await reach(channel, net.url)
    network.tls_context.cache_clear()
    if store == "SSL_CERT_FILE":
        environment({store: str(ca)})
    else:  # which is not the tests' to write
        monkeypatch.setattr(
            ssl.SSLContext, "load_default_certs", lambda tls, _: tls.load_verify_locations(ca)
        )
    await reach(channel, net.url)


CLEANED = {
    "o19 ipv6": (
        {"NO_PROXY": "localhost,fd07:b51a:cc66:f0::/64,[::1]"},
        {"no_proxy": f"localhost,{OURS}"},
        "",
    ),
    "o19 forms": (
        {"NO_PROXY": "*.a.example .b.example,10.0.0.0/8,c:port,\u4f8b.jp"},
        {"no_proxy": f"a.example,b.example,10.0.0.0/8,{OURS}"},
        "",
    ),
    "o19 all": ({"no_proxy": "a.example,*", "NO_PROXY": "b"}, {"no_proxy": "*"}, ""),
    "o20": ({"ALL_PROXY": "socks5h://127.0.0.1:9", "http_proxy": "ftp://x"}, {}, "ALL_PROXY http_proxy"),
    "o20 no address": ({"HTTPS_PROXY": "http://[", "https_proxy": "x:port"}, {}, "HTTPS_PROXY https_proxy"),
    "a proxy": ({"HTTPS_PROXY": " me:p@[fe80::1]:3128\n"}, {"HTTPS_PROXY": "me:p@[fe80::1]:3128"}, ""),
    "o21": ({"SSLKEYLOGFILE": "/none/keys.log"}, {}, "SSLKEYLOGFILE"),
    "no certificates": ({"SSL_CERT_FILE": "pyproject.toml"}, {}, "SSL_CERT_FILE"),
    "no file": ({"SSL_CERT_FILE": "/none/ca.pem"}, {}, "SSL_CERT_FILE"),
    "libpq's": ({"PGHOSTADDR": "127.0.0.2", "PGSSLROOTCERT": "x"}, {"PGSSLROOTCERT": "x"}, "PGHOSTADDR"),
    "empty": (dict.fromkeys(map(str.upper, VARIABLES), ""), {}, "SSL_CERT_FILE"),
}


@pytest.mark.parametrize("case", CLEANED)
def test_what_other_programs_left_is_used_rightly_or_ignored_and_named(environment, case):
    given, kept, named = CLEANED[case]
    environment(given)
    assert [sentence.split()[0] for sentence in network.clean_environment()] == named.split()
    left = {name: os.environ.get(name) for name in {*given, "no_proxy"} - {"NO_PROXY"}}
    assert {name: value for name, value in left.items() if value} == {"no_proxy": OURS} | kept
    httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200))).close()
