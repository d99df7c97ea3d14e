"""MSAL, one instance a call: the authorization code flow, device codes, silent tokens. Synchronous."""

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import httpx
import msal  # type: ignore[import-untyped]  # msal ships no types

from bot.domain.errors import CouldNotVerify
from bot.domain.people import Account
from bot.domain.secret import Secret
from bot.entra import device_code
from bot.entra.answers import AWAY, BROKEN, ENTRA, Result, guarded, json_object, not_silent, note, refused
from bot.entra.authority import Authority
from bot.entra.credential import Credential
from bot.entra.device_code import Pending, StartedCode
from bot.entra.id_token import IdTokens
from bot.entra.wire import Wire

CAPABILITIES: Final = ["CP1"]
"""We understand claims challenges; Graph may revoke a token within minutes."""


@dataclass(frozen=True, slots=True)
class Started:
    """A flow that waits for the browser."""

    state: str
    flow: Secret
    """MSAL's own record of it, JSON: holds the PKCE verifier, and where to send the browser."""


@dataclass(frozen=True, slots=True)
class Silent:
    """An access token without the person; `cache` is set where it changed."""

    token: Secret
    cache: Secret | None


class EntraClient:
    """One app registration in one tenant. Every method blocks: call it in a thread.

    `tenant` and `client_id` are GUIDs; `scopes` one fixed list, without openid and its like, which MSAL adds.
    Without a credential it is a public client, which may use device codes. With `fresh_within` every link
    asks people to prove who they are, and an answer that does not say when they did is refused.
    """

    def __init__(
        self,
        authority: Authority,
        *,
        tenant: str,
        client_id: str,
        credential: Credential | None,
        scopes: Sequence[str],
        fresh_within: timedelta | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._authority = authority
        self._client_id = client_id
        self._credential = credential
        self._scopes = list(scopes)
        self._fresh_within = fresh_within
        self._wire = Wire(authority, transport)
        self._ids = IdTokens(self._wire, authority, tenant=tenant, client_id=client_id)
        self._http_cache: dict[str, object] = {}
        self._discovery: dict[str, object] = {}
        """An HTTP cache in which nothing but the discovery ever is."""

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
        fresh = self._fresh_within
        flow = self._app(msal.SerializableTokenCache()).initiate_auth_code_flow(
            self._scopes,
            redirect_uri=redirect_uri,
            response_mode="form_post",
            login_hint=login_hint,
            claims_challenge=json_object(claims),
            prompt=msal.Prompt.SELECT_ACCOUNT if fresh is None else msal.Prompt.LOGIN,
            max_age=None if fresh is None else int(fresh.total_seconds()),
        )
        return Started(flow["state"], Secret(json.dumps(flow)))

    def address_of(self, flow: Secret) -> str:
        """Where to send the browser of a flow."""
        return self._authority.real(json.loads(flow.reveal())["auth_uri"])

    def redeem(self, flow: Secret, form: Mapping[str, str], *, now: datetime) -> tuple[Account, Secret]:
        """Turn what the browser brought back into an account and its cache.

        Raises SignInRefused, or CouldNotVerify where Entra is away.
        """
        begun = json.loads(flow.reveal())
        # Ours to check, on our clock and with a reason: MSAL raises the same error for much else.
        asked = begun.pop("max_age", None)
        max_age = None if asked is None else timedelta(seconds=asked)
        cache = msal.SerializableTokenCache()
        app = self._app(cache)
        result = guarded(lambda: app.acquire_token_by_auth_code_flow(begun, dict(form)))
        return self._signed_in(result, cache, now=now, max_age=max_age)

    def start_code(self, *, claims: str | None) -> StartedCode:
        """Ask for a device code; raises SignInRefused where Entra gives none, CouldNotVerify."""
        return device_code.start(self._code_app(msal.SerializableTokenCache()), self._scopes, claims)

    def poll_code(
        self, flow: Secret, *, claims: str | None, now: datetime
    ) -> tuple[Account, Secret] | Pending:
        """Ask once whether the code was used; raises SignInRefused, or CouldNotVerify where Entra is away."""
        cache = msal.SerializableTokenCache()
        result = device_code.ask(self._code_app(cache), flow, claims)
        return result if isinstance(result, Pending) else self._signed_in(result, cache, now=now)

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
            note(error)
            result = {"error": "temporarily_unavailable"}
        if result is None or "access_token" not in result:
            raise not_silent(result, claims)
        changed = Secret(cache.serialize()) if cache.has_state_changed else None
        return Silent(Secret(result["access_token"]), changed)

    def _signed_in(
        self,
        result: Result,
        cache: msal.SerializableTokenCache,
        *,
        now: datetime,
        max_age: timedelta | None = None,
    ) -> tuple[Account, Secret]:
        """The account and the cache that an answer of the token endpoint brings."""
        if "error" in result:
            raise refused(result)
        token = str(result.get("id_token", ""))
        account = guarded(lambda: self._ids.account(token, now=now, max_age=max_age))
        return account, Secret(cache.serialize())

    def _code_app(self, cache: msal.SerializableTokenCache) -> msal.PublicClientApplication:
        """An instance with an HTTP cache of its own.

        MSAL keeps a 5xx for all device codes of an app together: one person's would be everybody's.
        """
        self._app(cache, self._discovery)
        return self._app(cache, copy.deepcopy(self._discovery))

    def _app(
        self, cache: msal.SerializableTokenCache, http_cache: dict[str, object] | None = None
    ) -> msal.ClientApplication:
        """An instance of its own for every cache: swapping the cache of a shared one would be a race.

        Cheap, because discovery is in the shared HTTP cache. Instance discovery stays off: the hosts that it
        would vouch for are the well-known ones, and it would call out after every refused refresh.
        """
        used = self._http_cache if http_cache is None else http_cache
        kind, more = msal.PublicClientApplication, {}
        if self._credential is not None:
            kind = msal.ConfidentialClientApplication
            more = {"client_credential": self._credential.for_msal}
        try:
            return kind(
                self._client_id,
                token_cache=cache,
                http_client=self._wire,
                http_cache=used,
                client_capabilities=CAPABILITIES,
                instance_discovery=False,
                **more,
                **self._authority.for_msal,
            )
        except (*AWAY, *BROKEN) as error:
            # A broken discovery that came with a 200 would be believed for a day.
            used.clear()
            raise CouldNotVerify(ENTRA) from error
