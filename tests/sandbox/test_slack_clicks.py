"""Buttons and menus: what a click carries, who can click, what comes of it."""

import asyncio
from typing import Any

import pytest
from sandbox.slack import NotPossible
from slack_office import (
    AIKO,
    KEN,
    MEI,
    OLGA,
    ON_CALL,
    SUPPORT,
    Json,
    Office,
    actions,
    button,
    field,
    modal,
    section,
    text,
)
from starlette.responses import Response

TROUBLE = "We had some trouble connecting. Try again?"


async def _card(office: Office, *blocks: Json) -> Json:
    return await office.done(
        "chat.postMessage", channel=ON_CALL, text="card", blocks=list(blocks or [actions()])
    )


async def test_a_click_carries_the_message_the_action_and_both_rights_to_answer():
    office = Office()
    card = await _card(office)

    outcome = await office.slack.click(KEN, "approve", channel=ON_CALL)

    sent = office.app.last
    assert outcome.delivered
    assert (sent["type"], sent["api_app_id"], sent["enterprise"]) == ("block_actions", "A0UNLATCH", None)
    assert sent["user"] == {"id": KEN, "username": "ken", "name": "ken", "team_id": "T0CONTOSO"}
    assert sent["channel"] == {"id": ON_CALL, "name": "on-call-leads"}
    assert sent["container"] == {
        "type": "message",
        "message_ts": card["ts"],
        "channel_id": ON_CALL,
        "is_ephemeral": False,
    }
    assert sent["message"]["blocks"] == card["message"]["blocks"]
    [action] = sent["actions"]
    assert (action["type"], action["block_id"], action["value"]) == ("button", "decision", "R1")
    assert float(action["action_ts"]) > float(card["ts"])
    assert {"trigger_id", "response_url", "state"} <= set(sent)


async def test_an_outsiders_click_carries_our_team_and_their_own_in_the_user():
    office = Office()
    office.slack.join(SUPPORT, "U0UNLATCH")
    await office.done("chat.postMessage", channel=SUPPORT, text="card", blocks=[actions()])

    await office.slack.click(OLGA, "approve", channel=SUPPORT)

    assert office.app.last["team"]["id"] == "T0CONTOSO"
    assert office.app.last["user"]["team_id"] == "T0FABRIKAM"


async def test_two_people_at_once_are_two_deliveries_with_two_triggers():
    office = Office()
    await _card(office)

    await asyncio.gather(*(office.slack.click(who, "approve", channel=ON_CALL) for who in (KEN, AIKO)))

    assert len(office.app.bodies) == 2
    assert office.app.bodies[0] != office.app.bodies[1]


async def test_a_button_that_is_gone_can_still_be_pressed_by_somebody_who_saw_it():
    office = Office()
    card = await _card(office)
    [seen] = office.slack.messages(ON_CALL)
    await office.done("chat.update", channel=ON_CALL, ts=card["ts"], text="decided")

    with pytest.raises(NotPossible):
        await office.slack.click(KEN, "approve", channel=ON_CALL, ts=card["ts"])
    assert (await office.slack.click(KEN, "approve", seen=seen)).delivered


async def test_nobody_presses_what_they_do_not_see():
    office = Office()
    await _card(office)
    await office.done(
        "chat.postEphemeral", channel=ON_CALL, user=KEN, text="x", blocks=[actions(button("no"))]
    )

    with pytest.raises(NotPossible, match="not in that channel"):
        await office.slack.click(MEI, "approve", channel=ON_CALL)
    with pytest.raises(NotPossible, match="nobody can press no"):
        await office.slack.click(AIKO, "no", channel=ON_CALL)
    with pytest.raises(NotPossible):
        await office.slack.click(KEN, "approve", channel=ON_CALL, ts="1.0")
    office.slack.deactivate(KEN)
    with pytest.raises(NotPossible, match="deactivated"):
        await office.slack.click(KEN, "approve", channel=ON_CALL)
    assert office.app.requests == []


async def test_a_click_in_an_ephemeral_message_carries_no_message():
    office = Office()
    await office.done("chat.postEphemeral", channel=ON_CALL, user=KEN, text="x", blocks=[actions()])

    await office.slack.click(KEN, "approve", channel=ON_CALL)

    assert office.app.last["container"]["is_ephemeral"] is True
    assert "message" not in office.app.last


async def test_a_click_in_a_modal_carries_the_view_and_what_was_typed():
    office = Office()
    view = await office.opened(modal(field(), actions(button("look", words="Look"))))
    office.slack.fill(MEI, {"reason": "half a sent"})

    await office.slack.click(MEI, "look")

    sent = office.app.last
    assert sent["container"] == {"type": "view", "view_id": view["id"]}
    assert sent["view"]["state"]["values"]["reason"]["reason_typed"]["value"] == "half a sent"
    assert "response_url" not in sent
    assert "channel" not in sent


async def test_a_menu_reports_the_option_that_was_chosen():
    office = Office()
    options = [{"text": text("iPhone"), "value": "d1"}, {"text": text("Pixel"), "value": "d2"}]
    menu = {"type": "static_select", "action_id": "device", "options": options}
    await _card(office, section() | {"accessory": menu, "block_id": "which"})

    await office.slack.click(KEN, "device", channel=ON_CALL, value="d2")

    assert office.app.last["actions"][0]["selected_option"] == options[1]
    state = office.app.last["state"]["values"]["which"]["device"]
    assert state == {"type": "static_select", "selected_option": options[1]}
    with pytest.raises(NotPossible, match="no option 'd3'"):
        await office.slack.click(KEN, "device", channel=ON_CALL, value="d3")


@pytest.mark.parametrize("answer", [{"text": "not here"}, "not here"])
async def test_a_click_is_acknowledged_with_nothing(answer: Any):
    office = Office()
    office.app.says(answer)
    await _card(office)

    outcome = await office.slack.click(KEN, "approve", channel=ON_CALL)

    assert outcome.notice == TROUBLE


async def test_an_app_that_fails_is_trouble_and_is_not_asked_again():
    office = Office()
    office.app.fails(500)
    await _card(office)

    outcome = await office.slack.click(KEN, "approve", channel=ON_CALL)

    assert (outcome.delivered, outcome.notice) == (False, TROUBLE)
    assert [n.text for n in office.slack.notices(KEN)] == [TROUBLE]
    assert len(office.app.requests) == 1


async def test_a_menu_of_the_apps_own_asks_for_its_options():
    office = Office()
    options = [{"text": text("iPhone"), "value": "d1"}]
    menu = {"type": "external_select", "action_id": "device", "min_query_length": 1}
    await office.opened(modal(field("device", element=menu)))
    office.app.says({"options": options})

    offered = await office.slack.suggest(MEI, "device", "iph")

    assert offered == options
    assert (office.app.last["type"], office.app.last["value"]) == ("block_suggestion", "iph")
    office.app.reply = _fine
    filled = office.slack.fill(MEI, {"device": {"device": {"selected_option": offered[0]}}})
    assert filled.state["device"]["device"]["selected_option"] == options[0]


async def _fine(_last: Json) -> Response:
    return Response()
