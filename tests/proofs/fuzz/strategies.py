"""What a careless or hostile sender makes of good input: text and JSON, changed a little or much."""

import json
from typing import Any, Final

from hypothesis import strategies as st

Json = Any

# fmt: off
NASTY: Final = (
    "<!channel>", "<!here>", "<!everyone>", "<@U0TEXT>", "<#C0TEXT>", "<!subteam^S0TEXT>", "<@U0MEI|mei>",
    "<https://evil.example|https://login.microsoftonline.com>", "<mailto:x@evil.example|ada@contoso.com>",
    "<!date^1^{date}^https://evil.example|soon>", "<", ">", "&", "&lt;!channel&gt;", "&amp;lt;", "<@", "|",
    "<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "{by}", "{0.__class__}", "%s%n", "$&",
    "*bold* _it_ ~no~ `code` :fire:", "```", "> quote", "\n", "\r\n", "\t", "\x00", "\x1b[31m", "\x7f",
    "\u202e", "\u2066", "\u200b", "\u200d", "\ufeff", "\u2028", "\u0301" * 60, "\U000e0041", "ﷺ", "𝔞", "👩",
    "\ud800", "\udfff", "\uffff", "é" * 400, "' or 1 eq 1 or '", "''", "'; DROP TABLE requests; --", "\\",
    "../", "..%2f", "%2e%2e/", "/", "?", "#", "%00", "%ff", "%", "+", ";", "@", "a@b.co", "“", "”",
    "serial:", "imei:", "name:", 'name:"', "id:", "app:", "person:", "payload", "payload={}", "<mailto:",
    "٣", "²", "１２", "-0", "-1", "1e999", "NaN", "9" * 400, "0x10", "true", "null", "[]", "{}", "",
    "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2026-02-30T00:00:00Z", "P9999999999D",
    "https://evil.example/v1.0/more", "//evil.example/x", "https://graph.example@evil.example", "https://[",
    "Fri, 31 Dec 9999 23:59:59 -1200", "Mon, 0 X 0", "Bearer claims=\"é\"", "text/html; charset=utf-16",
)
PLAIN: Final[tuple[Json, ...]] = (
    None, True, False, 0, 1, -1, 2**31, 2**63, 10**30, -0.5, 1e308, "", " ", "0", [], {}, [[]], [None],
    {"": None}, {"id": None}, {"id": []}, {"text": "<!channel>"}, {"ok": True}, [{}], ["x"], float("nan"),
    "$DEEP", "$DEEPER", "$WIDE", "$DIGITS", "$HALF",
)
# fmt: on
RAW: Final = {
    "$DEEP": "[" * 60 + "]" * 60,
    "$DEEPER": "[" * 40_000 + "]" * 40_000,
    "$WIDE": "[" + "0," * 5000 + "0]",
    "$DIGITS": "9" * 5000,
    "$HALF": '"\\ud800"',
}
"""What these strings of PLAIN stand for in JSON, since no Python value can be it."""
LENGTHS: Final = (20, 76, 151, 256, 1001, 2001, 3001, 4001, 20_001)

nasty = st.sampled_from(NASTY) | st.text(st.characters(), max_size=30)  # with lone surrogates
anything = st.sampled_from(PLAIN) | nasty


def usually(good: Json, otherwise: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    """`good` three times out of four, so that most cases differ in one place and get far."""
    return st.sampled_from((False, False, True, False)).flatmap(
        lambda odd: otherwise if odd else st.just(good)
    )


@st.composite
def near(draw: st.DrawFn, good: str) -> str:
    """Something like `good`: with something put in or left out, long, in another case; or nothing like it."""
    at, end = sorted((draw(st.integers(0, len(good))), draw(st.integers(0, len(good)))))
    put_in = nasty.map(lambda text: good[:at] + text + good[at:])
    others = st.sampled_from((good[:at] + good[end:], good.swapcase(), good[::-1]))
    long = st.sampled_from(LENGTHS).map(lambda length: ((good[:20] or "x") * length)[:length])
    return draw(put_in | put_in | others | long | nasty)


def near_bytes(good: bytes) -> st.SearchStrategy[bytes]:
    text = near(good.decode("latin-1")).map(lambda text: text.encode("latin-1", "replace"))
    return text | text.flatmap(lambda half: st.binary(max_size=64).map(lambda more: half + more))


def mutated(good: Json) -> st.SearchStrategy[Json]:
    """`good` with a value, however deep, that is missing, added, nested, or of another type or text."""
    if isinstance(good, str):
        return near(good) | anything
    if isinstance(good, list) and good:
        inside = mutated(good[0]).map(lambda new: [new, *good[1:]])
        return inside | inside | anything | st.just([*good, *good])
    if not isinstance(good, dict) or not good:
        return anything
    names = st.sampled_from([*good])
    inside = names.flatmap(lambda name: mutated(good[name]).map(lambda new: {**good, name: new}))
    missing = names.map(lambda name: {key: value for key, value in good.items() if key != name})
    added = st.builds(lambda name, value: {**good, name: value}, near("id"), anything)
    moved = st.builds(lambda name, other: {**good, name: good[other]}, names, names)
    return inside | inside | inside | missing | added | moved | st.just([good]) | anything


def json_text(value: st.SearchStrategy[Json]) -> st.SearchStrategy[str]:
    """The value as JSON text, now and then no longer well formed."""
    texts = value.map(dumped)
    return texts | texts | texts | texts.flatmap(lambda text: near(text[:5000]))


def dumped(value: Json) -> str:
    text = json.dumps(value)
    for name, raw in RAW.items():
        text = text.replace(f'"{name}"', raw)
    return text
