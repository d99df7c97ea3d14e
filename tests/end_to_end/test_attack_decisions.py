"""Attacks on the decision, by name: values and forms that were shown to nobody, and people who may not."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from bot.domain.audit import Event
from bot.domain.errors import Code
from bot.domain.request import Status
from bot.slack.payloads import VALUE, Action, Callback, Field, private_metadata
from bot.slack.wording import CATALOG_EN as ENGLISH
from tests.support.app_fixture import FAST, IPHONE, PIXEL, SOON, TOMAS, Bot, by_user, running_bot, with_value
from tests.support.user_actions import AIKO, GUS, KEN, MEI, OLGA, ON_CALL, Json

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORGED = ["", "1", "f" * 32, "../" * 10, "' OR 1=1 --", "{request}\n", "{request} {request}"]
TEAM = "T0CONTOSO"


def submission(user: str, callback: str, metadata: str, **typed: str) -> Json:
    """A form that was never opened."""
    state = {block: {VALUE: {"type": "plain_text_input", "value": text}} for block, text in typed.items()}
    view = {"id": "V0FORGED", "type": "modal", "callback_id": callback, "private_metadata": metadata}
    who = {"team": {"id": TEAM}, "user": {"id": user, "team_id": TEAM}}
    return {"type": "view_submission", "view": view | {"state": {"values": state}}, **who}


async def test_attack_channel_that_is_shared_with_another_organisation_while_the_bot_runs(tmp_path: Path):
    """The next request has no card, the one before cannot be approved, until the sharing ends."""
    timing = replace(FAST, periodic=SOON, channel_looked_at=SOON)
    async with running_bot(tmp_path, timing=timing) as bot:
        await bot.pending()
        await bot.people.sign_in()

        bot.sandbox.slack.share(ON_CALL)
        while (ready := await bot.http.get("/readyz")).status_code == 200:
            pass
        assert "shared" in ready.json()["approver_channel"]
        await bot.people.command(MEI, TOMAS)
        await bot.people.until(lambda: ENGLISH["code.channel_shared"] in bot.people.receipt())
        assert await bot.review() == ENGLISH["code.channel_shared.title"]
        assert len(bot.people.messages(ON_CALL)) == 1

        bot.sandbox.slack.share(ON_CALL, shared=False)
        await bot.people.until(lambda: len(bot.people.messages(ON_CALL)) == 2)
        await bot.people.until(lambda: ENGLISH["code.channel_shared"] not in bot.people.receipt())
        assert await bot.review() == ENGLISH["review.title"]


async def test_attack_forged_button_value(bot: Bot):
    """A button's value is an id and never an authority: one that is none finds nothing."""
    request_id = await bot.pending()
    await bot.people.sign_in()
    forged = list(product((Action.APPROVE, Action.DENY, Action.CLOSE), FORGED))
    for action, value in forged:
        with bot.deliveries.forging(
            lambda p, a=action, v=value: with_value(p, v.format(request=request_id), a)
        ):
            await bot.people.open(KEN, "approve")

    assert await bot.refused() == [(KEN, Code.UNKNOWN_REQUEST)] * len(forged)
    assert (await bot.row(request_id)).status is Status.PENDING


async def test_attack_button_of_somebody_elses_request(bot: Bot):
    """Ken puts the id of Mei's finished request behind his own Show passcode and Withdraw."""
    request_id = await bot.done()
    await bot.pending()
    for action in (Action.SHOW_PASSCODE, Action.WITHDRAW):
        with bot.deliveries.forging(lambda payload, action=action: with_value(payload, request_id, action)):
            await bot.people.open(KEN, "approve")

    assert {who for who, _ in await bot.refused()} == {KEN}
    assert len(await bot.refused()) == 2
    assert Event.PASSCODE_VIEWED not in [event for _, event, _ in await bot.audit_rows()]
    assert (await bot.row(request_id)).status is Status.DONE


async def test_attack_form_that_was_never_opened(bot: Bot):
    """The requester, a guest and an outsider skip the button and submit the decision itself."""
    request_id = await bot.pending()
    bot.join(ON_CALL, GUS)
    metadata = private_metadata(request_id, (await bot.row(request_id)).revision)
    typed = {Field.DEVICE: IPHONE, Field.DENIAL: "because"}
    for callback, who in product((Callback.APPROVE, Callback.AGAIN, Callback.DENY), (MEI, GUS, OLGA)):
        await bot.post(submission(who, callback, metadata, **typed))

    refused = [(MEI, Code.OWN_REQUEST), (GUS, Code.NOT_A_MEMBER), (OLGA, Code.NOT_A_MEMBER)]
    assert sorted(await bot.refused()) == sorted(refused * 3)
    assert (await bot.row(request_id)).status is Status.PENDING


async def test_attack_another_device_in_the_form(bot: Bot):
    """Ken reviewed Ada's iPhone and submits the id of Tomás's phone: it is not what was asked for."""
    request_id = await bot.pending()
    await bot.people.sign_in()
    assert await bot.review() == ENGLISH["review.title"]
    metadata = private_metadata(request_id, (await bot.row(request_id)).revision)
    await bot.post(submission(KEN, Callback.APPROVE, metadata, **{Field.DEVICE: PIXEL}))

    assert await bot.refused() == [(KEN, Code.DEVICE_CHANGED)]
    assert (await bot.row(request_id)).status is Status.PENDING


async def test_attack_button_clicked_by_a_slack_connect_outsider(bot: Bot):
    """Olga of Fabrikam is in the channel; Slack lets her press, and Bolt says that the team is ours."""
    request_id = await bot.pending()
    bot.join(ON_CALL, OLGA)
    presses = list(product((Action.APPROVE, Action.DENY), ("T0FABRIKAM", "E0FABRIKAM", TEAM)))
    for action, team in presses:
        with bot.deliveries.forging(lambda payload, team=team: by_user(payload, OLGA, team)):
            await bot.people.open(OLGA, action)

    assert await bot.refused() == [(OLGA, Code.NOT_A_MEMBER)] * len(presses)
    assert (await bot.row(request_id)).status is Status.PENDING


async def test_attack_approver_removed_from_the_channel_between_card_and_click(bot: Bot):
    """Ken saw the card, is signed in, and was taken out of the channel before he pressed."""
    request_id = await bot.pending()
    await bot.people.sign_in()
    bot.leave(ON_CALL, KEN)
    for action in (Action.APPROVE, Action.DENY):  # a press by Aiko, in Ken's name
        with bot.deliveries.forging(lambda payload: by_user(payload, KEN, TEAM)):
            await bot.people.open(AIKO, action)

    assert await bot.refused() == [(KEN, Code.NOT_AN_APPROVER)] * 2
    assert (await bot.row(request_id)).status is Status.PENDING


async def test_attack_delivery_signed_with_another_secret(bot: Bot):
    """The attacker knows everything but the signing secret."""
    request_id = await bot.pending()
    metadata = private_metadata(request_id, (await bot.row(request_id)).revision)
    denial = submission(KEN, Callback.DENY, metadata, **{Field.DENIAL: "because"})

    assert (await bot.post(denial, secret="another")).status_code == 401
    assert (await bot.row(request_id)).status is Status.PENDING
    assert (await bot.post(denial)).status_code == 200
    await bot.reaches(request_id, Status.DENIED)
