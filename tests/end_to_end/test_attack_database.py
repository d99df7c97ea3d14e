"""Attacks by whoever can write to the database: no phone is reset, and no passcode shown, on their word."""

from typing import Any

import pytest
from bot.domain.errors import Code, Refusal
from bot.domain.request import Status
from bot.slack.wording import CATALOG_EN as ENGLISH
from bot.store.tables import requests, sign_ins
from sqlalchemy import delete, insert, select, update
from tests.support.app_fixture import Bot
from tests.support.user_actions import KEN, MEI, OLGA, buttons, direct_channel

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOMAS = "serial:59040DLJH001 locked out in the field"


async def copy_of(bot: Bot, table: Any) -> dict[str, Any]:
    rows = await bot.app.deps.database.read(lambda connection: connection.execute(select(table)).all())
    [row] = rows
    return dict(row._mapping)


async def shown(bot: Bot, action: str, request_id: str) -> None:
    """Wait until the requester has this button of this request."""
    wanted = (action, request_id)
    await bot.people.until(
        lambda: (
            wanted
            in [
                (element["action_id"], element.get("value"))
                for message in bot.people.direct(MEI)
                for _, element in buttons(message)
            ]
        )
    )


async def test_attack_request_set_to_approved(bot: Bot):
    """With everything that an approval stores, taken from a genuine one."""
    await bot.done(TOMAS)
    approved = await copy_of(bot, requests)
    await bot.execute(delete(requests))
    await bot.pending(TOMAS)
    before = len(await bot.people.resets())
    forged = {name: approved[name] for name in ("approval", "decided_by", "decided_at")}
    now = (await copy_of(bot, requests))["asked_at"]
    await bot.execute(
        update(requests).values(forged | {"status": "approved", "attempt": "null", "next_at": now})
    )
    bot.app.deps.wake_worker()

    assert await bot.people.open(KEN, "approve") == ENGLISH["code.tampered.title"]
    assert len(await bot.people.resets()) == before
    assert (KEN, Code.TAMPERED) in await bot.refused()


async def test_attack_another_requester_before_the_approval(bot: Bot):
    """The approval would seal the forgery."""
    await bot.pending(TOMAS)
    await bot.people.sign_in()
    await bot.execute(update(requests).values(asked_by=OLGA))

    assert await bot.people.open(KEN, "approve") == ENGLISH["code.tampered.title"]


@pytest.mark.parametrize("column", ["asked_by", "changed_at"])
async def test_attack_passcode_of_a_finished_request(bot: Bot, column: str):
    """Shown to another person, or for longer."""
    request_id = await bot.done(TOMAS)
    await shown(bot, "show_passcode", request_id)
    await bot.execute(update(requests).values({column: OLGA if column == "asked_by" else "2099-01-01"}))

    title = await bot.people.open(MEI, "show_passcode", request=request_id, channel=direct_channel(MEI))
    assert title == ENGLISH["code.tampered.title"]


async def test_attack_withdrawn_request_that_is_put_back(bot: Bot):
    request_id = await bot.pending(TOMAS)
    await shown(bot, "withdraw", request_id)
    waiting = await copy_of(bot, requests)
    await bot.people.press(MEI, "withdraw", request=request_id, channel=direct_channel(MEI))
    await bot.reaches(request_id, Status.WITHDRAWN)
    for statement in (delete(requests), insert(requests).values(waiting)):
        await bot.execute(statement)

    with pytest.raises(Refusal) as refused:
        await bot.row(request_id)
    assert refused.value.code is Code.TAMPERED


async def test_attack_sign_in_that_is_put_back(bot: Bot):
    await bot.pending(TOMAS)
    await bot.people.sign_in()
    signed_in = await copy_of(bot, sign_ins)
    said = len(bot.people.private_texts(KEN))
    await bot.people.command(KEN, "sign-out")
    await bot.people.until(lambda: len(bot.people.private_texts(KEN)) > said)
    for statement in (delete(sign_ins), insert(sign_ins).values(signed_in)):
        await bot.execute(statement)

    assert await bot.people.open(KEN, "approve") == ENGLISH["sign_in.title"]
