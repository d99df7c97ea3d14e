"""The HTTP client that MSAL uses: httpx in the shape that MSAL expects of `requests`."""

from collections.abc import Mapping
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx
import requests.exceptions

from bot.domain.values import read_object
from bot.entra.authority import Authority
from bot.timing import Timing


class EntraUnavailable(requests.exceptions.ConnectionError):
    """Entra did not answer, or not with what it documents.

    A `requests` exception: MSAL falls back on a token that is still valid after those only.
    """


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """What MSAL reads of a response."""

    status_code: int
    text: str
    headers: Mapping[str, str]


class MsalHttp:
    """MSAL's `http_client`; also fetches the OpenID configuration and keys. Synchronous, safe in threads.

    Three traps of giving MSAL a bare httpx.Client, each closed here: a certificate's assertion is bytes,
    which httpx would send as "b'…'"; a header may be None; and MSAL knows the exceptions of `requests` only.
    One client serves every approver, so it keeps no cookies.
    """

    def __init__(
        self, authority: Authority, timing: Timing, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._authority = authority
        read = timing.entra_timeout.total_seconds()
        self._http = httpx.Client(
            transport=transport,
            timeout=httpx.Timeout(read / 3, read=read),
            follow_redirects=False,
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
        )

    def get(self, url: str, **arguments: Any) -> Answer:
        """GET an OpenID configuration or keys, in MSAL's form. MSAL passes `params` and `headers`."""
        answer = self._send("GET", url, **arguments)
        return Answer(answer.status_code, self._authority.for_msal_text(answer.text), answer.headers)

    def post(self, url: str, **arguments: Any) -> Answer:
        """POST to the token endpoint. MSAL passes `params`, `headers` and `data`."""
        answer = self._send("POST", url, **arguments)
        if answer.status_code < 500 and read_object(answer.text) is None:
            # MSAL would log the whole body, which may hold tokens.
            raise EntraUnavailable("the answer of the token endpoint is not JSON")
        return Answer(answer.status_code, answer.text, answer.headers)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _send(
        self,
        method: str,
        url: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str | None] | None = None,
        data: Mapping[str, object] | None = None,
    ) -> httpx.Response:
        fields = {
            name: value.decode() if isinstance(value, bytes) else str(value)
            for name, value in (data or {}).items()
        }
        try:
            return self._http.request(
                method,
                self._authority.real_url(url),
                params=params,
                headers={name: value for name, value in (headers or {}).items() if value is not None},
                data=fields or None,
            )
        except (httpx.RequestError, httpx.InvalidURL) as error:  # the URL is one that Entra named
            reason = type(error).__name__
        # Outside of the except: an httpx exception carries the request, and with it secrets.
        raise EntraUnavailable(reason)
