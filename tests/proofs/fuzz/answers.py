"""What the vendors answer, changed: Slack to every call, Entra to a sign-in, Graph to a reset."""

import asyncio
import json
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import chain, repeat
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, unquote

import httpx
import jwt
import stamina
from aiohttp import web
from bot.domain.errors import CouldNotVerify, SlackError, UnlatchError
from bot.domain.people import Kind
from bot.domain.request import MessageRef, MessageState, Status
from bot.domain.values import DeviceId, Secret, comparable
from bot.graph.devices import Intune, graph_client
from bot.slack import modals
from bot.slack.client import SlackClient, bot_user
from bot.slack.directory import SlackDirectory
from bot.slack.notifier import SlackNotifier
from bot.slack.wording import ENGLISH
from hypothesis import strategies as st
from tests.proofs.fuzz.checks import check_error, check_shown, check_storable, check_stored, empty_database
from tests.proofs.fuzz.strategies import NASTY, Json, dumped, json_text, mutated, usually
from tests.support.bot import Bot
from tests.support.builders import CHANNEL, IN_CHANNEL, KEN, ON_CALL, TEAM, TIMING, a_request, actor
from tests.support.clock import Clock
from tests.support.fakes import token_of
from tests.unit.entra import fake_entra
from tests.unit.entra.fake_entra import CALLBACK, CLIENT_ID, ISSUER, ORIGIN, STEP_UP, TENANT, FakeEntra
from tests.unit.graph.graph_stub import ANDROID, BASE, IPHONE, error_body
from tests.unit.slack.deliveries import US
from tests.unit.slack.web_api import a_channel, refused, web_api


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: str

    @property
    def content(self) -> bytes:
        return self.body.encode("utf-8", "surrogatepass")


class Odd(NamedTuple):
    """The call that is answered oddly, and the answers in turn, the last one from then on."""

    call: str
    answers: Sequence[Answer]

    def turns(self) -> Iterator[Answer]:
        return chain(self.answers, repeat(self.answers[-1]))


STATUSES: Final = (200, 201, 204, 301, 302, 400, 401, 403, 404, 409, 412, 423, 429, 500, 502, 503, 504)
_texts = st.sampled_from(
    [text for text in (*NASTY, "9" * 5000, "1") if text.isascii() and text.isprintable()]
)
_headers = st.fixed_dictionaries(
    {"content-type": usually("application/json", _texts)},
    optional={
        "retry-after": _texts,
        "request-id": _texts,
        "www-authenticate": _texts.map('Bearer error="insufficient_claims", claims="{}"'.format),
    },
)


def odd(bodies: Mapping[str, Sequence[Json]]) -> st.SearchStrategy[Odd]:
    """One of these calls; its good answers changed in a place or two, with any status and headers."""
    weighted = [call for call in bodies for _ in range(3 if "token" in call or call == "users.info" else 1)]
    return st.sampled_from(weighted).flatmap(
        lambda call: st.builds(Odd, st.just(call), st.lists(_changed(bodies[call]), min_size=1, max_size=4))
    )


def _changed(bodies: Sequence[Json]) -> st.SearchStrategy[Answer]:
    good = st.sampled_from(bodies)
    changed = good.flatmap(mutated)
    texts = json_text(good | changed | changed.flatmap(mutated))
    headers = usually({"content-type": "application/json", "request-id": "graphs"}, _headers)
    return st.builds(Answer, usually(200, st.sampled_from(STATUSES)), headers, texts)


# Slack

AGAINST: Final = (
    *("deleted", "is_bot", "is_restricted", "is_ultra_restricted"),
    *("is_stranger", "is_invited_user"),
)
PROFILE: Final = {
    **{"id": KEN.id, "team_id": TEAM, "name": "ken", "locale": "en-US", "is_email_confirmed": True},
    **dict.fromkeys(AGAINST, False),
    "profile": {"real_name": "Ken", "display_name": "Ken", "email": "ken@contoso.com"},
}
MESSAGE: Final = {"ts": "1.1", "metadata": {"event_type": "unlatch_request", "event_payload": {"id": "x"}}}
POSTED: Final = {"channel": CHANNEL, "ts": "1.1"}
LAST_PAGE: Final = {"response_metadata": {"next_cursor": ""}}
SLACK: Final[Mapping[str, dict[str, Any]]] = {
    "auth.test": {"ok": True, "team_id": TEAM, "user_id": "U0UNLATCH", "bot_id": "B0UNLATCH"},
    "users.info": {"ok": True, "user": PROFILE},
    "conversations.members": {"ok": True, "members": [KEN.id], **LAST_PAGE},
    "usergroups.users.list": {"ok": True, "users": [KEN.id]},
    "views.open": {"ok": True, "view": {"id": "V1"}},
    "views.update": {"ok": True, "view": {"id": "V1"}},
    "chat.postMessage": {"ok": True, **POSTED},
    "chat.update": {"ok": True, **POSTED},
    "conversations.info": {"ok": True, "channel": {"id": CHANNEL, "is_private": True}},
    "conversations.open": {"ok": True, "channel": {"id": "D0MEI"}},
    "conversations.history": {"ok": True, "messages": [MESSAGE], **LAST_PAGE},
    "conversations.replies": {"ok": True, "messages": [MESSAGE], **LAST_PAGE},
}
ERRORS: Final = ("ratelimited", "invalid_blocks", "expired_trigger_id", "message_not_found", "x" * 9)

slack = odd({method: [*[good] * 3, *map(refused, ERRORS)] for method, good in SLACK.items()})


async def call_slack(sent: Odd) -> None:
    async with web_api() as api:
        api.answers = {method: [good] for method, good in SLACK.items()}
        api.answers[sent.call] = [
            web.Response(body=answer.content, status=answer.status, headers=answer.headers)
            for answer in sent.answers
        ]
        directory = SlackDirectory(api.client, US, timing=TIMING)
        with suppress(CouldNotVerify):
            person = await directory.person(actor(KEN))
            may_be = sent.call != "users.info" or _may_be_member(sent.answers[0])
            assert person.kind is not Kind.MEMBER or may_be
        client = SlackClient(api.client, TIMING, sleep=lambda _seconds: asyncio.sleep(0))
        channel = a_channel(api)
        await channel.look()
        notifier = SlackNotifier(
            client, ENGLISH, channel, on_call=["S0ONCALL"], timing=TIMING, now=Clock().now
        )
        row, loading = a_request(Status.PENDING), modals.loading("device", ENGLISH)
        await _call(bot_user(api.client, TIMING))
        await _call(directory.is_in(KEN.id, IN_CHANNEL))
        await _call(directory.is_in(KEN.id, ON_CALL))
        await _call(client.open_modal("1.2", loading))
        await _call(client.update_modal("V1", loading))
        await _call(client.send_direct_message(KEN.id, "Signed in."))
        await _call(notifier.find_posted(row, MessageState()))
        posted = MessageRef(**POSTED)
        for state in (MessageState(), MessageState(card=posted, receipt=posted)):
            await _call(notifier.update_card(row, state))
            await _call(notifier.update_receipt(row, state, None, None))
            for tell in (notifier.find_posted, notifier.tell_approvers, notifier.tell_requester):
                await _call(tell(a_request(Status.DONE), state))


async def _call(call: Awaitable[object]) -> None:
    try:
        await call
    except (CouldNotVerify, SlackError) as error:
        check_error(error)


def _may_be_member(answer: Answer) -> bool:
    """By a reading of our own: the right id and team, and no flag against it."""
    try:
        user = json.loads(answer.body)["user"]
        ours = (user["id"], user["team_id"]) == (KEN.id, TEAM)
        return ours and not any(user.get(name) for name in AGAINST)
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


# Entra

TOKEN: Final = {
    **{"token_type": "Bearer", "scope": "openid profile", "expires_in": 3599, "access_token": "a-token"},
    **{"refresh_token": "a-token", "id_token": "ID-TOKEN", "client_info": "eyJ1aWQiOiJ1IiwidXRpZCI6InQifQ"},
}
"""ID-TOKEN stands for a token of the claims and the signer that were drawn."""
TOKEN_ERROR: Final = {
    **{"error": "invalid_grant", "error_codes": [50076], "suberror": "basic_action", "claims": STEP_UP},
    "error_description": "AADSTS50076: You must use multi-factor authentication",
}
CLAIMS: Final = {
    **{"iss": ISSUER, "aud": CLIENT_ID, "tid": TENANT, "oid": fake_entra.KEN_OID, "sub": "s", "ver": "2.0"},
    **{"name": "Ken Ito", "preferred_username": "ken@contoso.com"},
}
SIGNERS: Final = {"Entra": fake_entra.KEY, "a stranger": fake_entra.ANOTHER_KEY, "nobody": None}


GOOD: Final = FakeEntra(fake_entra.a_clock())
ENTRA: Final = {
    **{
        name: [GOOD.handle_request(httpx.Request("GET", f"{ORIGIN}/{name}")).json()]
        for name in ("openid-configuration", "keys")
    },
    "token": (TOKEN, TOKEN, TOKEN_ERROR),
    "refresh_token": (TOKEN, TOKEN, TOKEN_ERROR),
}
entra = st.tuples(odd(ENTRA), usually(CLAIMS, mutated(CLAIMS)), usually("Entra", st.sampled_from([*SIGNERS])))


async def sign_in(sent: tuple[Odd, Json, str]) -> None:
    """Sign in and refresh the tokens: no account comes of what is not Entra's."""
    try:
        await asyncio.to_thread(_sign_in, *sent)
    except UnlatchError as error:
        check_error(error)


def _sign_in(sent: Odd, claims: Json, signer: str) -> None:
    turns, nonce = sent.turns(), ""

    def instead(request: httpx.Request) -> httpx.Response | None:
        grant = parse_qs(request.content.decode()).get("grant_type", [""])
        if sent.call not in (request.url.path.rpartition("/")[2], *grant):
            return None
        answer, token = next(turns), json.dumps(_token(claims, signer, nonce)).encode()
        content = answer.content.replace(b'"ID-TOKEN"', token)
        return httpx.Response(answer.status, content=content, headers=answer.headers)

    entra = FakeEntra(fake_entra.a_clock())
    entra.instead = instead
    client = fake_entra.a_client(entra)
    _, flow = client.begin_flow(redirect_uri=CALLBACK, login_hint=None, claims=sent.answers[0].body[:500])
    url = client.authorization_url(flow)
    nonce = fake_entra.query_of(url).get("nonce", "")
    if not nonce:  # Entra named an address that leads nowhere
        return
    account, cache = client.redeem(flow, entra.sign_in(url), now=fake_entra.a_clock().now())
    check_storable({"name": account.name, "username": account.username, "oid": account.oid})
    if sent.call == "token":  # the account is the one of these claims, by a reading of our own
        assert signer == "Entra"
        told = json.loads(dumped(claims))
        assert (told["iss"], told["tid"], told["oid"]) == (ISSUER, account.tenant, account.oid)
        assert told["aud"] in (CLIENT_ID, [CLIENT_ID])
        assert account.tenant == TENANT
    stale = cache.reveal().replace('"expires_on": "', '"expires_on": "0')
    token, _ = client.silent_token(Secret(stale), claims=STEP_UP)
    httpx.Request("GET", "http://graph.example", headers={"authorization": f"Bearer {token.reveal()}"})


def _token(claims: Json, signer: str, nonce: str) -> str:
    now = int(fake_entra.a_clock().now().timestamp())
    key = SIGNERS[signer]
    try:
        times = {"iat": now, "exp": now + 600, "nbf": now - 600, "nonce": nonce}
        signed = times | json.loads(dumped(claims))
        return jwt.encode(signed, key, "none" if key is None else "RS256", headers={"kid": "key-1"})
    except (ValueError, TypeError, RecursionError):
        return "e30.e30."


# Graph

ADAS, ANOTHER = (
    {name: part for name, part in row.items() if name != "deviceActionResults"} for row in (ANDROID, IPHONE)
)
"""As in a list: v1.0 gives the results of actions for a single device only."""
FIELDS: Final = {"serial": "serialNumber", "imei": "imei", "name": "deviceName", "id": "id"}
TARGETS: Final = (
    *(ADAS["userPrincipalName"], "app:0000f3d7a1b2"),
    *(f"{kind}:{ADAS[name]}" for kind, name in FIELDS.items()),
)
WRAPPED: Final = {
    **{"_version": 3, "ErrorCode": "Forbidden", "RetryAfter": "2"},
    "Message": "You may not do this. - Operation ID (for customer support): 0 - Activity ID: "
    "5f2e4a0c-1111-4222-8333-444455556666 - Url: https://fef.msua02.manage.example.com/x",
}
GRAPH_ERROR: Final = error_body("UnknownError", json.dumps(WRAPPED))


def _device(state: str) -> dict[str, Any]:
    """Ada's phone with a reset of ours, by the clock of the tests."""
    result = {"actionName": "resetPasscode", "actionState": state, "passcode": "84172093"}
    return {**ADAS, "deviceActionResults": [{**result, "startDateTime": "2026-03-02T12:00:01.1234567Z"}]}


DEVICES: Final = (*map(_device, ("pending", "done", "done", "failed", "notSupported")), GRAPH_ERROR)
GRAPH: Final = {
    "list": (
        {"value": [ANOTHER, ADAS]},
        {"value": [ADAS], "@odata.nextLink": f"{BASE}/more"},
        {"value": [{**ADAS, "id": f"{number}-{ADAS['id']}"} for number in range(101)]},
        GRAPH_ERROR,
    ),
    "reset": (GRAPH_ERROR, {}),
    **dict.fromkeys(("before the approval", "before the reset", "results", "passcode"), DEVICES),
}
NOTHING_ODD: Final = Odd("", [Answer(200, {}, "{}")])

graph = st.tuples(odd(GRAPH), st.sampled_from(TARGETS))


class Graph:
    """Answers well but for the odd call; keeps which devices were reset. `call`: of those about a device."""

    def __init__(self, odd: Odd) -> None:
        self._odd, self._turns = odd, odd.turns()
        self.call = "list"
        self.reset: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert (request.url.scheme, request.url.host) == ("https", "graph.example"), f"called {request.url}"
        assert request.headers["authorization"].startswith(f"Bearer {token_of(KEN.id)}")
        resets, lists = request.method == "POST", "deviceActionResults" not in str(request.url)
        if resets:
            self.reset.append(unquote(request.url.raw_path.decode().split("/")[-2]))
        if self._odd.call == ("reset" if resets else "list" if lists else self.call):
            answer = next(self._turns)
            return httpx.Response(answer.status, headers=answer.headers, content=answer.content)
        if resets:
            return httpx.Response(204, headers={"request-id": "graphs"})
        single = _device("done") if self.reset else ADAS
        named = not lists or request.url.path.endswith(ADAS["id"])
        found = single if named else {"value": [ADAS]}
        return httpx.Response(200, json=found, headers={"request-id": "graphs"})


async def reset(sent: tuple[Odd, str]) -> Graph:
    """The use cases over the real adapter, from the request to the passcode."""
    odd, target = sent
    graph = Graph(odd)
    async with empty_database() as database, graph_client(TIMING, httpx.MockTransport(graph)) as http:
        bot = Bot(database)
        bot.deps = replace(bot.deps, intune=Intune(http, BASE, timing=TIMING, now=bot.clock.now))
        try:
            with stamina.set_testing(True, attempts=3, cap=True):
                await _reset(bot, graph, target)
        except UnlatchError as error:
            check_error(error)
        await check_stored(bot)
    wanted = [str(row.get("id")) for row in _listed(odd) if _fits(row, target)]
    assert not set(graph.reset) - set(wanted), "reset what was not asked for"
    return graph


async def _reset(bot: Bot, graph: Graph, target: str) -> None:
    request_id = await bot.pending(target=target)
    review = await bot.review(request_id)
    check_shown(modals.review_form(review, ENGLISH))
    graph.call = "before the approval"
    device_id = review.choices[0].device.id if review.choices else DeviceId("none")
    approved = await bot.approve(request_id, device=device_id)
    check_shown(modals.approved(approved, ENGLISH))
    assert await bot.row(request_id) == approved
    graph.call = "before the reset"
    await bot.advance(request_id)
    graph.call = "results"
    for _ in range(2):
        bot.clock.advance(timedelta(minutes=1))
        await bot.advance(request_id)
    graph.call = "passcode"
    passcode = await bot.reveal(request_id)
    check_shown(modals.passcode(await bot.row(request_id), passcode, ENGLISH))
    graph.call = "nothing more"


def _listed(odd: Odd) -> list[Mapping[str, Json]]:
    """Every device that was listed, by a reading of our own."""
    rows = [ADAS]
    for answer in odd.answers if odd.call == "list" else ():
        with suppress(ValueError, RecursionError, AttributeError, TypeError):
            body = json.loads(answer.body)
            rows += [row for row in body.get("value", [body]) if isinstance(row, dict)]
    return rows


def _fits(row: Mapping[str, Json], target: str) -> bool:
    kind, colon, wanted = target.partition(":")
    if not colon or kind == "app":  # the address says whose it is
        return True
    names = [FIELDS.get(kind, ""), *(["azureADDeviceId"] if kind == "id" else [])]
    said = [str(row.get(name)).casefold() for name in names]
    match kind:
        case "imei":
            return wanted[:14] in ["".join(filter(str.isdigit, text))[:14] for text in said]
        case "name":
            return comparable(wanted) in map(comparable, said)
    return wanted.casefold() in said
