"""Who a person is and where they are, asked of Slack now; whatever is not understood lets nobody in."""

import pytest
from bot.domain.errors import Code, CouldNotVerify
from bot.domain.people import Actor, Audience, AudienceKind, Kind
from bot.domain.values import TeamId, UserId
from bot.slack.directory import SlackDirectory
from bot.slack.wording import ENGLISH
from bot.timing import Timing
from slack_bolt.authorization import AuthorizeResult
from structlog.testing import capture_logs
from tests.support.builders import IN_CHANNEL, KEN, MEI, ON_CALL, OTHER_TEAM, TEAM
from tests.support.clock import Clock
from tests.unit.slack.web_api import GARBAGE, WebApi, a_channel, refused

OURS = TeamId("E0US")
"""Our organization on Enterprise Grid."""
AS_MEI = Actor(user=MEI.id, team=TEAM)
AGAIN = "so this isn’t verified. Try again in a minute."
FAILED = [
    ({"error": "missing_scope", "needed": "groups:read"}, "lacks the Slack permission groups:read"),
    ({"error": "channel_not_found"}, "(channel_not_found), so this isn’t verified. Waiting won’t help"),
    ({"error": "no_such_subteam"}, "(no_such_subteam), so this isn’t verified. Waiting won’t help"),
    *(({"error": error}, AGAIN) for error in ("internal_error", "ratelimited")),
    *(({"members": odd, "users": odd}, AGAIN) for odd in (None, "U0KEN", [1], {"U0KEN": 1})),
]
LASTS = ("user_not_found", "user_not_visible", "token_expired", "missing_scope")
"""What no waiting mends; the first two hide the person."""


def directory(api: WebApi, enterprise: str | None = None) -> SlackDirectory:
    us = AuthorizeResult(enterprise_id=enterprise, team_id=TEAM)
    return SlackDirectory(api.client, us, timing=Timing())


def a_user(**fields: object) -> dict[str, object]:
    profile = {"real_name": "Mei Tanaka", "display_name": "mei", "email": "mei@contoso.com"}
    return {"ok": True, "user": {"id": MEI.id, "team_id": TEAM, "profile": profile, **fields}}


def of_organization(enterprise_id: str, *teams: str, **more: object) -> dict[str, object]:
    """A profile on Enterprise Grid; without teams it does not say in which workspaces the person is."""
    named = {"teams": list(teams)} if teams else {}
    return {"team_id": "T0OTHER", "enterprise_user": {"enterprise_id": enterprise_id, **named}} | more


async def test_s28_a_member_is_known_by_full_name_and_confirmed_address(api: WebApi):
    api.answers["users.info"] = [a_user(), a_user(is_email_confirmed=False)]
    person = await directory(api).person(AS_MEI)
    assert (person.kind, person.name, person.email) == (Kind.MEMBER, "Mei Tanaka", "mei@contoso.com")
    assert (await directory(api).person(AS_MEI)).email is None


FLAGS = {
    Kind.MEMBER: [{}, {"is_app_user": True}, of_organization(OURS, TEAM)],
    Kind.BOT: [{"is_bot": True}],
    Kind.GUEST: [{"is_restricted": True}, {"is_ultra_restricted": True}],
    Kind.OUTSIDER: [
        *({"is_stranger": True}, {"team_id": OTHER_TEAM}, {"team_id": None}),
        *(of_organization("E0THEM", TEAM), of_organization(OURS)),
    ],
    Kind.DEACTIVATED: [{"is_invited_user": True}, {"deleted": True, "is_bot": True}],
}
AT_HOME, NO_TEAM = (of_organization(OURS, TEAM, "T0OTHER", team_id=team) for team in (TEAM, None))
IN_ANOTHER, IN_ANOTHER_TOO = (of_organization(OURS, "T0OTHER", team_id=team) for team in (None, TEAM))


@pytest.mark.parametrize(
    ("row", "team", "enterprise", "fields", "kind"),
    [
        *(("flags", TEAM, OURS, fields, kind) for kind in FLAGS for fields in FLAGS[kind]),
        ("flags", TEAM, None, {"id": "USLACKBOT", "is_bot": False}, Kind.BOT),  # though Slack does not say so
        *(("teams", team, None, {}, Kind.MEMBER) for team in (TEAM, None)),
        *(("teams", team, None, {}, Kind.OUTSIDER) for team in (OTHER_TEAM, OURS)),
        ("teams", OURS, OURS, {}, Kind.MEMBER),
        ("teams", None, "", of_organization(""), Kind.OUTSIDER),
        *(("S03", team, OURS, AT_HOME, Kind.MEMBER) for team in ("T0OTHER", OURS)),
        ("S03", "T0OTHER", OURS, AT_HOME | {"is_restricted": True}, Kind.GUEST),
        ("S03", "T0OTHER", OURS, {}, Kind.OUTSIDER),  # nothing says that they are of ours
        ("S03", OTHER_TEAM, OURS, of_organization("E0THEM", TEAM, team_id=TEAM), Kind.OUTSIDER),
        ("S03", "T0OTHER", None, AT_HOME, Kind.OUTSIDER),
        ("S29", None, OURS, NO_TEAM, Kind.MEMBER),
        ("S29", None, None, NO_TEAM, Kind.OUTSIDER),
        *(("S29", TEAM, OURS, elsewhere, Kind.OUTSIDER) for elsewhere in (IN_ANOTHER, IN_ANOTHER_TOO)),
        *(("S29", TEAM, OURS, of_organization(OURS, team_id=team), Kind.OUTSIDER) for team in (None, OURS)),
        ("S29", TEAM, OURS, of_organization(OURS, team_id=TEAM), Kind.MEMBER),
    ],
)
async def test_flags_are_read_and_the_workspace_has_to_be_ours(api, row, team, enterprise, fields, kind):
    api.answers["users.info"] = [user := a_user(**fields)]
    person = await directory(api, enterprise).person(Actor(user=user["user"]["id"], team=team))
    assert person.kind is kind, row


def on_grid(user: str, enterprise_user: str | None = None) -> dict[str, object]:
    profile = of_organization(OURS, TEAM)
    profile["enterprise_user"] |= {"id": enterprise_user}
    return a_user(id=user, **profile)


W_KEN = UserId("W0KENGRID")
PROFILES = [
    [on_grid(KEN.id, W_KEN)],
    [on_grid(KEN.id, W_KEN), on_grid(W_KEN)],  # what Slack has said once stays so
    [on_grid(W_KEN, KEN.id), on_grid(KEN.id)],
]


@pytest.mark.parametrize("listed", [KEN.id, W_KEN])
@pytest.mark.parametrize("pressed", [KEN.id, W_KEN])
@pytest.mark.parametrize("profiles", PROFILES, ids=["one form", "then the other", "and the other way"])
async def test_s04_one_person_under_two_ids_is_one_in_profiles_and_lists(api, profiles, pressed, listed):
    api.answers["users.info"] = list(profiles)
    api.answers["conversations.members"] = [{"ok": True, "members": ["U0", listed]}]
    api.answers["usergroups.users.list"] = [{"ok": True, "users": [listed]}]
    slack = directory(api, OURS)
    assert slack.same(pressed) == set()
    for _ in range(2):
        person = await slack.person(Actor(user=pressed, team=TEAM))
        assert (person.id, person.kind) == (KEN.id, Kind.MEMBER)
        assert slack.same(KEN.id) == slack.same(W_KEN) == {KEN.id, W_KEN}
        for audience in (IN_CHANNEL, ON_CALL):
            assert await slack.is_in(KEN.id, audience)


async def test_s04_without_a_grid_nobody_is_asked_for(api):
    slack = directory(api)
    assert (slack.same(KEN.id), slack.same(W_KEN), api.asked) == ({KEN.id}, set(), [])


@pytest.mark.parametrize(
    "answer",
    [
        *({"ok": True}, {"ok": True, "user": []}),
        *(a_user(id="U0ANOTHER"), a_user(is_bot="false"), a_user(is_restricted=None)),
        *(a_user(enterprise_user={"teams": odd}) for odd in (TEAM, [TEAM, 7], {TEAM: 1})),  # S29
        *map(refused, ("ratelimited", *LASTS)),
        GARBAGE[0],
    ],
    ids=repr,
)
async def test_s06_what_is_not_understood_verifies_nobody_and_a_hidden_person_is_told_apart(api, answer):
    api.answers["users.info"] = [answer]
    with pytest.raises(CouldNotVerify) as told, capture_logs() as logs:
        await directory(api).person(AS_MEI)
    assert [line["event"] for line in logs if line["event"] != "slack_token_refused"] == ["lookup_failed"]
    assert "profile" in told.value.facts["what"]
    word = answer.get("error") if isinstance(answer, dict) else None
    assert (told.value.lasts, told.value.hidden) == (word in LASTS, word in LASTS[:2])
    assert api.methods() == ["users.info"]  # and is not asked for again


async def test_membership_is_read_each_time_to_the_last_page_and_the_workspace_is_every_full_member(api):
    """A short or an empty page is not the end."""
    api.answers["conversations.members"] = [
        {"ok": True, "members": members, "response_metadata": {"next_cursor": cursor}}
        for members, cursor in (([MEI.id], "two"), ([], "three"), ([KEN.id], ""), ([MEI.id], ""))
    ]
    assert await directory(api).is_in(KEN.id, IN_CHANNEL)
    assert not await directory(api).is_in(KEN.id, IN_CHANNEL)
    assert [asked.get("cursor") for _, asked in api.asked] == [None, "two", "three", None]
    page = {"ok": True, "members": [MEI.id], "response_metadata": {"next_cursor": "again"}}
    api.answers["conversations.members"] = [page]
    with pytest.raises(CouldNotVerify):  # the cursor leads nowhere
        await directory(api).is_in(KEN.id, IN_CHANNEL)
    assert len(api.asked) == 4 + 2
    api.answers["usergroups.users.list"] = [{"ok": True, "users": [KEN.id]}, {"ok": True, "users": []}]
    assert await directory(api).is_in(KEN.id, ON_CALL)
    assert not await directory(api).is_in(KEN.id, ON_CALL)
    assert await directory(api).is_in(KEN.id, Audience(AudienceKind.WORKSPACE))


@pytest.mark.parametrize(("answer", "said"), FAILED, ids=str)
async def test_members_that_are_not_understood_verify_nobody_and_why_is_logged_and_told(api, answer, said):
    given = {"ok": "error" not in answer} | answer
    api.answers["conversations.members"] = api.answers["usergroups.users.list"] = [given]
    for audience in (IN_CHANNEL, ON_CALL):
        with pytest.raises(CouldNotVerify) as told, capture_logs() as logs:
            await directory(api).is_in(KEN.id, audience)
        assert said in ENGLISH.error(told.value)
        assert (logs[-1]["event"], logs[-1].get("code")) == ("lookup_failed", answer.get("error"))
        assert logs[-1].get("needed") == answer.get("needed")
    assert len(api.asked) == 2


CHANNELS = [
    ({"is_private": True}, None, None),
    ({"is_private": True, "is_shared": True, "is_org_shared": True}, None, None),
    *(({"is_private": private}, Code.CHANNEL_PUBLIC, None) for private in (False, None, "yes")),
    *(
        ({"is_private": True, flag: True}, Code.CHANNEL_SHARED, Code.CHANNEL_SHARED)
        for flag in ("is_ext_shared", "is_pending_ext_shared")
    ),
]


@pytest.mark.parametrize(("flags", "alone", "with_a_rota"), CHANNELS, ids=str)
async def test_an_approver_channel_is_private_or_has_a_rota_and_is_not_shared(api, flags, alone, with_a_rota):
    api.answers["conversations.info"] = [{"ok": True, "channel": flags}]
    for rota, problem in ((False, alone), (True, with_a_rota)):
        channel = a_channel(api, rota=rota)
        await channel.look()
        assert channel.problem is problem


PRIVATE, PUBLIC = ({"ok": True, "channel": {"is_private": flag}} for flag in (True, False))
LOOKS = {
    "it cannot be seen": (
        [refused("x"), PRIVATE, *[refused("x")] * 3],
        [(0, Code.CHANNEL_UNKNOWN), (1, None), (61, None), (58, None), (1, Code.CHANNEL_UNKNOWN)],
    ),
    "it was seen": (
        [*GARBAGE, {"ok": True}, PRIVATE, PUBLIC, refused("x"), PRIVATE],
        [
            *[(0, Code.CHANNEL_UNKNOWN)] * (len(GARBAGE) + 1),
            *((0, None), (59, None), (1, Code.CHANNEL_PUBLIC), (1, Code.CHANNEL_PUBLIC), (1, None)),
        ],
    ),
}
"""What Slack answers in turn, and how the channel is found after so many more minutes."""


@pytest.mark.parametrize(("answers", "looks"), LOOKS.values(), ids=LOOKS)
async def test_the_channel_is_looked_at_each_hour_and_oftener_while_unfit_or_unseen(api, answers, looks):
    api.answers["conversations.info"] = list(answers)
    clock = Clock()
    channel = a_channel(api, clock=clock)
    for minutes, problem in looks:
        clock.advance(minutes=minutes)
        await channel.look()
        assert channel.problem is problem
    assert len(api.asked) == len(answers)
