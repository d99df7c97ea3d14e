"""What Slack's Web API answers, changed: people, membership, windows and messages."""

import json
from datetime import timedelta
from random import Random
from typing import Final

from bot.domain.errors import CouldNotVerify, SlackError
from bot.domain.identifiers import ChannelId, TeamId, UserId
from bot.domain.people import Actor, Audience, AudienceKind, Kind
from bot.ports import Shown
from bot.slack import modals
from bot.slack.board import SlackBoard
from bot.slack.people import SlackPeople
from bot.slack.views import Views
from bot.slack.wording import ENGLISH
from tests.fuzz import mutation
from tests.fuzz.far_sides import TEAM, Answer, Session, good
from tests.fuzz.grounds import Case
from tests.fuzz.judge import Wrong
from tests.slack.slack_rows import pending, waiting_again, whys

METHODS: Final = (
    *("users.info", "users.info", "users.info", "conversations.members", "usergroups.users.list"),
    *(
        "views.open",
        "views.update",
        "chat.postMessage",
        "chat.update",
        "conversations.history",
        "conversations.open",
    ),
)
STATUSES: Final = (200, 200, 200, 200, 201, 204, 302, 400, 401, 403, 404, 429, 500, 502, 503)
TYPES: Final = ("application/json", "application/json", "text/html", "text/plain", "application/gzip", "")
ERRORS: Final = (
    "ratelimited",
    "invalid_blocks",
    "not_found",
    "expired_trigger_id",
    "",
    "channel_not_found",
    "x" * 9,
)
KEN: Final = UserId("U0KEN")
WITHIN: Final = timedelta(seconds=5)


def draw(dice: Random) -> Case:
    """A method, and one or two answers of it."""
    method = dice.choice(METHODS)
    return {"method": method, "answers": [_answer(dice, method) for _ in range(dice.choice((1, 1, 2, 4)))]}


def _answer(dice: Random, method: str) -> Case:
    body = {"ok": True} | good(method, {"user": KEN})
    if dice.random() < 0.15:
        body = {"ok": False, "error": dice.choice(ERRORS)}
    text = mutation.dumped(mutation.value(dice, body))
    if dice.random() < 0.05:
        text = mutation.broken(dice, text)
    later = {"Retry-After": dice.choice(("1", "0", "x", "²", "9" * 40, "-1"))} if dice.random() < 0.2 else {}
    return {
        "body": text,
        "status": dice.choice(STATUSES),
        "headers": {"content-type": dice.choice(TYPES)} | later,
    }


async def play(case: Case) -> None:
    """Ask; only errors of the tree come back, and nobody becomes somebody by an answer that is none."""
    session = Session()
    session.instead[case["method"]] = [
        Answer(answer["body"], answer["status"], answer["headers"]) for answer in case["answers"]
    ]
    try:
        await _asked(session, case)
    except (CouldNotVerify, SlackError):
        return


async def _asked(session: Session, case: Case) -> None:
    people = SlackPeople(session.client, team=TeamId(TEAM), within=WITHIN)
    views = Views(session.client, open_within=WITHIN, sleep=_at_once)
    board = SlackBoard(session.client, channel=ChannelId("C0ONCALL"), words=ENGLISH, within=WITHIN)
    row = waiting_again(next(iter(whys())))
    match case["method"]:
        case "users.info":
            person = await people.person(Actor(user=KEN, team=TeamId(TEAM)))
            if person.kind is Kind.MEMBER and not _may_be_member(case):
                raise Wrong("a member by an answer that says otherwise")
        case "conversations.members":
            await people.is_in(KEN, [Audience.channel(ChannelId("C0ONCALL"))])
        case "usergroups.users.list":
            await people.is_in(KEN, [Audience(AudienceKind.USERGROUP, "S0ONCALL")])
        case "views.open":
            await views.open("1.2", modals.loading(ENGLISH))
        case "views.update":
            await views.update("V1", modals.loading(ENGLISH))
        case "chat.postMessage":
            await board.card(pending(), Shown())
        case "chat.update":
            shown = await board.card(pending(), Shown())
            await board.card(row, shown)
        case _:
            await board.find(pending(), Shown(posting=True))


def _may_be_member(case: Case) -> bool:
    """By a reading of our own: the right id and team, ours, and no flag against it."""
    answer = case["answers"][0]
    try:
        user = json.loads(answer["body"])["user"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    against = ("deleted", "is_bot", "is_restricted", "is_ultra_restricted", "is_stranger", "is_invited_user")
    return (
        user.get("id") == KEN and user.get("team_id") == TEAM and not any(user.get(name) for name in against)
    )


async def _at_once(_seconds: float) -> None:
    return None
