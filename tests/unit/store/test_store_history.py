"""`unlatch requests`: where requests stand, one's whole story by every id, and what Unlatch did not write."""

import json
from datetime import timedelta
from typing import Any

import pytest
from bot.history import tell
from bot.settings import CannotStart
from bot.store.tables import requests
from sqlalchemy import select, update
from tests.support.bot import Bot
from tests.support.builders import LEOS_PHONE
from tests.support.database import audit_log
from tests.unit.store.conftest import owner
from tests.unit.store.rows import NOW, a_request, stored
from tests.unit.store.test_store_audit_log import tamper


@pytest.fixture
def told(url):
    """What `unlatch requests` prints: the list, or one request's story."""

    def run(id_: str | None = None, *, ended: bool = False, limit: int = 50, as_json: bool = False) -> Any:
        said = tell(url, audit_log(), id_=id_, ended=ended, limit=limit, as_json=as_json)
        return json.loads(said) if as_json else said

    return run


async def test_a_story_has_every_id_of_slack_and_microsoft_in_order_and_no_passcode(database, told):
    bot = Bot(database)
    id_ = await bot.done(passcode="the new passcode")
    await bot.reveal(id_)
    await bot.publish(id_)
    story, text = told(id_[:6].upper(), as_json=True), told(id_)
    card = bot.notifier.messages["card"]
    [answered] = [row["facts"] for row in story["audit"] if row["event"] == "attempt_answered"]

    assert [row["event"] for row in story["audit"]] == await bot.events()
    assert story["slack"]["card"] == {"channel": card.channel, "ts": card.ts}
    assert (story["request"]["approval"]["device"]["id"], story["problems"]) == (LEOS_PHONE.id, [])
    ids = (id_, "U0MEI", card.ts, LEOS_PHONE.id, "oid-Ken", "call-1", answered["request_id"])
    assert [one for one in ids if one not in text] == []
    # what was typed stands where the audit log has it
    assert (text.count("the new passcode"), text.count("Locked out before his flight")) == (0, 1)


@pytest.mark.parametrize("how", ["edited", "put back", "messages", "audit"])
async def test_what_is_not_as_unlatch_left_it_is_said(database, url, told, how):
    bot = Bot(database)
    id_ = await bot.pending()
    with owner(url) as connection:
        earlier = dict(connection.execute(select(requests)).one()._mapping)
    await bot.approve(id_)
    change = {"edited": {"ticket": "INC-2"}, "messages": {"messages": "{}"}, "put back": earlier, "audit": {}}
    if how == "audit":
        tamper(url, "UPDATE audit SET actor = 'U0EVE' WHERE seq = 2")
    else:
        with owner(url) as connection:
            connection.execute(update(requests).values(change[how]))

    said = {"put back": "it was moved", "audit": "row 2 of the audit log"}.get(how, "the seal")
    assert f"NOT AS UNLATCH LEFT IT: {said}" in told(id_)
    assert ("THE SEAL DOES NOT FIT" in told()) == (how == "edited")


async def test_the_list_has_the_newest_first_and_those_that_ended_only_when_asked(database, told):
    bot = Bot(database)
    ended = await bot.pending()
    await bot.withdraw(ended)
    ids = [(await stored(database, a_request(at=NOW + timedelta(hours=hour)))).id for hour in (1, 2, 3)]
    newest = [*reversed(ids), ended]
    for options, found in (({}, newest[:3]), ({"ended": True}, newest), ({"limit": 2}, newest[:2])):
        assert [one["id"] for one in told(as_json=True, **options)] == found
        assert [line.split()[0] for line in told(**options).splitlines()] == found


@pytest.mark.parametrize(("given", "words"), [("%", "No request"), ("", "More than one")])
async def test_an_id_of_no_request_or_of_several_is_a_sentence(database, told, given, words):
    for _ in range(2):
        await stored(database, a_request())
    with pytest.raises(CannotStart, match=words):
        told(given)
