"""Text as it looks: what cannot be seen, turns round or piles up is not shown."""

import pytest
from bot.domain.visible import LONGEST, MOST_ACCENTS, visible

ACCENT = "\u0301"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Ada’s  iPhone\n", "Ada’s iPhone"),
        ("a\u200bb\u202ec\u2066d\x07e", "abcde"),
        ("no\u00a0break\u3000here", "no break here"),
        ("\u3164\u115fAda", "Ada"),
        (f"e{ACCENT}", f"e{ACCENT}"),
        (f"e{ACCENT * 50}f", f"e{ACCENT * MOST_ACCENTS}f"),
        (f"e{(ACCENT + chr(0x200B)) * 50}f", f"e{ACCENT * MOST_ACCENTS}f"),
        (f"é{ACCENT * 9} {ACCENT * 9}", f"é{ACCENT * MOST_ACCENTS} {ACCENT * MOST_ACCENTS}"),
        ("日本語 Ünïcödé", "日本語 Ünïcödé"),
        ("", ""),
    ],
)
def test_text_is_shown_as_it_looks(text: str, seen: str) -> None:
    assert visible(text) == seen


def test_no_text_is_longer_than_anybody_reads() -> None:
    assert len(visible("a" * 10 * LONGEST)) == LONGEST
