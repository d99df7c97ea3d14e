"""The token endpoint: a code, a device code or a refresh token in, tokens out; nothing for an application."""

from collections import Counter
from collections.abc import Mapping
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.entra import refusals
from sandbox.entra.authority import Authority
from sandbox.entra.claims import parse_claims, unmet
from sandbox.entra.credentials import basic, check_credential
from sandbox.entra.device_codes import DeviceCodes
from sandbox.entra.grants import check_verifier
from sandbox.entra.refusals import Refusal, token_error
from sandbox.journal import NOBODY, Bearer

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
APPLICATION = Bearer(kind="unknown", who="the application alone")
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class Outcome:
    """What the journal is told about one token request."""

    def __init__(self) -> None:
        self.bearer = NOBODY
        self.note = ""

    def of(self, name: str, note: str) -> None:
        self.bearer = Bearer(kind="user", who=name)
        self.note = note


class TokenEndpoint:
    """What happens at /oauth2/v2.0/token."""

    def __init__(self, authority: Authority, devices: DeviceCodes) -> None:
        self._authority = authority
        self._devices = devices

    async def issue(self, request: Request, page: str) -> Response:
        """Answer one devicecode request; `page` is where the code is typed."""
        try:
            form, tenant = await _form(request), request.path_params["tenant"]
            self._authority.check_client(tenant, _required(form, "client_id"))
            scopes = self._authority.scopes(_required(form, "scope"))
            issued = self._devices.issue(tenant, scopes, form.get("claims", ""))
        except Refusal as refusal:
            return self._refused(request, refusal)
        message = f"To sign in, open the page {page} and enter the code {issued['user_code']}."
        body = {**issued, "verification_uri": page, "message": message}
        return JSONResponse(body, headers=_NO_STORE)

    async def answer(self, request: Request, endpoint: str) -> tuple[Response, Outcome]:
        """Answer one token request; `endpoint` is this endpoint's own address."""
        outcome = Outcome()
        try:
            form = await _form(request)
            body = self._granted(request.path_params["tenant"], form, endpoint, outcome)
        except Refusal as refusal:
            outcome.note = f"AADSTS{refusal.code}"
            return self._refused(request, refusal), outcome
        return JSONResponse(body, headers=_NO_STORE), outcome

    def _granted(
        self, tenant: str, form: Mapping[str, str], endpoint: str, outcome: Outcome
    ) -> dict[str, object]:
        grant = _required(form, "grant_type")
        if grant == "client_credentials":
            self._authority.app_only_attempts += 1
            outcome.bearer = APPLICATION
            raise refusals.app_only()
        client_id = _required(form, "client_id")
        self._authority.check_client(tenant, client_id)
        if not self._is_public(grant, form):
            self._check_credential(form, client_id, endpoint)
        match grant:
            case "authorization_code":
                return self._code(tenant, form, outcome)
            case "refresh_token":
                return self._refresh(form, outcome)
            case _ if grant == DEVICE_CODE:
                return self._device_code(form, outcome)
            case _:
                raise refusals.other_grant(grant)

    def _is_public(self, grant: str, form: Mapping[str, str]) -> bool:
        """Whether this may be asked without the app's secret."""
        if not self._authority.public_client_flows:
            return False
        refresh = self._authority.grants.refreshes.get(form.get("refresh_token", ""))
        return grant == DEVICE_CODE or (grant == "refresh_token" and refresh is not None and refresh.public)

    def _device_code(self, form: Mapping[str, str], outcome: Outcome) -> dict[str, object]:
        asked = parse_claims(form.get("claims", ""))
        code = self._devices.redeem(_required(form, "device_code"))
        if code.session is None or not self._authority.is_current(code.session):
            raise refusals.revoked_grant(code.issued_at)
        outcome.of(code.session.account.name, "device code")
        if unmet(asked, code.session.met):
            raise refusals.step_up(form["claims"])
        return self._authority.token_response(code.session, code.scopes, asked, public=True)

    def _check_credential(self, form: Mapping[str, str], client_id: str, endpoint: str) -> None:
        secure = endpoint.replace("http:", "https:", 1)
        check_credential(
            form,
            client_id=client_id,
            secrets=self._authority.client_secrets,
            audiences={endpoint, secure},
            now=self._authority.clock.now(),
        )

    def _code(self, tenant: str, form: Mapping[str, str], outcome: Outcome) -> dict[str, object]:
        asked = parse_claims(form.get("claims", ""))
        verifier = _required(form, "code_verifier")
        code = self._authority.grants.redeem(_required(form, "code"), now=self._authority.clock.now())
        outcome.of(code.session.account.name, "code")
        if form.get("redirect_uri") != code.question.redirect_uri or code.question.tenant != tenant:
            raise refusals.bad_code("the redirect_uri is not the one that the code was asked with")
        check_verifier(verifier, code.question.challenge)
        if not self._authority.is_current(code.session):
            raise refusals.revoked_grant(code.issued_at)
        if unmet(asked, code.session.met):
            raise refusals.step_up(form["claims"])
        scopes = self._authority.scopes(form["scope"]) if form.get("scope") else code.question.scopes
        if not scopes.within(code.question.scopes):
            raise refusals.no_consent(form["scope"], self._authority.app_name)
        return self._authority.token_response(code.session, scopes, asked, nonce=code.question.nonce)

    def _refresh(self, form: Mapping[str, str], outcome: Outcome) -> dict[str, object]:
        claims = form.get("claims", "")
        asked = parse_claims(claims)
        refresh = self._authority.grants.refresh(
            _required(form, "refresh_token"), now=self._authority.clock.now()
        )
        outcome.of(refresh.session.account.name, "refresh")
        self._authority.check_session(refresh.session)
        if unmet(asked, refresh.session.met):
            raise refusals.step_up(claims)
        scopes = self._authority.scopes(form["scope"]) if form.get("scope") else refresh.scopes
        return self._authority.token_response(refresh.session, scopes, asked, public=refresh.public)

    def _refused(self, request: Request, refusal: Refusal) -> Response:
        trace = str(uuid4())
        correlation = request.headers.get("client-request-id", str(uuid4()))
        body = token_error(refusal, at=self._authority.clock.now(), trace=trace, correlation=correlation)
        headers = {**_NO_STORE, "x-ms-request-id": trace, "client-request-id": correlation}
        return JSONResponse(body, status_code=refusal.status, headers=headers)


async def _form(request: Request) -> dict[str, str]:
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise refusals.malformed("the body must be application/x-www-form-urlencoded")
    fields = await request.form()
    for name, times in Counter(name for name, _ in fields.multi_items()).items():
        if times > 1:
            raise refusals.repeated(name)
    form = {name: value for name, value in fields.items() if isinstance(value, str)}
    return form | basic(request.headers.get("authorization", ""))


def _required(form: Mapping[str, str], name: str) -> str:
    value = form.get(name, "")
    if not value:
        raise refusals.missing(name)
    return value
