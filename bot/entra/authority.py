"""Who signs people in: one of Microsoft's own hosts, or another OpenID provider in the shape of theirs."""

from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

from msal.authority import WELL_KNOWN_AUTHORITY_HOSTS  # type: ignore[import-untyped]  # msal ships no types

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_VERSION: Final = "/v2.0"
_DISCOVERY: Final = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class Authority:
    """An authority as MSAL wants it spelled, and the way back to where it really is.

    MSAL takes https addresses only. Plain http is allowed for this very machine alone, where it is how the
    sandbox is reached; MSAL is given the https spelling, and exactly that origin is called over http.
    """

    url: str
    """Without a trailing slash; for Microsoft's hosts without a version, for others the issuer's address."""
    is_microsoft: bool
    plain_origin: str
    """`http://host:port` where calls go there over http; else empty."""

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read `ENTRA_AUTHORITY`, or raise ValueError with a sentence for the installer."""
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
        plain_origin = f"http://{parts.netloc}" if parts.scheme == "http" else ""
        return cls(f"https://{parts.netloc}{path}", is_microsoft, plain_origin)

    @property
    def discovery_url(self) -> str:
        """Where the OpenID configuration is, in MSAL's spelling."""
        return f"{self.url}{_VERSION if self.is_microsoft else ''}{_DISCOVERY}"

    @property
    def for_msal(self) -> dict[str, str]:
        """The constructor argument of MSAL that this authority goes into."""
        return {"authority" if self.is_microsoft else "oidc_authority": self.url}

    def real(self, url: str) -> str:
        """Where an address in MSAL's spelling really is."""
        if self.plain_origin and f"{url}/".startswith(f"{self._secure_origin}/"):
            return self.plain_origin + url[len(self._secure_origin) :]
        return url

    def spelled(self, text: str) -> str:
        """An OpenID configuration as MSAL wants it spelled."""
        return text.replace(f"{self.plain_origin}/", f"{self._secure_origin}/") if self.plain_origin else text

    @property
    def _secure_origin(self) -> str:
        return self.plain_origin.replace("http:", "https:", 1)
