"""What Slack refuses of blocks and views, with the place of the mistake.

What it takes is held by the tests of the bot's messages and modals, which all pass through here.
"""

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


BAD: dict[str, tuple[list[Json], str]] = {
    "an empty text": ([section("")], "0/text/text"),
    "a section too long": ([section("x" * 3001)], "0/text/text"),
    "a field too long": ([{"type": "section", "fields": [text("x" * 2001)]}], "0/fields/0/text"),
    "eleven fields": ([{"type": "section", "fields": [text("x")] * 11}], "0/fields"),
    "a header too long": ([{"type": "header", "text": text("x" * 151)}], "0/text/text"),
    "markdown in a header": ([{"type": "header", "text": text("x", "mrkdwn")}], "0/text/type"),
    "twenty-six buttons": ([actions(*[button(f"b{n}") for n in range(26)])], "0/elements"),
    "a button too long": ([actions(button(words="x" * 76))], "0/elements/0/text/text"),
    "a value too long": ([actions(button(value="x" * 2001))], "0/elements/0/value"),
    "an unknown style": ([actions(button() | {"style": "warning"})], "0/elements/0/style"),
    "a relative link": ([actions(button() | {"url": "/sign-in"})], "0/elements/0/url"),
    "eleven radios": ([field(element=_radio(11))], "0/element/options"),
    "a hundred and one options": ([field(element=_select(101))], "0/element/options"),
    "an unknown field": ([section() | {"colour": "red"}], "0"),
    "a block id too long": ([section() | {"block_id": "x" * 256}], "0/block_id"),
    "an unknown block": ([{"type": "carousel"}], "0/type"),
    "no label": ([{"type": "input", "element": {"type": "plain_text_input"}}], "0"),
    "one action id twice": ([actions(button(), button())], "0"),
    "one block id twice": ([section() | {"block_id": "same"}] * 2, "1/block_id"),
}


@pytest.mark.parametrize(("blocks", "place"), BAD.values(), ids=BAD)
def test_what_slack_refuses_is_refused_at_its_place(blocks, place):
    with pytest.raises(Refused) as refused:
        accepted_blocks(blocks)

    messages = refused.value.body()["response_metadata"]["messages"]
    assert refused.value.error == "invalid_blocks"
    assert any(message.endswith(f"[json-pointer:/blocks/{place}]") for message in messages), messages


def test_a_message_has_fifty_blocks_and_a_modal_a_hundred():
    accepted_blocks([section()] * 50)
    accepted_view(modal(*[section()] * 100))

    with pytest.raises(Refused, match="invalid_blocks"):
        accepted_blocks([section()] * 51)


BAD_VIEWS: dict[str, Any] = {
    "a title of 25": modal(title=text("x" * 25)),
    "an input without submit": modal(submit=False),
    "a close of 25": modal(close=text("x" * 25)),
    "metadata of 3001": modal(private_metadata="x" * 3001),
    "a callback id of 256": modal(callback_id="x" * 256),
    "no blocks": {"type": "modal", "title": text("x"), "blocks": []},
    "a hundred and one blocks": modal(*[section()] * 101),
    "no title": {"type": "modal", "blocks": [section()]},
    "an unknown type": {"type": "page", "blocks": [section()]},
    "a bad block inside": modal(section("")),
    "not an object": "modal",
}


@pytest.mark.parametrize("view", BAD_VIEWS.values(), ids=BAD_VIEWS)
def test_a_view_that_slack_refuses_is_refused(view):
    with pytest.raises(Refused, match="invalid_arguments") as refused:
        accepted_view(view)

    assert refused.value.body()["response_metadata"]["messages"]
