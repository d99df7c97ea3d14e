"""Who a person is and where they are, asked of Slack now; whatever is not understood lets nobody in."""

import asyncio

import pytest
from aiohttp import web
from bot.domain.errors import CouldNotVerify
from bot.domain.people import Actor, Audience, AudienceKind, Kind
from bot.domain.values import TeamId, UserId
from bot.slack.directory import SlackDirectory
from bot.timing import Timing
from slack_bolt.authorization import AuthorizeResult
from tests.support.builders import IN_CHANNEL, KEN, MEI, ON_CALL, OTHER_TEAM, TEAM
from tests.unit.slack.web_api import GARBAGE, PATIENT, SHORT, WebApi

OURS = TeamId("E0US")


def directory(api: WebApi, enterprise: str | None = None, timing: Timing = PATIENT) -> SlackDirectory:
    us = AuthorizeResult(enterprise_id=enterprise, team_id=TEAM)
    return SlackDirectory(api.client, us, timing=timing)


def mei(team: TeamId | None = TEAM, user: UserId = MEI.id) -> Actor:
    return Actor(user=user, team=team)


def a_user(**fields: object) -> dict[str, object]:
    profile = {"real_name": "Mei Tanaka", "display_name": "mei", "email": "mei@contoso.com"}
    return {"ok": True, "user": {"id": MEI.id, "team_id": TEAM, "profile": profile, **fields}}


async def test_a_member_is_known_by_full_name_and_address(api: WebApi):
    api.answers["users.info"] = [a_user(locale="ja-JP")]

    person = await directory(api).person(mei())

    assert (person.kind, person.name, person.email) == (Kind.MEMBER, "Mei Tanaka", "mei@contoso.com")
    assert (person.team_id, person.locale) == (TEAM, "ja-JP")


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, Kind.MEMBER),
        ({"is_app_user": True}, Kind.MEMBER),
        ({"is_bot": True}, Kind.BOT),
        ({"is_restricted": True}, Kind.GUEST),
        ({"is_ultra_restricted": True}, Kind.GUEST),
        ({"is_stranger": True}, Kind.OUTSIDER),
        ({"is_invited_user": True}, Kind.DEACTIVATED),
        ({"deleted": True, "is_bot": True}, Kind.DEACTIVATED),
        ({"team_id": OTHER_TEAM}, Kind.OUTSIDER),
        ({"team_id": None}, Kind.OUTSIDER),
        ({"team_id": "T0OTHER", "enterprise_user": {"enterprise_id": OURS}}, Kind.MEMBER),
        ({"team_id": "T0OTHER", "enterprise_user": {"enterprise_id": "E0THEM"}}, Kind.OUTSIDER),
    ],
)
async def test_slacks_flags_are_read_as_slack_means_them(api: WebApi, fields: dict[str, object], kind: Kind):
    api.answers["users.info"] = [a_user(**fields)]

    assert (await directory(api, OURS).person(mei())).kind is kind


@pytest.mark.parametrize(
    ("team", "enterprise", "kind"),
    [
        (TEAM, None, Kind.MEMBER),
        (None, None, Kind.MEMBER),
        (OTHER_TEAM, None, Kind.OUTSIDER),
        (OURS, OURS, Kind.MEMBER),
        (OURS, None, Kind.OUTSIDER),
    ],
)
async def test_the_team_of_the_payload_has_to_be_ours_or_our_organization(
    api: WebApi, team: TeamId | None, enterprise: str | None, kind: Kind
):
    api.answers["users.info"] = [a_user()]

    assert (await directory(api, enterprise).person(mei(team))).kind is kind


async def test_without_an_organization_of_ours_no_profile_belongs_to_it(api: WebApi):
    api.answers["users.info"] = [a_user(team_id="T0OTHER", enterprise_user={"enterprise_id": ""})]

    assert (await directory(api, "").person(mei(None))).kind is Kind.OUTSIDER


async def test_slackbot_is_a_bot_though_slack_does_not_say_so(api: WebApi):
    api.answers["users.info"] = [a_user(id="USLACKBOT", is_bot=False)]

    assert (await directory(api).person(mei(user=UserId("USLACKBOT")))).kind is Kind.BOT


async def test_an_unconfirmed_address_is_none(api: WebApi):
    api.answers["users.info"] = [a_user(is_email_confirmed=False)]

    assert (await directory(api).person(mei())).email is None


@pytest.mark.parametrize(
    "answer",
    [
        {"ok": True},
        {"ok": True, "user": []},
        a_user(id="U0ANOTHER"),
        a_user(is_bot="false"),
        a_user(is_restricted=None),
        {"ok": False, "error": "ratelimited"},
        {"ok": False, "error": "missing_scope"},
        {"ok": False, "error": "user_not_found"},
        *GARBAGE,
    ],
    ids=repr,
)
async def test_a_profile_that_is_not_understood_verifies_nobody(
    api: WebApi, answer: web.Response | dict[str, object]
):
    api.answers["users.info"] = [answer]

    with pytest.raises(CouldNotVerify) as refused:
        await directory(api).person(mei())
    assert "profile" in refused.value.facts["what"]
    assert api.methods() == ["users.info"]  # and is not asked for again


async def test_a_slack_that_hangs_or_is_gone_verifies_nobody(api: WebApi):
    api.hang = asyncio.Event()
    with pytest.raises(CouldNotVerify):
        await directory(api, timing=SHORT).person(mei())
    api.hang.set()
    await api.stop()
    with pytest.raises(CouldNotVerify):
        await directory(api).is_in(KEN.id, IN_CHANNEL)


# Audiences


async def test_membership_is_read_anew_each_time_to_the_last_page(api: WebApi):
    """A short or an empty page is not the end."""
    first = {"ok": True, "members": [MEI.id], "response_metadata": {"next_cursor": "two"}}
    empty = {"ok": True, "members": [], "response_metadata": {"next_cursor": "three"}}
    with_ken = {"ok": True, "members": [KEN.id], "response_metadata": {"next_cursor": ""}}
    api.answers["conversations.members"] = [first, empty, with_ken, {"ok": True, "members": [MEI.id]}]

    assert await directory(api).is_in(KEN.id, IN_CHANNEL)
    assert not await directory(api).is_in(KEN.id, IN_CHANNEL)
    assert [asked.get("cursor") for _, asked in api.asked] == [None, "two", "three", None]


async def test_a_user_group_is_read_anew_each_time(api: WebApi):
    api.answers["usergroups.users.list"] = [{"ok": True, "users": [KEN.id]}, {"ok": True, "users": []}]

    assert await directory(api).is_in(KEN.id, ON_CALL)
    assert not await directory(api).is_in(KEN.id, ON_CALL)


async def test_the_workspace_is_every_full_member(api: WebApi):
    assert await directory(api).is_in(KEN.id, Audience(AudienceKind.WORKSPACE))


async def test_a_cursor_that_leads_nowhere_verifies_nobody(api: WebApi):
    page = {"ok": True, "members": [MEI.id], "response_metadata": {"next_cursor": "again"}}
    api.answers["conversations.members"] = [page]

    with pytest.raises(CouldNotVerify):
        await directory(api).is_in(KEN.id, IN_CHANNEL)
    assert len(api.asked) == 2


@pytest.mark.parametrize(
    "answer",
    [
        *({"ok": True, "members": odd, "users": odd} for odd in (None, "U0KEN", [1], {"U0KEN": 1})),
        *({"ok": False, "error": error} for error in ("channel_not_found", "no_such_subteam", "ratelimited")),
    ],
    ids=repr,
)
async def test_members_that_are_not_understood_verify_nobody(api: WebApi, answer: dict[str, object]):
    api.answers["conversations.members"] = api.answers["usergroups.users.list"] = [answer]

    for audience in (IN_CHANNEL, ON_CALL):
        with pytest.raises(CouldNotVerify):
            await directory(api).is_in(KEN.id, audience)
    assert len(api.asked) == 2
