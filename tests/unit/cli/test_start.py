"""A start that is not possible says why, in one sentence; one that is says when it is ready."""

import asyncio
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from datetime import timedelta
from itertools import product
from pathlib import Path

import httpx
import pytest
from bot import app, doctor
from bot.app import App, unlatch
from bot.domain.errors import CouldNotVerify, StoreUnavailable
from bot.domain.people import Actor
from bot.domain.values import UserId
from bot.settings import CannotStart, Settings
from bot.timing import Timing
from sandbox.cast import APP_TOKEN
from structlog.testing import capture_logs
from tests.support.served_bot import served
from tests.support.user_actions import MEI

from sandbox import demo

ROOT = Path(__file__).parents[3]
SHORT = Timing(
    slack_timeout=timedelta(seconds=9),  # a busy machine is no busy Slack
    start_for=timedelta(seconds=0.5),
    socket_retry=timedelta(seconds=0.01),
    handover=timedelta(seconds=0.5),
)
NOBODY = "usergroup:S0NO"
NOWHERE = "sqlite:///no/such/folder/rows.sqlite3"
HOST = {"host": "x86_64-conda-linux-gnu"}
METRICS = {"metrics_port": "{port}"}  # the sandbox's
STARTS = {
    "public": ({"channel": "public"}, "^The approver channel is public.* Make it private"),
    "shared": ({"channel": "shared"}, "^The approver channel is shared.* Stop sharing it"),
    "not invited": ({"channel": "left"}, "channel_not_found of C0ONCALL.* /invite @unlatch"),
    "a scope": ({"scopes": ("users:read",)}, "missing_scope. Add the scope .*:read"),
    "a refused token": ({"slack_bot_token": "xoxb-wrong"}, "invalid_auth. Copy SLACK_BOT_TOKEN"),
    "no Slack": ({"slack_api_url": "http://127.0.0.1:9/api/"}, "SLACK_API_URL"),
    "a refused socket": ({"slack_app_token": "xapp-wrong"}, "invalid_auth. Copy SLACK_APP_TOKEN"),
    "no authority": ({"entra_authority": "xoxb-wrong"}, "ENTRA_AUTHORITY is not such as"),
    "no database": ({"database_url": NOWHERE}, "DATABASE_URL"),
    "no certificate": (
        {"entra_client_certificate": "no-such.pem"},
        "such.pem cannot be read.*CERTIFICATE",
    ),
    "no assertion": ({"entra_client_assertion_file": "no"}, "Entra.*ENTRA_CLIENT_ASSERTION_FILE names no"),
    "no such group": ({"approvers": NOBODY}, "no_such_subteam of usergroup:S0NO, of APPROVERS"),
    "heads that are no file": ({"audit_heads": "/dev/null"}, "no regular file.*AUDIT_HEADS"),
    "heads that cannot be written": ({"audit_heads": "/no/such/folder/heads.jsonl"}, "AUDIT_HEADS"),
    "o30 of another program": (HOST, "Name .*; HOST is set in the environment"),
    "o30 with a port": ({"host": "0.0.0.0:3000"}, "Set HOST .* 127.0.0.1"),
    "of another machine": (METRICS | {"metrics_host": "192.0.2.1"}, "^192.0.2.1 cannot .* METRICS_HOST"),
    "a taken port": (METRICS, r"is in use.* METRICS_HOST and METRICS_PORT"),
}


async def start(settings: Settings) -> None:
    """Raises why it cannot be; a start that succeeds ends in a TimeoutError."""
    async with asyncio.timeout(30):
        await app.serve(settings, timing=SHORT)


@pytest.mark.parametrize(("changes", "words"), STARTS.values(), ids=STARTS)
async def test_a_start_that_is_not_possible_says_why(installation, monkeypatch, changes, words):
    monkeypatch.setenv("HOST", "as the shell has it")
    with pytest.raises(CannotStart, match=words) as told:
        await start(installation.settings(**changes))
    assert "-wrong" not in str(told.value)
    if changes.keys() & {"host", "metrics_host"}:  # which are looked at before anything is opened
        assert list(installation.folder.iterdir()) == []


async def test_a_database_of_another_deployment_is_named_and_not_called_tampered(installation):
    await installation.migrate()
    with pytest.raises(CannotStart, match=r"belongs to .*/c0oncall, and the settings say .*/c0support"):
        await start(installation.settings(approver_channel="C0SUPPORT"))


@pytest.mark.parametrize(
    ("setting", "word"), [("approvers", "ratelimited"), ("requesters", "no_such_subteam")]
)
async def test_a_slack_that_is_busy_and_a_group_of_requesters_stop_no_start(installation, setting, word):
    installation.sandbox.slack.refuse("usergroups.users.list", word)
    with capture_logs() as logs:
        async with unlatch(installation.settings(**{setting: NOBODY}), timing=SHORT):
            pass
    [told] = [line for line in logs if line["event"] == "user_group_not_shown"]
    assert (told["audience"], told["code"]) == ("usergroup:S0NO", word if setting == "requesters" else None)


async def test_o15_a_right_that_lacks_stops_the_start(installation, monkeypatch):
    def refused(_tx: object) -> None:
        raise StoreUnavailable("does not permit it")

    monkeypatch.setattr(app, "write_nothing", refused)
    with pytest.raises(CannotStart, match="The database does not permit it"):
        await start(installation.settings())


async def test_o12_the_pools_have_the_size_of_the_setting(installation):
    async with unlatch(installation.settings(database_connections=3), timing=SHORT) as app:
        database = app.deps.database
        assert [one.pool.size() for one in (database.engine, database.reader)] == [
            1,
            3,
        ]  # SQLite has one writer


@pytest.mark.parametrize("platform", ["DYNO", "K_SERVICE", "RENDER", "FLY_APP_NAME"], ids="o38 {}".format)
async def test_sqlites_default_file_on_a_platform_whose_disks_end_is_warned_of(
    installation, monkeypatch, platform
):
    monkeypatch.chdir(installation.folder)
    monkeypatch.setenv(platform, "web.1")
    for file, named in (("unlatch.sqlite3", True), ("rows.sqlite3", False)):
        with capture_logs() as logged:
            async with unlatch(installation.settings(database_url=f"sqlite:///{file}"), timing=SHORT):
                pass
        assert any(platform in line.get("reason", "") for line in logged) is named


async def get(app: App, path: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app.asgi), base_url="http://unlatch") as http:
        return await http.get(path)


async def ready(app: App) -> httpx.Response:
    """The first answer of /readyz after both queues were looked at."""
    while "stalled" in (answer := await get(app, "/readyz")).text:
        pass
    return answer


async def test_s22_ready_says_each_reason_why_it_is_not(installation):
    async with unlatch(installation.settings()) as app:
        answer = await ready(app)
        assert (answer.status_code, set(answer.json().values())) == (200, {"ok"})
        app.deps.database.audit_log.broken = "row 7 is gone"
        app.shutting_down.set()
        installation.sandbox.slack.refuse("", "token_expired")
        with pytest.raises(CouldNotVerify):
            await app.deps.directory.person(Actor(user=UserId(MEI), team=None))
        answer = await get(app, "/readyz")
        wrong = {"audit_log": "row 7 is gone", "process": "shutting down", "slack": "token_expired"}
        assert (answer.status_code, answer.json().items() >= wrong.items()) == (503, True)


async def test_in_socket_mode_open_sockets_count_as_ready_and_http_takes_nothing(installation):
    async with unlatch(installation.settings(slack_app_token=APP_TOKEN)) as app:
        assert (await ready(app)).json()["slack"] == "ok"
        assert (await get(app, "/slack/events")).status_code == 404
        await app.sockets.close()
        assert (await get(app, "/readyz")).json()["slack"] == "no socket is open"


@pytest.mark.parametrize(
    ("given", "public", "beside"),
    [({}, 404, False), ({"metrics_port": 3000}, 200, False), ({"metrics_port": 9}, 404, True)],
)
async def test_metrics_are_shown_where_the_settings_say_alone(installation, given, public, beside):
    async with unlatch(installation.settings(**given)) as app:
        assert ((await get(app, "/metrics")).status_code, app.metrics is not None) == (public, beside)


BUSY = [*product(("auth.test", "apps.connections.open"), ("ratelimited", "internal_error", "fatal_error"))]


@pytest.mark.parametrize(("method", "word"), BUSY, ids=[f"S21-{method}-{word}" for method, word in BUSY])
async def test_a_slack_that_is_busy_at_the_start_is_waited_for_and_no_setting_blamed(
    installation, method, word
):
    slack, settings = installation.sandbox.slack, installation.settings(slack_app_token=APP_TOKEN)
    slack.fail_next(method, word)
    async with unlatch(settings, timing=SHORT) as started:
        assert (await ready(started)).json()["slack"] == "ok"
    slack.refuse(method, word)
    with pytest.raises(CannotStart, match=rf"^Slack is busy \({word}\). .* no setting is wrong"):
        await start(settings)


async def test_of_two_processes_on_one_sqlite_file_the_second_waits_for_the_first_and_then_refuses(
    installation, monkeypatch
):
    """A lock is of an open file: two in this process are as two processes."""
    monkeypatch.setattr("bot.app.DATABASE_PAUSE", 0.01)
    settings = installation.settings()

    async def wait() -> None:
        async with unlatch(settings):
            pass

    async with unlatch(settings):
        with pytest.raises(CannotStart, match=r"by another process, .* DATABASE_URL is sqlite:///.*sqlite3"):
            await start(settings)
        await installation.migrate()
        assert "wrong" not in {result.state for result in await doctor.examine(settings)}
        second = asyncio.create_task(wait())
        await asyncio.sleep(0)
        assert not second.done()
    await second


@pytest.mark.parametrize("silent", ["postgresql", "http"])
async def test_o39_sigterm_ends_a_start_that_waits_at_once_with_0(installation, silent):
    settings = demo.settings(installation.sandbox, 0, installation.folder, socket_mode=False)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        name = {"postgresql": "DATABASE_URL", "http": "SLACK_API_URL"}[silent]
        url = f"{silent}://127.0.0.1:{listener.getsockname()[1]}/"
        bot = demo.Bot(settings | {name: url}, installation.folder)
        starting = asyncio.create_task(bot.start())
        connection, _ = await asyncio.get_running_loop().sock_accept(listener)
        async with asyncio.timeout(3):
            assert await bot.stop() == 0
        connection.close()
        with pytest.raises(demo.BotEnded):
            await starting


async def test_o39_sigterm_fails_readyz_first_and_ends_with_0_within_ten_seconds_whoever_is_connected(
    tmp_path,
):
    answers = list[int]()
    async with served(tmp_path, arguments=("bot", "serve")) as bot:
        bot.process.send_signal(signal.SIGHUP)
        _, slow = await asyncio.open_connection("127.0.0.1", bot.settings["PORT"])
        slow.write(b"POST /slack/events HTTP/1.1\r\nhost: u\r\ncontent-length: 9\r\n\r\nx")
        async with asyncio.timeout(10):
            stopping = asyncio.create_task(bot.end())
            with suppress(httpx.TransportError):
                while True:
                    answers.append((await bot.http.get("/readyz")).status_code)
                    await asyncio.sleep(0.1)  # it is another process
            assert (answers[-1], await stopping) == (503, 0)
        slow.close()


HANGS = """
import asyncio, os, signal, time
from datetime import timedelta
from bot import app, timing
async def main():
    stopping, started = asyncio.Event(), asyncio.Event()
    started.set()
    app._on_signals(stopping, started, timing.Timing(stop=timedelta(seconds=0.1)))
    os.kill(os.getpid(), signal.SIGTERM)
    await stopping.wait()
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)
asyncio.run(main())
"""


def test_sigterm_ends_the_process_in_time_whatever_hangs():
    assert subprocess.run([sys.executable, "-c", HANGS], cwd=ROOT, timeout=30).returncode == 0  # noqa: S603  ours
