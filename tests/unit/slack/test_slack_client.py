"""Slack's Web API: what each of its failures means; modals, private sentences, messages; who the bot is."""

import asyncio
from contextlib import nullcontext, suppress
from datetime import timedelta
from traceback import format_exception
from types import SimpleNamespace

import pytest
from aiohttp import web
from bot.domain.errors import SlackError, SlackRefused, SlackUnavailable
from bot.domain.values import Secret
from bot.slack import modals
from bot.slack.client import ANSWERS, Answers, SlackClient, bot_user, call, slack_client, slack_session
from bot.slack.errors import CONTENT, GONE, HIDDEN, PASSING, SCOPE, TOKEN
from bot.slack.wording import ENGLISH
from bot.timing import Timing
from structlog.testing import capture_logs
from tests.support.builders import KEN
from tests.unit.slack.web_api import CUT, GARBAGE, WebApi, refused, web_api

VIEW = modals.loading("device", ENGLISH)
OK = {"ok": True}
SENTENCE = "Please try again."
LATER = sorted(PASSING)
NEEDS_HELP = [*sorted(TOKEN | SCOPE | HIDDEN | GONE | CONTENT), "is_archived", "restricted_action", "x"]
STATUSES = {**dict.fromkeys((404, 302), SlackRefused), **dict.fromkeys((429, 500), SlackUnavailable)}
REFUSED_TOKEN = ("token_expired", "token_revoked", "account_inactive", "invalid_auth", "not_authed")


@pytest.fixture
def slack(api: WebApi) -> SlackClient:
    return SlackClient(api.client, Timing(), sleep=api.sleep)


def limited(retry_after: str) -> web.Response:
    return web.json_response(refused("a_new_word"), status=429, headers={"Retry-After": retry_after})


@pytest.mark.parametrize(
    ("answer", "meaning", "retry_after"),
    [
        *((refused(code), SlackUnavailable, None) for code in LATER),
        *((refused(code), SlackRefused, None) for code in NEEDS_HELP),
        *((answer, SlackUnavailable, None) for answer in (*GARBAGE, CUT)),
        (web.json_response(refused("a_new_word"), status=500), SlackUnavailable, None),
        (limited("7"), SlackUnavailable, timedelta(seconds=7)),
        (limited("9" * 50), SlackUnavailable, timedelta(minutes=10)),
        (limited("soon"), SlackUnavailable, None),
    ],
    ids=repr,
)
async def test_what_passes_by_itself_is_told_apart_from_what_needs_help(api, answer, meaning, retry_after):
    api.answers["auth.test"] = [answer]
    with pytest.raises(meaning) as told:
        await call(api.client.auth_test(), within=timedelta(seconds=9))
    assert told.value.code
    assert (getattr(told.value, "retry_after", None), len(api.asked)) == (retry_after, 1)


async def test_a_trigger_is_not_waited_for_longer_than_it_lives_nor_tried_twice(api: WebApi):
    api.hang = asyncio.Event()
    with pytest.raises(SlackUnavailable):
        await SlackClient(api.client, Timing(trigger_timeout=timedelta(seconds=0.05))).open_modal("t", VIEW)
    assert api.methods() == ["views.open"]


@pytest.mark.parametrize("view", [None, [], {"id": 1}], ids=repr)
async def test_a_modal_without_an_id_was_not_opened(api: WebApi, slack: SlackClient, view: object):
    api.answers["views.open"] = [{"ok": True, "view": view}]
    with pytest.raises(SlackRefused):
        await slack.open_modal("trigger", VIEW)


async def test_a_connection_that_breaks_while_opening_is_replaced_at_once(api, slack):
    """An idle connection that Slack cut as it was used: the trigger does not wait."""
    api.answers["views.open"] = [CUT, {"ok": True, "view": {"id": "V2"}}]
    assert await slack.open_modal("trigger", VIEW) == "V2"
    assert ([asked["trigger_id"] for _, asked in api.asked], api.slept) == (["trigger"] * 2, [])


@pytest.mark.parametrize(
    ("answers", "tries", "error"),
    [
        ([web.Response(status=503), limited("7"), OK], 3, None),
        ([web.Response(status=503)], 3, SlackUnavailable),
        ([refused("not_found")], 1, SlackRefused),
    ],
    ids=["a bad moment", "unavailable", "closed"],
)
async def test_a_modal_is_not_left_loading_by_a_bad_moment(api, slack, answers, tries, error):
    api.answers["views.update"] = list(answers)
    with pytest.raises(error) if error else nullcontext():
        await slack.update_modal("V1", VIEW)
    assert [asked["view_id"] for _, asked in api.asked] == ["V1"] * tries
    assert (7 in api.slept) is (error is None)


async def test_a_sentence_is_posted_to_one_person_alone_and_again_after_a_bad_moment(api, slack):
    api.answers["response"] = [web.Response(status=503), web.Response(text="ok")]
    await slack.respond(Secret(f"{api.client.base_url}response"), SENTENCE)
    body = {"text": SENTENCE, "response_type": "ephemeral", "replace_original": False}
    assert api.asked == [("response", body)] * 2


@pytest.mark.parametrize(("status", "error"), STATUSES.items())
async def test_a_sentence_follows_no_redirect_and_no_error_carries_its_url(api, slack, status, error):
    api.answers["secret"] = [web.Response(status=status, headers={"Location": "/elsewhere"})]
    url = Secret(f"{api.client.base_url}secret")
    with pytest.raises(error) as refused:
        await slack.respond(url, SENTENCE)
    await api.stop()
    with pytest.raises(SlackUnavailable) as unavailable:
        await slack.respond(url, SENTENCE)
    assert set(api.methods()) == {"secret"}
    for told in (refused, unavailable):
        assert "secret" not in "".join(format_exception(told.value))


SLACKS = ["https://hooks.slack.com/secret", "https://hooks.slack-gov.com/secret"]
NOT_SLACKS = [
    *("https://hooks.slack.com.example/secret", "https://hooks.slack.com@example.com/secret"),
    *("https://hooks.slack.com:8443/secret", "https://hooks.slack.com:port/secret"),
    *("https://example.com/hooks.slack.com/secret", "http://hooks.slack.com/secret"),
    *("//hooks.slack.com/secret", "http://127.0.0.1:9/secret", "http://169.254.169.254/latest/secret"),
    *("no address, but secret", ""),
]
URLS = [*((url, "OSError") for url in SLACKS), *((url, "not_slacks_url") for url in NOT_SLACKS)]


@pytest.mark.parametrize(("url", "code"), URLS)
async def test_a_sentence_goes_to_no_address_that_is_not_slacks(api, slack, url, code):
    def no_network(*_: object, **__: object) -> None:
        raise OSError

    api.client.session = SimpleNamespace(post=no_network)
    with pytest.raises(SlackError) as told:
        await slack.respond(Secret(url), SENTENCE)
    assert told.value.code == code
    assert "secret" not in "".join(format_exception(told.value))


async def test_a_direct_message_goes_to_the_user_and_links_nothing(api: WebApi, slack: SlackClient):
    await slack.send_direct_message(KEN.id, "You are signed in.")
    [(method, sent)] = api.asked
    assert (method, sent["channel"], sent["text"]) == ("chat.postMessage", KEN.id, "You are signed in.")
    assert sent["parse"] == "none"
    assert not any(sent[name] for name in ("link_names", "unfurl_links", "unfurl_media"))


async def test_the_bot_knows_its_team_from_the_start(api: WebApi):
    ours = {"team_id": "T0CONTOSO", "user_id": "U0BOT", "bot_id": "B0BOT", "enterprise_id": "E0"}
    api.answers["auth.test"] = [OK | ours, OK]
    us = await bot_user(api.client, Timing())
    assert (us.team_id, us.bot_user_id, us.bot_id, us.enterprise_id) == tuple(ours.values())
    assert us.bot_token == "xoxb-1"
    with pytest.raises(SlackUnavailable):  # an answer without a team is not Slack's
        await bot_user(api.client, Timing())


@pytest.mark.parametrize("team", ["E0", "T1", None], ids="O24-{}".format)
async def test_a_token_of_an_installation_for_a_whole_organization_is_refused(api: WebApi, team: str | None):
    api.answers["auth.test"] = [OK | {"team_id": team, "is_enterprise_install": True}]
    with pytest.raises(SlackRefused, match="org_wide_installation"):
        await bot_user(api.client, Timing())


async def test_one_session_bounds_every_call_and_nothing_is_retried_by_the_sdk():
    async with slack_session(Timing(slack_timeout=timedelta(seconds=4))) as session, web_api() as api:
        client = slack_client(Secret("xoxb-1"), api.client.base_url, session)
        api.answers["chat.postMessage"] = [CUT]
        with pytest.raises(SlackUnavailable):
            await SlackClient(client, Timing()).send_direct_message(KEN.id, "Hello.")
    assert (client.session is session, session.timeout.total, len(api.asked)) == (True, 4, 1)


async def problem_after(api: WebApi, method: str, answer: object) -> str:
    api.answers[method] = [answer]
    with suppress(SlackError):
        await call(api.client.api_call(method), within=timedelta(seconds=9))
    return api.client.problem


@pytest.mark.parametrize("word", REFUSED_TOKEN, ids=[f"S22-{word}" for word in REFUSED_TOKEN])
async def test_a_token_that_slack_refuses_is_a_problem_until_slack_takes_it_and_is_logged_once(api, word):
    with capture_logs() as logs:
        assert await problem_after(api, "users.info", refused(word)) == word
        for passing in (refused("ratelimited"), refused("internal_error"), *GARBAGE, CUT):
            assert await problem_after(api, "chat.postMessage", passing) == word  # not of the token
        assert await problem_after(api, "users.info", refused(word)) == word
        assert await problem_after(api, "apps.connections.open", OK) == word  # another token's
        assert await problem_after(api, "chat.update", refused("message_not_found")) == ""
    [line] = logs
    about = {"event": "slack_token_refused", "log_level": "error", "method": "users.info", "code": word}
    assert line.items() >= about.items()


async def test_a_missing_scope_is_a_problem_until_its_method_is_answered_unless_the_bot_can_do_without(api):
    lacks = {"ok": False, "error": "missing_scope", "needed": "users:read"}
    for method, answer, problem in (
        ("conversations.history", lacks, ""),
        ("users.info", lacks, "missing_scope: users:read"),
        ("chat.postMessage", OK, "missing_scope: users:read"),
        ("users.info", OK, ""),
    ):
        assert await problem_after(api, method, answer) == problem


def test_response_urls_are_kept_for_the_newest():
    answers = Answers()
    for number in range(ANSWERS + 1):
        answers.keep(str(number), Secret("url"))
    answers.keep("none", None)
    found = [answers.get(key) is not None for key in ("0", "1", str(ANSWERS), "none")]
    assert found == [False, True, True, False]
