"""An Entra behind MSAL's HTTP client: discovery, keys and a token endpoint that a test changes or breaks."""

import asyncio
import base64
import contextlib
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl

import httpx
import jwt
from bot.entra.authority import Authority, Credential
from bot.entra.client import EntraClient
from bot.timing import Timing
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.support.clock import Clock

TENANT: Final = "11111111-2222-4333-8444-555555555555"
OTHER_TENANT: Final = "99999999-8888-4777-8666-555555555555"
CLIENT_ID: Final = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
CLIENT_SECRET: Final = "the-client-secret"
ORIGIN: Final = "http://127.0.0.1:8080"
AUTHORITY: Final = f"{ORIGIN}/{TENANT}/v2.0"
ISSUER: Final = f"https://login.microsoftonline.com/{TENANT}/v2.0"
CALLBACK: Final = "https://unlatch.contoso.com/sign-in/callback"
SCOPE: Final = "https://graph.microsoft.com/DeviceManagementManagedDevices.Read.All"
STEP_UP: Final = '{"access_token": {"acrs": {"essential": true, "value": "c1"}}}'
KEN_OID: Final = "00000000-0000-4000-8000-00000000000a"
AIKO_OID: Final = "00000000-0000-4000-8000-00000000000b"
NAMES: Final = {KEN_OID: ("ken@contoso.com", "Ken Ito"), AIKO_OID: ("aiko@contoso.com", "Aiko Mori")}
KEY: Final = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ANOTHER_KEY: Final = rsa.generate_private_key(public_exponent=65537, key_size=2048)

Form = dict[str, str]
Claims = dict[str, object]


def query_of(url: str) -> Form:
    return dict(parse_qsl(url.partition("?")[2]))


def base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


class FakeEntra(httpx.BaseTransport):
    """Signs anybody in. `claims` change the id_token, None removes one; `instead` answers before all else."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._begun: dict[str, tuple[Form, str]] = {}
        self._refresh_tokens: dict[str, str] = {}
        self.requests: list[httpx.Request] = []
        self.claims: dict[str, object] = {}
        self.signing_key = self.published_key = KEY
        self.key_id = "key-1"
        self.token_error: Mapping[str, object] | None = None
        self.sign: Callable[[Claims], str] = self._sign
        self.instead: Callable[[httpx.Request], httpx.Response | None] = lambda _request: None

    def answer(self, status: int, text: str = "", headers: Form | None = None) -> None:
        """Answer everything with this; with status 0 there is no way to it."""

        def instead(request: httpx.Request) -> httpx.Response:
            if not status:
                raise httpx.ConnectError("no route", request=request)
            return httpx.Response(status, text=text, headers=headers)

        self.instead = instead

    def mend(self) -> None:
        self.instead = lambda _request: None

    def forms(self, grant: str) -> list[Form]:
        """What was posted to the token endpoint for this grant."""
        forms = [dict(parse_qsl(request.content.decode())) for request in self.requests]
        return [form for form in forms if form.get("grant_type") == grant]

    def sign_in(self, url: str, oid: str = KEN_OID) -> Form:
        """Return what the browser posts to Unlatch after a sign-in as this account."""
        asked = query_of(url)
        assert asked["response_mode"] == "form_post"
        code = secrets.token_urlsafe(8)
        self._begun[code] = (asked, oid)
        return {"code": code, "state": asked["state"]}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            raise AssertionError("MSAL in the event loop's thread blocks it")
        request.read()
        self.requests.append(request)
        if (other := self.instead(request)) is not None:
            return other
        endpoint = request.url.path.rpartition("/")[2]
        if endpoint == "openid-configuration":
            paths = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
            addresses = {name: str(request.url.copy_with(path=f"/{TENANT}/{paths[name]}")) for name in paths}
            return self._json(issuer=ISSUER.replace(TENANT, "{tenantid}"), **addresses)
        if endpoint == "keys":
            key = jwt.algorithms.RSAAlgorithm.to_jwk(self.published_key.public_key(), as_dict=True)
            return self._json(keys=[{**key, "kid": self.key_id}, {"kty": "EC", "kid": "other"}])
        return self._token(dict(parse_qsl(request.content.decode())))

    def _token(self, form: Form) -> httpx.Response:
        assert "client_assertion" in form or form["client_secret"] == CLIENT_SECRET
        if self.token_error is not None:
            return httpx.Response(400, json=self.token_error)
        if form["grant_type"] == "refresh_token":
            oid, nonce = self._refresh_tokens[form["refresh_token"]], ""
        else:
            asked, oid = self._begun.pop(form["code"])
            nonce = asked["nonce"]
            verifier = base64url(hashlib.sha256(form["code_verifier"].encode()).digest())
            assert (verifier, form["redirect_uri"]) == (asked["code_challenge"], asked["redirect_uri"])
        now = int(self.clock.now().timestamp())
        username, name = NAMES[oid]
        claims = {"iss": ISSUER, "aud": CLIENT_ID, "tid": TENANT, "oid": oid, "sub": f"sub-{oid}"}
        claims |= {"preferred_username": username, "name": name, "nonce": nonce}
        id_claims = claims | {"iat": now, "nbf": now, "exp": now + 3600} | self.claims
        id_claims = {name: value for name, value in id_claims.items() if value is not None}
        refresh_token = f"refresh-{secrets.token_urlsafe(8)}"
        self._refresh_tokens[refresh_token] = oid
        tokens = {"access_token": f"access-{oid}-{secrets.token_urlsafe(8)}", "refresh_token": refresh_token}
        client_info = base64url(json.dumps({"uid": oid, "utid": TENANT}).encode())
        about = {"token_type": "Bearer", "expires_in": 3600, "scope": SCOPE, "client_info": client_info}
        return self._json(id_token=self.sign(id_claims), **tokens, **about)

    def _sign(self, claims: Claims) -> str:
        return jwt.encode(claims, self.signing_key, "RS256", headers={"kid": self.key_id})

    @staticmethod
    def _json(**content: object) -> httpx.Response:
        return httpx.Response(200, json=content, headers={"Set-Cookie": "who=ken; Path=/"})


def a_clock() -> Clock:
    """Return a clock at the real time: MSAL reads its own for how long an access token is valid."""
    return Clock(datetime.now(UTC))


def a_client(entra: FakeEntra, authority: str = AUTHORITY, **changes: object) -> EntraClient:
    given = {"credential": Credential(CLIENT_SECRET), "timing": Timing(), "fresh_within": None} | changes
    parsed = Authority.parse(authority)
    return EntraClient(parsed, tenant=TENANT, client_id=CLIENT_ID, scopes=[SCOPE], transport=entra, **given)
