"""What Slack's Web API answers, changed: people, membership, modals and messages."""

import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
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
from tests.proofs.fuzz.openings import Play, check_error
from tests.proofs.fuzz.strategies import Answer, answers
from tests.support.builders import CHANNEL, IN_CHANNEL, KEN, TEAM, TIMING, a_request, actor
from tests.unit.slack.deliveries import US
from tests.unit.slack.web_api import WebApi, a_channel, web_api

AGAINST: Final = (
    "deleted",
    "is_bot",
    "is_restricted",
    "is_ultra_restricted",
    "is_stranger",
    "is_invited_user",
)
PROFILE: Final = {
    **{"id": KEN.id, "team_id": TEAM, "name": "ken", "locale": "en-US", "is_email_confirmed": True},
    **dict.fromkeys(AGAINST, False),
    "profile": {"real_name": "Ken", "display_name": "Ken", "email": "ken@contoso.com"},
}
MESSAGE: Final = {"ts": "1.1", "metadata": {"event_type": "unlatch_request", "event_payload": {"id": "x"}}}
POSTED: Final = {"channel": CHANNEL, "ts": "1.1"}
GOOD: Final[dict[str, dict[str, Any]]] = {
    "auth.test": {"ok": True, "team_id": TEAM, "user_id": "U0UNLATCH", "bot_id": "B0UNLATCH"},
    "users.info": {"ok": True, "user": PROFILE},
    "conversations.members": {"ok": True, "members": [KEN.id], "response_metadata": {"next_cursor": ""}},
    "usergroups.users.list": {"ok": True, "users": [KEN.id]},
    "views.open": {"ok": True, "view": {"id": "V1"}},
    "views.update": {"ok": True, "view": {"id": "V1"}},
    "chat.postMessage": {"ok": True, **POSTED},
    "chat.update": {"ok": True, **POSTED},
    "conversations.info": {"ok": True, "channel": {"id": CHANNEL, "is_private": True}},
    "conversations.open": {"ok": True, "channel": {"id": "D0MEI"}},
    "conversations.history": {"ok": True, "messages": [MESSAGE], "response_metadata": {"next_cursor": ""}},
}
ERRORS: Final = ("ratelimited", "invalid_blocks", "expired_trigger_id", "message_not_found", "x" * 9)
REFUSED: Final = [{"ok": False, "error": error} for error in ERRORS]


@dataclass(frozen=True)
class Case:
    """The answers to one method, in turn; then Slack answers well, as every other method does."""

    method: str
    bad: list[Answer]


cases = st.sampled_from([*GOOD]).flatmap(
    lambda method: st.builds(
        Case, st.just(method), st.lists(answers(*[GOOD[method]] * 3, *REFUSED), min_size=1, max_size=4)
    )
)


@asynccontextmanager
async def opening() -> AsyncIterator[Play]:
    """Everything that calls Slack, against the answers of each case."""
    async with web_api() as api:
        yield partial(_play, api)


async def _play(api: WebApi, case: Case) -> None:
    api.answers = {method: [answer] for method, answer in GOOD.items()}
    for answer in reversed(case.bad):
        bad = web.Response(body=answer.content, status=answer.status, headers=answer.headers)
        api.answers[case.method].insert(0, bad)
    directory = SlackDirectory(api.client, US, timing=TIMING)
    with suppress(CouldNotVerify):
        person = await directory.person(actor(KEN))
        assert person.kind is not Kind.MEMBER or case.method != "users.info" or _may_be_member(case.bad[0])
    slack = SlackClient(api.client, TIMING, sleep=_at_once)
    channel = a_channel(api)
    await channel.look()
    notifier = SlackNotifier(api.client, ENGLISH, channel, on_call=["S0ONCALL"], timing=TIMING)
    row, loading, posted = a_request(Status.PENDING), modals.loading("device", ENGLISH), MessageRef(**POSTED)
    await _call(bot_user(api.client, TIMING))
    await _call(directory.is_in(KEN.id, IN_CHANNEL))
    await _call(directory.is_in(KEN.id, Audience(AudienceKind.USERGROUP, "S0ONCALL")))
    await _call(slack.open_modal("1.2", loading))
    await _call(slack.update_modal("V1", loading))
    await _call(slack.send_direct_message(KEN.id, "Signed in."))
    await _call(notifier.find_posted(row, MessageState()))
    for state in (MessageState(), MessageState(card=posted, receipt=posted)):
        await _call(notifier.update_card(row, state))
        await _call(notifier.update_receipt(row, state))


async def _call(call: Awaitable[object]) -> None:
    try:
        await call
    except (CouldNotVerify, SlackError) as error:
        check_error(error)


def _may_be_member(answer: Answer) -> bool:
    """By a reading of our own: the right id and team, and no flag against it."""
    try:
        user = json.loads(answer.body)["user"]
        ours = (user["id"], user["team_id"]) == (KEN.id, TEAM)
        return ours and not any(user.get(name) for name in AGAINST)
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


async def _at_once(_seconds: float) -> None:
    return None
