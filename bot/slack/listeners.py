"""What Slack delivers, turned into use cases: read it, acknowledge, and do the rest in owned tasks."""

from collections.abc import Mapping
from typing import Any

from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.response import BoltResponse

from bot.domain.errors import (
    BadInput,
    NoReason,
    ReasonTooLong,
    StoreAway,
    TicketTooLong,
    TooOften,
    UnlatchError,
)
from bot.domain.identifiers import DeviceId
from bot.resets.ask import Ask, ask
from bot.resets.desk import Desk
from bot.resets.sign_in import sign_out
from bot.slack import ids, modals, replies
from bot.slack.afterwork import Afterwork, log_crash
from bot.slack.conversation import Conversation
from bot.slack.parsing import Click, Command, Malformed, Submission
from bot.slack.wording import Wording

Body = Mapping[str, Any]
RECENT = 5


class Listeners:
    """Every listener acknowledges before it talks to Slack or Microsoft, and raises nothing afterwards."""

    def __init__(self, desk: Desk, conversation: Conversation, afterwork: Afterwork, words: Wording) -> None:
        self._desk = desk
        self._conversation = conversation
        self._afterwork = afterwork
        self._words = words

    # The slash command

    async def command(self, ack: AsyncAck, body: Body) -> None:
        """`/reset-passcode`, alone, with a subcommand, or with a target and a reason."""
        typed = Command.parse(body)
        match typed.text.lower().split():
            case []:
                await self._open_form(ack, typed)
            case ["help"]:
                await ack(replies.help_text(self._words))
            case ["status"]:
                await self._status(ack, typed)
            case ["sign-in" | "signin" | "login"]:
                await ack()
                self._afterwork.start(self._conversation.offer_sign_in(typed), name="sign_in")
            case ["sign-out" | "signout" | "logout"]:
                await self._sign_out(ack, typed)
            case _:
                await self._ask(ack, typed)

    async def _open_form(
        self, ack: AsyncAck, typed: Command, *, target: str = "", reason: str = "", notice: str | None = None
    ) -> None:
        await ack()
        form = modals.ask_form(self._words, target=target, reason=reason, notice=notice)
        self._afterwork.start(self._conversation.open(typed, form), name="ask_form")

    async def _ask(self, ack: AsyncAck, typed: Command) -> None:
        """File at once. What cannot be used comes back in the form, so that nothing typed is lost."""
        target, reason = typed.split()
        asked = Ask(delivery=typed.trigger, team=typed.team, actor=typed.actor, target=target, reason=reason)
        try:
            request = await ask(self._desk, asked)
        except BadInput as bad:
            notice = self._words.refusal(bad)
            await self._open_form(ack, typed, target=target, reason=reason, notice=notice)
        except StoreAway:
            await ack(replies.not_stored(self._words))
        except TooOften as limit:
            await ack(self._words.refusal(limit))
        else:
            await ack(replies.asked(request, self._words))

    async def _status(self, ack: AsyncAck, typed: Command) -> None:
        try:
            recent = await self._desk.requests.recent(typed.actor.user, limit=RECENT)
        except StoreAway as away:
            await ack(self._words.refusal(away))
        else:
            await ack(replies.status(recent, self._words))

    async def _sign_out(self, ack: AsyncAck, typed: Command) -> None:
        try:
            forgotten = await sign_out(self._desk, typed.actor)
        except StoreAway as away:
            await ack(self._words.refusal(away))
        else:
            await ack(replies.signed_out(forgotten, self._words))

    # The form

    async def ask_submitted(self, ack: AsyncAck, body: Body) -> None:
        """Store the ask, then close the form; what cannot be used is said under its field."""
        form = Submission.parse(body)
        asked = Ask(
            delivery=form.view,
            team=form.team,
            actor=form.actor,
            target=form.typed(ids.TARGET, ids.VALUE),
            reason=form.typed(ids.REASON, ids.VALUE),
            ticket=form.typed(ids.TICKET, ids.VALUE),
        )
        try:
            await ask(self._desk, asked)
        except (BadInput, StoreAway, TooOften) as error:
            await ack(response_action="errors", errors={_field(error): self._words.refusal(error)})
        else:
            await ack()

    # Buttons

    async def approve_pressed(self, ack: AsyncAck, body: Body) -> None:
        """Show the review, or what the approver has to do first."""
        click = Click.parse(body)
        await ack()
        self._afterwork.start(self._conversation.review(click), name="review")

    async def deny_pressed(self, ack: AsyncAck, body: Body) -> None:
        """Ask for the reason."""
        click = Click.parse(body)
        await ack()
        self._afterwork.start(self._conversation.ask_denial(click), name="deny_form")

    async def close_pressed(self, ack: AsyncAck, body: Body) -> None:
        """Give an uncertain request up."""
        click = Click.parse(body)
        await ack()
        self._afterwork.start(self._conversation.close(click), name="close")

    async def withdraw_pressed(self, ack: AsyncAck, body: Body) -> None:
        """Take the request back."""
        click = Click.parse(body)
        await ack()
        self._afterwork.start(self._conversation.withdraw(click), name="withdraw")

    async def passcode_pressed(self, ack: AsyncAck, body: Body) -> None:
        """Show the new passcode to who asked."""
        click = Click.parse(body)
        await ack()
        self._afterwork.start(self._conversation.show_passcode(click), name="show_passcode")

    async def link_followed(self, ack: AsyncAck) -> None:
        """Slack also reports that a link button was pressed; there is nothing to do."""
        await ack()

    # Submitted decisions. The window stays open and says what came of it: an acknowledgement alone promises
    # nothing, so a decision that a crash swallowed is never mistaken for one that was made.

    async def approve_submitted(self, ack: AsyncAck, body: Body) -> None:
        """Approve the chosen device."""
        await self._approve(ack, Submission.parse(body), knowingly=False)

    async def again_submitted(self, ack: AsyncAck, body: Body) -> None:
        """Approve although the device was reset a few minutes ago."""
        await self._approve(ack, Submission.parse(body), knowingly=True)

    async def _approve(self, ack: AsyncAck, form: Submission, *, knowingly: bool) -> None:
        await ack(response_action="update", view=modals.loading(self._words))
        device = DeviceId(form.typed(ids.DEVICE, ids.VALUE))
        self._afterwork.start(self._conversation.approve(form, device, knowingly=knowingly), name="approve")

    async def deny_submitted(self, ack: AsyncAck, body: Body) -> None:
        """Deny with the typed reason."""
        form = Submission.parse(body)
        await ack(response_action="update", view=modals.loading(self._words))
        denial = form.typed(ids.DENIAL, ids.VALUE)
        self._afterwork.start(self._conversation.deny(form, denial), name="deny")

    async def crashed(self, error: Exception) -> BoltResponse:
        """Bolt's last resort: a delivery that is not Slack's shape, or a crash before the acknowledgement."""
        if isinstance(error, Malformed):
            return BoltResponse(status=400, body="This is no delivery of Slack's.")
        log_crash("listener_crashed", error)
        return BoltResponse(status=500, body="")


def _field(error: UnlatchError) -> str:
    """The field under which Slack shows the sentence."""
    match error:
        case NoReason() | ReasonTooLong():
            return ids.REASON
        case TicketTooLong():
            return ids.TICKET
        case _:
            return ids.TARGET
