"""The sign-in in the browser: the private link, Microsoft's answer, and the person's yes or no."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, Protocol
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from bot.domain.errors import CouldNotVerify, SignInRefused, StoreAway, TicketUnusable, UnlatchError
from bot.domain.people import Account
from bot.domain.secret import Secret
from bot.domain.sign_in import TICKET_LIFE, Ticket
from bot.ports import Confirmation, SignInLinks
from bot.resets.desk import Desk
from bot.resets.sign_in import arrive, begin, confirm, decline
from bot.web import pages

UNUSABLE: Final = (
    "This sign-in link was used already or is older than ten minutes. "
    "Go back to Slack and press Approve again, or type /reset-passcode sign-in, to get a new one."
)
MOST_FIELDS: Final = 50
DECLINED: Final = (
    "Good that you looked. Nobody acts with your account, and what Microsoft gave for it is deleted. If "
    "somebody sent you the link, tell your security team: it would have let them act as you."
)
AWAY: Final = "Something that is needed for signing in does not answer now. Wait a minute, then try again."


class Conversation(Protocol):
    """The Slack window that waits for the sign-in."""

    async def resume(self, ticket: Ticket, account: Account) -> None:
        """Go on."""

    async def resume_refused(self, ticket: Ticket, error: UnlatchError) -> None:
        """Say why it cannot."""


class SignInPages:
    """The three requests of one sign-in. `secure`: browsers reach us over https."""

    def __init__(
        self,
        desk: Desk,
        links: SignInLinks,
        conversation: Conversation,
        sentence: Callable[[UnlatchError], str],
        afterwards: Callable[[Awaitable[None]], None],
        *,
        secure: bool = True,
    ) -> None:
        self._desk = desk
        self._links = links
        self._conversation = conversation
        self._sentence = sentence
        self._afterwards = afterwards
        self._cookie = Cookie(secure)

    def routes(self) -> list[Route]:
        """The fixed paths come first, or they would be taken for tickets."""
        return [
            Route("/sign-in/callback", self.callback, methods=["GET", "POST"]),
            Route(pages.CONFIRM, self.answer, methods=["POST"]),
            Route("/sign-in/{ticket}", self.start, methods=["GET"]),
        ]

    async def start(self, request: Request) -> Response:
        """The private link: on to Microsoft. Whoever looks at a link uses nothing up."""
        try:
            secret = Secret(str(request.path_params["ticket"]))
            url = await begin(self._desk, self._links, secret)
        except UnlatchError as error:
            return self._told(error)
        return RedirectResponse(url, status_code=303, headers=pages.HEADERS)

    async def callback(self, request: Request) -> Response:
        """Microsoft's answer, posted by the browser (`response_mode=form_post`): who is tied to whom?"""
        try:
            meeting = await arrive(self._desk, self._links, _form(await request.body()))
        except UnlatchError as error:
            return self._refused(error)
        page = pages.confirm_page(meeting.person, meeting.account, meeting.confirmation.page)
        self._cookie.give(page, meeting.confirmation.cookie)
        return page

    async def answer(self, request: Request) -> Response:
        """The person's yes or no, with the secret of the page and the one of the browser."""
        form = _form(await request.body())
        held = Confirmation(Secret(form.get(pages.FIELD, "")), self._cookie.of(request))
        try:
            page = await self._answered(held, says_yes=form.get(pages.ANSWER) == pages.YES)
        except UnlatchError as error:
            return self._refused(error)  # and leave the cookie: it may be of another tab's sign-in
        self._cookie.take_back(page)
        return page

    async def _answered(self, held: Confirmation, *, says_yes: bool) -> Response:
        if not says_yes:
            refused = await decline(self._desk, self._links, held)
            self._refused(refused)
            return pages.told_page("Nothing was tied", DECLINED, status=200)
        ticket, account = await confirm(self._desk, self._links, held)
        self._afterwards(self._conversation.resume(ticket, account))
        return pages.done_page(account.name, account.username)

    def _refused(self, error: UnlatchError) -> Response:
        """Told here, and in Slack to who asked for the link."""
        if isinstance(error, SignInRefused) and error.ticket is not None:
            self._afterwards(self._conversation.resume_refused(error.ticket, error))
        return self._told(error)

    def _told(self, error: UnlatchError) -> Response:
        match error:
            case TicketUnusable():
                return pages.told_page("This link no longer works", UNUSABLE, status=410)
            case CouldNotVerify() | StoreAway():
                return pages.told_page("Not now", AWAY, status=503)
            case _:
                return pages.told_page("You are not signed in", self._sentence(error), status=403)


def _form(raw: bytes) -> dict[str, str]:
    """The fields of a form; none of one with more fields than Microsoft would send."""
    try:
        return dict(parse_qsl(raw.decode(errors="replace"), max_num_fields=MOST_FIELDS))
    except ValueError:
        return {}


class Cookie:
    """The browser's half of a confirmation: for this host alone, for no script, and never sent across sites.

    Microsoft's answer comes across sites, so it cannot bring the cookie; our own page's form does.
    """

    def __init__(self, secure: bool) -> None:
        self._secure = secure
        # The prefix makes browsers refuse one that was set for a whole domain, or over plain http.
        self._name = "__Host-unlatch-sign-in" if secure else "unlatch-sign-in"

    def give(self, response: Response, secret: Secret) -> None:
        """Set it."""
        self._set(response, secret.reveal(), TICKET_LIFE)

    def of(self, request: Request) -> Secret:
        """What the browser brought; empty where it brought none."""
        return Secret(request.cookies.get(self._name, ""))

    def take_back(self, response: Response) -> None:
        """Remove it."""
        self._set(response, "", timedelta(0))

    def _set(self, response: Response, value: str, life: timedelta) -> None:
        response.set_cookie(
            self._name,
            value,
            max_age=int(life.total_seconds()),
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="strict",
        )
