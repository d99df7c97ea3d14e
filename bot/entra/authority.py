"""Where people sign in and how Unlatch authenticates there: what the installer sets, parsed strictly."""

import re
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msal.authority import WELL_KNOWN_AUTHORITY_HOSTS  # type: ignore[import-untyped]  # msal ships no types

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_VERSION: Final = "/v2.0"
_DISCOVERY: Final = "/.well-known/openid-configuration"
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
            raise ValueError(
                f"“{url}” is not an authority such as https://login.microsoftonline.com/<tenant id>"
            )
        if parts.username or parts.query or parts.fragment:
            raise ValueError("an authority has no user, query or fragment")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise ValueError(f"“{url}” is plain http, which is allowed for 127.0.0.1 and localhost only")
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
    """A client secret or a certificate: what MSAL calls `client_credential`. Its repr shows nothing of it."""

    for_msal: str | dict[str, str]

    @classmethod
    def certificate(cls, pem: str) -> Self:
        """Parse a PEM text with an unencrypted private key and its certificate, in any order.

        Raises ValueError with a sentence for the installer that repeats nothing of the PEM.
        """
        blocks = {match.group(1): match.group(0) for match in reversed(list(_PEM_BLOCK.finditer(pem)))}
        key = next((text for name, text in blocks.items() if name.endswith("PRIVATE KEY")), "")
        certificate = blocks.get("CERTIFICATE", "")  # of a chain the first, which is the app's
        if not (key and certificate):
            raise ValueError("the certificate file needs a PRIVATE KEY block and a CERTIFICATE block")
        try:
            private = load_pem_private_key(key.encode(), password=None)
            public = x509.load_pem_x509_certificate(certificate.encode()).public_key()
        except (ValueError, TypeError):
            raise ValueError(
                "the certificate file cannot be read; the private key must not be encrypted"
            ) from None
        if private.public_key() != public:
            raise ValueError("the private key and the certificate in the certificate file do not match")
        return cls({"private_key": key, "public_certificate": certificate})
