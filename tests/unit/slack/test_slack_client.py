"""Modals, private sentences and direct messages over the Web API; and who the bot is."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from traceback import format_exception

import aiohttp
import pytest
from aiohttp import web
from bot.domain.errors import SlackError, SlackRefused, SlackUnavailable
from bot.domain.values import Secret
from bot.slack import modals
from bot.slack.client import SlackClient, bot_user, slack_client, slack_session
from bot.slack.wording import ENGLISH
from bot.timing import Timing
from tests.support.builders import KEN
from tests.unit.slack.web_api import GARBAGE, PATIENT, SHORT, WebApi, web_api

VIEW = modals.loading("device", ENGLISH)
OPENED = {"ok": True, "view": {"id": "V1"}}
BUSY = web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers={"Retry-After": "7"})


class Pauses:
    """A sleep that is over at once and remembers how long it should have taken."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.slept.append(seconds)


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


def slack(api: WebApi, pauses: Pauses, timing: Timing = PATIENT) -> SlackClient:
    return SlackClient(api.client, timing, sleep=pauses)


# Modals


async def test_a_modal_is_opened_and_then_shows_something_else(api: WebApi, pauses: Pauses):
    api.answers["views.open"] = [OPENED]

    view_id = await slack(api, pauses).open_modal("trigger", VIEW)
    await slack(api, pauses).update_modal(view_id, VIEW)

    (_, opened), (_, updated) = api.asked
    assert (opened["trigger_id"], updated["view_id"]) == ("trigger", "V1")


async def test_a_trigger_is_not_waited_for_longer_than_it_lives_nor_tried_twice(api: WebApi, pauses: Pauses):
    api.hang = asyncio.Event()
    slow = Timing(trigger_timeout=SHORT.trigger_timeout)

    with pytest.raises(SlackUnavailable):
        await slack(api, pauses, slow).open_modal("trigger", VIEW)
    assert api.methods() == ["views.open"]
    assert pauses.slept == []


@pytest.mark.parametrize("answer", [{"ok": True}, {"ok": True, "view": []}, {"ok": True, "view": {"id": 1}}])
async def test_a_modal_without_an_id_was_not_opened(api: WebApi, pauses: Pauses, answer: dict[str, object]):
    api.answers["views.open"] = [answer]

    with pytest.raises(SlackRefused):
        await slack(api, pauses).open_modal("trigger", VIEW)


async def test_a_connection_that_breaks_while_opening_is_replaced_at_once(pauses: Pauses):
    """An idle connection that Slack cut as it was used: the trigger does not wait."""

    async def cut_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        if connections > 1:
            body = b'{"ok": true, "view": {"id": "V2"}}'
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
            writer.write(head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
        writer.close()

    connections = 0
    server = await asyncio.start_server(cut_first, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, aiohttp.ClientSession() as session:
        client = slack_client(Secret("xoxb-1"), f"http://127.0.0.1:{port}/", session)
        assert await SlackClient(client, PATIENT, sleep=pauses).open_modal("trigger", VIEW) == "V2"
    assert connections == 2


async def test_a_modal_is_not_left_loading_by_a_bad_moment_of_slack(api: WebApi, pauses: Pauses):
    api.answers["views.update"] = [web.Response(status=503), BUSY, {"ok": True}]

    await slack(api, pauses).update_modal("V1", VIEW)

    assert len(api.asked) == 3
    assert 7 in pauses.slept


async def test_a_modal_that_was_closed_is_not_tried_again(api: WebApi, pauses: Pauses):
    api.answers["views.update"] = [{"ok": False, "error": "not_found"}]

    with pytest.raises(SlackRefused, match="not_found"):
        await slack(api, pauses).update_modal("V1", VIEW)
    assert len(api.asked) == 1


async def test_a_slack_that_stays_unavailable_is_given_up(api: WebApi, pauses: Pauses):
    api.answers["views.update"] = [web.Response(status=503)]

    with pytest.raises(SlackUnavailable):
        await slack(api, pauses).update_modal("V1", VIEW)
    assert len(api.asked) == 3


# A sentence for one person alone


async def test_a_sentence_is_posted_to_one_person_alone_and_again_after_a_bad_moment(
    api: WebApi, pauses: Pauses
):
    api.answers["response"] = [web.Response(status=503), web.Response(text="ok")]
    url = Secret(f"{api.client.base_url}response")

    await slack(api, pauses).respond(url, "Please try again.")

    body = {"text": "Please try again.", "response_type": "ephemeral", "replace_original": False}
    assert api.asked == [("response", body)] * 2


@pytest.mark.parametrize(
    ("status", "error"), [(404, SlackRefused), (302, SlackRefused), (500, SlackUnavailable)]
)
async def test_a_response_url_that_is_used_up_is_not_tried_again(api, pauses, status, error):
    api.answers["response"] = [web.Response(status=status, headers={"Location": "/elsewhere"})]

    with pytest.raises(error):
        await slack(api, pauses).respond(Secret(f"{api.client.base_url}response"), "Please try again.")
    assert set(api.methods()) == {"response"}  # a redirect is not followed


ELSEWHERE = [
    "https://hooks.slack.com.example/secret",
    "https://hooks.slack.com@example.com/secret",
    "https://example.com/hooks.slack.com/secret",
    "https://hooks.slack.com:8443/secret",
    "https://hooks.slack.com:port/secret",
    "http://hooks.slack.com/secret",
    "//hooks.slack.com/secret",
    "http://127.0.0.1:9/secret",
    "http://169.254.169.254/latest/secret",
    "no address, but secret",
    "",
]


class Sent(Exception):
    """A request was about to leave."""


@pytest.fixture
async def nothing_leaves(api: WebApi) -> AsyncIterator[None]:
    """Any request of the client raises Sent."""

    async def stop(*_: object) -> None:
        raise Sent

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(stop)
    async with aiohttp.ClientSession(trace_configs=[trace]) as session:
        api.client.session = session
        yield


@pytest.mark.usefixtures("nothing_leaves")
@pytest.mark.parametrize("url", ELSEWHERE)
async def test_a_sentence_goes_to_no_address_that_is_not_slacks(api: WebApi, pauses: Pauses, url: str):
    with pytest.raises(SlackRefused) as refused:
        await slack(api, pauses).respond(Secret(url), "Please try again.")
    assert refused.value.code == "not_slacks_url"
    assert "secret" not in "".join(format_exception(refused.value))


@pytest.mark.usefixtures("nothing_leaves")
@pytest.mark.parametrize("host", ["hooks.slack.com", "hooks.slack-gov.com"])
async def test_a_sentence_goes_to_slack_wherever_the_web_api_is(api: WebApi, pauses: Pauses, host: str):
    with pytest.raises(Sent):
        await slack(api, pauses).respond(Secret(f"https://{host}/actions/T0/1/x"), "Please try again.")


async def test_no_error_carries_the_url_of_a_sentence(api: WebApi, pauses: Pauses):
    url = Secret(f"{api.client.base_url}secret")
    api.answers["secret"] = [web.Response(status=404)]
    with pytest.raises(SlackError) as refused:
        await slack(api, pauses).respond(url, "Please try again.")
    await api.stop()
    with pytest.raises(SlackError) as unavailable:
        await slack(api, pauses).respond(url, "Please try again.")
    for told in (refused, unavailable):
        assert "secret" not in "".join(format_exception(told.value))


async def test_a_direct_message_goes_to_the_user_and_links_nothing(api: WebApi, pauses: Pauses):
    await slack(api, pauses).send_direct_message(KEN.id, "You are signed in.")

    [(method, sent)] = api.asked
    assert (method, sent["channel"], sent["text"]) == ("chat.postMessage", KEN.id, "You are signed in.")
    assert (sent["parse"], sent["link_names"], sent["unfurl_links"]) == ("none", "0", "0") or not sent[
        "link_names"
    ]


# Who the bot is


async def test_the_bot_knows_its_team_from_the_start(api: WebApi):
    answer = {
        "ok": True,
        "team_id": "T0CONTOSO",
        "user_id": "U0BOT",
        "bot_id": "B0BOT",
        "enterprise_id": "E0",
    }
    api.answers["auth.test"] = [answer]

    us = await bot_user(api.client, PATIENT)

    assert (us.team_id, us.enterprise_id, us.bot_user_id, us.bot_token) == (
        "T0CONTOSO",
        "E0",
        "U0BOT",
        "xoxb-1",
    )


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"ok": False, "error": "invalid_auth"}, SlackRefused),
        ({"ok": True}, SlackUnavailable),
        *((garbage, SlackUnavailable) for garbage in GARBAGE),
    ],
    ids=repr,
)
async def test_a_token_that_is_refused_is_told_apart_from_what_is_not_slack(api, answer, error):
    api.answers["auth.test"] = [answer]

    with pytest.raises(error):
        await bot_user(api.client, PATIENT)


async def test_one_session_bounds_every_call_and_nothing_is_retried_by_the_sdk():
    async with slack_session(Timing(slack_timeout=timedelta(seconds=4))) as session, web_api() as api:
        client = slack_client(Secret("xoxb-1"), api.client.base_url, session)
        api.answers["chat.postMessage"] = [web.Response(status=503)]

        with pytest.raises(SlackUnavailable):
            await SlackClient(client, PATIENT).send_direct_message(KEN.id, "Hello.")

    assert session.timeout.total == 4
    assert len(api.asked) == 1
