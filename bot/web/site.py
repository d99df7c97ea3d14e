"""The web application: routes, and around every one of them the limits and the headers."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from bot.web.headers import Headers
from bot.web.limits import BodyLimit


def site(routes: Sequence[BaseRoute], *, https: bool) -> ASGIApp:
    """`https`: whether browsers reach it by https.

    No redirects between paths with and without a slash: they would repeat the Host that a stranger sent.
    """
    app = Starlette(routes=routes, middleware=[Middleware(BodyLimit)])
    app.router.redirect_slashes = False
    return Headers(app, https=https)
