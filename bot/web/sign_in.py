"""The sign-in in the browser: the private link, Microsoft's answer, and the person's yes or no.

Plain HTML: no script, nothing from another host, nothing kept by the browser.
"""

import asyncio
import base64
import hashlib
import html
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final, Literal
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from bot.domain.errors import Code, CouldNotVerify, Refusal, SignInRefused, UnlatchError
from bot.domain.people import Account, Confirmation, Person, SignInLink
from bot.domain.values import Secret, UserId, visible
from bot.use_cases.deps import Deps
from bot.use_cases.sign_in import authorization_url, confirm, decline, offer_again, receive

MAX_FIELDS: Final = 50
DECLINED: Final = (
    "Thanks for checking: no one can act as you, and we deleted the sign-in. "
    "If someone sent you the link, tell your security team: it would have let them act as you."
)
KEPT: Final = "Your link still works: press the button in Slack again, or reload this page."

CONFIRM, BROWSER = "sign-in", "browser"
"""Names of cookies."""
SameSite = Literal["strict", "lax", "none"]
Answer = tuple[Response, tuple[UserId, Account] | None]
"""And whom a yes linked."""

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
    sentence: Callable[[UnlatchError], str]
    secure: bool = field(default=True, kw_only=True)
    _answers: dict[bytes, tuple[datetime, asyncio.Task[Answer]]] = field(init=False, default_factory=dict)
    """By the digest of a form and its browser: until when it is kept, and what was answered."""

    def _cookie(self, name: str) -> str:
        """The prefix makes browsers refuse one that was set for a whole domain, or over plain http."""
        return f"__Host-unlatch-{name}" if self.secure else f"unlatch-{name}"

    def routes(self) -> list[Route]:
        """Return the routes; the fixed paths come first, or they would be taken for links."""
        return [
            Route("/sign-in/callback", partial(self._once, self._callback), methods=["GET", "POST"]),
            Route("/sign-in/confirm", partial(self._once, self._confirm), methods=["POST"]),
            Route("/sign-in/{link}", self.start, methods=["GET"]),
        ]

    async def start(self, request: Request) -> Response:
        """Redirect the private link to Microsoft. Opening it uses nothing up: chat clients preview links."""
        try:
            url = await authorization_url(self.deps, Secret(str(request.path_params["link"])))
        except UnlatchError as error:
            return self._error_page(error)
        response, age = RedirectResponse(url, status_code=303), self.deps.timing.link_lifetime
        # It comes back with Microsoft's answer, across sites: what comes again is from this browser.
        self._set_cookie(response, BROWSER, secrets.token_urlsafe(32), age, "none" if self.secure else "lax")
        return response

    async def _callback(self, form: Mapping[str, str], _cookie: str) -> Answer:
        """Take Microsoft's answer, posted by the browser (`response_mode=form_post`), and ask: both you?"""
        try:
            person, account, confirmation = await receive(self.deps, form)
        except UnlatchError as error:
            return await self._refused(error), None
        page = _confirm_page(person, account, confirmation)
        self._set_cookie(page, CONFIRM, confirmation.cookie.reveal(), self.deps.timing.link_lifetime)
        return page, None

    async def _confirm(self, form: Mapping[str, str], cookie: str) -> Answer:
        """Take the person's yes or no, with the secret of the page and the one of the browser."""
        confirmation, linked = Confirmation(Secret(form.get("page", "")), Secret(cookie)), None
        try:
            if form.get("answer") == "yes":
                link, account = await confirm(self.deps, confirmation)
                linked = link.user, account
                self.resume(link, account, None)
                page = _done_page(account)
            else:
                await self._refused(await decline(self.deps, confirmation))
                page = _text_page("Not linked", DECLINED, status=200)
        except UnlatchError as error:
            return await self._refused(error), None  # the cookie stays: it may be another tab's
        self._set_cookie(page, CONFIRM, "", timedelta(0))
        return page, linked

    async def _once(
        self, answer: Callable[[Mapping[str, str], str], Awaitable[Answer]], request: Request
    ) -> Response:
        """Answer a form that its browser sends again (a second press, a reload) as the first time.

        For `link_lifetime`, and while who it linked is signed in so. What could not be done is tried again.
        """
        body, cookies, now = await request.body(), request.cookies, self.deps.now()
        form, cookie = _form(body), cookies.get(self._cookie(CONFIRM), "")
        if not (browser := cookies.get(self._cookie(BROWSER))):
            return (await answer(form, cookie))[0]
        key = hashlib.sha256(f"{request.url.path} {browser} ".encode() + body).digest()
        self._answers = {one: kept for one, kept in self._answers.items() if kept[0] > now}
        if is_first := key not in self._answers:
            work = asyncio.ensure_future(answer(form, cookie))
            self._answers[key] = now + self.deps.timing.link_lifetime, work
        try:
            response, linked = await asyncio.shield(self._answers[key][1])
        except Exception:
            self._answers.pop(key, None)
            raise
        if linked and not is_first and await self.deps.sign_ins.account(linked[0]) != linked[1]:
            response, _ = await answer(form, cookie)
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
        title, status, sentence = "You are not signed in", 403, self.sentence(error)
        if isinstance(error, Refusal) and error.code is Code.LINK_UNUSABLE:
            title, status = "This link no longer works", 410
        elif isinstance(error, CouldNotVerify) or not isinstance(error, Refusal):
            title, status = "Sign-in is not available", 503
            if not (isinstance(error, CouldNotVerify) and error.lasts):
                sentence = f"{sentence} {KEPT}"
        return _text_page(title, sentence, status=status, url=url)

    def _set_cookie(
        self, response: Response, name: str, value: str, age: timedelta, same_site: SameSite = "strict"
    ) -> None:
        """Set a cookie for this host and no script.

        The browser's half of a confirmation is never sent across sites, as Microsoft's answer comes; the form
        of our own page carries it.
        """
        cookie, lasts = self._cookie(name), int(age.total_seconds())  # for the path /
        response.set_cookie(cookie, value, lasts, secure=self.secure, httponly=True, samesite=same_site)


def _form(raw: bytes) -> dict[str, str]:
    """Return the fields of a form; none where it has more than Microsoft would send."""
    try:
        return dict(parse_qsl(raw.decode(errors="replace"), max_num_fields=MAX_FIELDS))
    except ValueError:
        return {}


def _confirm_page(person: Person, account: Account, confirmation: Confirmation) -> HTMLResponse:
    """Show which account is about to be linked to which Slack user. Nothing is linked before the yes."""
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
<form method="post" action="confirm">
<input type="hidden" name="page" value="{_escape(confirmation.page.reveal())}">
<button name="answer" value="yes">Yes, both are me</button>
<button name="answer" value="no">No, someone sent me this link</button>
</form>""",
    )


def _done_page(account: Account) -> HTMLResponse:
    return _page(
        "Signed in",
        f"""<h1>You are signed in</h1>
<p class="who">What {_escape(account.name)} does in Slack counts as done by {_escape(account.username)}</p>
<p>You can close this tab and go back to Slack.</p>""",
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
