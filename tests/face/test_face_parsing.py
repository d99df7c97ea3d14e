"""Reading deliveries: any field may be missing or of another shape, and nothing but a value comes out."""

import string

import pytest
from bot.domain.target import parse_target
from bot.slack.about import NO_REQUEST, About, request_id
from bot.slack.parsing import Click, Command, Malformed, Submission, text_at
from hypothesis import given
from hypothesis import strategies as st

ID = "0123456789abcdef" * 2
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["user", "user_id", "trigger_id", "team", "view", "actions", "channel", "container", "text", "id"]
)


def command(text: str) -> Command:
    return Command.parse({"user_id": "U0MEI", "team_id": "T0CONTOSO", "trigger_id": "1.2", "text": text})


@pytest.mark.parametrize(
    ("typed", "target", "reason"),
    [
        ("ada@contoso.com locked out", "ada@contoso.com", "locked out"),
        ("<mailto:ada@contoso.com|ada@contoso.com> locked out", "ada@contoso.com", "locked out"),
        ("<@U0MEI|mei>   locked out", "mention:U0MEI", "locked out"),
        (
            "serial:F2LX1234ABCD dropped &amp; locked &lt;now&gt;",
            "serial:F2LX1234ABCD",
            "dropped & locked <now>",
        ),
        ('name:"Ken\'s iPhone" locked out', "name:Ken's iPhone", "locked out"),
        ("NAME:“Field phone” locked out", "name:Field phone", "locked out"),
        ('name:"Tom &amp; Ann" why', "name:Tom & Ann", "why"),
        ("ada@contoso.com\nlocked out\ntwice", "ada@contoso.com", "locked out\ntwice"),
        ("ada@contoso.com", "ada@contoso.com", ""),
    ],
)
def test_a_target_and_a_reason_are_told_apart(typed, target, reason):
    whose, why = command(typed).split()
    assert (str(parse_target(whose)), why) == (target, reason)


def test_the_team_of_a_click_is_the_persons_own():
    click = Click.parse(
        {
            "trigger_id": "1.2",
            "team": {"id": "T0CONTOSO"},
            "user": {"id": "U0OLGA", "team_id": "T0FABRIKAM"},
            "actions": [{"value": ID}],
        }
    )
    assert (click.actor.team, click.team, click.request) == ("T0FABRIKAM", "T0CONTOSO", ID)


@pytest.mark.parametrize(
    "text", ["", "R1", ID.upper(), ID + "0", ID[:-1], f"{ID}\n", f" {ID}", "'; DROP TABLE"]
)
def test_a_value_that_is_no_id_names_no_request(text):
    assert request_id(text) == NO_REQUEST


def test_a_window_brings_back_what_it_is_about():
    assert About.read(About(ID, 7).written()) == About(ID, 7)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (ID, About(ID, 0)),
        (f"{ID}:", About(NO_REQUEST)),
        (f"{ID}:-1", About(NO_REQUEST)),
        (f"{ID}:1:2", About(NO_REQUEST)),
        (f"{ID}:{10**9}", About(NO_REQUEST)),
        (f"{ID}:1\n", About(NO_REQUEST)),
        (f"{ID}:\u0661", About(NO_REQUEST)),
        ("", About(NO_REQUEST)),
    ],
)
def test_what_no_window_of_ours_carries_is_no_round(text, read):
    assert About.read(text) == read


def test_text_that_no_database_stores_is_left_out():
    assert text_at({"a": ["x\x00y\ud800z\udfff"]}, "a", 0) == "xyz"


@pytest.mark.parametrize("reader", [Command, Click, Submission])
@given(body=st.dictionaries(FIELDS | st.text(string.ascii_lowercase, max_size=5), ANY_JSON, max_size=6))
def test_no_shape_of_a_body_breaks_the_reading(reader, body):
    try:
        value = reader.parse(body)
    except Malformed:
        return
    assert value.actor.user
