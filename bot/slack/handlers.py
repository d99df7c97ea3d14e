"""What people do in Slack: one method for each command, button and form.

A handler parses, acknowledges, and does the rest in a background task, which ends in a modal or a sentence
whatever happens. Nothing is raised after `ack()`: Bolt would take the acknowledgement back.
"""

import asyncio
import logging
import secrets
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

import structlog
from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.response import BoltResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.errors import BAD_INPUT, Code, RecentlyReset, Refusal, SignInNeeded, SlackError, UnlatchError
from bot.domain.people import Account, Actor
from bot.domain.request import ResetRequest
from bot.domain.sign_in import SignInLink
from bot.domain.values import DeviceId
from bot.slack import modals
from bot.slack.background import Background, log_crash
from bot.slack.blocks import View, without_markup
from bot.slack.client import SlackClient
from bot.slack.payloads import COMMAND, Action, Callback, Command, Field, Form, Malformed, Press
from bot.slack.wording import Wording
from bot.store import requests
from bot.use_cases import decide, reveal, review, sign_in, submit
from bot.use_cases.deps import Deps
from bot.use_cases.sign_in import Continuation

RECENT: Final = 5
"""Requests that `status` lists."""
_FIELDS: Final = {
    Code.NO_REASON: Field.REASON,
    Code.REASON_TOO_LONG: Field.REASON,
    Code.TICKET_TOO_LONG: Field.TICKET,
}
"""Where in the form a refusal is shown; every other one under the target."""

log = structlog.get_logger()

Body = Mapping[str, Any]
T = TypeVar("T")


class Handlers:
    """The handlers over the use cases. `resume` and `resume_refused` are called after a sign-in."""

    def __init__(self, deps: Deps, slack: SlackClient, background: Background, words: Wording) -> None:
        self._deps = deps
        self._slack = slack
        self._background = background
        self._words = words

    def register(self, app: AsyncApp) -> None:
        """Say which payload each handler gets; Bolt looks through them in this order."""
        app.command(COMMAND)(self.command)
        app.action(Action.APPROVE)(self.approve_pressed)
        app.view(Callback.APPROVE)(self.approve_submitted)
        app.view(Callback.AGAIN)(self.again_submitted)
        app.action(Action.DENY)(self.deny_pressed)
        app.view(Callback.DENY)(self.deny_submitted)
        app.view(Callback.ASK)(self.ask_submitted)
        app.action(Action.CLOSE)(self.close_pressed)
        app.action(Action.WITHDRAW)(self.withdraw_pressed)
        app.action(Action.SHOW_PASSCODE)(self.passcode_pressed)
        app.action(Action.SIGN_IN)(self.link_pressed)
        app.error(crashed)

    # The slash command

    async def command(self, ack: AsyncAck, body: Body) -> None:
        """`/reset-passcode`, alone, with a subcommand, or with a target and a reason."""
        command = Command.parse(body)
        match command.text.lower().split():
            case []:
                await ack()
                self._start(self._open(command, modals.ask_form(self._words)))
            case ["help"]:
                await ack(self._words.text("help"))
            case ["status"]:
                await ack(await self._sentence(self._status(command)))
            case ["sign-in" | "signin" | "login"]:
                await ack()
                show = partial(self._sign_in, command)
                self._start(self._open_then(command, "sign_in", show))
            case ["sign-out" | "signout" | "logout"]:
                await ack(await self._sentence(self._sign_out(command)))
            case _:
                await self._ask(ack, command)

    async def _ask(self, ack: AsyncAck, command: Command) -> None:
        """Store the request at once. What can't be used comes back in the form, so that nothing is lost."""
        target, reason = command.target_and_reason()
        new = submit.NewRequest(
            delivery=command.trigger_id, team=command.team, actor=command.actor, target=target, reason=reason
        )
        try:
            request = await submit.submit(self._deps, new)
        except UnlatchError as error:
            sentence = self._words.error(error)
            if isinstance(error, Refusal) and error.code in BAD_INPUT:
                await ack()
                form = modals.ask_form(self._words, target=target, reason=reason, notice=sentence)
                self._start(self._open(command, form))
            else:
                await ack(sentence)
        else:
            await ack(self._words.text("asked.answer", **self._words.names(request)))

    async def _status(self, command: Command) -> str:
        user = command.actor.user
        recent = await self._deps.database.read(
            lambda connection: requests.recent_requests(connection, user, limit=RECENT)
        )
        return self._words.recent(recent, limit=RECENT)

    async def _sign_out(self, command: Command) -> str:
        signed_out = await sign_in.sign_out(self._deps, command.actor)
        return self._words.text("signed_out" if signed_out else "signed_out.already")

    async def ask_submitted(self, ack: AsyncAck, body: Body) -> None:
        """Store the request, then close the form; a refusal is shown under its field, as plain text."""
        form = Form.parse(body)
        new = submit.NewRequest(
            delivery=form.view_id,
            team=form.team,
            actor=form.actor,
            target=form[Field.TARGET],
            reason=form[Field.REASON],
            ticket=form[Field.TICKET],
        )
        try:
            await submit.submit(self._deps, new)
        except UnlatchError as error:
            code = error.code if isinstance(error, Refusal) else Code.BAD_TARGET
            sentence = without_markup(self._words.error(error))
            await ack(response_action="errors", errors={str(_FIELDS.get(code, Field.TARGET)): sentence})
        else:
            await ack()

    # Buttons

    async def approve_pressed(self, ack: AsyncAck, body: Body) -> None:
        """Show the review, or what the approver has to do first."""
        await self._show_in_modal(ack, Press.parse(body), "device", self._review)

    async def deny_pressed(self, ack: AsyncAck, body: Body) -> None:
        """Ask for the reason, of who may decide."""
        await self._show_in_modal(ack, Press.parse(body), "request", self._denial)

    async def passcode_pressed(self, ack: AsyncAck, body: Body) -> None:
        """Show the new passcode to the requester."""
        await self._show_in_modal(ack, Press.parse(body), "passcode", self._passcode)

    async def withdraw_pressed(self, ack: AsyncAck, body: Body) -> None:
        """Withdraw; the receipt shows that it is done, a modal only why it is not."""
        press = Press.parse(body)
        await ack()
        withdrawing = decide.withdraw(self._deps, press.request_id, press.actor)
        self._start(self._open_if_refused(press, withdrawing))

    async def close_pressed(self, ack: AsyncAck, body: Body) -> None:
        """Close an uncertain request; the card shows that it is done, a modal only why it is not."""
        press = Press.parse(body)
        await ack()
        closing = decide.close(self._deps, press.request_id, press.actor)
        self._start(self._open_if_refused(press, closing))

    async def _show_in_modal(
        self, ack: AsyncAck, press: Press, what: str, show: Callable[[Press, str], Awaitable[View]]
    ) -> None:
        await ack()
        self._start(self._open_then(press, what, partial(show, press)))

    async def link_pressed(self, ack: AsyncAck) -> None:
        """Slack also reports that a link button was pressed; there is nothing to do."""
        await ack()

    # Submitted decisions. The modal stays open and says what came of it: an acknowledgement alone promises
    # nothing, so a decision that a crash swallowed is never mistaken for one that was made.

    async def approve_submitted(self, ack: AsyncAck, body: Body) -> None:
        """Approve the device that was chosen in the review."""
        form = Form.parse(body)
        await self._decide(ack, form, self._approve(form, knowingly=False))

    async def again_submitted(self, ack: AsyncAck, body: Body) -> None:
        """Approve although the device was reset a few minutes ago."""
        form = Form.parse(body)
        await self._decide(ack, form, self._approve(form, knowingly=True))

    async def deny_submitted(self, ack: AsyncAck, body: Body) -> None:
        """Deny with the typed reason."""
        form = Form.parse(body)
        await self._decide(ack, form, self._deny(form))

    async def _decide(self, ack: AsyncAck, form: Form, decision: Awaitable[View]) -> None:
        await ack(response_action="update", view=modals.loading("decision", self._words))
        self._start(self._show_result(form, decision))

    # What each modal shows in the end

    async def _review(self, press: Press, view_id: str) -> View:
        try:
            seen = await review.review(self._deps, press.request_id, press.actor)
        except SignInNeeded as need:
            return await self._sign_in(press, view_id, need)
        return modals.review_form(seen, self._words)

    async def _denial(self, press: Press, _view_id: str) -> View:
        request = await decide.check_may_decide(self._deps, press.request_id, press.actor)
        return modals.deny_form(request, self._words)

    async def _passcode(self, press: Press, _view_id: str) -> View:
        request, passcode = await reveal.reveal(self._deps, press.request_id, press.actor)
        return modals.passcode(request, passcode, self._words)

    async def _approve(self, form: Form, *, knowingly: bool) -> View:
        device = DeviceId(form[Field.DEVICE])
        try:
            approved = await decide.approve(
                self._deps,
                form.request_id,
                form.actor,
                device,
                reviewed=form.revision,
                knowingly=knowingly,
            )
        except RecentlyReset as recent:
            return modals.reset_again_form(form.request_id, form.revision, device, recent, self._words)
        except SignInNeeded as need:
            return await self._sign_in(form, form.view_id, need)
        return modals.approved(approved, self._words)

    async def _deny(self, form: Form) -> View:
        await decide.deny(self._deps, form.request_id, form.actor, form[Field.DENIAL])
        return modals.message(self._words.text("denied.title"), self._words.text("denied"), self._words)

    # The sign-in

    async def _sign_in(
        self, who: Command | Press | Form, view_id: str, need: SignInNeeded | None = None
    ) -> View:
        """Return a private link; after the sign-in the same modal continues (`resume`)."""
        request_id = None if isinstance(who, Command) else who.request_id
        claims, approver = (need.claims, need.approver) if need else (None, None)
        then = Continuation(request_id=request_id, view_id=view_id, claims=claims)
        url = await sign_in.offer(self._deps, who.actor, who.team, then, approver=approver)
        why = self._words.sign_in(
            claims=claims is not None,
            stale=need is not None and need.stale,
            account=None if need else await self._deps.sign_ins.account(who.actor.user),
            max_age=self._deps.timing.sign_in_max_age,
        )
        return modals.sign_in(url, why, self._words, lifetime=self._deps.timing.link_lifetime)

    async def resume(self, link: SignInLink, account: Account) -> None:
        """Signed in: continue the modal that waited; where none is open, send a direct message."""
        text = self._words.with_account("signed_in.message", account)
        await self._show_or_send(link, partial(self._signed_in, link, account), text)

    async def resume_refused(self, link: SignInLink, error: UnlatchError) -> None:
        """The sign-in was refused: say so in the modal that waited, with a new link, or in a message."""
        text = self._words.error(error)
        await self._show_or_send(link, partial(self._sign_in_again, link, error), text)

    async def _signed_in(self, link: SignInLink, account: Account, view_id: str) -> View:
        if link.request_id is None:
            sentence = self._words.with_account("signed_in", account)
            return modals.message(self._words.text("signed_in.title"), sentence, self._words)
        actor = Actor(user=link.user, team=link.team)
        press = Press(actor=actor, team=link.team, trigger_id="", request_id=link.request_id)
        return await self._review(press, view_id)

    async def _sign_in_again(self, link: SignInLink, error: UnlatchError, view_id: str) -> View:
        title, sentence = self._words.title(error), self._words.error(error)
        then = Continuation(request_id=link.request_id, view_id=view_id, claims=link.claims)
        with suppress(UnlatchError):  # who may not sign in any more, or too often, gets the sentence alone
            url = await sign_in.offer(self._deps, Actor(user=link.user, team=link.team), link.team, then)
            lifetime = self._deps.timing.link_lifetime
            return modals.sign_in(url, sentence, self._words, lifetime=lifetime, title=title)
        return modals.message(title, sentence, self._words)

    async def _show_or_send(
        self, link: SignInLink, show: Callable[[str], Awaitable[View]], text: str
    ) -> None:
        """Show it in the modal that waited for the sign-in, or send `text` where none is open."""
        view_id = link.view_id
        if view_id is not None and await self._update(view_id, await self._outcome(show(view_id))):
            return
        try:
            await self._slack.send_direct_message(link.user, text)
        except SlackError as error:
            log.warning("direct_message_not_sent", user=link.user, code=error.code)

    # How outcomes reach people

    async def _open_then(
        self, pressed: Press | Command, what: str, show: Callable[[str], Awaitable[View]]
    ) -> None:
        """Open "Looking up…" at once, since a trigger lives for three seconds; then show what came of it."""
        if view_id := await self._open(pressed, modals.loading(what, self._words)):
            await self._update(view_id, await self._outcome(show(view_id)))

    async def _open_if_refused(self, press: Press, work: Awaitable[ResetRequest]) -> None:
        outcome = await self._outcome(work)
        if not isinstance(outcome, ResetRequest):
            await self._open(press, outcome)

    async def _show_result(self, form: Form, work: Awaitable[View]) -> None:
        """Slack draws the acknowledgement by a path of its own; drawn later, it would cover the result."""
        drawn = asyncio.sleep(self._deps.timing.acknowledgement_drawn.total_seconds())
        view, _ = await asyncio.gather(self._outcome(work), drawn)
        await self._update(form.view_id, view)

    async def _outcome(self, work: Awaitable[T]) -> T | View:
        """The one `except` after an acknowledgement: a refusal becomes a private sentence."""
        try:
            return await work
        except UnlatchError as error:
            return modals.message(self._words.title(error), self._words.error(error), self._words)
        except Exception as crash:  # whatever happened, the person who pressed is told something
            incident = secrets.token_hex(4)
            log_crash("interaction_crashed", crash, incident=incident)
            sentence = self._words.text("crash", incident=incident)
            return modals.message(self._words.text("crash.title"), sentence, self._words)

    async def _sentence(self, work: Awaitable[str]) -> str:
        try:
            return await work
        except UnlatchError as error:
            return self._words.error(error)

    async def _open(self, pressed: Press | Command, view: View) -> str | None:
        """Open a modal; where Slack opens none, say so to the person alone, and return None."""
        try:
            return await self._slack.open_modal(pressed.trigger_id, view)
        except SlackError as error:
            log.warning("modal_not_opened", code=error.code)
        if pressed.response_url is not None:
            try:
                await self._slack.respond(pressed.response_url, self._words.text("no_modal"))
            except SlackError as error:
                log.warning("response_not_sent", code=error.code)
        return None

    async def _update(self, view_id: str, view: View) -> bool:
        """Return whether the modal was still open."""
        try:
            await self._slack.update_modal(view_id, view)
        except SlackError as error:
            log.info("modal_not_updated", code=error.code)
            return False
        return True

    def _start(self, work: Coroutine[Any, Any, object]) -> None:
        self._background.start(work, name="interaction")


class TimedApp(AsyncApp):
    """Bolt's app that says how long Slack waited, over HTTP and over sockets alike."""

    answered: Callable[[float], None] = staticmethod(lambda _seconds: None)

    async def async_dispatch(self, req: AsyncBoltRequest) -> BoltResponse:
        """Run the handler; it returns when Slack has what it waits for."""
        began = time.perf_counter()
        try:
            return await super().async_dispatch(req)
        finally:
            self.answered(time.perf_counter() - began)


def bolt_app(
    client: AsyncWebClient,
    us: AuthorizeResult,
    handlers: Handlers,
    answered: Callable[[float], None] | None = None,
) -> AsyncApp:
    """Return an app for one workspace. `us`: the bot; `answered`: told the seconds of each acknowledgement.

    `process_before_response`: with it Bolt answers when the handler returns; without it Bolt looks for the
    answer every 10 ms. No handler awaits anything slow before or after its acknowledgement.
    """

    async def authorize() -> AuthorizeResult:
        return us

    app = TimedApp(
        client=client,
        authorize=authorize,
        process_before_response=True,
        request_verification_enabled=False,  # the receiver has verified; a socket needs none
        ssl_check_enabled=False,
        logger=logging.getLogger("slack_bolt.unlatch"),
    )
    if answered is not None:
        app.answered = answered
    handlers.register(app)
    return app


async def crashed(error: Exception) -> BoltResponse:
    """Bolt's last resort: a payload of another shape than Slack's, or a crash before the acknowledgement."""
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, Malformed) or all("slack_bolt" in frame.filename for frame in frames):
        log.warning("malformed_payload", error=type(error).__name__)
        return BoltResponse(status=400, body="This is no payload of Slack's.")
    log_crash("handler_crashed", error)
    return BoltResponse(status=500, body="")
