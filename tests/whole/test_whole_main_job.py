"""The main job, from the slash command to the new passcode, in both modes."""

from bot.domain.record import Event
from bot.domain.request import Status
from tests.whole.browser import KEN_ACCOUNT
from tests.whole.installed import KEN, MEI, PIXEL, Installed

BESIDE = (Event.STARTED, Event.SIGN_IN_STARTED, Event.SIGNED_IN)


async def test_a_locked_out_phone_is_reset_once_as_the_approver_and_the_requester_reads_the_passcode(both):
    there: Installed = both
    request_id = await there.pending("/reset-passcode serial:59040DLJH001 locked out in the field")
    assert await there.review(KEN) == "Sign in"
    await there.browser.sign_in(there.link_in_window(KEN), KEN_ACCOUNT)
    await there.until(lambda: there.title(KEN) == "Review the reset")
    await there.slack.submit(KEN)
    await there.until(lambda: there.title(KEN) == "Approved")
    await there.reaches(request_id, Status.DONE)
    await there.until(lambda: "done" in there.card() and "done" in there.receipt())

    [reset] = there.sandbox.intune.resets
    assert (reset.device_id, reset.upn) == (PIXEL, "ken@contoso.com")
    direct = there.slack.workspace.people[MEI].direct
    assert await there.pressed(MEI, "show_passcode", channel=direct) == "New passcode", there.words(MEI)
    passcode = there.sandbox.intune._fleet.phones[PIXEL].actions[-1].passcode
    assert passcode in there.words(MEI)
    events = [event for _, event, _ in await there.record()]
    assert [event for event in events if event not in BESIDE] == [
        Event.ASKED,
        Event.VERIFIED,
        Event.REVIEWED,
        Event.APPROVED,
        Event.ATTEMPT_STARTED,
        Event.ATTEMPT_ANSWERED,
        Event.DONE,
        Event.PASSCODE_SEEN,
    ]
    assert passcode not in str(await there.record())
