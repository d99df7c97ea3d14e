"""What a careless or hostile sender makes of good input: text, JSON and bytes, changed a little or a lot."""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
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
)
PLAIN: Final[tuple[Json, ...]] = (
    None, True, False, 0, 1, -1, 2**31, 2**63, 10**30, -0.5, 1e308, "", " ", "0", [], {}, [[]], [None],
    {"": None}, {"id": None}, {"id": []}, {"text": "<!channel>"}, {"ok": True}, [{}], ["x"],
    "$DEEP:60", "$DEEP:1200", "$DEEP:40000", "$WIDE:5000", "$DIGITS:5000", "$NAN", "$HALF",
)
"""JSON that has nothing to do with what is expected; `dumped` replaces what no Python value can be."""
# fmt: on
LENGTHS: Final = (20, 76, 151, 256, 1001, 2001, 3001, 4001, 20_001)
_MARK: Final = re.compile(r'"\$(DEEP|WIDE|DIGITS|NAN|HALF):?(\d{0,6})"')

nasty = st.sampled_from(NASTY) | st.text(st.characters(), max_size=30)  # with lone surrogates
anything = st.sampled_from(PLAIN).map(deepcopy) | nasty


@st.composite
def near(draw: st.DrawFn, good: str) -> str:
    """Something like `good`: put into, cut, repeated, in another case; or nothing like it."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(good)))
        match draw(st.integers(0, 6)):
            case 0 | 1 | 2:
                good = good[:at] + draw(nasty) + good[at:]
            case 3:
                good = good[:at] + good[at + draw(st.integers(0, 30)) :]
            case 4:
                good = ((good[:20] or "x") * 20_001)[: draw(st.sampled_from(LENGTHS))]
            case 5:
                good = draw(st.sampled_from((good.upper(), good.swapcase(), good[::-1], good.strip())))
            case _:
                good = draw(nasty)
    return good


def usually(good: Json, otherwise: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    """`good` three times out of four, so that most cases differ in one place and get far."""
    return st.integers(0, 3).flatmap(lambda chance: otherwise if chance == 3 else st.just(good))


@st.composite
def mutated(draw: st.DrawFn, good: Json) -> Json:
    """A copy of `good` in which something is missing, added, of another type, huge, nested or moved."""
    changed = deepcopy(good)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(changed))
        if not places:
            return draw(anything)
        home, key = draw(st.sampled_from(places))
        old = home[key]
        match draw(st.integers(0, 6)):
            case 0 | 1:
                home[key] = draw(near(old) if isinstance(old, str) else anything)
            case 2:
                del home[key]
            case 3:
                home[key] = draw(anything)
            case 4:
                home[key] = draw(st.sampled_from(([old], {"id": old}, str(old)[:500], [old, deepcopy(old)])))
            case 5:
                other, at = draw(st.sampled_from(places))
                home[key] = deepcopy(other[at])
            case _ if isinstance(home, dict):
                home[draw(near("id"))[:200]] = draw(anything)
            case _:
                home.append(draw(anything))
    return changed


def _places(found: Json) -> Iterator[tuple[Json, Json]]:
    """Every container and key, however deep."""
    keys = list(found if isinstance(found, dict) else range(len(found)) if isinstance(found, list) else ())
    for key in keys:
        yield found, key
        yield from _places(found[key])


def json_text(value: st.SearchStrategy[Json]) -> st.SearchStrategy[str]:
    """The value as JSON text, now and then no longer well formed."""
    texts = value.map(dumped)
    return texts | texts | texts | texts.flatmap(lambda text: near(text[:5000]))


def dumped(value: Json) -> str:
    """JSON text, with what a mark stands for: 40,000 brackets, 5,000 digits, NaN, half a character."""

    def marked(mark: re.Match[str]) -> str:
        kind, count = mark[1], int(mark[2] or 1)
        return {
            "DEEP": "[" * count + "]" * count,
            "WIDE": "[" + "0," * count + "0]",
            "DIGITS": "9" * count,
            "NAN": "NaN",
            "HALF": '"\\ud800"',
        }[kind]

    return _MARK.sub(marked, json.dumps(value))


@st.composite
def mutated_bytes(draw: st.DrawFn, good: bytes) -> bytes:
    """Bytes with some flipped, cut out, doubled or put in."""
    made = bytearray(good)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(made)))
        match draw(st.integers(0, 3)):
            case 0 if at < len(made):
                made[at] ^= 1 << draw(st.integers(0, 7))
            case 1:
                del made[at : at + draw(st.sampled_from((1, 4, 64, 4096)))]
            case 2:
                made[at:at] = made[max(0, at - 64) : at] * draw(st.sampled_from((1, 3, 100)))
            case _:
                escapes = (b"%", b"&", b"=", b"+", b"%00", b"%ff", b"%u0041", b";", b"\xff\xfe")
                made[at:at] = draw(st.sampled_from(escapes) | st.binary(max_size=64))
    return bytes(made)
