"""The sign-in in the browser: the private link, Microsoft's answer, and the person's yes or no.

Plain HTML: no script, nothing from another host, nothing kept by the browser.
"""

import base64
import hashlib
import html
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from bot.domain.errors import Code, CouldNotVerify, Refusal, SignInRefused, UnlatchError
from bot.domain.people import Account, Confirmation, SignInLink
from bot.domain.values import Secret, visible
from bot.use_cases.deps import Deps
from bot.use_cases.sign_in import PendingSignIn, authorization_url, confirm, decline, receive

MAX_FIELDS: Final = 50
DECLINED: Final = (
    "Thanks for checking: no one can act as you, and we deleted the sign-in. "
    "If someone sent you the link, tell your security team: it would have let them act as you."
)

_STYLE: Final = Path(__file__).with_suffix(".css").read_text("utf-8")
STYLE_SOURCE: Final = f"'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'"
"""What the Content-Security-Policy allows: this one style and nothing else."""


@dataclass(repr=False, eq=False)
class SignInPages:
    """The three requests of one sign-in.

    `resume(link, outcome)` continues the modal that waits in Slack, in the background. `sentence` words a
    refusal. `secure`: browsers reach us over https.
    """

    deps: Deps
    resume: Callable[[SignInLink, Account | SignInRefused], None]
    sentence: Callable[[UnlatchError], str]
    secure: bool = field(default=True, kw_only=True)

    @property
    def _cookie(self) -> str:
        """The prefix makes browsers refuse one that was set for a whole domain, or over plain http."""
        return "__Host-unlatch-sign-in" if self.secure else "unlatch-sign-in"

    def routes(self) -> list[Route]:
        """Return the routes; the fixed paths come first, or they would be taken for links."""
        return [
            Route("/sign-in/callback", self.callback, methods=["GET", "POST"]),
            Route("/sign-in/confirm", self.confirm, methods=["POST"]),
            Route("/sign-in/{link}", self.start, methods=["GET"]),
        ]

    async def start(self, request: Request) -> Response:
        """Redirect the private link to Microsoft. Opening it uses nothing up: chat clients preview links."""
        try:
            url = await authorization_url(self.deps, Secret(str(request.path_params["link"])))
        except UnlatchError as error:
            return self._error_page(error)
        return RedirectResponse(url, status_code=303)

    async def callback(self, request: Request) -> Response:
        """Take Microsoft's answer, posted by the browser (`response_mode=form_post`), and ask: both you?"""
        try:
            pending = await receive(self.deps, _form(await request.body()))
        except UnlatchError as error:
            return self._refused(error)
        page = _confirm_page(pending)
        self._set_cookie(page, pending.confirmation.cookie.reveal(), self.deps.timing.link_lifetime)
        return page

    async def confirm(self, request: Request) -> Response:
        """Take the person's yes or no, with the secret of the page and the one of the browser."""
        form = _form(await request.body())
        cookie = Secret(request.cookies.get(self._cookie, ""))
        confirmation = Confirmation(Secret(form.get("page", "")), cookie)
        try:
            if form.get("answer") == "yes":
                link, account = await confirm(self.deps, confirmation)
                self.resume(link, account)
                page = _done_page(account)
            else:
                self._refused(await decline(self.deps, confirmation))
                page = _text_page("Not linked", DECLINED, status=200)
        except UnlatchError as error:
            return self._refused(error)  # the cookie stays: it may belong to a sign-in in another tab
        self._set_cookie(page, "", timedelta(0))
        return page

    def _refused(self, error: UnlatchError) -> Response:
        """Say it here, and in Slack to the person who asked for the link."""
        if isinstance(error, SignInRefused) and error.link is not None:
            self.resume(error.link, error)
        return self._error_page(error)

    def _error_page(self, error: UnlatchError) -> Response:
        title, status = "You are not signed in", 403
        if isinstance(error, Refusal) and error.code is Code.LINK_UNUSABLE:
            title, status = "This link no longer works", 410
        elif isinstance(error, CouldNotVerify) or not isinstance(error, Refusal):
            title, status = "Sign-in is not available", 503
        return _text_page(title, self.sentence(error), status=status)

    def _set_cookie(self, response: Response, value: str, lifetime: timedelta) -> None:
        """Set the browser's half of a confirmation: for this host, no script, and never sent across sites.

        Microsoft's answer comes across sites, so it cannot carry the cookie; the form of our own page does.
        """
        response.set_cookie(
            self._cookie,
            value,
            max_age=int(lifetime.total_seconds()),
            path="/",
            secure=self.secure,
            httponly=True,
            samesite="strict",
        )


def _form(raw: bytes) -> dict[str, str]:
    """Return the fields of a form; none where it has more than Microsoft would send."""
    try:
        return dict(parse_qsl(raw.decode(errors="replace"), max_num_fields=MAX_FIELDS))
    except ValueError:
        return {}


def _confirm_page(pending: PendingSignIn) -> HTMLResponse:
    """Show which account is about to be linked to which Slack user. Nothing is linked before the yes."""
    account, person = pending.account, pending.person
    return _page(
        "Link your accounts",
        f"""<h1>Are both of these you?</h1>
<dl>
<dt>Link this Microsoft account</dt>
<dd class="who">{_escape(account.name)}<br>{_escape(account.username)}</dd>
<dt>to this Slack user:</dt>
<dd class="who">{_escape(person.name)}<br>{_escape(person.email or "")}</dd>
</dl>
<p>What this Slack user requests will count as yours, and resets they approve will run as your Microsoft
account. Continue only if both are you.</p>
<form method="post" action="/sign-in/confirm">
<input type="hidden" name="page" value="{_escape(pending.confirmation.page.reveal())}">
<button name="answer" value="yes">Yes, both are me</button>
<button name="answer" value="no">No, someone sent me this link</button>
</form>""",
    )


def _done_page(account: Account) -> HTMLResponse:
    return _page(
        "Signed in",
        f"""<h1>You are signed in</h1>
<p class="who">What {_escape(account.name)} does in Slack counts as done by {_escape(account.username)}</p>
<p>You can close this tab. The window in Slack has continued.</p>""",
    )


def _text_page(title: str, sentence: str, *, status: int) -> HTMLResponse:
    return _page(title, f"<h1>{_escape(title)}</h1>\n<p>{_escape(sentence)}</p>", status=status)


def _escape(text: str) -> str:
    """Return text as it looks: people choose their names, and could turn the words around them."""
    return html.escape(visible(text))


def _page(title: str, body: str, *, status: int = 200) -> HTMLResponse:
    whole = f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_escape(title)}</title><style>{_STYLE}</style></head>
<body><main>
{body}
</main></body>
</html>"""
    return HTMLResponse(whole, status_code=status)
