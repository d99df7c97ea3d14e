"""The browser's side: paths, methods, forms and headers at the sign-in pages and the probes."""

from random import Random
from typing import Final
from urllib.parse import quote, urlencode

from tests.fuzz import asgi, mutation
from tests.fuzz.far_sides import BASE
from tests.fuzz.grounds import Case
from tests.fuzz.house import House
from tests.fuzz.judge import Wrong

PATHS: Final = (
    *("/sign-in/$TICKET", "/sign-in/$TICKET", "/sign-in/callback", "/sign-in/callback", "/sign-in/unknown"),
    *("/sign-in/confirm", "/sign-in/confirm"),
    *(
        "/sign-in",
        "/sign-in/",
        "/",
        "/healthz",
        "/readyz",
        "/slack/events",
        "/sign-in/$TICKET/",
        "//sign-in/x",
    ),
    *(
        "/sign-in/..%2fcallback",
        "/sign-in/%2e%2e/healthz",
        "/sign-in/callback/../x",
        "/metrics",
        "/favicon.ico",
    ),
)
METHODS: Final = ("GET", "POST", "POST", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "X")
HOSTS: Final = ("unlatch.example", "evil.example", "", "[", "localhost:99999", "unlatch.example@evil.example")
FIELDS: Final = (
    "page",
    "answer",
    "state",
    "code",
    "error",
    "error_description",
    "client_info",
    "session_state",
    "iss",
    "next",
)
KEPT_BY_NOBODY: Final = ("content-security-policy", "x-frame-options", "x-content-type-options")
_SECONDS_APART: Final = 40


def draw(dice: Random) -> Case:
    """A path, a method, a body and headers, each changed now and then."""
    path = dice.choice(PATHS)
    if dice.random() < 0.3:
        changed = mutation.text(dice, path.rpartition("/")[2])
        path = f"/sign-in/{quote(changed.encode(errors='replace'), safe=dice.choice(('', '/%?', '/')))}"
    form = {"state": "$STATE", "code": "a-code"} if dice.random() < 0.6 else {}
    for _ in range(dice.choice((0, 1, 1, 2, 4))):
        name = dice.choice(FIELDS)
        form[name] = mutation.text(dice, form.get(name, "x"))
    body = urlencode(form, errors="replace")
    if dice.random() < 0.2:
        body = mutation.raw(dice, body.encode()).decode("latin-1")
    if dice.random() < 0.2:
        path += "?" + quote(
            mutation.text(dice, "next=https://evil.example").encode(errors="replace"), safe="=&%"
        )
    return {
        "method": dice.choice(METHODS),
        "path": path,
        "body": body,
        "host": dice.choice(HOSTS) if dice.random() < 0.2 else HOSTS[0],
        "begun": "$STATE" in body and dice.random() < 0.25,
        "linked": "$TICKET" in path and dice.random() < 0.5,
    }


async def play(there: House, case: Case) -> None:
    """Ask for it; the answer leads nowhere else, repeats nothing unescaped, and is kept by nobody."""
    names = {"$TICKET": await there.link() if case["linked"] else "no-such-ticket"}
    names["$STATE"] = await _begun(there) if case["begun"] else "no-such-state"
    path, body = case["path"], case["body"]
    for name, meant in names.items():
        path, body = path.replace(name, meant), body.replace(name, meant)
    headers = [("host", case["host"]), ("content-type", "application/x-www-form-urlencoded")]
    answer = await asgi.request(there.bot.asgi, case["method"], path, headers, [body.encode("latin-1")])
    check(answer, path)
    await there.settle()


def check(answer: asgi.Answered, path: str) -> None:
    """What holds for every answer to a browser."""
    if answer.status >= 500:
        raise Wrong(f"answered {answer.status}")
    if "<script" in answer.text or "<img" in answer.text:
        raise Wrong("what was sent is repeated unescaped")
    to = answer.headers.get("location", "")
    if to and not to.startswith(f"{BASE}/entra/"):
        raise Wrong(f"leads to {to[:200]}")
    if path.startswith("/sign-in"):
        missing = [name for name in KEPT_BY_NOBODY if name not in answer.headers]
        if missing or answer.headers.get("cache-control") != "no-store":
            raise Wrong(f"{answer.status} without {missing or 'no-store'}")


async def _begun(there: House) -> str:
    """The `state` of a flow that waits for Microsoft's answer."""
    answer = await asgi.request(there.bot.asgi, "GET", f"/sign-in/{await there.link()}")
    return answer.headers["location"].partition("&state=")[2].partition("&")[0]
