"""Where people sign in, how Unlatch authenticates there, and the HTTP client with which MSAL gets there."""

import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx
import requests.exceptions
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msal.authority import WELL_KNOWN_AUTHORITY_HOSTS  # type: ignore[import-untyped]  # msal ships no types

from bot.domain.values import LOOPBACK, read_object
from bot.network import tls_context
from bot.timing import Timing

_VERSION, _DISCOVERY = "/v2.0", "/.well-known/openid-configuration"
_PEM_BLOCK: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Authority:
    """An authority in the https form that MSAL requires, and its real address.

    Plain http is allowed on a loopback address alone, where the sandbox is; MSAL is given the https form, and
    exactly that origin is called over http.
    """

    url: str
    """Without a trailing slash; of Microsoft's hosts without a version, of others the issuer's address."""
    is_microsoft: bool
    http_origin: str
    """`http://host:port` where calls go there over http; else empty."""

    @classmethod
    def parse(cls, url: str) -> Self:
        """Parse `ENTRA_AUTHORITY`, or raise ValueError with a sentence for the installer."""
        parts = urlsplit(url.strip().rstrip("/"))
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.path in ("", "/"):
            raise ValueError("ENTRA_AUTHORITY is not such as https://login.microsoftonline.com/<tenant id>")
        if parts.username or parts.query or parts.fragment:
            raise ValueError("ENTRA_AUTHORITY has a user, a query or a fragment")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise ValueError("plain http is allowed in ENTRA_AUTHORITY for 127.0.0.1 and localhost only")
        is_microsoft = parts.hostname in WELL_KNOWN_AUTHORITY_HOSTS
        path = parts.path.removesuffix(_VERSION) if is_microsoft else parts.path
        http_origin = f"http://{parts.netloc}" if parts.scheme == "http" else ""
        return cls(f"https://{parts.netloc}{path}", is_microsoft, http_origin)

    @property
    def discovery_url(self) -> str:
        """Where the OpenID configuration is, in MSAL's form."""
        return f"{self.url}{_VERSION if self.is_microsoft else ''}{_DISCOVERY}"

    @property
    def for_msal(self) -> dict[str, str]:
        """The argument of MSAL's constructor that takes this authority."""
        return {"authority" if self.is_microsoft else "oidc_authority": self.url}

    def real_url(self, url: str) -> str:
        """Return the real address of a URL in MSAL's form."""
        if self.http_origin and f"{url}/".startswith(f"{self._https_origin}/"):
            return self.http_origin + url[len(self._https_origin) :]
        return url

    def for_msal_text(self, text: str) -> str:
        """Return an OpenID configuration with its URLs in MSAL's form."""
        return text.replace(f"{self.http_origin}/", f"{self._https_origin}/") if self.http_origin else text

    @property
    def _https_origin(self) -> str:
        return self.http_origin.replace("http:", "https:", 1)


@dataclass(frozen=True, slots=True, repr=False)
class Credential:
    """A secret, certificate or assertion, as MSAL's `client_credential`. Its repr shows nothing of it."""

    for_msal: str | dict[str, str] | dict[str, Callable[[], str]]

    @classmethod
    def certificate(cls, pem: str) -> Self:
        """Parse a PEM text with an unencrypted private key and its certificate, in any order.

        Raises ValueError with a sentence for the installer that repeats nothing of the PEM.
        """
        blocks = {match.group(1): match.group(0) for match in reversed(list(_PEM_BLOCK.finditer(pem)))}
        key = next((text for name, text in blocks.items() if name.endswith("PRIVATE KEY")), "")
        certificate = blocks.get("CERTIFICATE", "")  # of a chain the first, which is the app's
        if not (key and certificate):
            raise ValueError(
                "the certificate file needs a PRIVATE KEY block and a CERTIFICATE block; of a PFX file "
                "`openssl pkcs12 -in app.pfx -nodes -out app.pem` makes one"
            )
        try:
            private = load_pem_private_key(key.encode(), password=None)
            public = x509.load_pem_x509_certificate(certificate.encode())
        except (ValueError, TypeError):
            raise ValueError("the certificate file is damaged, or its private key encrypted") from None
        if not isinstance(private, RSAPrivateKey) or private.key_size < 2048:
            raise ValueError("the private key in the certificate file is not RSA of 2048 bits or more")
        if private.public_key() != public.public_key():
            raise ValueError("the private key and the certificate in the certificate file do not match")
        if public.not_valid_after_utc < datetime.now(UTC):
            raise ValueError(f"the certificate ended on {public.not_valid_after_utc:%Y-%m-%d}")
        return cls({"private_key": key, "public_certificate": certificate})

    @classmethod
    def assertion(cls, file: Path) -> Self:
        """Use the token of another identity provider in `file`, which is read anew for each call to Entra.

        Such a token lives for an hour or so, and who renews it writes the file again (Microsoft's "Workload
        identity federation"). Raises EntraUnavailable, here and at each call.
        """

        def read() -> str:
            token = ""
            with suppress(OSError):
                token = file.read_text(errors="replace").strip()
            if token.count(".") != 2:
                raise EntraUnavailable("ENTRA_CLIENT_ASSERTION_FILE names no file with a token (JWT)")
            return token

        read()
        return cls({"client_assertion": read})


class EntraUnavailable(requests.exceptions.ConnectionError):
    """Entra did not answer, or not with what it documents.

    A `requests` exception: MSAL falls back on a token that is still valid after those only.
    """


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
        self._away_until, self._away = 0.0, timing.entra_away.total_seconds()
        read = timing.entra_timeout.total_seconds()
        self._http = httpx.Client(
            transport=transport,
            verify=tls_context(),
            timeout=httpx.Timeout(read / 3, read=read),
            follow_redirects=False,
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
        )

    def get(self, url: str, **arguments: Any) -> httpx.Response:
        """GET an OpenID configuration or keys, in MSAL's form. MSAL passes `params` and `headers`."""
        answer = self._send("GET", url, **arguments)
        return httpx.Response(answer.status_code, text=self._authority.for_msal_text(answer.text))

    def post(self, url: str, **arguments: Any) -> httpx.Response:
        """POST to the token endpoint. MSAL passes `params`, `headers` and `data`.

        MSAL's HTTP cache keeps an answer of 429 or 5xx for 5 s, and any for as long as its Retry-After says,
        up to an hour. Its key has the refresh token but leaves out the code, so one approver's failed
        redemption would be every other approver's answer. What raises or has no such header is not kept:
        only a refresh waits, and only where Entra asks for it.
        Source: msal/throttled_http_client.py of MSAL 1.39.
        """
        answer = self._send("POST", url, **arguments)
        is_refresh = arguments.get("data", {}).get("grant_type") == "refresh_token"
        waits = is_refresh and "retry-after" in answer.headers
        fails = answer.status_code == 429 or answer.status_code >= 500
        if fails and not waits:
            raise EntraUnavailable(f"HTTP {answer.status_code}")
        if read_object(answer.text) is None:  # MSAL would log the whole body, which may hold tokens
            if not fails:
                raise EntraUnavailable("the answer of the token endpoint is not JSON")
            waiting = {"retry-after": answer.headers["retry-after"]}
            answer = httpx.Response(answer.status_code, headers=waiting, text="{}")
        if not waits:
            answer.headers.pop("retry-after", None)
        return answer

    def hangs(self) -> None:
        """Fail at once for a moment; then one call finds out whether Entra answers again."""
        self._away_until = time.monotonic() + self._away

    def close(self) -> None:
        self._http.close()

    def _send(
        self,
        method: str,
        url: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str | None] | None = None,
        data: Mapping[str, object] | None = None,
    ) -> httpx.Response:
        given = (data or {}).items()
        texts = {name: one.decode() if isinstance(one, bytes) else str(one) for name, one in given}
        if time.monotonic() < self._away_until:
            raise EntraUnavailable("it did not answer a moment ago")
        if self._away_until:
            self.hangs()  # for the others, until this call is answered
        try:
            answer = self._http.request(
                method,
                self._authority.real_url(url),
                params=params,
                headers={name: value for name, value in (headers or {}).items() if value is not None},
                data=texts or None,
            )
            self._away_until = 0.0
            return answer
        except httpx.TimeoutException as error:
            self.hangs()
            reason = type(error).__name__
        except (httpx.RequestError, httpx.InvalidURL) as error:  # the URL is one that Entra named
            reason = type(error).__name__
        # Outside of the except: an httpx exception carries the request, and with it secrets.
        raise EntraUnavailable(reason)
