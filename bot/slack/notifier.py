"""The messages about a request in Slack. What Slack shows already is not sent again."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from datetime import timedelta
from typing import Any, Final

from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.errors import SlackRefused
from bot.domain.request import MessageRef, MessageState, ResetRequest
from bot.domain.values import ChannelId
from bot.slack.blocks import Message
from bot.slack.channel import ApproverChannel
from bot.slack.client import call
from bot.slack.messages import card, receipt, reminder
from bot.slack.payloads import dig, text_at
from bot.slack.wording import Wording
from bot.timing import Timing

EVENT_TYPE: Final = "unlatch_request"
"""Of the metadata on every card and receipt; its payload is the request's id and which of them it is."""
CARD: Final = "card"
RECEIPT: Final = "receipt"
SEARCH_SKEW: Final = timedelta(minutes=5)
"""How far Slack's clock may be behind ours."""
SEARCH_PAGES: Final = 10
SEARCH_PAGE: Final = 200
# The message was deleted, or is too old or not ours to change: only a new one can show the row.
_GONE: Final = frozenset(
    {"message_not_found", "cant_update_message", "edit_window_closed", "thread_not_found"}
)

Metadata = dict[str, object]


@dataclass(repr=False, eq=False)
class SlackNotifier:
    """Fulfils the Protocol `Notifier`, which says what each method does.

    `on_call`: user groups to notify while a request waits.

    The client comes without retry handlers: a chat.postMessage that is tried again may be posted twice.
    """

    client: AsyncWebClient
    words: Wording
    channel: ApproverChannel
    _: KW_ONLY
    on_call: Sequence[str] = ()
    timing: Timing

    async def find_posted(self, request: ResetRequest, state: MessageState) -> MessageState:
        if state.card is None:
            state = replace(state, card=await self._find(self.channel.id, request, CARD))
        if state.receipt is None:
            opening = self.client.conversations_open(users=[request.asked_by])
            direct = text_at(await call(opening, within=self.timing.slack_timeout), "channel", "id")
            if not direct:
                raise SlackRefused("unexpected_answer")
            state = replace(state, receipt=await self._find(ChannelId(direct), request, RECEIPT))
        return state

    async def update_card(self, request: ResetRequest, state: MessageState) -> MessageState:
        self._check_channel()
        message, metadata = card(request, self.words, self.on_call), _metadata(request, CARD)
        ref, digest = await self._show(message, state.card, state.card_digest, self.channel.id, metadata)
        return replace(state, card=ref, card_digest=digest)

    async def update_receipt(
        self, request: ResetRequest, state: MessageState, *, first: ResetRequest | None = None
    ) -> MessageState:
        message = receipt(
            request,
            self.words,
            reveal_for=self.timing.reveal_for,
            problem=self.channel.problem,
            has_card=state.card is not None,
            first=first,
        )
        to, metadata = ChannelId(request.asked_by), _metadata(request, RECEIPT)
        ref, digest = await self._show(message, state.receipt, state.receipt_digest, to, metadata)
        return replace(state, receipt=ref, receipt_digest=digest)

    async def post_reminder(self, request: ResetRequest, state: MessageState) -> MessageState:
        if request.reminders <= state.reminders or state.card is None:
            return state
        self._check_channel()
        message = reminder(request, self.words, self.on_call)
        reminded = replace(state, reminders=request.reminders)
        try:
            await self._post(message, state.card.channel, thread_ts=state.card.ts)
        except SlackRefused as error:
            if error.code not in _GONE:
                raise
            return replace(reminded, card=None, card_digest="")
        return reminded

    def _check_channel(self) -> None:
        """Show nothing where others than approvers could read it; it is tried again until it can be shown."""
        if self.channel.problem is not None:
            raise SlackRefused(str(self.channel.problem))

    async def _show(
        self, message: Message, ref: MessageRef | None, shown: str, channel: ChannelId, metadata: Metadata
    ) -> tuple[MessageRef | None, str]:
        """Post, or update the message at `ref` unless it shows this; None and no digest where it is gone."""
        digest = _digest(message)
        if ref is None:
            return await self._post(message, channel, metadata=metadata), digest
        if digest != shown:
            updating = self.client.chat_update(
                channel=ref.channel, ts=ref.ts, metadata=metadata, **_content(message)
            )
            try:
                await call(updating, within=self.timing.slack_timeout)
            except SlackRefused as error:
                if error.code not in _GONE:
                    raise
                return None, ""
        return ref, digest

    async def _post(
        self,
        message: Message,
        channel: ChannelId,
        *,
        metadata: Metadata | None = None,
        thread_ts: str | None = None,
    ) -> MessageRef:
        posting = self.client.chat_postMessage(
            channel=channel,
            unfurl_links=False,
            unfurl_media=False,
            metadata=metadata,
            thread_ts=thread_ts,
            reply_broadcast=True if thread_ts else None,
            **_content(message),
        )
        data = await call(posting, within=self.timing.slack_timeout)
        channel_id, ts = text_at(data, "channel"), text_at(data, "ts")
        if not channel_id or not ts:
            raise SlackRefused("unexpected_answer")
        return MessageRef(ChannelId(channel_id), ts)

    async def _find(self, channel: ChannelId, request: ResetRequest, part: str) -> MessageRef | None:
        """Return the newest message with this metadata since the request, among the last 2,000."""
        metadata, cursor = _metadata(request, part), ""
        for _ in range(SEARCH_PAGES):
            reading = self.client.conversations_history(
                channel=channel,
                oldest=f"{(request.asked_at - SEARCH_SKEW).timestamp():.6f}",
                include_all_metadata=True,
                limit=SEARCH_PAGE,
                cursor=cursor or None,
            )
            page = await call(reading, within=self.timing.slack_timeout)
            messages = page.get("messages")
            for found in messages if isinstance(messages, list) else []:
                if dig(found, "metadata") == metadata and (ts := text_at(found, "ts")):
                    return MessageRef(channel, ts)
            cursor = text_at(page, "response_metadata", "next_cursor")
            if not cursor:
                break
        return None


def _content(message: Message) -> dict[str, Any]:
    """Nothing of it is parsed; chat.update's own default is to link names and channels."""
    return {"text": message.text, "blocks": list(message.blocks), "parse": "none", "link_names": False}


def _metadata(request: ResetRequest, part: str) -> Metadata:
    """Any app of the workspace can read it: an id, never an authority."""
    return {"event_type": EVENT_TYPE, "event_payload": {"request_id": request.id, "part": part}}


def _digest(message: Message) -> str:
    """SHA-256 of the message's canonical JSON."""
    shown = json.dumps([message.text, message.blocks], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(shown.encode()).hexdigest()
