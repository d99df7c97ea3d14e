"""Payloads: any field may be missing or of another shape, and nothing but a value comes out."""

import pytest
from bot.slack.payloads import NO_REQUEST, VALUE, Command, Field, Form, Malformed, Press

ID = "0123456789abcdef" * 2
D1 = {"value": "d1"}
USER = {"id": "U0OLGA", "team_id": "T0FABRIKAM"}


def a_form(**view: object) -> Form:
    return Form.parse({"user": USER, "view": {"id": "V1", **view}})


def test_the_team_is_that_of_who_pressed_or_the_one_that_a_command_names():
    body = {"trigger_id": "1.2", "team": {"id": "T0CONTOSO"}, "user": USER, "actions": [{"value": ID}]}
    press = Press.parse(body)
    assert (press.actor.team, press.request_id) == ("T0FABRIKAM", ID)
    for team in ("T0FABRIKAM", None):
        command = Command.parse({"user_id": "U0MEI", "trigger_id": "1.2", "team_id": team})
        assert command.actor.team == team


@pytest.mark.parametrize("value", ["", "R1", ID.upper(), ID + "0", ID[:-1], f"{ID}\n", f" {ID}", "'; DROP"])
def test_a_value_that_is_no_id_names_no_request(value: str):
    press = Press.parse({"trigger_id": "1.2", "user": USER, "actions": [{"value": value}]})
    assert press.request_id == NO_REQUEST


@pytest.mark.parametrize(
    ("metadata", "carried"),
    [
        (f"{ID}:7", (ID, 7)),
        (ID, (ID, 0)),
        *((f"{ID}:{odd}", (NO_REQUEST, 0)) for odd in ("", "-1", "1:2", 10**9, "1\n", "\u0661")),
        *((odd, (NO_REQUEST, 0)) for odd in ("", 7)),
    ],
)
def test_a_form_brings_back_the_request_and_the_revision_that_it_showed(metadata: object, carried: object):
    form = a_form(private_metadata=metadata)
    assert (form.request_id, form.revision) == carried


@pytest.mark.parametrize("element", [D1, {"selected_option": D1}, {"selected_options": [D1]}])
def test_a_field_is_read_whether_typed_chosen_or_ticked(element: dict[str, object]):
    form = a_form(state={"values": {"device": {VALUE: element}}})
    assert (form[Field.DEVICE], form[Field.REASON]) == ("d1", "")


@pytest.mark.parametrize("field", ["user_id", "trigger_id", "team_id"])
def test_an_id_longer_than_any_of_slacks_is_malformed_and_a_form_without_its_views(field: str):
    with pytest.raises(Malformed):
        Command.parse({"user_id": "U0MEI", "trigger_id": "1.2", field: "U" * 300})
    with pytest.raises(Malformed):
        a_form(id="")
