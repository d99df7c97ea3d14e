"""The sign-in in the browser: the private link, Microsoft's answer, and the person's yes or no.

Plain HTML: no script, nothing from another host, nothing kept by the browser.
"""

import asyncio
import base64
import hashlib
import html
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
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
from bot.use_cases.sign_in import PendingSignIn, authorization_url, confirm, decline, offer_again, receive

MAX_FIELDS: Final = 50
UNUSABLE: Final = (
    "This sign-in link has expired or was already used. "
    "Go back to Slack and press Approve again, or type /reset-passcode sign-in, to get a new one."
)
DECLINED: Final = (
    "Thanks for checking: no one can act as you, and we deleted the sign-in. "
    "If someone sent you the link, tell your security team: it would have let them act as you."
)
KEPT: Final = "Your link still works: reload this page, or press the button in Slack again."

_STYLE: Final = Path(__file__).with_suffix(".css").read_text("utf-8")
STYLE_SOURCE: Final = f"'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'"
"""What the Content-Security-Policy allows: this one style and nothing else."""


@dataclass(repr=False, eq=False)
class SignInPages:
    """The three requests of one sign-in.

    `resume(link, outcome, url)` continues the modal that waits in Slack, in the background; `url` is a new
    link for who was refused. `sentence` words a refusal. `secure`: browsers reach us over https.
    """

    deps: Deps
    resume: Callable[[SignInLink, Account | SignInRefused, str | None], None]
    sentence: Callable[[Refusal], str]
    secure: bool = field(default=True, kw_only=True)
    _answers: dict[bytes, tuple[datetime, asyncio.Task[Response]]] = field(init=False, default_factory=dict)
    """By a form's digest: until when it is kept, and what was answered."""

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
        return await self._once(request, self._callback)

    async def _callback(self, form: Mapping[str, str], _cookie: str) -> Response:
        try:
            pending = await receive(self.deps, form)
        except UnlatchError as error:
            return await self._refused(error)
        page = _confirm_page(pending)
        self._set_cookie(page, pending.confirmation.cookie.reveal(), self.deps.timing.link_lifetime)
        return page

    async def confirm(self, request: Request) -> Response:
        """Take the person's yes or no, with the secret of the page and the one of the browser."""
        return await self._once(request, self._confirm)

    async def _confirm(self, form: Mapping[str, str], cookie: str) -> Response:
        confirmation = Confirmation(Secret(form.get("page", "")), Secret(cookie))
        try:
            if form.get("answer") == "yes":
                link, account = await confirm(self.deps, confirmation)
                self.resume(link, account, None)
                page = _done_page(account)
            else:
                await self._refused(await decline(self.deps, confirmation))
                page = _text_page("Not linked", DECLINED, status=200)
        except UnlatchError as error:
            return await self._refused(error)  # the cookie stays: it may belong to a sign-in in another tab
        self._set_cookie(page, "", timedelta(0))
        return page

    async def _once(
        self, request: Request, answer: Callable[[Mapping[str, str], str], Awaitable[Response]]
    ) -> Response:
        """Answer a form that comes again (pressed twice, reloaded) as the first time, for `link_lifetime`.

        What could not be done, or was for nothing of ours, is tried again.
        """
        body, now = await request.body(), self.deps.now()
        self._answers = {one: kept for one, kept in self._answers.items() if kept[0] > now}
        key = hashlib.sha256(request.url.path.encode() + b" " + body).digest()
        if key not in self._answers:
            work = asyncio.ensure_future(answer(_form(body), request.cookies.get(self._cookie, "")))
            self._answers[key] = now + self.deps.timing.link_lifetime, work
        try:
            response = await asyncio.shield(self._answers[key][1])
        except Exception:
            self._answers.pop(key, None)
            raise
        if response.status_code in (410, 503):
            self._answers.pop(key, None)
        return response

    async def _refused(self, error: UnlatchError) -> Response:
        """Say it here, and in Slack to the person who asked for the link; both lead on to a new one."""
        url = None
        if isinstance(error, SignInRefused) and error.link is not None:
            url = await offer_again(self.deps, error.link, error.claims)
            self.resume(error.link, error, url)
        return self._error_page(error, url)

    def _error_page(self, error: UnlatchError, url: str | None = None) -> Response:
        match error:
            case Refusal(code=Code.LINK_UNUSABLE):
                return _text_page("This link no longer works", UNUSABLE, status=410)
            case Refusal() if not isinstance(error, CouldNotVerify):
                return _text_page("You are not signed in", self.sentence(error), status=403, url=url)
            case CouldNotVerify(lasts=True):
                return _text_page("Sign-in is unavailable", self.sentence(error), status=503)
            case _:  # Slack, Entra or the database does not answer
                why = self.sentence(error) if isinstance(error, Refusal) else "Try again in a minute."
                return _text_page("Sign-in is temporarily unavailable", f"{why} {KEPT}", status=503)

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


def _text_page(title: str, sentence: str, *, status: int, url: str | None = None) -> HTMLResponse:
    """Show one sentence, and the way on to a new sign-in where there is one."""
    again = f'\n<a class="button" href="{html.escape(url)}">Sign in again</a>' if url else ""
    return _page(title, f"<h1>{_escape(title)}</h1>\n<p>{_escape(sentence)}</p>{again}", status=status)


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
