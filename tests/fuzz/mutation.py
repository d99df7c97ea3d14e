"""What a careless or hostile sender makes of good input: text, JSON and bytes, changed a little or a lot."""

import json
import re
from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any, Final

Json = Any

CALLS: Final = ("<!channel>", "<!here>", "<!everyone>", "<@U0TEXT>", "<#C0TEXT>", "<!subteam^S0TEXT>")
"""Nothing that was typed may come out as one of these; no real person or channel has these ids."""
NASTY: Final = (
    *CALLS,
    *("<https://evil.example|https://login.microsoftonline.com>", "<mailto:x@evil.example|ada@contoso.com>"),
    *("<!date^1^{date}^https://evil.example|soon>", "<", ">", "&", "&lt;!channel&gt;", "&amp;lt;", "<@", "|"),
    *("<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "{by}", "{0.__class__}", "%s%n", "$&"),
    *("*bold* _it_ ~no~ `code` :fire:", "```", "> quote", "\n", "\r\n", "\t", "\x00", "\x1b[31m", "\x7f"),
    *(
        "\u202e",
        "\u2066",
        "\u200b",
        "\u200d",
        "\ufeff",
        "\u2028",
        "\u0301" * 60,
        "\U000e0041",
        "ﷺ",
        "𝔞",
        "👩‍👩‍👧",
    ),
    *("\ud800", "\udfff", "\uffff", "é" * 400, "' or 1 eq 1 or '", "''", "'; DROP TABLE requests; --", "\\"),
    *(
        "../",
        "..%2f",
        "%2e%2e/",
        "/",
        "?",
        "#",
        "%00",
        "%ff",
        "%",
        "+",
        ";",
        "serial:",
        "imei:",
        "name:",
        "id:",
    ),
    *(
        "app:",
        "person:",
        'name:"',
        "“",
        "”",
        "@",
        "a@b.co",
        "payload",
        "payload={}",
        "<mailto:",
        "<@U0MEI|mei>",
    ),
    *("٣", "²", "１２", "-0", "1e999", "NaN", "9" * 400, "0x10", "true", "null", "[]", "{}"),
    *("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2026-02-30T00:00:00Z", "2026-W01-1"),
    "2026-11-23T09:41:07.1234567Z",
)
LENGTHS: Final = (20, 76, 151, 256, 1001, 2001, 3001, 4001, 20_001)
PLAIN: Final[tuple[Json, ...]] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 10**30, -0.5, 1e308, "", " ", "0", [], {}, [[]], [None]),
    *({"": None}, {"id": None}, {"id": []}, {"text": "<!channel>"}, {"ok": True}, [{}], ["x"]),
)
MARKS: Final = (
    *("$DEEP:60", "$DEEP:1200", "$WIDE:200", "$DIGITS:5000", "$NAN", "$HALF") * 8,
    *("$DEEP:40000", "$WIDE:5000"),
)
_MARK: Final = re.compile(r'"\$(DEEP|WIDE|DIGITS|NAN|HALF):?(\d*)"')


def text(dice: Random, good: str = "") -> str:
    """Something like `good`, or nothing like it."""
    for _ in range(dice.choice((1, 1, 1, 2, 3, 6))):
        good = dice.choice(_ON_TEXT)(dice, good)
    return good


def _spliced(dice: Random, good: str) -> str:
    at = dice.randint(0, len(good))
    return good[:at] + dice.choice(NASTY) + good[at:]


def _cut(dice: Random, good: str) -> str:
    first, second = sorted((dice.randint(0, len(good)), dice.randint(0, len(good))))
    return dice.choice((good[:first], good[second:], good[first:second], good[:first] + good[second:]))


def _repeated(dice: Random, good: str) -> str:
    unit = dice.choice((good[:20], dice.choice(NASTY), "x", "<", "a b ", "é")) or "x"
    return (unit * (dice.choice(LENGTHS) // len(unit) + 1))[: dice.choice(LENGTHS)]


def _other_character(dice: Random, good: str) -> str:
    if not good:
        return chr(dice.randrange(0x110000))
    at = dice.randrange(len(good))
    return good[:at] + chr(dice.choice((dice.randrange(128), dice.randrange(0x3000)))) + good[at + 1 :]


def _another_case(dice: Random, good: str) -> str:
    return dice.choice((good.upper(), good.lower(), good.swapcase(), good[::-1], good.strip()))


_ON_TEXT: Final[tuple[Callable[[Random, str], str], ...]] = (
    *(_spliced, _spliced, _spliced, _cut, _repeated, _other_character, _another_case),
    lambda dice, _: dice.choice(NASTY),
)


def value(dice: Random, good: Json) -> Json:
    """A copy of `good` in which something is missing, of another type, huge, nested or moved."""
    changed = deepcopy(good)
    for _ in range(dice.choice((1, 1, 1, 2, 2, 4))):
        places = list(_places(changed))
        if not places:
            return anything(dice)
        home, key = dice.choice(places)
        dice.choice(_ON_PLACES)(dice, home, key, places)
    return changed


def anything(dice: Random) -> Json:
    """A JSON value out of nowhere."""
    return deepcopy(dice.choice((dice.choice(PLAIN), dice.choice(MARKS), text(dice))))


def _places(found: Json) -> list[tuple[Json, Json]]:
    """Every container and key, breadth last."""
    items = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    here = [(found, key) for key, _ in items]
    inner = found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
    return here + [place for part in inner for place in _places(part)]


def _drop(_dice: Random, home: Json, key: Json, _places: Json) -> None:
    if isinstance(home, list):
        home.clear() if key >= len(home) else home.pop(key)
    else:
        home.pop(key, None)


def _put(home: Json, key: Json, new: Json) -> None:
    if isinstance(home, dict) or key < len(home):
        home[key] = new


def _replace(dice: Random, home: Json, key: Json, _places: Json) -> None:
    _put(home, key, anything(dice))


def _change(dice: Random, home: Json, key: Json, _places: Json) -> None:
    old = home.get(key) if isinstance(home, dict) else home[key] if key < len(home) else None
    _put(home, key, text(dice, old) if isinstance(old, str) else anything(dice))


def _wrap(dice: Random, home: Json, key: Json, _places: Json) -> None:
    old = home.get(key) if isinstance(home, dict) else home[key] if key < len(home) else None
    _put(home, key, dice.choice(([old], {"id": old}, str(old)[:500], [old, deepcopy(old)])))


def _swap(dice: Random, home: Json, key: Json, places: Json) -> None:
    other, at = dice.choice(places)
    taken = other.get(at) if isinstance(other, dict) else other[at] if at < len(other) else None
    _put(home, key, deepcopy(taken))


def _add(dice: Random, home: Json, _key: Json, _places: Json) -> None:
    if isinstance(home, dict):
        home[text(dice, "id")[:200]] = anything(dice)
    else:
        home.append(anything(dice))


_ON_PLACES: Final = (_drop, _drop, _replace, _replace, _change, _change, _change, _wrap, _swap, _add)


def dumped(made: Json) -> str:
    """The JSON text; marks become what no Python value can be: 40,000 brackets, 5,000 digits, NaN."""
    return _MARK.sub(_marked, json.dumps(made))


def _marked(mark: re.Match[str]) -> str:
    kind, count = mark.group(1), min(int(mark.group(2)[:6] or 1), 100_000)
    return {
        "DEEP": "[" * count + "]" * count,
        "WIDE": "[" + "0," * count + "0]",
        "DIGITS": "9" * count,
        "NAN": "NaN",
        "HALF": '"\\ud800"',
    }[kind]


def broken(dice: Random, good: str) -> str:
    """Text of a document that is no longer well formed, mostly."""
    return text(dice, good) if dice.random() < 0.5 else _cut(dice, good)


def raw(dice: Random, good: bytes) -> bytes:
    """Bytes with some flipped, cut out, doubled or put in."""
    made = bytearray(good)
    for _ in range(dice.choice((1, 1, 2, 5))):
        at = dice.randint(0, len(made))
        match dice.randrange(5):
            case 0 if made:
                made[min(at, len(made) - 1)] ^= 1 << dice.randrange(8)
            case 1:
                made[at:at] = dice.randbytes(dice.choice((1, 2, 8, 64)))
            case 2:
                del made[at : at + dice.choice((1, 4, 64, 4096))]
            case 3:
                made[at:at] = made[max(0, at - 64) : at] * dice.choice((1, 3, 100))
            case _:
                made[at:at] = dice.choice(
                    (b"%", b"&", b"=", b"+", b"%00", b"%ff", b"%u0041", b";", b"\xff\xfe")
                )
    return bytes(made)
