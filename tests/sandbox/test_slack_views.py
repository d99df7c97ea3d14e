"""Modals and App Homes: triggers, stacks, hashes."""

from datetime import timedelta

import pytest
from slack_office import KEN, MEI, OLGA, Office, field, modal, section, text


async def test_a_trigger_opens_one_modal_for_the_person_who_acted():
    office = Office()
    trigger_id = await office.trigger(MEI)

    await office.done("views.open", trigger_id=trigger_id, view=modal())

    shown = office.slack.modal(MEI)
    assert shown is not None
    assert shown.title == "Reset"
    assert office.slack.modal(KEN) is None
    assert await office.error("views.open", trigger_id=trigger_id, view=modal()) == "exchanged_trigger_id"


async def test_a_trigger_lives_three_seconds():
    office = Office()
    trigger_id = await office.trigger()
    office.clock.advance(timedelta(seconds=2.999))
    young = await office.trigger()
    office.clock.advance(timedelta(milliseconds=1))

    assert await office.error("views.open", trigger_id=trigger_id, view=modal()) == "expired_trigger_id"
    await office.done("views.open", trigger_id=young, view=modal())


async def test_an_invented_trigger_opens_nothing():
    assert await Office().error("views.open", trigger_id="1.2.abc", view=modal()) == "invalid_trigger_id"
    assert await Office().error("views.open", view=modal()) == "invalid_arguments"


async def test_a_refused_view_leaves_the_trigger_unused():
    office = Office()
    trigger_id = await office.trigger()

    assert (
        await office.error("views.open", trigger_id=trigger_id, view=modal(submit=False))
        == "invalid_arguments"
    )
    await office.done("views.open", trigger_id=trigger_id, view=modal())


async def test_an_update_changes_what_is_shown_and_keeps_what_was_typed():
    office = Office()
    view = await office.opened(modal(field("reason"), field("ticket", optional=True)))
    office.slack.fill(MEI, {"reason": "locked out", "ticket": "T-1"})

    await office.done("views.update", view_id=view["id"], view=modal(field("reason"), title=text("New")))

    shown = office.slack.view(MEI)
    assert shown.title == "New"
    assert {b: e[f"{b}_typed"]["value"] for b, e in shown.state.items()} == {"reason": "locked out"}


async def test_a_stale_hash_conflicts():
    office = Office()
    view = await office.opened(modal())
    fresh = {"view_id": view["id"], "hash": view["hash"], "view": modal()}

    updated = await office.done("views.update", **fresh)

    assert updated["view"]["hash"] != view["hash"]
    assert await office.error("views.update", **fresh) == "hash_conflict"


async def test_a_closed_modal_is_not_found():
    office = Office()
    view = await office.opened(modal())
    await office.slack.close(MEI)

    assert await office.error("views.update", view_id=view["id"], view=modal()) == "not_found"


async def test_a_view_is_found_by_the_apps_own_id_which_is_taken_once():
    office = Office()
    await office.opened(modal(external_id="request-1"))

    await office.done(
        "views.update", external_id="request-1", view=modal(external_id="request-1", title=text("Again"))
    )
    error = await office.error(
        "views.open", trigger_id=await office.trigger(KEN), view=modal(external_id="request-1")
    )
    assert error == "duplicate_external_id"


async def test_modals_stack_three_high():
    office = Office()
    await office.opened(modal(section("one"), _press()))
    for number in ("two", "three"):
        trigger_id = await _pressed(office)
        await office.done("views.push", trigger_id=trigger_id, view=modal(section(number), _press()))

    stack = office.slack.platform.modals.stacks[MEI]
    assert [v.previous_view_id for v in stack] == [None, stack[0].id, stack[1].id]
    assert {v.root_view_id for v in stack} == {stack[0].id}
    fourth = await office.error("views.push", trigger_id=await _pressed(office), view=modal())
    assert fourth == "push_limit_reached"


async def test_only_something_done_in_a_modal_pushes_another():
    office = Office()
    trigger_id = await office.trigger()

    assert await office.error("views.push", trigger_id=trigger_id, view=modal()) == "invalid_trigger_id"


async def test_a_view_of_more_than_250_kilobytes_is_too_large():
    office = Office()
    heavy = [section("x" * 3000) for _ in range(84)]

    error = await office.error("views.open", trigger_id=await office.trigger(), view=modal(*heavy))

    assert error == "view_too_large"


@pytest.mark.parametrize("kind", ["modal", "home"])
async def test_a_home_is_published_and_a_modal_is_opened(kind: str):
    office = Office()
    view = modal() if kind == "modal" else {"type": "home", "blocks": [section()]}

    published = await office.call("views.publish", user_id=MEI, view=view)
    opened = await office.call("views.open", trigger_id=await office.trigger(), view=view)

    assert (published["ok"], opened["ok"]) == (kind == "home", kind == "modal")


async def test_an_outsider_has_no_home_here():
    view = {"type": "home", "blocks": [section()]}

    assert await Office().error("views.publish", user_id=OLGA, view=view) == "invalid_arguments"


def _press() -> dict[str, object]:
    return {
        "type": "actions",
        "block_id": "more",
        "elements": [{"type": "button", "action_id": "more", "text": text("More")}],
    }


async def _pressed(office: Office) -> str:
    await office.slack.click(MEI, "more")
    return str(office.app.last["trigger_id"])
