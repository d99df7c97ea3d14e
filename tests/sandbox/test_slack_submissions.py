"""Forms: what a submission carries, and what each acknowledgement does to the modal."""

from typing import Any

import pytest
from sandbox.slack import NotPossible
from slack_office import KEN, MEI, Office, actions, button, field, modal, section, text

TROUBLE = "We had some trouble connecting. Try again?"


async def test_a_submission_carries_the_view_its_state_and_a_trigger():
    office = Office()
    view = await office.opened(modal(field(), callback_id="ask", private_metadata="R1"))

    outcome = await office.slack.submit(MEI, {"reason": "locked out"})

    sent = office.app.last
    assert outcome.closed
    assert office.slack.modal(MEI) is None
    assert sent["type"] == "view_submission"
    assert sent["user"]["team_id"] == "T0CONTOSO"
    assert sent["view"]["hash"] == view["hash"]
    assert (sent["view"]["callback_id"], sent["view"]["private_metadata"]) == ("ask", "R1")
    assert sent["view"]["root_view_id"] == sent["view"]["id"]
    typed = {"type": "plain_text_input", "value": "locked out"}
    assert sent["view"]["state"]["values"] == {"reason": {"reason_typed": typed}}
    assert sent["trigger_id"]
    assert "channel" not in sent


async def test_values_may_be_given_by_action_or_in_full():
    office = Office()
    for values in ({"reason_typed": "x"}, {"reason": {"reason_typed": {"value": "x"}}}):
        await office.opened(modal())
        await office.slack.submit(MEI, values)
        assert office.app.last["view"]["state"]["values"]["reason"]["reason_typed"]["value"] == "x"


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("", "Please complete this required field."),
        ("abc", "Please enter at least 4 characters."),
        ("abcdefghi", "Please enter at most 8 characters."),
    ],
)
async def test_slacks_client_complains_before_the_app_is_asked(entry: str, sentence: str):
    office = Office()
    await office.opened(modal(field(element={"min_length": 4, "max_length": 8})))
    office.app.bodies.clear()

    outcome = await office.slack.submit(MEI, {"reason": entry})

    assert outcome.errors == {"reason": sentence}
    assert office.app.bodies == []


async def test_an_optional_field_may_stay_empty():
    office = Office()
    await office.opened(modal(field(optional=True)))

    assert (await office.slack.submit(MEI)).closed
    assert office.app.last["view"]["state"]["values"]["reason"]["reason_typed"]["value"] is None


async def test_errors_of_the_app_stay_under_their_fields():
    office = Office()
    await office.opened(modal())
    office.app.says({"response_action": "errors", "errors": {"reason": "Say more."}})

    outcome = await office.slack.submit(MEI, {"reason": "x"})

    assert outcome.errors == {"reason": "Say more."}
    assert office.slack.view(MEI).errors == {"reason": "Say more."}
    assert office.slack.view(MEI).state["reason"]["reason_typed"]["value"] == "x"


async def test_an_answer_may_change_the_modal_put_one_on_top_or_take_all_away():
    office = Office()
    await office.opened(modal())

    office.app.says({"response_action": "update", "view": modal(title=text("Second"))})
    await office.slack.submit(MEI, {"reason": "x"})
    assert office.slack.view(MEI).title == "Second"

    office.app.says({"response_action": "push", "view": modal(title=text("Third"))})
    await office.slack.submit(MEI, {"reason": "x"})
    assert [v.title for v in office.slack.platform.modals.stacks[MEI]] == ["Second", "Third"]

    office.app.says({"response_action": "clear"})
    assert (await office.slack.submit(MEI, {"reason": "x"})).closed
    assert office.slack.modal(MEI) is None


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param("ok", id="a word"),
        pytest.param({"text": "thanks"}, id="a message"),
        pytest.param({"response_action": "errors", "errors": {}}, id="no errors"),
        pytest.param({"response_action": "errors", "errors": {"title": "x"}}, id="errors of no input"),
        pytest.param({"response_action": "update"}, id="update without a view"),
        pytest.param({"response_action": "update", "view": modal(submit=False)}, id="a view Slack refuses"),
        pytest.param({"response_action": "close"}, id="an action nobody knows"),
    ],
)
async def test_any_other_answer_is_trouble_and_the_form_stays(answer: Any):
    office = Office()
    await office.opened(modal())
    office.app.says(answer)

    outcome = await office.slack.submit(MEI, {"reason": "x"})

    assert outcome.notice == TROUBLE
    assert office.slack.view(MEI).title == "Reset"


async def test_an_app_that_fails_leaves_the_form_as_it_was():
    office = Office()
    await office.opened(modal())
    office.app.fails(500)

    assert (await office.slack.submit(MEI, {"reason": "x"})).notice == TROUBLE
    office.app.says("")
    assert (await office.slack.submit(MEI)).closed
    assert office.app.last["view"]["state"]["values"]["reason"]["reason_typed"]["value"] == "x"


async def test_nobody_submits_what_is_not_theirs_or_not_a_form():
    office = Office()
    view = await office.opened(modal(section(), submit=False))

    with pytest.raises(NotPossible, match="nothing to submit"):
        await office.slack.submit(MEI)
    with pytest.raises(NotPossible):
        await office.slack.submit(KEN, view_id=view["id"])
    with pytest.raises(NotPossible, match="no field device"):
        office.slack.fill(MEI, {"device": "x"})
    await office.slack.close(MEI)
    with pytest.raises(NotPossible, match="not open"):
        await office.slack.submit(MEI)


async def test_closing_is_told_only_to_an_app_that_asked():
    office = Office()
    await office.opened(modal())
    office.app.bodies.clear()

    assert (await office.slack.close(MEI)).closed
    assert office.app.bodies == []

    await office.opened(modal(notify_on_close=True))
    assert (await office.slack.close(MEI)).closed
    assert (office.app.last["type"], office.app.last["is_cleared"]) == ("view_closed", False)


async def test_the_cross_closes_the_stack_and_tells_of_its_root():
    office = Office()
    root = await office.opened(modal(actions(button("more")), notify_on_close=True))
    await office.slack.click(MEI, "more")
    pushed = {"trigger_id": office.app.last["trigger_id"], "view": modal(notify_on_close=True)}
    await office.done("views.push", **pushed)

    await office.slack.close(MEI, all_of_them=True)

    assert office.slack.modal(MEI) is None
    assert office.app.last["view"]["id"] == root["id"]
    assert office.app.last["is_cleared"] is True
