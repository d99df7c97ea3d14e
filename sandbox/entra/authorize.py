"""The authorize endpoint: check the request, ask which account, send the browser back."""

import json
import re
from collections import Counter
from datetime import timedelta
from typing import Final
from urllib.parse import urlencode, urlsplit, urlunsplit
from uuid import uuid4

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sandbox.entra import pages, refusals
from sandbox.entra.authority import Authority
from sandbox.entra.claims import parse_claims
from sandbox.entra.grants import PAGE_LIFETIME, Question, ResponseMode
from sandbox.entra.refusals import Refusal

NOBODY: Final = "nobody"
_PROMPTS: Final = {"", "none", "login", "consent", "select_account", "create"}
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9\-_]{43}")


class SentBack(Exception):
    """A refusal that goes to the app, because the address to send it to is known to be the app's."""

    def __init__(self, refusal: Refusal, redirect_uri: str, mode: ResponseMode, state: str) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal
        self.redirect_uri = redirect_uri
        self.mode = mode
        self.state = state


class Authorize:
    """Two steps: `ask` shows the page, `answer` takes the account that was picked there."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    def ask(self, request: Request) -> tuple[Response, str]:
        """Answer the authorize request; returns the response and a note for the journal."""
        try:
            question = self._question(request.path_params["tenant"], request.query_params)
        except Refusal as refusal:
            return pages.refused(refusal), f"AADSTS{refusal.code}"
        except SentBack as sent:
            return _sent_back(sent), f"AADSTS{sent.refusal.code}"
        key = self._authority.grants.ask(question)
        return pages.picker(question, key, self._authority.accounts.values(), self._authority.app_name), ""

    async def answer(self, request: Request) -> tuple[Response, str]:
        """Take the picked account, or nobody."""
        form = await request.form()
        question = self._authority.grants.questions.get(str(form.get("flow", "")))
        picked = str(form.get("account", ""))
        if question is None or self._authority.clock.now() >= question.asked_at + PAGE_LIFETIME:
            return pages.expired(), "page expired"
        if picked == NOBODY:
            return _sent_back(_declined(question)), "cancelled"
        if picked not in self._authority.accounts:
            return pages.expired(), "no such account"
        return self._signed_in(question, picked, str(form["flow"]))

    def _signed_in(self, question: Question, oid: str, key: str) -> tuple[Response, str]:
        account = self._authority.accounts[oid]
        try:
            code = self._authority.sign_in(question, oid)
        except Refusal as refusal:
            again = pages.picker_path(question, key)
            return pages.refused(refusal, again=again), f"AADSTS{refusal.code} {account.upn}"
        fields = {"code": code, "state": question.state, "session_state": str(uuid4())}
        return _back(question.redirect_uri, question.response_mode, fields), f"{account.name} signed in"

    def again(self, request: Request) -> tuple[Response, str]:
        """Show the page of a question once more, after an account was refused."""
        key = request.query_params.get("flow", "")
        question = self._authority.grants.questions.get(key)
        if question is None:
            return pages.expired(), "page expired"
        return pages.picker(question, key, self._authority.accounts.values(), self._authority.app_name), ""

    def _question(self, tenant: str, query: QueryParams) -> Question:
        _once_each(query)
        client_id = _required(query, "client_id")
        self._authority.check_client(tenant, client_id)
        redirect_uri = _required(query, "redirect_uri")
        if redirect_uri not in self._authority.redirect_uris:
            raise refusals.wrong_redirect(redirect_uri, client_id)
        mode: ResponseMode = "form_post" if query.get("response_mode") == "form_post" else "query"
        try:
            return self._checked(tenant, query, redirect_uri, mode)
        except Refusal as refusal:
            raise SentBack(refusal, redirect_uri, mode, query.get("state", "")) from refusal

    def _checked(self, tenant: str, query: QueryParams, redirect_uri: str, mode: ResponseMode) -> Question:
        _check_parameters(query)
        scopes = self._authority.scopes(_required(query, "scope"))
        claims = parse_claims(query.get("claims", ""))
        if query.get("prompt") == "none":
            raise refusals.nobody_signed_in()
        return Question(
            tenant=tenant,
            client_id=query["client_id"],
            redirect_uri=redirect_uri,
            response_mode=mode,
            scopes=scopes,
            state=query.get("state", ""),
            nonce=query.get("nonce", ""),
            challenge=query["code_challenge"],
            claims=claims,
            login_hint=query.get("login_hint", ""),
            prompt=query.get("prompt", ""),
            max_age=timedelta(seconds=int(query["max_age"])) if "max_age" in query else None,
            asked_at=self._authority.clock.now(),
        )


def _once_each(query: QueryParams) -> None:
    counted = Counter(name for name, _ in query.multi_items())
    for name, times in counted.items():
        if times > 1:
            raise refusals.repeated(name)


def _required(query: QueryParams, name: str) -> str:
    value = query.get(name, "")
    if not value:
        raise refusals.missing(name)
    return value


def _check_parameters(query: QueryParams) -> None:
    if (response_type := _required(query, "response_type")) != "code":
        raise refusals.other_response_type(response_type)
    if query.get("response_mode", "query") not in {"query", "form_post"}:
        raise refusals.malformed("response_mode must be form_post or query")
    if query.get("code_challenge_method") != "S256":
        raise refusals.malformed("code_challenge_method must be S256")
    if not _CHALLENGE.fullmatch(_required(query, "code_challenge")):
        raise refusals.malformed("code_challenge is not a SHA-256 in base64url")
    if query.get("prompt", "") not in _PROMPTS:
        raise refusals.malformed("unsupported prompt value")
    if not query.get("max_age", "0").isdigit():
        raise refusals.malformed("max_age is not a number of seconds")
    _check_state(query)


def _check_state(query: QueryParams) -> None:
    """The app of this sandbox must protect itself: real Entra lets these two be absent."""
    _required(query, "state")
    _required(query, "nonce")


def _declined(question: Question) -> SentBack:
    refusal = refusals.consent_declined()
    return SentBack(refusal, question.redirect_uri, question.response_mode, question.state)


def _sent_back(sent: SentBack) -> Response:
    fields = {
        "error": sent.refusal.error,
        "error_description": sent.refusal.described,
        "error_uri": f"https://login.microsoftonline.com/error?code={sent.refusal.code}",
        "state": sent.state,
    }
    return _back(sent.redirect_uri, sent.mode, fields)


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
        "device_authorization_endpoint": f"{secure}/entra/{tenant}/oauth2/v2.0/devicecode",
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
