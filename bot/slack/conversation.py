"""What goes on in a Slack window after the acknowledgement: a loading view, then what came of it."""

import asyncio
import secrets
from collections.abc import Awaitable
from datetime import timedelta
from typing import Final, TypeVar

import structlog

from bot.domain.errors import RecentlyReset, SignInNeeded, SlackError, UnlatchError
from bot.domain.identifiers import DeviceId, RequestId, TeamId
from bot.domain.people import Account, Actor
from bot.domain.sign_in import Ticket
from bot.resets.decide import approve, check_may_decide, close, deny, withdraw
from bot.resets.desk import Desk
from bot.resets.reveal import reveal
from bot.resets.review import review
from bot.resets.sign_in import Continuation, offer
from bot.slack import modals
from bot.slack.afterwork import log_crash
from bot.slack.direct import Direct
from bot.slack.message import View
from bot.slack.parsing import Click, Command, Submission
from bot.slack.views import Views
from bot.slack.wording import Wording

Shown = TypeVar("Shown", bound=View | None)

DRAWN_AFTER: Final = timedelta(seconds=0.5)
"""By then Slack has drawn what our acknowledgement of a form said. That travels on a way of its own: drawn
later than the outcome, it would cover it with “One moment” for ever."""

log = structlog.get_logger()


class Conversation:
    """One person in front of one window. Every press ends in a sentence or a view, whatever happens."""

    def __init__(self, desk: Desk, views: Views, direct: Direct, words: Wording) -> None:
        self._desk = desk
        self._views = views
        self._direct = direct
        self._words = words

    async def open(self, pressed: Click | Command, view: View) -> str | None:
        """Open a window; where Slack opens none (a trigger lives for three seconds), say so. None then."""
        try:
            return await self._views.open(pressed.trigger, view)
        except SlackError as error:
            log.warning("window_not_opened", code=error.code)
        await self._say(pressed, self._words.no_window)
        return None

    async def review(self, click: Click) -> None:
        """Approve was pressed: the review, or the way to it."""
        if view_id := await self._loading(click):
            await self._tell(view_id, self._review(view_id, click.request, click.actor, click.team))

    async def resume(self, ticket: Ticket, account: Account) -> None:
        """Signed in: the window that waited goes on by itself; where none is open, a message says so."""
        if not await self._goes_on(ticket, account):
            await self._write(ticket, self._words.signed_in_as(account))

    async def resume_refused(self, ticket: Ticket, error: UnlatchError) -> None:
        """The sign-in was refused: the window that waited for it says so, or a message does."""
        if ticket.view_id is None or not await self._update(ticket.view_id, self._refused(error)):
            await self._write(ticket, self._words.refusal(error))

    async def offer_sign_in(self, typed: Command) -> None:
        """`/reset-passcode sign-in`: a private link."""
        if view_id := await self._loading(typed):
            then = Continuation(view_id=view_id)
            await self._tell(view_id, self._sign_in(typed.actor, typed.team, then))

    async def ask_denial(self, click: Click) -> None:
        """Deny was pressed: ask for the reason, of who may decide."""
        if view_id := await self._loading(click):
            await self._tell(view_id, self._denial(click))

    async def withdraw(self, click: Click) -> None:
        """Withdraw was pressed; the receipt shows that it is done, a window says why not."""
        await self._open_if_told(click, self._withdraw(click))

    async def close(self, click: Click) -> None:
        """Close was pressed; the card shows that it is done, a window says why not."""
        await self._open_if_told(click, self._close(click))

    async def _open_if_told(self, click: Click, work: Awaitable[View | None]) -> None:
        view = await self._outcome(work)
        if view is not None:
            await self.open(click, view)

    async def show_passcode(self, click: Click) -> None:
        """Show passcode was pressed."""
        if view_id := await self._loading(click):
            await self._tell(view_id, self._passcode(click))

    async def approve(self, form: Submission, device: DeviceId, *, knowingly: bool = False) -> None:
        """The review was submitted, or that a second reset within minutes is meant."""
        await self._answer(form.view, self._approve(form, device, knowingly))

    async def deny(self, form: Submission, reason: str) -> None:
        """The denial was submitted."""
        await self._answer(form.view, self._deny(form, reason))

    # What each window shows in the end

    async def _review(self, view_id: str, request_id: RequestId, actor: Actor, team: TeamId) -> View:
        try:
            return modals.review_form(await review(self._desk, request_id, actor), self._words)
        except SignInNeeded as need:
            then = Continuation(request_id=request_id, view_id=view_id, claims=need.claims)
            return await self._sign_in(actor, team, then, stale=need.stale)

    async def _sign_in(self, actor: Actor, team: TeamId, then: Continuation, *, stale: bool = False) -> View:
        invitation = await offer(self._desk, actor, team, then)
        why = self._words.signing_in(claims=then.claims is not None, stale=stale)
        return modals.sign_in(invitation, actor.user, why, self._words)

    async def _goes_on(self, ticket: Ticket, account: Account) -> bool:
        """Whether a window was there to go on in."""
        view_id, request_id = ticket.view_id, ticket.request_id
        if view_id is None:
            return False
        if request_id is None:
            return await self._update(view_id, modals.signed_in(account, self._words))
        actor = Actor(user=ticket.user, team=ticket.team)
        return await self._tell(view_id, self._review(view_id, request_id, actor, ticket.team))

    async def _write(self, ticket: Ticket, sentence: str) -> None:
        try:
            await self._direct.say(ticket.user, sentence)
        except SlackError as error:
            log.warning("not_told", user=ticket.user, code=error.code)

    async def _denial(self, click: Click) -> View:
        request = await check_may_decide(self._desk, click.request, click.actor)
        return modals.deny_form(request, self._words)

    async def _passcode(self, click: Click) -> View:
        request, passcode = await reveal(self._desk, click.request, click.actor)
        return modals.passcode(request, passcode, self._words)

    async def _approve(self, form: Submission, device: DeviceId, knowingly: bool) -> View:
        try:
            approved = await approve(
                self._desk,
                form.about.request,
                form.actor,
                device,
                reviewed=form.about.round,
                knowingly=knowingly,
            )
        except RecentlyReset as recent:
            return modals.again_form(form.about, device, recent, self._words)
        except SignInNeeded as need:
            then = Continuation(request_id=form.about.request, view_id=form.view, claims=need.claims)
            return await self._sign_in(form.actor, form.team, then, stale=need.stale)
        return modals.approved(approved, self._words)

    async def _deny(self, form: Submission, reason: str) -> View:
        await deny(self._desk, form.about.request, form.actor, reason)
        return modals.told(self._words.denied_title, self._words.denied, self._words)

    async def _close(self, click: Click) -> View | None:
        await close(self._desk, click.request, click.actor)
        return None  # the card says it

    async def _withdraw(self, click: Click) -> View | None:
        await withdraw(self._desk, click.request, click.actor)
        return None  # the receipt says it

    # Windows

    async def _loading(self, pressed: Click | Command) -> str | None:
        return await self.open(pressed, modals.loading(self._words))

    async def _tell(self, view_id: str, work: Awaitable[View]) -> bool:
        """Show what came of `work`; False where the window is gone."""
        return await self._update(view_id, await self._outcome(work))

    async def _answer(self, view_id: str, work: Awaitable[View]) -> None:
        """Show what came of a submitted form, when Slack has drawn the acknowledgement."""
        view, _ = await asyncio.gather(self._outcome(work), asyncio.sleep(DRAWN_AFTER.total_seconds()))
        await self._update(view_id, view)

    async def _outcome(self, work: Awaitable[Shown]) -> Shown | View:
        """The one `except` of the Slack face: a refusal becomes a private sentence."""
        try:
            return await work
        except UnlatchError as error:
            return self._refused(error)
        except Exception as crash:  # whatever happened, the person who pressed is told something
            incident = secrets.token_hex(4)
            log_crash("window_crashed", crash, incident=incident)
            return modals.told(self._words.sorry_title, self._words.sorry(incident), self._words)

    def _refused(self, error: UnlatchError) -> View:
        return modals.told(self._words.refused_title, self._words.refusal(error), self._words)

    async def _update(self, view_id: str, view: View) -> bool:
        try:
            await self._views.update(view_id, view)
        except SlackError as error:
            log.info("window_not_updated", code=error.code)
            return False
        return True

    async def _say(self, pressed: Click | Command, sentence: str) -> None:
        if pressed.aside is None:
            return
        try:
            await self._views.say(pressed.aside, sentence)
        except SlackError as error:
            log.warning("nothing_said", code=error.code)
