"""MSAL, one instance per call: the authorization code flow and silent tokens. Synchronous."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar

import httpx
import msal  # type: ignore[import-untyped]  # msal ships no types
import structlog
from msal.exceptions import MsalServiceError  # type: ignore[import-untyped]  # msal ships no types
from requests.exceptions import RequestException

from bot.domain.errors import Code, CouldNotVerify, SignInNeeded, SignInRefused
from bot.domain.people import Account
from bot.domain.values import Secret, read_object, text_at
from bot.entra.authority import Authority, Credential, EntraUnavailable, MsalHttp
from bot.entra.id_token import IdTokenVerifier
from bot.timing import Timing

ENTRA: Final = "Microsoft Entra"
THREADS: Final = 32
"""Calls to Entra at once; what is more waits."""
CAPABILITIES: Final = ["CP1"]
"""We answer claims challenges, so Graph may revoke a token within minutes."""
OFFLINE: Final = "offline_access"
IDENTITY: Final = ("email",)
"""And `openid profile`, which MSAL adds: who it is, without a token that outlives the sign-in."""
UNAVAILABLE: Final = (RequestException, MsalServiceError)
"""No connection, no usable answer, or a 5xx."""
UNEXPECTED: Final = (ValueError, RuntimeError, LookupError, TypeError, AttributeError, AssertionError)
"""What MSAL raises on an answer that is not what it expects: state, nonce, shape."""
_AADSTS: Final = re.compile(r"AADSTS\d{3,9}")
_OAUTH_ERROR: Final = re.compile(r"[a-z_]{1,40}")
_CONSENT: Final = "access_denied consent_required 65001 65004 90093 90094 90095 900941 900981 650052"
"""Without a number, `access_denied` says that *Cancel* was pressed."""
_MEND: Final = {
    "admin": "consent_required 50011 50053 50057 50105 50131 53000 53001 53002 53003 53004 53011 65001 70011 "
    "70021 90002 90093 90094 90095 500011 530031 530032 530034 650052 650053 650056 700016 700024 700027 "
    "700030 700211 700212 700213 900941 900981 7000112 7000215 7000218 7000222",
    "account": "50020 50034 50128 50177 51004 90072",
    "more": "50055 50072 50074 50076 50078 50079 50097 50158 50203",
}
"""What mends a refusal: an admin, another account, to do what Microsoft asks; else to sign in again.

Numbers of AADSTS: learn.microsoft.com, "Microsoft Entra authentication and authorization error codes".
"""
_PASSING: Final = (
    "temporarily_unavailable server_error 50033 50087 50196 80001 80002 80005 90006 90012 90024 90025 90033 "
    "90055"
)
"""Microsoft asks to wait: nothing is wrong with the person or the app."""
_INTERACTION_ERRORS: Final = frozenset(
    {"invalid_grant", "interaction_required", "login_required", "consent_required", "access_denied"}
)
_SETUP_ERRORS: Final = frozenset({"invalid_client", "unauthorized_client", "invalid_scope"})
"""The app registration, its secret or its certificate: no waiting mends them."""

Result = Mapping[str, object]
T = TypeVar("T")

log = structlog.get_logger()


class EntraClient:
    """One app registration in one tenant. Every method blocks: call it in a thread.

    `tenant` and `client_id` are GUIDs; `scopes` one fixed list, without openid and its like, which MSAL adds.
    With `fresh_within` every link asks for an interactive sign-in, and an answer that does not say when that
    was is refused.
    """

    def __init__(
        self,
        authority: Authority,
        *,
        tenant: str,
        client_id: str,
        credential: Credential,
        scopes: Sequence[str],
        timing: Timing,
        fresh_within: timedelta | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._authority = authority
        self._client_id = client_id
        self._credential = credential
        self._scopes = list(scopes)
        self._fresh_within = fresh_within
        self._http = MsalHttp(authority, timing, transport)
        self._timeout = timing.entra_timeout.total_seconds()
        self._verifier = IdTokenVerifier(self._http, authority, tenant=tenant, client_id=client_id)
        self._http_cache: dict[str, object] = {}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="entra")

    async def in_thread(self, call: Callable[..., T], *given: object, **named: object) -> T:
        """Call a method in a thread of Entra's own: where it hangs, nothing but sign-ins waits for it.

        Raises what the method raises, and CouldNotVerify where all of it takes too long.
        """
        bound = partial(call, *given, **named)
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.get_running_loop().run_in_executor(self._threads, bound)
        except TimeoutError as error:
            self._http.hangs()
            _log_no_answer(error)
            raise CouldNotVerify(ENTRA) from None

    def warm_up(self) -> None:
        """Fetch what every sign-in needs; raises CouldNotVerify if Entra or the tenant does not answer."""
        with self._discovery():
            self._app(msal.SerializableTokenCache())
            self._verifier.fetch()

    def refusal(self) -> str:
        """Return Entra's number for why it refuses the app or its credential; empty where it takes them.

        It is asked for a token of the app's own, which nobody looks at. Raises CouldNotVerify.
        """
        self.warm_up()
        resource = self._scopes[0].rpartition("/")[0]
        with self._discovery():
            app = self._app(msal.SerializableTokenCache())
            result = app.acquire_token_for_client([f"{resource}/.default"])
        return "" if "access_token" in result else _error_code(result)

    def close(self) -> None:
        """Close the connections; a call that hangs ends with its own time-out."""
        self._threads.shutdown(wait=False)
        self._http.close()

    def begin_flow(
        self, *, redirect_uri: str, login_hint: str | None, claims: str | None, identity_only: bool = False
    ) -> tuple[str, Secret]:
        """Begin a flow (PKCE, nonce); return its `state` and MSAL's own record of it. Raises CouldNotVerify.

        The record is JSON with the PKCE verifier and the address to send the browser to. `identity_only`: it
        asks for IDENTITY alone.
        """
        scopes, exclude = (list(IDENTITY), [OFFLINE]) if identity_only else (self._scopes, None)
        fresh = self._fresh_within
        with self._discovery():  # its endpoint may be no address
            flow = self._app(msal.SerializableTokenCache(), exclude).initiate_auth_code_flow(
                scopes,
                redirect_uri=redirect_uri,
                response_mode="form_post",
                login_hint=login_hint,
                claims_challenge=_claims(claims),
                prompt=msal.Prompt.SELECT_ACCOUNT if fresh is None else msal.Prompt.LOGIN,
                max_age=None if fresh is None else int(fresh.total_seconds()),
            )
        return flow["state"], Secret(json.dumps(flow))

    def authorization_url(self, flow: Secret) -> str:
        """Return where to send the browser of a flow."""
        return self._authority.real_url(json.loads(flow.reveal())["auth_uri"])

    def redeem(self, flow: Secret, form: Mapping[str, str], *, now: datetime) -> tuple[Account, Secret]:
        """Redeem what the browser brought back for an account and its token cache, empty of IDENTITY alone.

        Raises SignInRefused, or CouldNotVerify where Entra does not answer.
        """
        begun = json.loads(flow.reveal())
        # Ours to check, on our clock and with a reason: MSAL raises the same error for much else.
        begun.pop("max_age", None)
        carried = begun.get("claims_challenge")
        cache = msal.SerializableTokenCache()
        app = self._app(cache)
        try:
            result = app.acquire_token_by_auth_code_flow(begun, dict(form))
            if "error" in result:
                raise _refused(result, carried)
            token = str(result.get("id_token", ""))
            account = self._verifier.verify(token, now=now, max_age=self._fresh_within)
            return account, Secret(cache.serialize() if OFFLINE in begun["scope"] else "")
        except (*UNAVAILABLE, *UNEXPECTED) as error:
            _log_no_answer(error)
            is_away = isinstance(error, UNAVAILABLE)
            failure = CouldNotVerify(ENTRA) if is_away else SignInRefused(Code.BAD_TOKEN, part="answer")
        # Outside of the except: MSAL puts the claims of the token into its messages.
        raise failure

    def silent_token(
        self, cached: Secret, *, claims: str | None = None, fresh: bool = False
    ) -> tuple[Secret, Secret | None]:
        """Return an access token from the cache, refreshed where it has to be, and the cache if it changed.

        A token that is due for a refresh but valid is still used while Entra does not answer; not where one
        is asked for that is `fresh`, or has `claims`. Raises SignInNeeded, CouldNotVerify.
        """
        cache = msal.SerializableTokenCache()
        cache.deserialize(cached.reveal())
        app = self._app(cache)
        try:
            result = app.acquire_token_silent_with_error(
                self._scopes,
                next(iter(app.get_accounts()), None),
                claims_challenge=_claims(claims),
                force_refresh=fresh,
                http_exceptions=UNAVAILABLE,
            )
        except (*UNAVAILABLE, *UNEXPECTED) as error:
            _log_no_answer(error)
            result = {"error": "temporarily_unavailable"}
        if result is None or "access_token" not in result:
            raise _no_token(result, claims)
        token = result["access_token"]
        if not (isinstance(token, str) and token and token.isascii() and token.isprintable()):
            raise CouldNotVerify(ENTRA)  # RFC 6749, A.12; anything else breaks the header that it goes into
        changed = Secret(cache.serialize()) if cache.has_state_changed else None
        return Secret(token), changed

    def _app(
        self, cache: msal.SerializableTokenCache, exclude_scopes: Sequence[str] | None = None
    ) -> msal.ConfidentialClientApplication:
        """Return an instance of its own for every cache: to swap the cache of a shared one would be a race.

        Cheap, because discovery is in the shared HTTP cache. Instance discovery stays off: the hosts that it
        would vouch for are the well-known ones, and it would call out after every refused refresh.
        """
        with self._discovery():
            return msal.ConfidentialClientApplication(
                self._client_id,
                client_credential=self._credential.for_msal,
                token_cache=cache,
                http_client=self._http,
                http_cache=self._http_cache,
                client_capabilities=CAPABILITIES,
                instance_discovery=False,
                exclude_scopes=exclude_scopes,
                **self._authority.for_msal,
            )

    @contextmanager
    def _discovery(self) -> Iterator[None]:
        try:
            yield
        except (*UNAVAILABLE, *UNEXPECTED) as error:
            # A broken discovery that came with a 200 would be believed for a day.
            self._http_cache.clear()
            _log_no_answer(error)
            raise CouldNotVerify(ENTRA) from error


def _log_no_answer(error: Exception) -> None:
    """The class, and our own word for why: MSAL puts claims of tokens into its messages."""
    why = {"why": str(error)} if isinstance(error, EntraUnavailable) else {}
    log.warning("entra_no_answer", error=type(error).__name__, **why)


def _refused(result: Result, carried: str | None) -> SignInRefused | CouldNotVerify:
    """Return why a sign-in came back with an error; of Entra's texts only the AADSTS number is kept.

    `carried`: the claims that it asked with already; to ask with the same again would lead nowhere.
    """
    code, claims, case = _error_code(result), _asked(result), _mended_by(result)
    log.warning("entra_sign_in_refused", code=code)
    if case == "waiting":
        return _passing(code)
    if claims and claims != carried:
        return SignInRefused(Code.ENTRA_ERROR, claims=claims, code=code, case="more")
    what = Code.CONSENT_DENIED if _is_one(code, _CONSENT) else Code.ENTRA_ERROR
    return SignInRefused(what, code=code, case=case) if case else SignInRefused(what, code=code)


def _mended_by(result: Result) -> str:
    """Return what mends a refusal, a key of _MEND or `waiting`; empty: to sign in again."""
    code, error = _error_code(result), _oauth_error(result)
    if _is_one(code, _PASSING) or _is_one(error, _PASSING):
        return "waiting"
    setup = "admin" if error in _SETUP_ERRORS else ""
    return next((case for case, codes in _MEND.items() if _is_one(code, codes)), setup)


def _is_one(code: str, codes: str) -> bool:
    return code.removeprefix("AADSTS") in codes.split()


def _passing(code: str) -> CouldNotVerify:
    return CouldNotVerify(f"{ENTRA} ({code})" if _AADSTS.fullmatch(code) else ENTRA)


def _no_token(result: Result | None, claims: str | None) -> SignInNeeded | CouldNotVerify:
    """Return why there is no token: a sign-in is needed, or Entra does not answer.

    `claims` is what Graph asked for; what Entra asks for goes before it.
    """
    if result is None:
        return SignInNeeded(claims)
    code, asked, case = _error_code(result), _asked(result), _mended_by(result)
    log.warning("entra_no_token", code=code)
    if case != "waiting" and (asked or _oauth_error(result) in _INTERACTION_ERRORS):
        return SignInNeeded(asked or claims, rejected=True)
    return CouldNotVerify(ENTRA, {"code": code}) if case == "admin" else _passing(code)


def _error_code(result: Result) -> str:
    """Return the AADSTS number, or where there is none the OAuth error. Of several the last is specific."""
    numbers = result.get("error_codes")
    listed = [f"AADSTS{number}" for number in numbers] if isinstance(numbers, list) else []
    found = [*_AADSTS.findall(str(result.get("error_description", ""))), *filter(_AADSTS.fullmatch, listed)]
    return found[-1] if found else _oauth_error(result)


def _oauth_error(result: Result) -> str:
    error = text_at(result, "error")
    return error if _OAUTH_ERROR.fullmatch(error) else "unknown"


def _asked(result: Result) -> str | None:
    """Return what Entra asks the next sign-in for."""
    return _claims(text_at(result, "claims"))


def _claims(text: str | None) -> str | None:
    """Return the text if it is a JSON object of objects: MSAL breaks on claims of any other shape."""
    content = read_object(text or "")
    return text if content is not None and all(isinstance(part, dict) for part in content.values()) else None
