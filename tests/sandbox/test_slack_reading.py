"""What the bot reads: channels and their members, people, user groups."""

import pytest
from slack_office import AIKO, BOT, GUS, KEN, MEI, OLGA, ON_CALL, SUPPORT, Office


async def test_a_channel_tells_how_private_and_how_shared_it_is():
    office = Office()

    on_call = (await office.done("conversations.info", channel=ON_CALL))["channel"]
    support = (await office.done("conversations.info", channel=SUPPORT))["channel"]

    assert (on_call["is_private"], on_call["is_member"], on_call["is_ext_shared"]) == (True, True, False)
    assert (support["is_private"], support["is_member"], support["is_ext_shared"]) == (False, False, True)
    office.slack.share(ON_CALL, pending=True)
    pending = (await office.done("conversations.info", channel=ON_CALL))["channel"]
    assert (pending["is_ext_shared"], pending["is_pending_ext_shared"]) == (False, True)


async def test_members_come_in_pages():
    office = Office()
    for number in range(250):
        office.slack.join(ON_CALL, f"U{number:03d}")

    pages, cursor = [], ""
    while True:
        body = await office.done("conversations.members", channel=ON_CALL, cursor=cursor)
        pages.append(body["members"])
        cursor = body["response_metadata"]["next_cursor"]
        if not cursor:
            break

    assert [len(page) for page in pages] == [100, 100, 53]
    assert len({user for page in pages for user in page}) == 253


@pytest.mark.parametrize("limit", [0, 1000])
async def test_a_page_has_one_to_999(limit: int):
    assert await Office().error("conversations.members", channel=ON_CALL, limit=limit) == "invalid_arguments"


async def test_a_cursor_is_not_invented():
    assert await Office().error("conversations.members", channel=ON_CALL, cursor="§") == "invalid_cursor"


async def test_outsiders_are_among_the_members():
    assert OLGA in (await Office().done("conversations.members", channel=SUPPORT))["members"]


async def test_history_is_newest_first_between_two_moments():
    office = Office(scopes=["chat:write", "groups:history"])
    sent = [await office.done("chat.postMessage", channel=ON_CALL, text=str(n)) for n in range(4)]
    between = {"oldest": sent[0]["ts"], "latest": sent[3]["ts"]}

    inner = await office.done("conversations.history", channel=ON_CALL, **between)
    outer = await office.done("conversations.history", channel=ON_CALL, **between, inclusive=True)
    first = await office.done("conversations.history", channel=ON_CALL, limit=3)

    assert [m["text"] for m in inner["messages"]] == ["2", "1"]
    assert [m["text"] for m in outer["messages"]] == ["3", "2", "1", "0"]
    assert first["has_more"]
    rest = {"limit": 3, "cursor": first["response_metadata"]["next_cursor"]}
    last = await office.done("conversations.history", channel=ON_CALL, **rest)
    assert ([m["text"] for m in last["messages"]], last["has_more"]) == (["0"], False)


async def test_conversations_open_gives_the_direct_messages():
    office = Office(scopes=["im:write"])

    assert (await office.done("conversations.open", users=MEI))["channel"]["id"] == "D0MEI"
    assert await office.error("conversations.open", users="U0NOBODY") == "user_not_found"
    office.slack.deactivate(MEI)
    assert await office.error("conversations.open", users=MEI) == "user_disabled"


async def test_a_member_a_guest_and_an_outsider_look_different():
    office = Office()
    users = {who: (await office.done("users.info", user=who))["user"] for who in (MEI, GUS, OLGA, BOT)}

    assert {who: user["is_restricted"] for who, user in users.items()} == {
        MEI: False,
        GUS: True,
        OLGA: False,
        BOT: False,
    }
    assert users[BOT]["is_bot"]
    assert users[OLGA]["team_id"] == users[OLGA]["profile"]["team"] == "T0FABRIKAM"
    assert users[OLGA]["is_stranger"] is True
    assert "is_stranger" not in users[MEI]
    office.slack.join(SUPPORT, BOT)
    assert (await office.done("users.info", user=OLGA))["user"]["is_stranger"] is False


async def test_a_deactivated_account_says_so_and_little_else():
    office = Office()
    office.slack.deactivate(KEN)

    user = (await office.done("users.info", user=KEN))["user"]

    assert user["deleted"] is True
    assert "is_restricted" not in user
    assert KEN not in (await office.done("conversations.members", channel=ON_CALL))["members"]
    assert (await office.done("usergroups.users.list", usergroup="S0ONCALL"))["users"] == [AIKO]


async def test_a_locale_is_asked_for_and_outsiders_have_none():
    office = Office()

    assert "locale" not in (await office.done("users.info", user=MEI))["user"]
    mei = (await office.done("users.info", user=MEI, include_locale=True))["user"]
    olga = (await office.done("users.info", user=OLGA, include_locale=True))["user"]
    assert mei["locale"] == "en-US"
    assert "locale" not in olga
    assert (mei["tz"], mei["tz_offset"]) == ("Asia/Tokyo", 32400)


async def test_an_address_is_seen_with_its_scope_only():
    plain, full = Office(scopes=["users:read"]), Office()

    assert "email" not in (await plain.done("users.info", user=MEI))["user"]["profile"]
    assert (await full.done("users.info", user=MEI))["user"]["profile"]["email"] == "mei@contoso.com"
    assert "users:read.email" not in plain.slack.scopes_used


async def test_an_address_may_be_unconfirmed():
    office = Office()
    office.slack.change_person(KEN, email="ken@elsewhere.example", email_confirmed=False)

    user = (await office.done("users.info", user=KEN))["user"]

    assert (user["profile"]["email"], user["is_email_confirmed"]) == ("ken@elsewhere.example", False)


@pytest.mark.parametrize("email", ["nobody@contoso.com", "olga@fabrikam.com", ""])
async def test_only_our_own_active_people_are_found_by_address(email: str):
    error = await Office().error("users.lookupByEmail", email=email)

    assert error == ("users_not_found" if email else "invalid_arguments")


async def test_an_address_is_found_in_any_case():
    assert (await Office().done("users.lookupByEmail", email="Mei@Contoso.COM"))["user"]["id"] == MEI


async def test_a_user_group_is_listed_changed_and_unknown():
    office = Office()
    office.slack.set_usergroup("S0ONCALL", [MEI])

    assert (await office.done("usergroups.users.list", usergroup="S0ONCALL"))["users"] == [MEI]
    [group] = (await office.done("usergroups.list", include_users=True, include_count=True))["usergroups"]
    assert (group["handle"], group["users"], group["user_count"]) == ("oncall", [MEI], 1)
    assert await office.error("usergroups.users.list", usergroup="S0NONE") == "no_such_subteam"


async def test_an_unknown_user_is_not_found():
    assert await Office().error("users.info", user="U0NOBODY") == "user_not_found"
