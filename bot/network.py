"""How Slack and Microsoft are reached alike: which certificates are trusted, and through which proxy."""

import os
import re
import select
import ssl
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from bot.domain.values import LOOPBACK

_HOST: Final = re.compile(r"[\w.*/-]+", re.ASCII)
"""What httpx can read of NO_PROXY; networks of IPv6 and ports are of no vendor's address."""
_KEPT: Final = ("PGPASSWORD", "PGPASSFILE", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY")
_PROXY: Final = re.compile(r"(https?://)?([^\s/?#]*@)?([\w.-]+|\[[\da-f:]+])(:\d{1,5})?/?", re.ASCII | re.I)


@cache
def tls_context() -> ssl.SSLContext:
    """Return the TLS settings of every client: the system's store, or SSL_CERT_FILE and SSL_CERT_DIR.

    Left alone, httpx trusts the list of certifi, and aiohttp what the variables said when it was imported.
    """
    return ssl.create_default_context()


def proxy_for(url: str) -> str | None:
    """Return the proxy that the environment names for `url`, as httpx finds it; raises ValueError.

    For aiohttp, whose own `trust_env` would also send a login of ~/.netrc in the place of Slack's token, and
    for Slack's SDK, which knows no NO_PROXY.
    """
    address, proxies = urlsplit(url), getproxies()
    named = proxies.get("https") or proxies.get("all")
    if not named or address.scheme not in ("https", "wss") or proxy_bypass(address.hostname or ""):
        return None
    return named if "://" in named else f"http://{named}"


def note(sentence: str) -> None:
    """Say it on standard error, unless its reader is gone or has no room."""
    with suppress(OSError):
        if select.select([], [2], [], 0)[1]:
            os.write(2, f"{sentence}\n".encode(errors="backslashreplace"))


def clean_environment() -> Iterator[str]:
    """Take out of the environment what the clients below stumble over or obey; yield a sentence for each."""
    for name in [name for name in os.environ if name.startswith(("PG", "PSYCOPG_")) and name not in _KEPT]:
        del os.environ[name]
        yield f"{name} is ignored: DATABASE_URL alone says how PostgreSQL is reached."
    if os.environ.pop("SSLKEYLOGFILE", None):
        yield "SSLKEYLOGFILE is ignored: no keys of TLS are written."
    if "SSL_CERT_FILE" in os.environ:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(os.environ["SSL_CERT_FILE"])
        except OSError:  # OpenSSL would trust nobody, without a word
            del os.environ["SSL_CERT_FILE"]
            yield "SSL_CERT_FILE is ignored: it names no readable file of certificates in PEM."
    for name in [name for name in os.environ if name.lower() in ("all_proxy", "http_proxy", "https_proxy")]:
        os.environ[name] = os.environ[name].strip()
        if os.environ[name] and not _PROXY.fullmatch(os.environ[name]):
            del os.environ[name]
            yield f"{name} is ignored: it is no http:// proxy, and other kinds (SOCKS) are not used."
    hosts = re.split(r"[\s,]+", os.environ.get("no_proxy") or os.environ.get("NO_PROXY", ""))
    known = [host.lstrip("*.") for host in hosts if _HOST.fullmatch(host)]
    os.environ["no_proxy"] = "*" if "*" in hosts else ",".join([*known, *sorted(LOOPBACK)])
