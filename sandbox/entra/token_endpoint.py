"""The token endpoint: a code or a refresh token in, tokens out; one without rights for the app alone."""

import base64
import binascii
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Final
from urllib.parse import unquote
from uuid import uuid4

import jwt
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.entra.authority import EXCHANGE, Authority, FederatedCredential
from sandbox.entra.grants import check_verifier
from sandbox.entra.parameters import Claims, once_each, parse_claims, required, unmet
from sandbox.entra.refusals import Refusal, malformed
from sandbox.journal import Bearer, Line

APPLICATION: Final = Bearer(kind="unknown", who="the application alone")
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LONGEST_ASSERTION: Final = timedelta(hours=24)
_ALGORITHMS: Final = {"RS256", "PS256"}
_NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}

Form = Mapping[str, str]


class TokenEndpoint:
    """What happens at /oauth2/v2.0/token."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    async def answer(self, request: Request, endpoint: str, line: Line) -> Response:
        """Answer one token request; `endpoint` is this endpoint's own URL."""
        try:
            form = await _form(request)
            body = self._granted(request.path_params["tenant"], form, endpoint, line)
        except Refusal as refusal:
            line.note = f"AADSTS{refusal.code}"
            return self._refused(request, refusal)
        return JSONResponse(body, headers=_NO_STORE)

    def _granted(self, tenant: str, form: Form, endpoint: str, line: Line) -> dict[str, object]:
        grant = required(form, "grant_type")
        client_id = required(form, "client_id")
        self._authority.check_client(tenant, client_id)
        _check_credential(form, self._authority, {endpoint, endpoint.replace("http:", "https:", 1)})
        match grant:
            case "authorization_code":
                return self._code(tenant, form, line)
            case "refresh_token":
                return self._refresh(form, line)
            case "client_credentials":
                return self._application(form, line)
            case _:
                raise Refusal(70003, grant_type=grant)

    def _code(self, tenant: str, form: Form, line: Line) -> dict[str, object]:
        authority, asked = self._authority, parse_claims(form.get("claims", ""))
        verifier = required(form, "code_verifier")
        code = authority.grants.redeem(required(form, "code"), now=authority.clock.now())
        line.bearer, line.note = Bearer(kind="user", who=code.session.account.name), "code"
        if form.get("redirect_uri") != code.request.redirect_uri or code.request.tenant != tenant:
            raise Refusal(70000, why="the redirect_uri is not the one that the code was asked with")
        check_verifier(verifier, code.request.challenge)
        if not authority.is_current(code.session):
            raise Refusal(50173, issued_at=code.issued_at)
        if unmet(asked, code.session.met):
            raise Refusal(50076, claims=form["claims"])
        if unmet(parse_claims(authority.policy), code.session.met):
            raise Refusal(50076, claims=authority.policy)
        scopes = authority.scopes(form["scope"]) if form.get("scope") else code.request.scopes
        if not scopes.within(code.request.scopes):
            raise Refusal(65001, scope=form["scope"], app=authority.app_name)
        return authority.token_response(code.session, scopes, asked, nonce=code.request.nonce)

    def _refresh(self, form: Form, line: Line) -> dict[str, object]:
        authority, asked = self._authority, parse_claims(form.get("claims", ""))
        refresh = authority.grants.refresh(required(form, "refresh_token"), now=authority.clock.now())
        line.bearer, line.note = Bearer(kind="user", who=refresh.session.account.name), "refresh"
        authority.check_session(refresh.session)
        if unmet(asked, refresh.session.met):
            raise Refusal(50076, claims=form["claims"])
        scopes = authority.scopes(form["scope"]) if form.get("scope") else refresh.scopes
        return authority.token_response(refresh.session, scopes, asked)

    def _application(self, form: Form, line: Line) -> dict[str, object]:
        line.bearer = APPLICATION
        if not required(form, "scope").endswith("/.default"):
            raise Refusal(70011, scope=form["scope"])
        token = self._authority.app_only_token()
        return {"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token}

    def _refused(self, request: Request, refusal: Refusal) -> Response:
        trace = str(uuid4())
        correlation = request.headers.get("client-request-id", str(uuid4()))
        body = refusal.body(at=self._authority.clock.now(), trace=trace, correlation=correlation)
        headers = {**_NO_STORE, "x-ms-request-id": trace, "client-request-id": correlation}
        return JSONResponse(body, status_code=refusal.status, headers=headers)


async def _form(request: Request) -> dict[str, str]:
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise malformed("the body must be application/x-www-form-urlencoded")
    fields = await request.form()
    once_each(fields.multi_items())
    form = {name: value for name, value in fields.items() if isinstance(value, str)}
    return form | _basic(request.headers.get("authorization", ""))


def _basic(header: str) -> dict[str, str]:
    """Read `Authorization: Basic` as form fields; nothing if there is none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return {}
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise malformed("the Authorization header") from error
    return {"client_id": unquote(user), "client_secret": unquote(password)}


def _check_credential(form: Form, authority: Authority, audiences: Collection[str]) -> None:
    """Accept the secret or an assertion that has not expired, or refuse."""
    client_id, federated = form["client_id"], authority.federated
    if "client_secret" in form:
        if form["client_secret"] in authority.expired_secrets:
            raise Refusal(7000222, client_id=client_id)
        if form["client_secret"] not in authority.client_secrets:
            raise Refusal(7000215, client_id=client_id)
        return
    if "client_assertion" not in form:
        raise Refusal(7000218)
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise malformed("client_assertion_type")
    assertion = form["client_assertion"]
    try:
        header = jwt.get_unverified_header(assertion)
        claims = jwt.decode(assertion, options={"verify_signature": False})
    except jwt.InvalidTokenError as error:
        raise Refusal(50027) from error
    if federated is not None and claims.get("iss") != client_id:
        _check_federated(assertion, claims, federated)
    else:
        _check_certificates(header, claims, client_id, audiences)
        if not authority.has_certificate:
            raise Refusal(700027)
    expires, seconds = claims.get("exp"), authority.clock.now().timestamp()
    latest = seconds + _LONGEST_ASSERTION.total_seconds()
    if not isinstance(expires, int | float) or not seconds < expires <= latest:
        raise Refusal(700024)


def _check_certificates(header: Claims, claims: Claims, client_id: str, audiences: Collection[str]) -> None:
    """Check the shape of an assertion that the app signed itself; not its signature."""
    if header.get("alg") not in _ALGORITHMS or not header.keys() & {"x5t", "x5t#S256", "kid"}:
        raise Refusal(5002723)
    if claims.get("iss") != client_id or claims.get("sub") != client_id or not claims.get("jti"):
        raise Refusal(700030)
    if claims.get("aud") not in audiences:
        raise Refusal(700023)


def _check_federated(assertion: str, claims: Claims, federated: FederatedCredential) -> None:
    """Check a token of another identity provider, in every way but its expiry."""
    for name, wanted, code in (
        ("iss", federated.issuer, 700211),
        ("aud", EXCHANGE, 700212),
        ("sub", federated.subject, 700213),
    ):
        if claims.get(name) != wanted:
            raise Refusal(code, presented=claims.get(name))
    try:
        jwt.decode(assertion, federated.key, ["RS256"], options={"verify_exp": False, "verify_aud": False})
    except jwt.InvalidTokenError as error:
        raise Refusal(50013) from error
