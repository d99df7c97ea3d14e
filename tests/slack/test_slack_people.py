"""Who somebody is and where they are, asked of Slack now; whatever is not understood lets nobody in."""

from datetime import timedelta

import pytest
from aiohttp import web
from bot.domain.errors import CouldNotVerify
from bot.domain.identifiers import ChannelId, TeamId, UserId
from bot.domain.people import Actor, Audience, AudienceKind, Kind
from bot.slack.people import SlackPeople
from sandbox.slack.local_slack import Slack
from slack_rows import KEN, MEI, TEAM
from slack_sdk.web.async_client import AsyncWebClient
from slack_stub import SlackStub

GUS, OLGA = UserId("U0GUS"), UserId("U0OLGA")
ON_CALL = Audience.channel(ChannelId("C0ONCALL"))
GROUP = Audience(AudienceKind.USERGROUP, "S0ONCALL")
SHORT = timedelta(milliseconds=50)


def _actor(user: UserId = MEI, team: TeamId | None = TEAM) -> Actor:
    return Actor(user=user, team=team)


@pytest.fixture
def people(client: AsyncWebClient) -> SlackPeople:
    return SlackPeople(client, team=TEAM)


def _stubbed(stub: SlackStub, enterprise: str | None = None) -> SlackPeople:
    return SlackPeople(stub.client, team=TEAM, enterprise=enterprise, within=SHORT)


def _user(**fields: object) -> dict[str, object]:
    profile = {"display_name": "mei", "email": "mei@contoso.com"}
    return {"ok": True, "user": {"id": MEI, "team_id": TEAM, "deleted": False, "profile": profile, **fields}}


async def test_a_member_is_known_by_name_and_address(people: SlackPeople) -> None:
    person = await people.person(_actor())

    assert (person.kind, person.name, person.email) == (Kind.MEMBER, "Mei Tanaka", "mei@contoso.com")
    assert (person.team_id, person.locale) == (TEAM, "en-US")


@pytest.mark.parametrize(
    ("user", "kind"),
    [(GUS, Kind.GUEST), (OLGA, Kind.OUTSIDER), (UserId("U0UNLATCH"), Kind.BOT), (KEN, Kind.MEMBER)],
)
async def test_everybody_in_the_local_slack_is_what_they_are(
    people: SlackPeople, user: UserId, kind: Kind
) -> None:
    assert (await people.person(_actor(user, None))).kind is kind


async def test_a_deactivated_account_is_seen_as_such_at_once(people: SlackPeople, slack: Slack) -> None:
    assert (await people.person(_actor(KEN))).kind is Kind.MEMBER

    slack.deactivate(KEN)

    assert (await people.person(_actor(KEN))).kind is Kind.DEACTIVATED


async def test_an_unconfirmed_address_is_none(people: SlackPeople, slack: Slack) -> None:
    slack.change_person(MEI, email_confirmed=False)

    assert (await people.person(_actor())).email is None


async def test_a_team_in_the_payload_that_is_not_ours_makes_an_outsider(people: SlackPeople) -> None:
    assert (await people.person(_actor(MEI, TeamId("T0FABRIKAM")))).kind is Kind.OUTSIDER


async def test_a_nobody_is_not_verified(people: SlackPeople) -> None:
    with pytest.raises(CouldNotVerify):
        await people.person(_actor(UserId("U0NOBODY")))


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"is_bot": True}, Kind.BOT),
        ({"is_app_user": True}, Kind.MEMBER),
        ({"is_restricted": True}, Kind.GUEST),
        ({"is_ultra_restricted": True}, Kind.GUEST),
        ({"is_stranger": True}, Kind.OUTSIDER),
        ({"is_invited_user": True}, Kind.DEACTIVATED),
        ({"deleted": True, "is_bot": True}, Kind.DEACTIVATED),
        ({"team_id": "T0FABRIKAM"}, Kind.OUTSIDER),
        ({"team_id": None}, Kind.OUTSIDER),
        ({"team_id": "T0OTHER", "enterprise_user": {"enterprise_id": "E0US"}}, Kind.MEMBER),
        ({"team_id": "T0OTHER", "enterprise_user": {"enterprise_id": "E0THEM"}}, Kind.OUTSIDER),
    ],
)
async def test_slacks_flags_are_read_as_slack_means_them(
    stub: SlackStub, fields: dict[str, object], kind: Kind
) -> None:
    stub.answers["users.info"] = [_user(**fields)]

    assert (await _stubbed(stub, enterprise="E0US").person(_actor())).kind is kind


async def test_without_an_organisation_of_ours_nobody_belongs_to_it(stub: SlackStub) -> None:
    stub.answers["users.info"] = [_user(team_id="T0OTHER", enterprise_user={"enterprise_id": ""})]

    assert (await _stubbed(stub, enterprise="").person(_actor(team=None))).kind is Kind.OUTSIDER


async def test_on_grid_a_payload_may_name_the_organisation(stub: SlackStub) -> None:
    stub.answers["users.info"] = [_user()]

    assert (await _stubbed(stub, "E0US").person(_actor(team=TeamId("E0US")))).kind is Kind.MEMBER


@pytest.mark.parametrize(
    "answer",
    [
        {"ok": True},
        {"ok": True, "user": []},
        _user(id="U0SOMEBODY"),
        _user(is_bot="false"),
        _user(is_restricted=None),
        {"ok": False, "error": "ratelimited"},
        {"ok": False, "error": "missing_scope"},
        web.Response(status=503, text="<html>upstream</html>", content_type="text/html"),
        web.Response(text="{not json", content_type="application/json"),
        web.Response(text="[]", content_type="application/json"),
        web.Response(body=b"\x1f\x8b", content_type="application/gzip"),
        web.Response(text="ok", content_type="text/plain"),
    ],
    ids=repr,
)
async def test_whatever_is_not_understood_is_not_verified(
    stub: SlackStub, answer: web.Response | dict[str, object]
) -> None:
    stub.answers["users.info"] = [answer]

    with pytest.raises(CouldNotVerify) as refused:
        await _stubbed(stub).person(_actor())

    assert "profile" in refused.value.what


async def test_a_slack_that_does_not_answer_verifies_nobody(stub: SlackStub) -> None:
    stub.hang = True

    with pytest.raises(CouldNotVerify):
        await _stubbed(stub).person(_actor())


async def test_a_slack_that_is_gone_verifies_nobody(stub: SlackStub) -> None:
    await stub.stop()

    with pytest.raises(CouldNotVerify):
        await _stubbed(stub).is_in(KEN, [ON_CALL])


# Audiences


async def test_membership_is_read_at_the_moment(people: SlackPeople, slack: Slack) -> None:
    assert await people.is_in(KEN, [ON_CALL])
    assert not await people.is_in(MEI, [ON_CALL])

    slack.leave("C0ONCALL", KEN)
    slack.join("C0ONCALL", MEI)

    assert not await people.is_in(KEN, [ON_CALL])
    assert await people.is_in(MEI, [ON_CALL])


async def test_the_rota_is_read_at_the_moment(people: SlackPeople, slack: Slack) -> None:
    assert await people.is_in(KEN, [GROUP])

    slack.set_usergroup("S0ONCALL", [])

    assert not await people.is_in(KEN, [GROUP])


async def test_any_of_the_audiences_is_enough_and_none_is_nobody(people: SlackPeople) -> None:
    assert await people.is_in(MEI, [ON_CALL, GROUP, Audience(AudienceKind.WORKSPACE)])
    assert not await people.is_in(KEN, [])


async def test_members_are_read_to_the_last_page(people: SlackPeople, slack: Slack) -> None:
    for number in range(450):
        slack.join("C0ONCALL", f"U1{number:04}")
    slack.join("C0ONCALL", MEI)

    assert await people.is_in(MEI, [ON_CALL])
    assert not await people.is_in(GUS, [ON_CALL])


async def test_a_short_or_empty_page_is_not_the_end(stub: SlackStub) -> None:
    stub.answers["conversations.members"] = [
        {"ok": True, "members": [], "response_metadata": {"next_cursor": "two"}},
        {"ok": True, "members": [KEN], "response_metadata": {"next_cursor": ""}},
    ]

    assert await _stubbed(stub).is_in(KEN, [ON_CALL])
    assert stub.asked[1][1]["cursor"] == "two"


async def test_a_cursor_that_leads_nowhere_verifies_nobody(stub: SlackStub) -> None:
    stub.answers["conversations.members"] = [
        {"ok": True, "members": [MEI], "response_metadata": {"next_cursor": "again"}}
    ]

    with pytest.raises(CouldNotVerify):
        await _stubbed(stub).is_in(KEN, [ON_CALL])
    assert len(stub.asked) == 2


@pytest.mark.parametrize(
    "audience", [Audience.channel(ChannelId("C0NOWHERE")), Audience(AudienceKind.USERGROUP, "S0")]
)
async def test_an_audience_that_slack_does_not_know_verifies_nobody(
    people: SlackPeople, audience: Audience
) -> None:
    with pytest.raises(CouldNotVerify):
        await people.is_in(KEN, [audience])


@pytest.mark.parametrize("members", [None, "U0KEN", [1], {"U0KEN": 1}])
async def test_members_of_another_shape_verify_nobody(stub: SlackStub, members: object) -> None:
    stub.answers["conversations.members"] = [{"ok": True, "members": members}]
    stub.answers["usergroups.users.list"] = [{"ok": True, "users": members}]

    for audience in (ON_CALL, GROUP):
        with pytest.raises(CouldNotVerify):
            await _stubbed(stub).is_in(KEN, [audience])


async def test_a_refused_lookup_is_not_tried_again_behind_the_persons_back(stub: SlackStub) -> None:
    stub.answers["usergroups.users.list"] = [{"ok": False, "error": "ratelimited"}]

    with pytest.raises(CouldNotVerify):
        await _stubbed(stub).is_in(KEN, [GROUP])
    assert len(stub.asked) == 1
