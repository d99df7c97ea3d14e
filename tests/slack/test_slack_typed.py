"""What a slash command carries is read as the person typed it."""

import pytest
from bot.slack.parsing import Command


@pytest.mark.parametrize(
    ("carried", "target", "reason"),
    [
        ("mei@contoso.com locked out", "mei@contoso.com", "locked out"),
        (
            "<mailto:mei@contoso.com|mei@contoso.com> ask <mailto:ken@contoso.com|ken@contoso.com>",
            "<mailto:mei@contoso.com|mei@contoso.com>",
            "ask ken@contoso.com",
        ),
        ("<@U0MEI|mei> ask <@U0KEN|ken> in <#C0SUPPORT|support>", "<@U0MEI|mei>", "ask @ken in #support"),
        ("serial:X see <https://desk.example/4711>", "serial:X", "see https://desk.example/4711"),
        ("serial:X see <http://desk.example|desk.example>", "serial:X", "see desk.example"),
        ("serial:X <!here> <!subteam^S1|@oncall> know", "serial:X", "@here @oncall know"),
        ("name:<http://van.dev|van.dev> stuck", "name:van.dev", "stuck"),
        ('name:"Ken\'s phone" stuck', "name:Ken's phone", "stuck"),
        ("serial:X 5 &lt; 6 &amp;amp; &lt;@U0KEN|ken&gt;", "serial:X", "5 < 6 &amp; <@U0KEN|ken>"),
    ],
)
def test_links_and_escapes_of_slack_are_taken_out_of_a_command(
    carried: str, target: str, reason: str
) -> None:
    body = {"user_id": "U0MEI", "team_id": "T0CONTOSO", "trigger_id": "1.2", "text": carried}

    assert Command.parse(body).split() == (target, reason)
