"""What comes in, changed: Slack's deliveries, visits to the sign-in pages, values of the environment."""

import json
import os
import re
from collections.abc import Mapping
from contextlib import chdir
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple
from unittest.mock import patch
from urllib.parse import parse_qsl, quote, quote_plus, urlencode

import httpx
from bot import app
from bot.domain.request import ResetRequest, Status
from bot.domain.target import person_at
from bot.domain.values import DeviceId, RequestId, Secret
from bot.keys import Keys
from bot.settings import CannotStart, Settings, SettingsError, described, read_settings, without_secrets
from bot.slack.payloads import Action, Callback, Field, private_metadata
from bot.slack.receiver import http_receiver
from bot.slack.wording import ENGLISH
from bot.web.app import HEADERS, web_app
from bot.web.sign_in import SignInPages
from hypothesis import strategies as st
from starlette.routing import Route
from tests.proofs.fuzz.checks import check_shown, check_stored, empty_database
from tests.proofs.fuzz.strategies import json_text, mutated, near, near_bytes, usually
from tests.support.bot import Bot
from tests.support.builders import CAST, KEN, LEOS_PHONE, MEI, TIMING, a_request
from tests.support.clock import NOON
from tests.support.environment import COMPLETE, SECRETS
from tests.unit.entra.fake_entra import ORIGIN, FakeEntra
from tests.unit.entra.sign_in_fixture import PUBLIC, SignInFixture
from tests.unit.slack.deliveries import COMMAND, FORM, RESPONSE_URL, SECRET, SlackSide, form, press, signed
from tests.unit.slack.shown import check_text

METHODS: Final = ("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "X")

# Slack's deliveries

TYPED: Final = (
    *("", "help", "status", "sign-in", "sign-out", "leo@contoso.com locked out", "serial:F2LXK1ABCD lost"),
    *("imei:35-209900-176148-1 why", 'name:"Ken\'s iPhone" why', "id:c8e4d4ab-9f0b-4f5c-8f5a-7e1d0a2b3c4d x"),
    *("app:0000f3d7a1b2 why", "<@U0MEI|mei> locked out", "<mailto:leo@contoso.com|leo@contoso.com> why"),
)
SIGNED: Final = ("x-slack-request-timestamp", "x-slack-signature")


def _row(number: int, status: Status) -> ResetRequest:
    """Each for another person and phone: one open request for a target, one attempt for a device."""
    ids = {"id": RequestId(f"{number:032x}"), "delivery": f"delivery-{status}"}
    row = a_request(status, **ids, next_at=None)
    target = row.target if status is Status.PENDING else person_at(f"leo{number}@contoso.com")
    return replace(row, target=target, held_device=row.held_device and DeviceId(f"device-{number}"))


ROWS: Final = {status: _row(number, status) for number, status in enumerate(Status)}
"""A request in every status; nothing in them is due."""


class Delivery(NamedTuple):
    """A body, signed so many seconds from now, where nothing of the signature is `forged`."""

    body: bytes
    kind: str = FORM
    forged: Mapping[str, str] = {}
    seconds: int = 0
    method: str = "POST"


def _payload(body: bytes) -> dict[str, Any]:
    beside: dict[str, Any] = {"enterprise": None, "is_enterprise_install": False, "response_urls": []}
    return beside | json.loads(dict(parse_qsl(body.decode()))["payload"])


@st.composite
def _commands(draw: st.DrawFn) -> Delivery:
    fields = COMMAND | {"response_url": RESPONSE_URL, "text": draw(st.sampled_from(TYPED).flatmap(near))}
    changed = draw(usually(fields, mutated(fields)))
    texts = {str(name): str(text) for name, text in changed.items()} if isinstance(changed, dict) else {}
    return Delivery(urlencode(texts, errors="surrogatepass").encode())


@st.composite
def _presses(draw: st.DrawFn) -> Any:
    value = draw(usually(ROWS[draw(st.sampled_from(Status))].id, near(ROWS[Status.PENDING].id)))
    return _payload(press(draw(st.sampled_from(Action)), value, user=draw(_users)))


@st.composite
def _forms(draw: st.DrawFn) -> Any:
    request_id = ROWS[draw(usually(Status.PENDING, st.sampled_from(Status)))].id
    typed = {str(name): draw(near("leo@contoso.com")) for name in Field}
    typed[Field.DEVICE] = draw(usually(str(LEOS_PHONE.id), near(LEOS_PHONE.id)))
    metadata = draw(usually(private_metadata(request_id, 1), near(private_metadata(request_id, 1))))
    return _payload(form(draw(st.sampled_from(Callback)), metadata=metadata, user=draw(_users), **typed))


_users = st.sampled_from((KEN.id, KEN.id, MEI.id, *(person.id for person in CAST), "U0NOBODY", "USLACKBOT"))
_event = {"type": "event_callback", "event": {"type": "app_home_opened"}, "authorizations": [{}]}

commands = _commands()
presses, forms = (
    json_text(payloads | payloads.flatmap(mutated)).map(
        lambda text: Delivery(f"payload={quote_plus(text, errors='surrogatepass')}".encode())
    )
    for payloads in (_presses(), _forms())
)
receiver = st.builds(
    Delivery,
    (commands | presses | forms).flatmap(lambda good: near_bytes(good.body))
    | json_text(mutated(_event)).map(lambda text: text.encode(errors="replace")),
    st.sampled_from((FORM, "application/json")) | near("application/json"),
    usually({}, st.dictionaries(st.sampled_from(SIGNED), near(f"v0={'0' * 64}"), min_size=1)),
    usually(0, st.sampled_from((-301, -299, 299, 301))),
    usually("POST", st.sampled_from(METHODS)),
)


async def deliver(sent: Delivery) -> None:
    """To the receiver, with what goes on in the background and what becomes due after it."""
    headers = signed(sent.body, at=NOON + timedelta(seconds=sent.seconds)) | sent.forged
    headers |= {"content-type": sent.kind}
    async with empty_database() as database:
        side = SlackSide(database)
        bot, slack = side.bot, side.slack
        await bot.insert(*ROWS.values())
        endpoint = http_receiver(side.app, Secret(SECRET), NOON.timestamp)
        transport = httpx.ASGITransport(web_app([Route("/", endpoint, methods=["POST"])], https=True))
        async with httpx.AsyncClient(transport=transport, base_url="http://bot.test") as http:
            encoded = {name: text.encode(errors="replace") for name, text in headers.items()}
            answer = await http.request(sent.method, "/", content=sent.body, headers=encoded)
        await side.settle()
        await bot.advance_due()
        assert (abs(sent.seconds) <= 300 and not sent.forged) or answer.status_code in (401, 405, 413)
        _check_answer(answer)
        for view in (*(view for _, view in slack.opened), *slack.updated):
            check_shown(view)
        for _, sentence in (*slack.responses, *slack.messages):
            check_text(sentence)
        assert {post.device for post in bot.intune.posts} <= {LEOS_PHONE.id}
        await check_stored(bot, but=ROWS.values())


def _check_answer(answer: httpx.Response) -> None:
    """Nothing, a sentence for the person alone, or the form's next view."""
    assert answer.status_code < 500
    if answer.status_code != 200 or not answer.text.startswith("{"):
        check_text(answer.text)
        return
    match answer.json():
        case {"response_action": "update", "view": dict(view)}:
            check_shown(view)
        case {"response_action": "errors", "errors": dict(errors)}:
            # Slack reads no markup in these.
            assert all(isinstance(sentence, str) and sentence for sentence in errors.values())
        case {"text": str(said)}:
            check_text(said)
        case other:
            raise AssertionError(f"answered {other}")


# Visits to the sign-in pages

ODD_PATHS: Final = ("/sign-in", "/", "//sign-in/x", "/sign-in/..%2fcallback", "/sign-in/callback/../x")
HOST: Final = "unlatch.contoso.com"
HOSTS: Final = ("evil.example", "", "[", "localhost:99999", f"{HOST}@evil.example")


class Visit(NamedTuple):
    """LINK, STATE, CODE and PAGE stand for what a browser has that came as far as `begun`."""

    method: str
    path: str
    body: bytes
    begun: int
    """0: nothing, 1: a link, 2: at Microsoft, 3: back, and asked whether the account is theirs."""
    host: str = HOST


GOOD_VISITS: Final = (
    Visit("GET", "/sign-in/LINK", b"", 1),
    Visit("POST", "/sign-in/callback", b"state=STATE&code=CODE", 2),
    Visit("POST", "/sign-in/callback", b"state=STATE&error=access_denied&error_description=x", 2),
    Visit("POST", "/sign-in/confirm", b"page=PAGE&answer=yes", 3),
    Visit("POST", "/sign-in/confirm", b"page=PAGE&answer=no", 3),
)


def _paths(good: str) -> st.SearchStrategy[str]:
    queries = near("next=https://evil.example").map(lambda text: f"{good}?{_quoted(text)}")
    return st.sampled_from(ODD_PATHS) | near(good).map(lambda text: f"/{_quoted(text)}") | queries


def _quoted(text: str) -> str:
    return quote(text[:300].encode(errors="replace"), safe="/?=&%").lstrip("/")


visits = st.sampled_from(GOOD_VISITS).flatmap(
    lambda good: st.builds(
        Visit,
        usually(good.method, st.sampled_from(METHODS)),
        usually(good.path, _paths(good.path)),
        usually(good.body, near_bytes(good.body)),
        usually(good.begun, st.integers(0, 3)),
        usually(HOST, st.sampled_from(HOSTS)),
    )
)


async def visit(sent: Visit) -> None:
    """The pages over a real vault and MSAL, and an Entra that signs Ken in."""
    async with empty_database() as database:
        bot = Bot(database)
        bot.clock.advance(datetime.now(UTC) - NOON)  # MSAL reads its own clock
        bot.sign_ins.accounts.clear()
        entra = FakeEntra(bot.clock)
        bot.deps = replace(bot.deps, links=SignInFixture(database, entra).links)
        pages = SignInPages(bot.deps, lambda *_: None, ENGLISH.error)
        transport = httpx.ASGITransport(web_app(pages.routes(), https=True))
        async with httpx.AsyncClient(transport=transport, base_url=PUBLIC) as http:
            names = await _begin(http, bot, entra, sent.begun)
            path, body = sent.path, sent.body
            for name, value in names.items():
                path, body = path.replace(name, value), body.replace(name.encode(), value.encode())
            headers = {"host": sent.host, "content-type": FORM}
            url = httpx.URL(PUBLIC).copy_with(raw_path=path.encode("latin-1"))
            answer = await http.request(sent.method, url, content=body, headers=headers)
        assert answer.status_code < 500
        assert not re.search("<script|<img", answer.text)
        assert f"{answer.headers.get('location', ORIGIN)}/".startswith(f"{ORIGIN}/")
        assert not [name for name in HEADERS if name not in answer.headers]
        confirmed = b"page=" + names.get("PAGE", "-").encode() in body and b"answer=yes" in body
        assert confirmed or not bot.sign_ins.accounts, "linked without a yes"


async def _begin(http: httpx.AsyncClient, bot: Bot, entra: FakeEntra, steps: int) -> dict[str, str]:
    """Go as far as this; return what the browser has by then."""
    names: dict[str, str] = {}
    if steps >= 1:
        names["LINK"] = (await bot.offer(KEN)).reveal()
    if steps >= 2:
        opened = await http.get(f"/sign-in/{names['LINK']}")
        returned = entra.sign_in(opened.headers["location"])
        names |= {"STATE": returned["state"], "CODE": returned["code"]}
    if steps >= 3:
        asked = await http.post("/sign-in/callback", data=returned)
        [names["PAGE"]] = re.findall(r'name="page" value="([^"]+)"', asked.text)
    return names


# Values of the environment

PART: Final = 8
"""Characters of a secret that no message may hold."""
GOOD_VALUES: Final = COMPLETE | {
    "REQUESTERS": "channel:C0SUPPORT,usergroup:S0HELP",
    "APPROVERS": "usergroup:S0ONCALL",
    "ENTRA_AUTHORITY": "https://login.contoso.com/tenant/v2.0",
    "REQUEST_LIFETIME": "3600",
    "DATABASE_URL": "postgresql://unlatch:database-secret@db/unlatch",
}


def _value(name: str) -> st.SearchStrategy[str]:
    """An environment holds neither NUL nor what is not bytes."""
    texts = near(GOOD_VALUES.get(name, "true"))
    return texts.map(lambda text: os.fsdecode(text.encode("utf-8", "replace").replace(b"\x00", b"")))


environments = st.lists(st.sampled_from([*Settings.model_fields]), min_size=1, max_size=3).flatmap(
    lambda fields: st.fixed_dictionaries(
        {name: st.just(text) for name, text in COMPLETE.items()}
        | {name: _value(name) for name in map(str.upper, fields)}
    )
)


async def start(environment: Mapping[str, str]) -> None:
    """In an empty folder: either the settings are good for a bot, or a message says what is wrong."""
    with TemporaryDirectory() as folder, chdir(folder), patch.dict(os.environ, environment, clear=True):
        try:
            settings = read_settings()
            app.rules(settings, TIMING)
            app.entra_client(settings, TIMING).close()
            assert Keys.parse(settings.vault_keys.get_secret_value()).public_keys
            said = str(without_secrets(settings))
        except (SettingsError, CannotStart) as error:
            said = str(error)
    # A description or an open setting may say the same as a secret: `xoxb-…`.
    shown_anyway = " ".join(map(described, Settings.model_fields))
    shown_anyway += " ".join(text for name, text in environment.items() if name not in SECRETS)
    for secret in (environment[name][:300] for name in SECRETS if name in environment):
        parts = {secret[at : at + PART] for at in range(len(secret) - PART + 1)}
        assert not [part for part in parts if part in said and part not in shown_anyway]
