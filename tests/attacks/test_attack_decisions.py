"""Attacks on the decision, by name: values and forms that nobody was shown, and people who may not."""

from itertools import product

from bot.domain.record import Event
from bot.domain.request import Status
from bot.slack import ids
from bot.slack.about import About
from tests.attacks.deliveries import deliver, pressed, submitted
from tests.whole.installed import GUS, IPHONE, KEN, MEI, OLGA, ON_CALL, PIXEL, Installed

FORGED = ["", "1", "f" * 32, "../" * 10, "' OR 1=1 --", "{request}\n", "{request} {request}"]
TOMAS = "/reset-passcode serial:59040DLJH001 locked out in the field"


async def refusals(there: Installed, count: int) -> list[str | None]:
    """Who was refused, once that often was."""
    await there.until_recorded(Event.TRY_REFUSED, count)
    return [who for who, _ in await there.tries_refused()]


async def test_attack_forged_button_value(there: Installed):
    """A button's value is an id and never an authority: one that is none finds nothing."""
    request_id = await there.pending()
    await there.signed_in()

    forged = list(product((ids.APPROVE, ids.DENY, ids.CLOSE), FORGED))
    for action, value in forged:
        answer = await deliver(there, pressed(KEN, action, value.format(request=request_id)))
        assert answer.status_code == 200

    assert await refusals(there, len(forged)) == [KEN] * len(forged)
    assert (await there.row(request_id)).status is Status.PENDING
    assert there.sandbox.intune.resets == []


async def test_attack_button_of_somebody_elses_request(there: Installed):
    """Ken puts the id of Mei's finished request behind his own Show passcode and Withdraw."""
    request_id = await there.pending(TOMAS)
    await there.signed_in()
    await there.approved()
    await there.reaches(request_id, Status.DONE)

    for action in (ids.SHOW_PASSCODE, ids.WITHDRAW):
        await deliver(there, pressed(KEN, action, request_id))

    assert await refusals(there, 2) == [KEN, KEN]
    assert Event.PASSCODE_SEEN not in [event for _, event, _ in await there.record()]
    assert (await there.row(request_id)).status is Status.DONE


async def test_attack_form_that_was_never_opened(there: Installed):
    """The requester, a guest and an outsider skip the button and submit the decision itself."""
    request_id = await there.pending()
    there.slack.join(ON_CALL, GUS)
    typed = {ids.DEVICE: IPHONE, ids.DENIAL: "because"}

    for callback in (ids.APPROVE_FORM, ids.AGAIN_FORM, ids.DENY_FORM):
        for who in (MEI, GUS, OLGA):
            await deliver(there, submitted(who, callback, request_id, **typed))

    assert sorted(map(str, await refusals(there, 9))) == sorted([MEI, GUS, OLGA] * 3)
    assert (await there.row(request_id)).status is Status.PENDING
    assert there.sandbox.intune.resets == []


async def test_attack_another_device_in_the_form(there: Installed):
    """Ken reviewed Ada's iPhone and submits the id of Tomás's phone: it is not what was asked for."""
    request_id = await there.pending()
    await there.signed_in()
    assert await there.review(KEN) == "Review the reset"
    about = About(request_id, (await there.row(request_id)).round).written()

    await deliver(there, submitted(KEN, ids.APPROVE_FORM, about, **{ids.DEVICE: PIXEL}))

    assert await refusals(there, 1) == [KEN]
    assert (await there.row(request_id)).status is Status.PENDING
    assert there.sandbox.intune.resets == []


async def test_attack_button_clicked_by_a_slack_connect_outsider(there: Installed):
    """Olga of Fabrikam is in the channel; Slack lets her press, and Bolt says that the team is ours."""
    request_id = await there.pending()
    there.slack.share(ON_CALL)
    there.slack.join(ON_CALL, OLGA)

    for action, team in product((ids.APPROVE, ids.DENY), ("T0FABRIKAM", "E0FABRIKAM", "T0CONTOSO")):
        await deliver(there, pressed(OLGA, action, request_id, team=team))

    assert await refusals(there, 6) == [OLGA] * 6
    assert (await there.row(request_id)).status is Status.PENDING


async def test_attack_approver_removed_from_the_channel_between_card_and_click(there: Installed):
    """Ken saw the card, is signed in, and was taken out of the channel before he pressed."""
    request_id = await there.pending()
    await there.signed_in()
    there.slack.leave(ON_CALL, KEN)

    for act in (pressed(KEN, ids.APPROVE, request_id), pressed(KEN, ids.DENY, request_id)):
        await deliver(there, act)

    assert await refusals(there, 2) == [KEN, KEN]
    assert (await there.row(request_id)).status is Status.PENDING
    assert there.sandbox.intune.resets == []


async def test_attack_delivery_signed_with_another_secret(there: Installed):
    """Somebody knows everything but the signing secret."""
    request_id = await there.pending()
    body = b"payload=%7B%7D"

    answer = await there.http.post("/slack/events", content=body, headers={"x-slack-signature": "v0=00"})

    assert answer.status_code == 401
    assert (await there.row(request_id)).status is Status.PENDING
