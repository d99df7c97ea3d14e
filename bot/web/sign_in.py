"""The sign-in in the browser: the private link, the way to Microsoft, and the way back."""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol
from urllib.parse import parse_qsl, quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from bot.domain.errors import CouldNotVerify, SignInRefused, StoreAway, TicketUnusable, UnlatchError
from bot.domain.people import Account
from bot.domain.secret import Secret
from bot.domain.sign_in import Ticket
from bot.resets.desk import Desk
from bot.resets.sign_in import begin, finish, visit
from bot.web import pages

UNUSABLE: Final = (
    "This sign-in link was used already or is older than ten minutes. "
    "Go back to Slack and press Approve again, or type /reset-passcode sign-in, to get a new one."
)
MOST_FIELDS: Final = 50
AWAY: Final = "Something that is needed for signing in does not answer now. Wait a minute, then try again."


class Conversation(Protocol):
    """The Slack window that waits for the sign-in."""

    async def resume(self, ticket: Ticket, account: Account) -> None:
        """Go on."""

    async def resume_refused(self, ticket: Ticket, error: UnlatchError) -> None:
        """Say why it cannot."""


class SignInPages:
    """The three requests of one sign-in."""

    def __init__(
        self,
        desk: Desk,
        conversation: Conversation,
        sentence: Callable[[UnlatchError], str],
        afterwards: Callable[[Awaitable[None]], None],
    ) -> None:
        self._desk = desk
        self._conversation = conversation
        self._sentence = sentence
        self._afterwards = afterwards

    def routes(self) -> list[Route]:
        """`/sign-in/callback` comes first, or it would be taken for a ticket."""
        return [
            Route("/sign-in/callback", self.callback, methods=["GET", "POST"]),
            Route("/sign-in/{ticket}", self.start, methods=["GET"]),
            Route("/sign-in/{ticket}", self.go, methods=["POST"]),
        ]

    async def start(self, request: Request) -> Response:
        """Show whom the link signs in."""
        try:
            person = await visit(self._desk, _ticket(request))
        except UnlatchError as error:
            return self._told(error)
        return pages.start_page(person.name, f"/sign-in/{quote(request.path_params['ticket'], safe='')}")

    async def go(self, request: Request) -> Response:
        """Use the link up and go to Microsoft."""
        try:
            url = await begin(self._desk, _ticket(request))
        except UnlatchError as error:
            return self._told(error)
        return RedirectResponse(url, status_code=303, headers=pages.HEADERS)

    async def callback(self, request: Request) -> Response:
        """Microsoft's answer, posted by the browser (`response_mode=form_post`)."""
        try:
            ticket, account = await finish(self._desk, _form(await request.body()))
        except SignInRefused as refused:
            if refused.ticket is not None:
                self._afterwards(self._conversation.resume_refused(refused.ticket, refused))
            return self._told(refused)
        except UnlatchError as error:
            return self._told(error)
        self._afterwards(self._conversation.resume(ticket, account))
        return pages.done_page(account.name, account.username)

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


def _ticket(request: Request) -> Secret:
    return Secret(str(request.path_params["ticket"]))
