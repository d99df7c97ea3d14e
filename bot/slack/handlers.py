"""What people do in Slack: one handler for each command, button and form.

A handler parses, acknowledges, and does the rest in a background task, which ends in a modal or a sentence
whatever happens. Nothing is raised after `ack()`: Bolt would take the acknowledgement back.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any, Final, TypeVar

import structlog
from slack_bolt.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck

from bot.domain.errors import (
    Code,
    CouldNotVerify,
    RecentlyReset,
    Refusal,
    SignInNeeded,
    SlackError,
    UnlatchError,
)
from bot.domain.people import Account, Actor, SignInLink
from bot.domain.request import ResetRequest
from bot.domain.values import DeviceId, RequestId, Secret, UserId
from bot.log import log_crash
from bot.slack import modals
from bot.slack.blocks import Message, View, without_markup
from bot.slack.client import SlackClient
from bot.slack.errors import is_late
from bot.slack.messages import recent
from bot.slack.payloads import COMMAND, Action, Callback, Command, Field, Form, Press, id_at, secret_at
from bot.slack.typed import read_command, read_form, subcommand
from bot.slack.wording import Wording
from bot.store import requests
from bot.use_cases import decide, reveal, review, sign_in, submit
from bot.use_cases.deps import Deps
from bot.use_cases.sign_in import actor_of

RECENT: Final = 5
"""Requests that `status` lists, beside those whose new passcode can be seen."""
_FIELDS: Final = {
    Code.BAD_TARGET: Field.TARGET,
    Code.NO_REASON: Field.REASON,
    Code.REASON_TOO_LONG: Field.REASON,
    Code.TICKET_TOO_LONG: Field.TICKET,
}
"""Where in the form it is shown that what was typed cannot be used; every other refusal under the target."""

log = structlog.get_logger()

Body = Mapping[str, Any]
Listener = Callable[[AsyncAck, Body], Awaitable[None]]
T = TypeVar("T")


class Handlers:
    """The handlers over the use cases. `resume` is called after a sign-in."""

    def __init__(self, deps: Deps, slack: SlackClient, background: "Background", words: Wording) -> None:
        self._deps = deps
        self._slack = slack
        self._start = partial(background.start, name="interaction")
        self._words = words
        self._minute, self._presses = 0, Counter[str]()
        """Who pressed how often in this minute."""

    def register(self, app: AsyncApp) -> None:
        """Say which payload each handler gets; Bolt looks through them in this order."""
        listeners: Mapping[Any, Listener] = {
            app.command(COMMAND): self.command,
            app.action(Action.APPROVE): self._shows("device", self._review),
            app.view(Callback.APPROVE): self._decides(partial(self._approve, knowingly=False)),
            app.view(Callback.AGAIN): self._decides(partial(self._approve, knowingly=True)),
            app.action(Action.DENY): self._shows("request", self._denial),
            app.view(Callback.DENY): self._decides(self._deny),
            app.view(Callback.ASK): self.ask_submitted,
            app.action(Action.CLOSE): self._moves(decide.close),
            app.action(Action.LOOK): self._shows("device", self._look),
            app.action(Action.WITHDRAW): self._moves(decide.withdraw),
            app.action(Action.LINK): self._shows("sign_in", self._link),
            app.action(Action.SHOW_PASSCODE): self._shows("passcode", self._passcode),
        }
        for register, listener in listeners.items():
            register(self._counted(listener))
        app.action(Action.SIGN_IN)(self.link_pressed)

    def _counted(self, listener: Listener) -> Listener:
        """Return the listener for people who press at a person's pace; who is faster is told so alone."""

        async def counted(ack: AsyncAck, body: Body) -> None:
            user = self._deps.id_of(UserId(id_at(body, "user_id") or id_at(body, "user", "id")))
            minute = int(self._deps.now().timestamp()) // 60
            if minute != self._minute:
                self._minute, self._presses = minute, Counter()
            self._presses[user] += 1
            limit = self._deps.rules.presses_per_minute
            if self._presses[user] <= limit:
                await listener(ack, body)
                return
            refusal = Refusal(Code.TOO_MANY_PRESSES, limit=str(limit))
            log.warning("quota_exceeded", user=user, code=str(refusal.code))
            title, sentence = self._words.title(refusal), self._words.error(refusal)
            if "command" in body:
                await ack(sentence)
            elif body.get("type") == "view_submission":
                await ack(response_action="update", view=modals.message(title, sentence, self._words))
            else:
                await ack()
                self._start(self._respond(secret_at(body, "response_url"), sentence))

        return counted

    # The slash command

    async def command(self, ack: AsyncAck, body: Body) -> None:
        """`/reset-passcode`, alone, with a subcommand, or with a target and a reason."""
        command = Command.parse(body)
        try:
            match subcommand(command.text):
                case "":
                    form = modals.ask_form(self._words)
                    await ack()
                    self._start(self._open_form(command, form))
                case "help":
                    await ack(self._words.text("help"))
                case "status":
                    await self._answer(ack, command, self._status)
                case "signin" | "login":
                    await ack()
                    self._start(self._open_then(command, "sign_in", partial(self._sign_in, command)))
                case "signout" | "logout":
                    await self._answer(ack, command, self._sign_out)
                case _:
                    await self._ask(ack, command)
        except UnlatchError as error:  # of the store or of the rules: nothing is raised after `ack()`
            await ack(self._words.error(error))

    async def _ask(self, ack: AsyncAck, command: Command) -> None:
        """Store the request at once. What can't be used comes back in the form, so that nothing is lost."""
        typed = read_command(command.text)
        try:
            request = await submit.submit(
                self._deps,
                command.actor,
                delivery=command.trigger_id,
                target=typed.target,
                reason=typed.reason,
            )
        except Refusal as refusal:
            if refusal.code not in _FIELDS:
                raise
            notice = self._words.error(refusal)
            form = modals.ask_form(self._words, typed, notice=notice)
            await ack()
            self._start(self._open_form(command, form))
        else:
            self._slack.answers.keep(request.id, command.response_url)
            await ack(self._taken(request))

    def _taken(self, request: ResetRequest) -> str:
        """Return what tells the requester that it is stored."""
        problem = self._slack.client.problem
        key = "asked.answer.held" if problem else "asked.answer"
        return self._words.text(key, why=self._words.refused(problem), **self._words.names(request))

    async def _answer(
        self, ack: AsyncAck, command: Command, answer: Callable[[Command], Awaitable[Message]]
    ) -> None:
        """Answer with the acknowledgement, or after it where Slack has to be asked who this is."""
        if self._deps.directory.same(command.actor.user):
            said = await answer(command)
            await ack(text=said.text, blocks=list(said.blocks) or None)
            return

        async def answer_later() -> None:
            said = await self._outcome(answer(command))
            if not isinstance(said, Message):
                said = Message(modals.sentence(said), [])
            await self._respond(command.response_url, said if said.blocks else said.text)

        await ack()
        self._start(answer_later())

    async def _status(self, command: Command) -> Message:
        """Also where the messages cannot be seen: what can be pressed in them is here too."""
        deps, users = self._deps, await self._deps.ids(command.actor)
        hours_worth = max(RECENT, deps.rules.requests_per_hour)
        look = partial(requests.recent_requests, audit_log=deps.database.audit_log, limit=hours_worth)
        found, total = await deps.database.read(lambda c: (look(c, users), requests.count_requests(c, users)))
        now, reveal_for = deps.now(), deps.timing.reveal_for
        ready = {one.id for one in found if (ends := one.reveal_ends(reveal_for)) and now < ends}
        found = [one for number, one in enumerate(found) if number < RECENT or one.id in ready]
        return recent(found, self._words, now=now, reveal_for=reveal_for, total=total)

    async def _sign_out(self, command: Command) -> Message:
        signed_out = await sign_in.sign_out(self._deps, command.actor)
        return Message(self._words.text("signed_out" if signed_out else "signed_out.already"), [])

    async def _open_form(self, command: Command, form: View) -> None:
        if view_id := await self._open(command, form):
            self._slack.answers.keep(view_id, command.response_url)

    async def ask_submitted(self, ack: AsyncAck, body: Body) -> None:
        """Store the request, then close the form; a refusal is shown under its field, as plain text."""
        form = Form.parse(body)
        try:
            request = await submit.submit(
                self._deps,
                form.actor,
                delivery=form.view_id,
                target=read_form(form[Field.TARGET], form.mentioned),
                reason=form[Field.REASON],
                ticket=form[Field.TICKET],
            )
        except UnlatchError as error:
            code = error.code if isinstance(error, Refusal) else Code.BAD_TARGET
            sentence = without_markup(self._words.error(error))
            await ack(response_action="errors", errors={str(_FIELDS.get(code, Field.TARGET)): sentence})
        else:
            response_url = self._slack.answers.get(form.view_id)
            self._slack.answers.keep(request.id, response_url)
            await ack()
            self._start(self._respond(response_url, self._taken(request)))

    # Buttons and submitted decisions

    def _shows(self, what: str, show: Callable[[Press, str], Awaitable[View]]) -> Listener:
        """Return the handler of a button that looks `what` up and shows it in a modal."""
        return self._pressed(lambda press: self._open_then(press, what, partial(show, press)))

    def _moves(self, move: Callable[[Deps, RequestId, Actor], Awaitable[ResetRequest]]) -> Listener:
        """Return the handler of a button whose effect the messages show, and a modal only why not."""
        return self._pressed(
            lambda press: self._open_if_refused(press, move(self._deps, press.request_id, press.actor))
        )

    def _pressed(self, work: Callable[[Press], Coroutine[Any, Any, None]]) -> Listener:
        async def pressed(ack: AsyncAck, body: Body) -> None:
            press = Press.parse(body)
            await ack()
            self._start(work(press))

        return pressed

    def _decides(self, decide: Callable[[Form], Awaitable[View]]) -> Listener:
        """Return the handler of a form whose modal stays open and says what came of the decision.

        An acknowledgement alone promises nothing, so a decision that a crash swallowed is never mistaken for
        one that was made.
        """

        async def submitted(ack: AsyncAck, body: Body) -> None:
            form = Form.parse(body)
            await ack(response_action="update", view=modals.loading("decision", self._words))
            self._start(self._show_result(form, decide(form)))

        return submitted

    async def link_pressed(self, ack: AsyncAck) -> None:
        """Slack also reports that a link button was pressed; there is nothing to do."""
        await ack()

    # What each modal shows in the end

    async def _review(self, press: Press, view_id: str) -> View:
        try:
            seen = await review.review(self._deps, press.request_id, press.actor)
        except SignInNeeded as need:
            return await self._sign_in(press, view_id, need)
        return modals.review_form(seen, self._words)

    async def _look(self, press: Press, view_id: str) -> View:
        try:
            looked = await decide.look_on(self._deps, press.request_id, press.actor)
        except SignInNeeded as need:
            return await self._sign_in(press, view_id, need)
        text = self._words.because(looked) or self._words.text("looked")
        return modals.message(self._words.text("looked.title"), text, self._words)

    async def _denial(self, press: Press, _view_id: str) -> View:
        request = await decide.check_may_decide(self._deps, press.request_id, press.actor)
        return modals.deny_form(request, self._words)

    async def _passcode(self, press: Press, view_id: str) -> View:
        try:
            request, passcode = await reveal.reveal(self._deps, press.request_id, press.actor)
        except SignInNeeded:
            return await self._link(press, view_id)
        return modals.passcode(request, passcode, self._words)

    async def _approve(self, form: Form, *, knowingly: bool) -> View:
        device = DeviceId(form[Field.DEVICE])
        try:
            approved = await decide.approve(
                self._deps, form.request_id, form.actor, device, reviewed=form.revision, knowingly=knowingly
            )
        except RecentlyReset as recent:
            return modals.reset_again_form(form.request_id, form.revision, device, recent, self._words)
        except SignInNeeded as need:
            return await self._sign_in(form, form.view_id, need)
        return modals.approved(approved, self._words)

    async def _deny(self, form: Form) -> View:
        denial = form[Field.DENIAL]
        try:
            await decide.deny(self._deps, form.request_id, form.actor, denial)
        except CouldNotVerify as failed:  # what was typed can be sent again
            request = await self._deps.get_request(form.request_id, in_log=False)
            return modals.deny_form(request, self._words, denial, notice=self._words.error(failed))
        return modals.message(self._words.text("denied.title"), self._words.text("denied"), self._words)

    # The sign-in

    async def _sign_in(
        self, who: Command | Press | Form, view_id: str, need: SignInNeeded | None = None, *, why: str = ""
    ) -> View:
        """Return a private link; after the sign-in the same modal continues (`resume`)."""
        request_id = None if isinstance(who, Command) else who.request_id
        url = await sign_in.offer(self._deps, who.actor, request_id=request_id, view_id=view_id, need=need)
        why = why or self._words.sign_in(
            need,
            account=None if need else await self._deps.sign_ins.account(self._deps.id_of(who.actor.user)),
            max_age=self._deps.timing.sign_in_max_age,
        )
        return modals.sign_in(url, why, self._words, lifetime=self._deps.timing.link_lifetime)

    async def _link(self, press: Press, view_id: str) -> View:
        """Return a private link for the requester."""
        return await self._sign_in(press, view_id, why=self._words.text("sign_in.requester"))

    async def resume(self, link: SignInLink, outcome: Account | UnlatchError, url: str | None = None) -> None:
        """After a sign-in go on in the open modal, else by direct message; `url`: a new link if refused."""
        if isinstance(outcome, UnlatchError):
            show, text = partial(self._sign_in_again, url, outcome), self._words.error(outcome)
        else:
            show = partial(self._signed_in, link, outcome)
            text = self._words.with_account("signed_in.message", outcome)
        view_id = link.view_id
        waits = view_id is not None and await self._update(view_id, modals.loading("request", self._words))
        if view_id and waits and await self._update(view_id, await self._outcome(show(view_id))):
            return
        await self._tell(link.user, text)

    async def _signed_in(self, link: SignInLink, account: Account, view_id: str) -> View:
        key = "signed_in"
        if link.request_id is not None:
            press = Press(actor=actor_of(link), trigger_id="", request_id=link.request_id)
            request = await self._deps.get_request(link.request_id)
            if self._deps.id_of(request.asked_by) == self._deps.id_of(link.user):
                if request.has_passcode:
                    return await self._passcode(press, view_id)
                key = "signed_in.requester"
            elif request.can_be_looked_at:
                key = "signed_in.look"  # which takes a press of their own
            else:
                return await self._review(press, view_id)
        sentence = self._words.with_account(key, account)
        return modals.message(self._words.text("signed_in.title"), sentence, self._words)

    async def _sign_in_again(self, url: str | None, error: UnlatchError, _view_id: str) -> View:
        """Show why the sign-in was refused, with the new link."""
        title, sentence = self._words.title(error), self._words.error(error)
        if url is None:  # who may not sign in any more, or too often
            return modals.message(title, sentence, self._words)
        lifetime = self._deps.timing.link_lifetime
        return modals.sign_in(url, sentence, self._words, lifetime=lifetime, title=title)

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
            await self._open(press, outcome, instead=modals.sentence(outcome))

    async def _show_result(self, form: Form, work: Awaitable[View]) -> None:
        """Slack draws the acknowledgement by a path of its own; drawn later, it would cover the result."""
        drawn = asyncio.sleep(self._deps.timing.acknowledgement_drawn.total_seconds())
        view, _ = await asyncio.gather(self._outcome(work), drawn)
        if not await self._update(form.view_id, view):  # closed meanwhile
            await self._tell(form.actor.user, modals.sentence(view))

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

    async def _open(self, pressed: Press | Command, view: View, *, instead: str = "") -> str | None:
        """Open a modal; where Slack opens none, say so or `instead` to the person alone, and return None."""
        try:
            return await self._slack.open_modal(pressed.trigger_id, view)
        except SlackError as error:
            log.warning("modal_not_opened", code=error.code)
            sentence = self._words.text("no_modal") if is_late(error) else self._words.error(error)
        await self._respond(pressed.response_url, instead or sentence)
        return None

    async def _respond(self, response_url: Secret | None, text: Message | str) -> None:
        if response_url is not None:
            await _sent(self._slack.respond(response_url, text), "response_not_sent")

    async def _tell(self, user: UserId, text: str) -> None:
        await _sent(self._slack.send_direct_message(user, text), "direct_message_not_sent", user=user)

    async def _update(self, view_id: str, view: View) -> bool:
        """Return whether the modal was still open."""
        return await _sent(self._slack.update_modal(view_id, view), "modal_not_updated")


async def _sent(sending: Awaitable[object], failed: str, **about: str) -> bool:
    """Return whether Slack took it; where not, log `failed`."""
    try:
        await sending
    except SlackError as error:
        log.warning(failed, code=error.code, **about)
        return False
    return True


class Background:
    """Bolt keeps no reference to what a listener leaves behind and awaits nothing at shutdown; this does."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, object], *, name: str) -> None:
        """Run `work`; a crash in it is logged and never raised into a listener that has acknowledged."""
        task = asyncio.create_task(self._guarded(work, name), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, *, grace: timedelta) -> None:
        """Wait for all of it, then cancel what is late; what it moved is in the store."""
        with suppress(TimeoutError):
            async with asyncio.timeout(grace.total_seconds()):
                await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _guarded(self, work: Coroutine[Any, Any, object], name: str) -> None:
        try:
            await work
        except Exception as crash:  # the task is awaited by nobody who could handle it
            log_crash("background_crashed", crash, work=name)
