"""Signed, but of no shape that Slack has: a 4xx, and neither Bolt nor a listener breaks on it."""

from datetime import timedelta
from itertools import product

import pytest
from bot.slack import conversation, ids
from bot.slack.sieve import sifted
from structlog.testing import capture_logs
from tests.face.counter import Counter
from tests.face.post import COMMAND, command, interaction

PRESS = {
    "type": "block_actions",
    "team": {"id": "T0CONTOSO"},
    "user": {"id": "U0KEN", "team_id": "T0CONTOSO"},
    "trigger_id": "1.2.three",
    "actions": [{"action_id": ids.APPROVE, "value": "f" * 32}],
}
FORM = {
    "type": "view_submission",
    "user": {"id": "U0KEN", "team_id": "T0CONTOSO"},
    "view": {"id": "V1", "type": "modal", "callback_id": ids.DENY_FORM, "state": {"values": {}}},
}
EVENT = {"type": "event_callback", "event": {"type": "app_home_opened", "user": "U0KEN"}}
ODD = (0, 1.5, True, "x", "", [], ["x"], [[]], {}, {"id": 7}, {"id": {"id": []}}, [{"response_url": 7}], None)
FIELDS = (
    *("team", "user", "enterprise", "channel", "view", "event", "actions", "authorizations", "response_urls"),
    *(
        "message",
        "container",
        "type",
        "trigger_id",
        "callback_id",
        "thread_ts",
        "is_enterprise_install",
        "item",
    ),
)


DEEPER = ("id", "type", "team_id", "callback_id", "state", "user", "enterprise", "private_metadata")
ODD_ACTIONS = (*ODD, [{}], [{"action_id": 7}], [{"value": "x"}], [None, {"action_id": ids.DENY, "value": 7}])


@pytest.fixture
def counter(monkeypatch) -> Counter:
    monkeypatch.setattr(conversation, "DRAWN_AFTER", timedelta(0))
    return Counter()


async def no_crash(counter: Counter, body: object) -> None:
    answer = await counter.mailbox.post(interaction(body))
    await counter.settle()
    assert answer.status_code < 500, body


async def test_a_field_of_another_shape_is_no_crash(counter):
    with capture_logs() as logs:
        for body, field, odd in product((PRESS, FORM, EVENT), FIELDS, ODD):
            await no_crash(counter, {**body, field: odd})
    assert logs == []


async def test_a_field_one_deeper_is_no_crash_either(counter):
    with capture_logs() as logs:
        for inside, name, odd in product(("user", "view", "event", "team"), DEEPER, ODD):
            for body in (PRESS, FORM, EVENT):
                await no_crash(counter, {**body, inside: {**body.get(inside, {}), name: odd}})
    assert logs == []


async def test_odd_actions_are_no_crash(counter):
    for odd in ODD_ACTIONS:
        await no_crash(counter, {**PRESS, "actions": odd})


def test_what_listeners_read_comes_through_the_sieve_whole():
    pressed = {**PRESS, "channel": {"id": "C1"}, "container": {"channel_id": "C1"}}
    assert sifted(pressed) == pressed
    assert sifted(FORM) == FORM
    assert sifted(COMMAND) == COMMAND
    chosen = {"selected_option": {"value": "d1"}, "action_id": "a"}
    assert sifted({"actions": [chosen]}) == {"actions": [chosen]}


@pytest.mark.parametrize("field", ["user_id", "trigger_id", "team_id"])
async def test_an_id_longer_than_any_of_slacks_is_a_400(counter, field):
    assert (await counter.mailbox.post(command(**{field: "U" * 300}))).status_code == 400
    assert counter.staffed.requests.rows == {}
    assert counter.staffed.events() == []
