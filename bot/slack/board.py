"""Shows requests in Slack: card, receipt, reminder. What Slack shows already is not sent again."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.errors import CannotShow
from bot.domain.identifiers import ChannelId
from bot.domain.request import ResetRequest
from bot.ports import MessageRef, Shown
from bot.slack import ids
from bot.slack.calling import answer
from bot.slack.cards import card, reminder
from bot.slack.message import Message
from bot.slack.receipts import receipt
from bot.slack.search import direct_channel, find_message
from bot.slack.wording import Wording

WITHIN: Final = timedelta(seconds=10)
# The message was deleted, or is too old or not ours to change: only a new one can show the row.
_GONE: Final = frozenset(
    {"message_not_found", "cant_update_message", "edit_window_closed", "thread_not_found"}
)


class SlackBoard:
    """The port `Board` over the Web API. `on_call` are user groups to call while a request waits.

    The client comes without retry handlers: a chat.postMessage that is tried again may be posted twice.
    """

    def __init__(
        self,
        client: AsyncWebClient,
        *,
        channel: ChannelId,
        words: Wording,
        on_call: Sequence[str] = (),
        within: timedelta = WITHIN,
    ) -> None:
        self._client = client
        self._channel = channel
        self._words = words
        self._on_call = tuple(on_call)
        self._within = within

    async def card(self, request: ResetRequest, shown: Shown) -> Shown:
        """Post or update the card in the approver channel."""
        message = card(request, self._words, self._on_call)
        digest = _digest(message)
        if shown.card is not None and digest == shown.card_digest:
            return shown
        ref = await self._put(request, message, shown.card, self._channel, ids.CARD)
        return replace(shown, card=ref, card_digest=digest if ref else "")

    async def receipt(self, request: ResetRequest, shown: Shown) -> Shown:
        """Post or update the requester's direct message; a user id opens the conversation."""
        message = receipt(request, self._words)
        digest = _digest(message)
        if shown.receipt is not None and digest == shown.receipt_digest:
            return shown
        ref = await self._put(request, message, shown.receipt, ChannelId(request.asked_by), ids.RECEIPT)
        return replace(shown, receipt=ref, receipt_digest=digest if ref else "")

    async def reminder(self, request: ResetRequest, shown: Shown) -> Shown:
        """Say under the card, and in the channel, that it still waits; a lost card comes back instead."""
        if request.reminders <= shown.reminders or shown.card is None:
            return shown
        message = reminder(request, self._words, self._on_call)
        said = replace(shown, reminders=request.reminders)
        try:
            await self._post(message, shown.card.channel, thread=shown.card.ts)
        except CannotShow as error:
            if error.code not in _GONE:
                raise
            return replace(said, card=None, card_digest="")
        return said

    async def find(self, request: ResetRequest, shown: Shown) -> Shown:
        """Look for messages about the request in the conversations where they would be."""
        if shown.card is None:
            shown = replace(shown, card=await self._find(self._channel, request, ids.CARD))
        if shown.receipt is None:
            direct = await direct_channel(self._client, request.asked_by, within=self._within)
            shown = replace(shown, receipt=await self._find(direct, request, ids.RECEIPT))
        return shown

    async def _find(self, channel: ChannelId, request: ResetRequest, part: str) -> MessageRef | None:
        about = _about(request, part)
        return await find_message(
            self._client, channel, since=request.asked_at, about=about, within=self._within
        )

    async def _put(
        self, request: ResetRequest, message: Message, ref: MessageRef | None, channel: ChannelId, part: str
    ) -> MessageRef | None:
        about = _about(request, part)
        if ref is None:
            return await self._post(message, channel, about=about)
        try:
            await self._update(message, ref, about)
        except CannotShow as error:
            if error.code not in _GONE:
                raise
            return None
        return ref

    async def _update(self, message: Message, ref: MessageRef, about: dict[str, object]) -> None:
        call = self._client.chat_update(
            channel=ref.channel,
            ts=ref.ts,
            text=message.text,
            blocks=list(message.blocks),
            parse="none",
            link_names=False,
            metadata=about,
        )
        await answer(call, within=self._within)

    async def _post(
        self,
        message: Message,
        channel: ChannelId,
        *,
        about: dict[str, object] | None = None,
        thread: str | None = None,
    ) -> MessageRef:
        call = self._client.chat_postMessage(
            channel=channel,
            text=message.text,
            blocks=list(message.blocks),
            parse="none",
            link_names=False,
            unfurl_links=False,
            unfurl_media=False,
            metadata=about,
            thread_ts=thread,
            reply_broadcast=True if thread else None,
        )
        match await answer(call, within=self._within):
            case {"channel": str(posted_in), "ts": str(ts)}:
                return MessageRef(ChannelId(posted_in), ts)
        raise CannotShow("unexpected_answer")


def _about(request: ResetRequest, part: str) -> dict[str, object]:
    """The message's metadata. Any app of the workspace can read it: an id, never an authority."""
    return {"event_type": ids.EVENT_TYPE, "event_payload": {"request_id": request.id, "part": part}}


def _digest(message: Message) -> str:
    """SHA-256 of the message's canonical JSON."""
    shown = json.dumps([message.text, message.blocks], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(shown.encode()).hexdigest()
