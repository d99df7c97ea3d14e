"""MSAL, one instance a call: the authorization code flow and silent tokens. Synchronous."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import httpx
import msal  # type: ignore[import-untyped]  # msal ships no types
from msal.exceptions import MsalServiceError  # type: ignore[import-untyped]  # msal ships no types
from requests.exceptions import RequestException

from bot.domain.errors import CouldNotVerify, SignInRefused
from bot.domain.people import Account
from bot.domain.secret import Secret
from bot.domain.why import Code, Why
from bot.entra.answers import ENTRA, json_object, not_silent, refused
from bot.entra.authority import Authority
from bot.entra.credential import Credential
from bot.entra.id_token import IdTokens
from bot.entra.wire import Wire

AWAY: Final = (RequestException, MsalServiceError)
"""No connection, no usable answer, or a 5xx."""
BROKEN: Final = (ValueError, RuntimeError, LookupError, TypeError, AttributeError)
"""What MSAL raises on answers that are not what it expects: state, nonce, shape."""
CAPABILITIES: Final = ["CP1"]
"""We understand claims challenges; Graph may revoke a token within minutes."""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Started:
    """A flow that waits for the browser."""

    state: str
    url: str
    """Where to send the browser."""
    flow: Secret
    """MSAL's own record of it, JSON: holds the PKCE verifier."""


@dataclass(frozen=True, slots=True)
class Silent:
    """An access token without the person; `cache` is set where it changed."""

    token: Secret
    cache: Secret | None


class EntraClient:
    """One app registration in one tenant. Every method blocks: call it in a thread.

    `tenant` and `client_id` are GUIDs; `scopes` one fixed list, without openid and its like, which MSAL adds.
    """

    def __init__(
        self,
        authority: Authority,
        *,
        tenant: str,
        client_id: str,
        credential: Credential,
        scopes: Sequence[str],
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._authority = authority
        self._client_id = client_id
        self._credential = credential
        self._scopes = list(scopes)
        self._wire = Wire(authority, transport)
        self._ids = IdTokens(self._wire, authority, tenant=tenant, client_id=client_id)
        self._http_cache: dict[str, object] = {}

    def warm(self) -> None:
        """Fetch what every sign-in needs; raises CouldNotVerify where Entra is away or the tenant unknown."""
        self._app(msal.SerializableTokenCache())
        try:
            self._ids.warm()
        except AWAY as error:
            raise CouldNotVerify(ENTRA) from error

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()

    def start(self, *, redirect_uri: str, login_hint: str | None, claims: str | None) -> Started:
        """Begin a flow (PKCE, nonce, state); raises CouldNotVerify."""
        flow = self._app(msal.SerializableTokenCache()).initiate_auth_code_flow(
            self._scopes,
            redirect_uri=redirect_uri,
            response_mode="form_post",
            login_hint=login_hint,
            claims_challenge=json_object(claims),
            prompt=msal.Prompt.SELECT_ACCOUNT,
        )
        return Started(flow["state"], self._authority.real(flow["auth_uri"]), Secret(json.dumps(flow)))

    def redeem(self, flow: Secret, form: Mapping[str, str], *, now: datetime) -> tuple[Account, Secret]:
        """Turn what the browser brought back into an account and its cache.

        Raises SignInRefused, or CouldNotVerify where Entra is away.
        """
        cache = msal.SerializableTokenCache()
        app = self._app(cache)
        try:
            result = app.acquire_token_by_auth_code_flow(json.loads(flow.reveal()), dict(form))
            if "error" in result:
                raise refused(result)
            account = self._ids.account(str(result.get("id_token", "")), now=now)
        except AWAY as error:
            _note(error)
            failure: SignInRefused | CouldNotVerify = CouldNotVerify(ENTRA)
        except BROKEN as error:
            _note(error)
            failure = SignInRefused(Why(Code.BAD_TOKEN, {"part": "answer"}))
        else:
            return account, Secret(cache.serialize())
        # Outside of the except: MSAL puts the claims of the token into its messages.
        raise failure

    def silent(self, cached: Secret, *, claims: str | None) -> Silent:
        """An access token from the cache, refreshed where it has to be.

        A token that is about to age is still used while Entra is away. Raises SignInNeeded, CouldNotVerify.
        """
        cache = msal.SerializableTokenCache()
        cache.deserialize(cached.reveal())
        app = self._app(cache)
        try:
            result = app.acquire_token_silent_with_error(
                self._scopes,
                next(iter(app.get_accounts()), None),
                claims_challenge=json_object(claims),
                http_exceptions=AWAY,
            )
        except (*AWAY, *BROKEN) as error:
            _note(error)
            result = {"error": "temporarily_unavailable"}
        if result is None or "access_token" not in result:
            raise not_silent(result, claims)
        changed = Secret(cache.serialize()) if cache.has_state_changed else None
        return Silent(Secret(result["access_token"]), changed)

    def _app(self, cache: msal.SerializableTokenCache) -> msal.ConfidentialClientApplication:
        """An instance of its own for every cache: swapping the cache of a shared one would be a race.

        Cheap, because discovery is in the shared HTTP cache. Instance discovery stays off: the hosts that it
        would vouch for are the well-known ones, and it would call out after every refused refresh.
        """
        try:
            return msal.ConfidentialClientApplication(
                self._client_id,
                client_credential=self._credential.for_msal,
                token_cache=cache,
                http_client=self._wire,
                http_cache=self._http_cache,
                client_capabilities=CAPABILITIES,
                instance_discovery=False,
                **self._authority.for_msal,
            )
        except (*AWAY, *BROKEN) as error:
            # A broken discovery that came with a 200 would be believed for a day.
            self._http_cache.clear()
            raise CouldNotVerify(ENTRA) from error


def _note(error: Exception) -> None:
    """The class alone: MSAL puts claims of tokens into its messages."""
    _log.warning("entra.no_answer", extra={"why": type(error).__name__})
