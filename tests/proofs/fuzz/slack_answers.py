"""What Slack's Web API answers, changed: people, membership, modals and messages."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web
from bot.domain.errors import CouldNotVerify, SlackError
from bot.domain.people import Audience, AudienceKind, Kind
from bot.domain.request import MessageRef, MessageState, Status
from bot.slack import modals
from bot.slack.client import SlackClient, bot_user
from bot.slack.directory import SlackDirectory
from bot.slack.notifier import SlackNotifier
from bot.slack.wording import ENGLISH
from hypothesis import strategies as st
from tests.proofs.fuzz.checks import check_error
from tests.proofs.fuzz.ground import Play
from tests.proofs.fuzz.strategies import json_text, mutated
from tests.support.builders import CHANNEL, IN_CHANNEL, KEN, TEAM, TIMING, a_request, actor
from tests.unit.slack.deliveries import US
from tests.unit.slack.web_api import web_api

PROFILE: Final = {
    "id": KEN.id,
    "team_id": TEAM,
    "name": "ken",
    "deleted": False,
    "is_bot": False,
    "is_restricted": False,
    "is_email_confirmed": True,
    "locale": "en-US",
    "profile": {"real_name": "Ken", "display_name": "Ken", "email": "ken@contoso.com"},
}
AGAINST: Final = (
    *("deleted", "is_bot", "is_restricted", "is_ultra_restricted"),
    *("is_stranger", "is_invited_user"),
)
MESSAGE: Final = {"ts": "1.1", "metadata": {"event_type": "unlatch_request", "event_payload": {"id": "x"}}}
GOOD: Final[dict[str, dict[str, Any]]] = {
    "auth.test": {"team_id": TEAM, "user_id": "U0UNLATCH", "bot_id": "B0UNLATCH"},
    "users.info": {"user": PROFILE},
    "conversations.members": {"members": [KEN.id], "response_metadata": {"next_cursor": ""}},
    "usergroups.users.list": {"users": [KEN.id]},
    "views.open": {"view": {"id": "V1"}},
    "views.update": {"view": {"id": "V1"}},
    "chat.postMessage": {"channel": CHANNEL, "ts": "1.1"},
    "chat.update": {"channel": CHANNEL, "ts": "1.1"},
    "conversations.open": {"channel": {"id": "D0MEI"}},
    "conversations.history": {"messages": [MESSAGE], "response_metadata": {"next_cursor": ""}},
}
STATUSES: Final = (200, 200, 200, 200, 201, 204, 302, 400, 401, 403, 404, 429, 500, 502, 503)
KINDS: Final = ("application/json", "application/json", "text/html", "text/plain", "application/gzip", "")
ERRORS: Final = ("ratelimited", "invalid_blocks", "expired_trigger_id", "message_not_found", "", "x" * 9)


@dataclass(frozen=True)
class Answer:
    body: str
    status: int = 200
    kind: str = "application/json"
    retry_after: str | None = None


@dataclass(frozen=True)
class Case:
    """What is asked, and the answers to it in turn; then Slack answers well."""

    method: str
    answers: tuple[Answer, ...]


def _answers(method: str) -> st.SearchStrategy[Answer]:
    refused = st.sampled_from(ERRORS).map(lambda error: {"ok": False, "error": error})
    bodies = json_text(mutated({"ok": True, **GOOD[method]}) | refused)
    pauses = st.none() | st.sampled_from(("1", "0", "x", "²", "9" * 40, "-1"))
    return st.builds(Answer, bodies, st.sampled_from(STATUSES), st.sampled_from(KINDS), pauses)


cases = st.sampled_from(list(GOOD)).flatmap(
    lambda method: st.builds(
        Case, st.just(method), st.lists(_answers(method), min_size=1, max_size=4).map(tuple)
    )
)
examples = tuple(
    Case("users.info", (Answer(json.dumps({"ok": True, "user": PROFILE | {name: flag}})),))
    for name in AGAINST
    for flag in ("False", 1, {"": None}, [0])
)


@asynccontextmanager
async def opening() -> AsyncIterator[Play]:
    """Everything that calls Slack, against the answers of each case."""
    async with web_api() as api:

        async def play(case: Case) -> None:
            good = {method: [{"ok": True, **answer}] for method, answer in GOOD.items()}
            bad = [
                web.Response(
                    body=answer.body.encode("utf-8", "surrogatepass"),
                    status=answer.status,
                    headers=_headers(answer),
                )
                for answer in case.answers
            ]
            api.answers = {**good, case.method: [*bad, *good[case.method]]}
            try:
                await _ask(api.client, case)
            except (CouldNotVerify, SlackError) as error:
                check_error(error)

        yield play


def _headers(answer: Answer) -> dict[str, str]:
    headers = {"content-type": answer.kind}
    return headers if answer.retry_after is None else headers | {"retry-after": answer.retry_after}


async def _ask(client: Any, case: Case) -> None:
    directory = SlackDirectory(client, US, timing=TIMING)
    slack = SlackClient(client, TIMING, sleep=_at_once)
    notifier = SlackNotifier(client, ENGLISH, CHANNEL, on_call=["S0ONCALL"], timing=TIMING)
    row, loading = a_request(Status.PENDING), modals.loading("device", ENGLISH)
    ref = MessageRef(CHANNEL, "1.1")
    match case.method:
        case "auth.test":
            assert (await bot_user(client, TIMING)).team_id
        case "users.info":
            person = await directory.person(actor(KEN))
            assert person.kind is not Kind.MEMBER or _may_be_member(case.answers[0])
        case "conversations.members":
            await directory.is_in(KEN.id, IN_CHANNEL)
        case "usergroups.users.list":
            await directory.is_in(KEN.id, Audience(AudienceKind.USERGROUP, "S0ONCALL"))
        case "views.open":
            assert await slack.open_modal("1.2", loading)
        case "views.update":
            await slack.update_modal("V1", loading)
        case "chat.postMessage":
            await slack.send_direct_message(KEN.id, "Signed in.")
            await notifier.update_card(row, MessageState())
            await notifier.update_receipt(row, MessageState())
        case "chat.update":
            await notifier.update_card(row, MessageState(card=ref))
            await notifier.update_receipt(row, MessageState(receipt=ref))
        case _:
            await notifier.find_posted(row, MessageState())


def _may_be_member(answer: Answer) -> bool:
    """By a reading of our own: the right id and team, and no flag against it."""
    try:
        user = json.loads(answer.body)["user"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    ours = user.get("id") == KEN.id and user.get("team_id") == TEAM
    return ours and not any(user.get(name) for name in AGAINST)


async def _at_once(_seconds: float) -> None:
    return None
