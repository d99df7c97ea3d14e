"""What Slack refuses of blocks and views, with the place of the mistake."""

from typing import Any

import pytest
from local_slack import Json, actions, button, field, modal, section, text
from sandbox.slack.blocks import accepted_blocks, accepted_view
from sandbox.slack.refusals import Refused


def _radio(count: int) -> Json:
    options = [{"text": text(f"Phone {n}"), "value": str(n)} for n in range(count)]
    return {"type": "radio_buttons", "action_id": "device", "options": options}


def _select(count: int) -> Json:
    return _radio(count) | {"type": "static_select"}


def _refusal(blocks: Any) -> list[str]:
    with pytest.raises(Refused) as refused:
        accepted_blocks(blocks)
    assert refused.value.error == "invalid_blocks"
    messages: list[str] = refused.value.body()["response_metadata"]["messages"]
    return messages


GOOD: dict[str, Json] = {
    "a section at its limit": section("x" * 3000),
    "ten fields": {"type": "section", "fields": [text("x" * 2000)] * 10},
    "a header": {"type": "header", "text": text("x" * 150)},
    "a context": {"type": "context", "elements": [text("x", "mrkdwn")] * 10},
    "a divider": {"type": "divider"},
    "buttons": actions(*[button(f"b{n}") for n in range(25)]),
    "a link button": actions({"type": "button", "text": text("Sign in"), "url": "http://127.0.0.1:3000/x"}),
    "ten radios": field(element=_radio(10)),
    "a hundred options": field(element=_select(100)),
    "an accessory": section() | {"accessory": {"type": "users_select", "action_id": "who"}},
    "what was typed before": field(element={"initial_value": "x" * 3000}),
    "rich text": {
        "type": "rich_text",
        "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": "plain"}]}],
    },
}
BAD: dict[str, tuple[Json, str]] = {
    "an empty text": (section(""), "/blocks/0/text/text"),
    "a section too long": (section("x" * 3001), "/blocks/0/text/text"),
    "a field too long": ({"type": "section", "fields": [text("x" * 2001)]}, "/blocks/0/fields/0/text"),
    "eleven fields": ({"type": "section", "fields": [text("x")] * 11}, "/blocks/0/fields"),
    "a header too long": ({"type": "header", "text": text("x" * 151)}, "/blocks/0/text/text"),
    "markdown in a header": ({"type": "header", "text": text("x", "mrkdwn")}, "/blocks/0/text/type"),
    "twenty-six buttons": (actions(*[button(f"b{n}") for n in range(26)]), "/blocks/0/elements"),
    "a button too long": (actions(button(words="x" * 76)), "/blocks/0/elements/0/text/text"),
    "a value too long": (actions(button(value="x" * 2001)), "/blocks/0/elements/0/value"),
    "an unknown style": (actions(button() | {"style": "warning"}), "/blocks/0/elements/0/style"),
    "a relative link": (actions(button() | {"url": "/sign-in"}), "/blocks/0/elements/0/url"),
    "eleven radios": (field(element=_radio(11)), "/blocks/0/element/options"),
    "a hundred and one options": (field(element=_select(101)), "/blocks/0/element/options"),
    "an unknown field": (section() | {"colour": "red"}, "/blocks/0"),
    "a block id too long": (section() | {"block_id": "x" * 256}, "/blocks/0/block_id"),
    "an unknown block": ({"type": "carousel"}, "/blocks/0/type"),
    "no label": ({"type": "input", "element": {"type": "plain_text_input"}}, "/blocks/0"),
    "one action id twice": (actions(button(), button()), "/blocks/0"),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_slack_takes_is_taken(name):
    assert accepted_blocks([GOOD[name]])[0]["type"] == GOOD[name]["type"]


@pytest.mark.parametrize("name", BAD)
def test_what_slack_refuses_is_refused_at_its_place(name):
    block, pointer = BAD[name]

    messages = _refusal([block])

    assert any(message.endswith(f"[json-pointer:{pointer}]") for message in messages), messages


def test_a_message_has_fifty_blocks_and_a_modal_a_hundred():
    accepted_blocks([section()] * 50)
    accepted_view(modal(*[section()] * 100))

    assert "no more than 50" in _refusal([section()] * 51)[0]
    with pytest.raises(Refused, match="invalid_arguments"):
        accepted_view(modal(*[section()] * 101))


def test_a_block_id_stands_once():
    twice = [section() | {"block_id": "same"}, section() | {"block_id": "same"}]

    assert _refusal(twice) == ["[ERROR] block_id `same` already exists [json-pointer:/blocks/1/block_id]"]


def test_ids_are_given_where_the_app_gave_none():
    [block] = accepted_blocks([{"type": "actions", "elements": [{"type": "button", "text": text("x")}]}])

    assert block["block_id"]
    assert block["elements"][0]["action_id"]


@pytest.mark.parametrize(
    "view",
    [
        pytest.param(modal(title=text("x" * 25)), id="a title of 25"),
        pytest.param(modal(submit=False), id="an input without submit"),
        pytest.param(modal(close=text("x" * 25)), id="a close of 25"),
        pytest.param(modal(private_metadata="x" * 3001), id="metadata of 3001"),
        pytest.param(modal(callback_id="x" * 256), id="a callback id of 256"),
        pytest.param({"type": "modal", "title": text("x"), "blocks": []}, id="no blocks"),
        pytest.param({"type": "modal", "blocks": [section()]}, id="no title"),
        pytest.param({"type": "page", "blocks": [section()]}, id="an unknown type"),
        pytest.param(modal(section("")), id="a bad block inside"),
        pytest.param("modal", id="not an object"),
    ],
)
def test_a_view_that_slack_refuses_is_refused(view):
    with pytest.raises(Refused) as refused:
        accepted_view(view)

    assert refused.value.error == "invalid_arguments"
    assert refused.value.body()["response_metadata"]["messages"]
