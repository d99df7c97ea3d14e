"""The authorize endpoint: check the request, ask which account, send the browser back; and discovery."""

import json
import re
from datetime import timedelta
from typing import Final
from urllib.parse import urlencode, urlsplit, urlunsplit
from uuid import uuid4

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sandbox.entra import pages
from sandbox.entra.authority import Authority
from sandbox.entra.grants import PAGE_LIFETIME, AuthorizationRequest, ResponseMode
from sandbox.entra.parameters import once_each, parse_claims, required
from sandbox.entra.refusals import Refusal, malformed
from sandbox.journal import Line

CANCEL: Final = "nobody"
"""The value of the page's button that picks no account."""
_PROMPTS: Final = {"", "none", "login", "consent", "select_account", "create"}
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9\-_]{43}")


class SentBack(Exception):
    """A refusal that goes to the app, because its redirect URI is known to be the app's."""

    def __init__(self, refusal: Refusal, redirect_uri: str, mode: ResponseMode, state: str) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal
        self.redirect_uri = redirect_uri
        self.mode = mode
        self.state = state

    def response(self) -> Response:
        """The error response of RFC 6749, 4.1.2.1."""
        fields = {
            "error": self.refusal.error,
            "error_description": str(self.refusal),
            "error_uri": self.refusal.uri,
            "state": self.state,
        }
        return _back(self.redirect_uri, self.mode, fields)


class Authorize:
    """Two steps: `ask` shows the page, `answer` takes the account that was picked there."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    async def ask(self, request: Request, line: Line) -> Response:
        """Check an authorization request; the page of accounts, or a refusal."""
        try:
            asked = self._request(request.path_params["tenant"], request.query_params)
        except Refusal as refusal:
            line.note = f"AADSTS{refusal.code}"
            return pages.refused(refusal)
        except SentBack as sent:
            line.note = f"AADSTS{sent.refusal.code}"
            return sent.response()
        return self._picker(asked, self._authority.grants.keep(asked))

    async def again(self, request: Request, line: Line) -> Response:
        """Show the page of a request once more, after an account was refused."""
        key = request.query_params.get("flow", "")
        asked = self._authority.grants.requests.get(key)
        if asked is None:
            line.note = "page expired"
            return pages.expired()
        return self._picker(asked, key)

    async def answer(self, request: Request, line: Line) -> Response:
        """Sign in the picked account, or send the browser back without one."""
        form = await request.form()
        key, picked = str(form.get("flow", "")), str(form.get("account", ""))
        asked = self._authority.grants.requests.get(key)
        if asked is None or self._authority.clock.now() >= asked.asked_at + PAGE_LIFETIME:
            line.note = "page expired"
            return pages.expired()
        if picked == CANCEL:
            line.note = "cancelled"
            return SentBack(Refusal(65004), asked.redirect_uri, asked.response_mode, asked.state).response()
        if picked not in self._authority.accounts:
            line.note = "no such account"
            return pages.expired()
        account = self._authority.accounts[picked]
        try:
            code = self._authority.sign_in(asked, picked)
        except Refusal as refusal:
            line.note = f"AADSTS{refusal.code} {account.upn}"
            return pages.refused(refusal, again=pages.picker_path(asked, key))
        line.note = f"{account.name} signed in"
        fields = {"code": code, "state": asked.state, "session_state": str(uuid4())}
        return _back(asked.redirect_uri, asked.response_mode, fields)

    def _picker(self, asked: AuthorizationRequest, key: str) -> Response:
        return pages.picker(asked, key, self._authority.accounts.values(), self._authority.app_name)

    def _request(self, tenant: str, query: QueryParams) -> AuthorizationRequest:
        once_each(query.multi_items())
        client_id = required(query, "client_id")
        self._authority.check_client(tenant, client_id)
        redirect_uri = required(query, "redirect_uri")
        if redirect_uri not in self._authority.redirect_uris:
            raise Refusal(50011, redirect_uri=redirect_uri, client_id=client_id)
        mode: ResponseMode = "form_post" if query.get("response_mode") == "form_post" else "query"
        try:
            return self._checked(tenant, query, redirect_uri, mode)
        except Refusal as refusal:
            raise SentBack(refusal, redirect_uri, mode, query.get("state", "")) from refusal

    def _checked(
        self, tenant: str, query: QueryParams, redirect_uri: str, mode: ResponseMode
    ) -> AuthorizationRequest:
        _check_parameters(query)
        scopes = self._authority.scopes(required(query, "scope"))
        claims = parse_claims(query.get("claims", ""))
        if query.get("prompt") == "none":
            raise Refusal(50058)
        return AuthorizationRequest(
            tenant=tenant,
            client_id=query["client_id"],
            redirect_uri=redirect_uri,
            response_mode=mode,
            scopes=scopes,
            state=query["state"],
            nonce=query["nonce"],
            challenge=query["code_challenge"],
            claims=claims,
            login_hint=query.get("login_hint", ""),
            prompt=query.get("prompt", ""),
            max_age=timedelta(seconds=int(query["max_age"])) if "max_age" in query else None,
            asked_at=self._authority.clock.now(),
        )


def _check_parameters(query: QueryParams) -> None:
    if (response_type := required(query, "response_type")) != "code":
        raise Refusal(700051, response_type=response_type)
    if query.get("response_mode", "query") not in {"query", "form_post"}:
        raise malformed("response_mode must be form_post or query")
    if query.get("code_challenge_method") != "S256":
        raise malformed("code_challenge_method must be S256")
    if not _CHALLENGE.fullmatch(required(query, "code_challenge")):
        raise malformed("code_challenge is not a SHA-256 in base64url")
    if query.get("prompt", "") not in _PROMPTS:
        raise malformed("unsupported prompt value")
    if not query.get("max_age", "0").isdigit():
        raise malformed("max_age is not a number of seconds")
    # Stricter than Entra, which lets these two be absent: the app must protect its sign-in.
    required(query, "state")
    required(query, "nonce")


def _back(redirect_uri: str, mode: ResponseMode, fields: dict[str, str]) -> Response:
    given = {name: value for name, value in fields.items() if value}
    if mode == "form_post":
        return pages.form_post(redirect_uri, given)
    parts = urlsplit(redirect_uri)
    query = "&".join(filter(None, (parts.query, urlencode(given))))
    return RedirectResponse(urlunsplit(parts._replace(query=query)), status_code=303)


def discovery(tenant: str, base_url: str) -> bytes:
    """The OpenID configuration; `base_url` is where a browser reaches the sandbox.

    MSAL insists on https for the endpoints that it calls itself, so those are given as https on the same host
    and port; a client that talks to the sandbox rewrites https on loopback to http. The browser's endpoint is
    given as it is.
    """
    secure = re.sub(r"^http:", "https:", base_url)
    document = {
        "issuer": f"https://login.microsoftonline.com/{tenant}/v2.0",
        "authorization_endpoint": f"{base_url}/entra/{tenant}/oauth2/v2.0/authorize",
        "token_endpoint": f"{secure}/entra/{tenant}/oauth2/v2.0/token",
        "jwks_uri": f"{secure}/entra/{tenant}/discovery/v2.0/keys",
        "response_modes_supported": ["query", "form_post"],
        "response_types_supported": ["code"],
        "subject_types_supported": ["pairwise"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": [
            "client_secret_post",
            "private_key_jwt",
            "client_secret_basic",
        ],
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "name", "tid", "oid"],
        "tenant_region_scope": "EU",
        "cloud_instance_name": "microsoftonline.com",
        "msgraph_host": "graph.microsoft.com",
    }
    return json.dumps(document).encode()
