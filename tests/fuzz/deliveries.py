"""Slack's side: raw bodies, commands, presses and forms, signed or not, at the door of a whole house."""

import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, Final
from urllib.parse import parse_qsl, quote_plus, urlencode

from tests.fuzz import asgi, mutation
from tests.fuzz.grounds import Case
from tests.fuzz.house import SIGNING_SECRET, House
from tests.fuzz.judge import Wrong, check_text, check_view

DELIVERIES: Final[list[dict[str, Any]]] = json.loads(Path(__file__).with_name("deliveries.json").read_text())
"""Recorded from the sandbox, one of each kind; `$REQUEST` is a request that waits, in its `$ROUND`."""
FORM, JSON = "application/x-www-form-urlencoded", "application/json"
COMMAND: Final = next(body for body in DELIVERIES if "command" in body)
PAYLOADS: Final = [body for body in DELIVERIES if "command" not in body]
NAMES: Final = ("$PENDING", "$RECEIVED", "$DENIED", "$DONE", "$UNCERTAIN", "$SENT", "$APPROVED", "$FAILED")
PEOPLE: Final = ("U0MEI", "U0KEN", "U0AIKO", "U0GUS", "W0ORG", "USLACKBOT", "U0NOBODY")
TYPED: Final = (
    *("", "help", "status", "sign-in", "sign-out", "ada@contoso.com locked out", "serial:F2LXK1ABCD lost"),
    *("imei:35-209900-176148-1 why", 'name:"Ken\'s iPhone" why', "id:c8e4d4ab-9f0b-4f5c-8f5a-7e1d0a2b3c4d x"),
    *("app:0000f3d7a1b2 why", "<@U0MEI|mei> locked out", "<mailto:ada@contoso.com|ada@contoso.com> why"),
)
STAMPS: Final = ("", "0", "-1", "x", "1e9", "９", "9" * 20, "99999999999", "1772452800.5", " 1", "²")
TYPES: Final = (
    FORM,
    JSON,
    f"{JSON}; charset=utf-8",
    "",
    "text/plain",
    "multipart/form-data; boundary=x",
    "é",
)
SIGNATURES: Final = ("", "v0=", "v1=" + "0" * 64, "v0=" + "0" * 64, "v0=é", "v0=" + "0" * 65, "a" * 9000)


def command(dice: Random) -> Case:
    """A typed command, some fields of it changed."""
    fields = dict(COMMAND) | {"trigger_id": f"{dice.randrange(10**6)}.1.fuzz"}
    fields["text"] = mutation.text(dice, dice.choice(TYPED))
    if dice.random() < 0.3:
        name = dice.choice([*fields, "payload", "enterprise_id"])
        fields[name] = mutation.text(dice, str(fields.get(name, "")))
    if dice.random() < 0.1:
        fields.pop(dice.choice(list(fields)))
    return _signed(urlencode(fields, errors="surrogatepass").encode("latin-1"))


def payload(dice: Random) -> Case:
    """A press or a form with any field missing, of another type, huge or nested."""
    body = json.loads(json.dumps(dice.choice(PAYLOADS)).replace("$REQUEST", dice.choice(NAMES)))
    body["trigger_id"] = f"{dice.randrange(10**6)}.1.fuzz"
    if isinstance(body.get("user"), dict) and dice.random() < 0.5:
        body["user"]["id"] = dice.choice(PEOPLE)
    if "view" in body:
        body["view"]["id"] = f"V{dice.randrange(10**6)}"
    text = mutation.dumped(mutation.value(dice, body) if dice.random() < 0.85 else _typed_into(dice, body))
    if dice.random() < 0.03:
        text = mutation.broken(dice, text)
    if dice.random() < 0.9:
        return _signed(f"payload={quote_plus(text, errors='surrogatepass')}".encode("latin-1"))
    return _signed(text.encode(errors="replace"), kind=JSON)


def _typed_into(dice: Random, body: dict[str, Any]) -> dict[str, Any]:
    """Only what people type or press is changed, so that it gets as far as it can."""
    values = body.get("view", {}).get("state", {}).get("values", {})
    for fields in values.values():
        for field in fields.values():
            if "value" in field:
                field["value"] = mutation.text(dice, dice.choice(TYPED) if dice.random() < 0.5 else "why")
    for action in body.get("actions", []):
        action["value"] = mutation.text(dice, action.get("value", ""))
    return body


def raw(dice: Random) -> Case:
    """Bytes that are hardly a delivery any more, and headers that hardly fit them."""
    body = dice.choice(DELIVERIES)
    good = urlencode(body) if "command" in body else f"payload={quote_plus(json.dumps(body))}"
    made = mutation.raw(dice, good.encode())
    case = dict(_signed(made, kind=dice.choice(TYPES) if dice.random() < 0.4 else FORM))
    if dice.random() < 0.3:
        case["stamp"] = dice.choice(STAMPS) if dice.random() < 0.5 else dice.choice((-301, -299, 299, 302))
    if dice.random() < 0.3:
        case["signature"] = dice.choice(SIGNATURES)
    if dice.random() < 0.1:
        case["headers"] = [
            [f"x-{number}", mutation.raw(dice, b"x").decode("latin-1")] for number in range(90)
        ]
    if dice.random() < 0.1:
        case["chunks"] = dice.choice((1, 2, 7))
    if dice.random() < 0.05:
        case["method"] = dice.choice(
            ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "NONSENSE")
        )
    return case


def _signed(body: bytes, *, kind: str = FORM) -> Case:
    return {"body": body.decode("latin-1"), "type": kind}


async def play(there: House, case: Case) -> None:
    """Send it; whatever it was, nothing crashed, nothing was reset, and the answer can be shown."""
    body = there.named(case["body"]).encode("latin-1")
    chunks = [body] if "chunks" not in case else _parts(body, case["chunks"])
    method = case.get("method", "POST")
    answer = await asgi.request(there.bot.asgi, method, "/slack/events", _headers(case, body), chunks)
    if answer.status >= 500:
        raise Wrong(f"answered {answer.status}")
    badly = "signature" in case or (case.get("stamp", 0) not in (0, -299, 299))
    if badly and answer.status not in (401, 405):
        raise Wrong(f"badly signed, and answered {answer.status}")
    if answer.status == 200:
        _check_answer(answer.text)
    await there.settle()


def _parts(body: bytes, size: int) -> Sequence[bytes]:
    return [body[at : at + size] for at in range(0, min(len(body), 4096), size)] or [b""]


def _headers(case: Case, body: bytes) -> list[tuple[str, str]]:
    given = case.get("stamp", 0)
    stamp = given if isinstance(given, str) else str(int(time.time()) + given)
    if "chunks" in case:
        body = body[:4096]
    over = b"v0:" + stamp.encode("latin-1", errors="replace") + b":" + body
    good = "v0=" + hmac.new(SIGNING_SECRET.encode(), over, hashlib.sha256).hexdigest()
    extra = [(name, text) for name, text in case.get("headers", [])]
    return [
        *extra,
        ("content-type", case["type"]),
        ("x-slack-request-timestamp", stamp.encode("latin-1", errors="replace").decode("latin-1")),
        ("x-slack-signature", case.get("signature", good)),
    ]


def _check_answer(text: str) -> None:
    """An acknowledgement is nothing, a private text, or what a form does next."""
    if not text.startswith("{"):
        check_text(text)
        return
    match json.loads(text):
        case {"response_action": "update", "view": dict(view)}:
            check_view(view)
        case {"response_action": "errors", "errors": dict(errors)}:
            for sentence in errors.values():
                check_text(sentence)
        case {"text": str(said)}:
            check_text(said)
        case other:
            raise Wrong(f"answered {other}")


def fields_of(case: Case) -> dict[str, str]:
    """What a replayed case says, for people."""
    return dict(parse_qsl(case["body"]))
