"""The HTTP client that talks to Graph: explicit timeouts, no redirects, no cookies."""

from datetime import timedelta
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import httpx

TIMEOUT: Final = httpx.Timeout(connect=5.0, write=5.0, pool=5.0, read=20.0)
RESET_MAY_TAKE: Final = timedelta(seconds=35)
"""The whole reset call; shorter than `Timing.attempt`, after which nobody is thought to wait for it."""


def graph_client(transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    """A client for `GraphDevices`; the caller closes it.

    One client serves every approver, so it keeps no cookies: a cookie set for one would be sent for all.
    """
    return httpx.AsyncClient(
        transport=transport,
        timeout=TIMEOUT,
        follow_redirects=False,
        cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
    )
