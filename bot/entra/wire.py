"""The HTTP client that MSAL talks through: httpx, in the shape that MSAL expects of `requests`."""

from collections.abc import Mapping
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import httpx
import requests.exceptions

from bot.domain.json_objects import read_object
from bot.entra.authority import Authority

TIMEOUT: Final = httpx.Timeout(connect=5.0, write=5.0, pool=5.0, read=15.0)
_SERVER_ERROR: Final = 500


class EntraAway(requests.exceptions.ConnectionError):
    """Entra did not answer, or not with what it documents.

    A `requests` exception, because MSAL falls back on a token that is still valid for those alone.
    """


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """What MSAL reads of a response."""

    status_code: int
    text: str
    headers: Mapping[str, str]


class Wire:
    """MSAL's `http_client`; also fetches the OpenID configuration and keys. Synchronous, safe in threads.

    Three traps of handing MSAL a bare httpx.Client, each closed here: a certificate's assertion is bytes,
    which httpx would send as "b'…'"; a header may be None; and MSAL knows the exceptions of `requests` only.
    """

    def __init__(self, authority: Authority, transport: httpx.BaseTransport | None = None) -> None:
        self._authority = authority
        self._http = httpx.Client(
            transport=transport,
            timeout=TIMEOUT,
            follow_redirects=False,
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
        )

    def get(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """GET an OpenID configuration or keys, in MSAL's spelling."""
        answer = self._send("GET", url, params, headers)
        return Answer(answer.status_code, self._authority.spelled(answer.text), answer.headers)

    def post(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        data: Mapping[str, object] | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """POST to the token endpoint."""
        answer = self._send("POST", url, params, headers, data)
        if answer.status_code < _SERVER_ERROR and read_object(answer.text) is None:
            # MSAL would log the whole body, which may hold tokens.
            raise EntraAway("the answer of the token endpoint is not JSON")
        return Answer(answer.status_code, answer.text, answer.headers)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _send(
        self,
        method: str,
        url: str,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str | None] | None,
        data: Mapping[str, object] | None = None,
    ) -> httpx.Response:
        try:
            return self._http.request(
                method,
                self._authority.real(url),
                params=params,
                headers={name: value for name, value in (headers or {}).items() if value is not None},
                data=None if data is None else {name: _field(value) for name, value in data.items()},
            )
        except httpx.RequestError as error:
            why = type(error).__name__
        # Outside of the except: an httpx exception carries the request, and with it secrets.
        raise EntraAway(why)


def _field(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
