"""The whole job, from the slash command to the passcode that opens the phone, over HTTP and Socket Mode."""

import pytest
from bot.domain.audit import Event
from bot.domain.request import Status
from bot.slack.wording import CATALOG_EN as ENGLISH
from tests.support.app_fixture import PIXEL, Bot
from tests.support.user_actions import KEN, KEN_ACCOUNT, MEI, direct_channel

pytestmark = pytest.mark.asyncio(loop_scope="module")

FIELD_APP = "b7a3c915-2e4f-4d60-9c18-0f1e2d3c4b5a"
PRIYAS_PHONE = "5a000000-0000-4000-8000-0000000000c3"
OF_THE_JOB = [
    Event.REQUESTED,
    Event.VERIFIED,
    Event.REVIEWED,
    Event.APPROVED,
    Event.ATTEMPT_STARTED,
    Event.ATTEMPT_ANSWERED,
    Event.DONE,
    Event.PASSCODE_VIEWED,
]


@pytest.mark.parametrize(
    ("target", "device", "path"),
    [
        ("priya@contoso.com", PRIYAS_PHONE, f"/users/{{owner}}/managedDevices/{PRIYAS_PHONE}"),
        ("serial:59040DLJH001", PIXEL, f"/deviceManagement/managedDevices/{PIXEL}"),
        # Graph knows no reset below a detected app, so the same approval goes on below all devices
        (f"app:{FIELD_APP}", PIXEL, f"/deviceManagement/managedDevices/{PIXEL}"),
    ],
    ids=["user", "device", "app"],
)
async def test_a_locked_phone_is_reset_once_as_the_approver_and_opens_with_what_the_requester_reads(
    both: Bot, target: str, device: str, path: str
):
    people = both.people
    request_id = await both.pending(f"{target} locked out in the field")
    before = len(await people.resets())
    assert await both.review() == ENGLISH["sign_in.title"]
    await people.browser.sign_in(people.link_in_modal(KEN), KEN_ACCOUNT)
    assert await people.title_after(KEN, ENGLISH["sign_in.title"]) == ENGLISH["review.title"]
    if target.startswith("serial:"):
        assert await people.submit(KEN) == {}
    else:  # of several devices one has to be chosen
        assert await people.submit(KEN) != {}
        assert await people.submit(KEN, device=device) == {}
    assert await people.title_after(KEN, ENGLISH["review.title"]) == ENGLISH["approved.title"]
    await both.reaches(request_id, Status.DONE)
    await people.until(lambda: "done" in people.card() and "done" in people.receipt())

    [reset] = (await people.resets())[before:]
    assert (reset["device"], reset["upn"]) == (device, "ken@contoso.com")
    # The sandbox answers a POST with a body with 400, so a 204 is one without.
    [post] = [call for call in people.calls("/resetPasscode") if call["method"] == "POST"][-1:]
    assert (post["status"], post["bearer"]) == (204, {"kind": "user", "who": "Ken Ito"})
    assert post["path"].removesuffix("/resetPasscode").endswith(path.split("{owner}")[-1])
    assert path.split("{owner}")[0] in post["path"]

    title = await people.open(MEI, "show_passcode", channel=direct_channel(MEI))
    assert title == ENGLISH["passcode.title"], people.modal_text(MEI)
    [passcode] = [word for word in people.modal_text(MEI).split() if word.isdigit() and len(word) == 8]
    assert await people.unlock(device, passcode)
    rows = await both.audit_rows()
    job = [event for _, event, _ in rows if event in OF_THE_JOB]
    if target.startswith("app:"):
        assert [job.pop(4), job.pop(4)] == [Event.ATTEMPT_STARTED, Event.ATTEMPT_ANSWERED]
    assert job == OF_THE_JOB
    assert passcode not in str(rows)
