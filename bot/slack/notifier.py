"""The messages about a request in Slack. What Slack shows already is not sent again."""

import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from bot.domain.errors import SlackError, SlackRefused, SlackUnavailable
from bot.domain.request import MessageRef, MessageState, ResetRequest
from bot.domain.values import ChannelId, dig, text_at
from bot.slack.blocks import Message
from bot.slack.client import SlackClient, call
from bot.slack.directory import ApproverChannel
from bot.slack.errors import CONTENT, GONE
from bot.slack.messages import card, direct_line, receipt, shortened, thread_line
from bot.slack.wording import Wording
from bot.timing import Timing

EVENT_TYPE: Final = "unlatch_request"
"""Of the metadata on every message but an answer; its payload is the request's id and which of them it is."""
CARD, RECEIPT, THREAD, DIRECT = "card", "receipt", "thread", "direct"
SEARCH_SKEW: Final = timedelta(minutes=5)
"""How far Slack's clock may be behind ours."""
SEARCH_PAGES, SEARCH_PAGE = 10, 200
TURN: Final = timedelta(seconds=1.1)
"""Slack takes about one message a second for a channel ("Rate limits")."""
JITTER: Final = 0.2
"""Seconds within which the first turn falls: replicas that were refused together come back apart."""

Metadata = dict[str, object]
Shown = tuple[MessageRef | None, str]
"""Where a message is, and the digest of what it shows."""

log = structlog.get_logger()


@dataclass(repr=False, eq=False)
class SlackNotifier:
    """The Protocol `Notifier`. `on_call`: user groups to notify while somebody has to decide.

    The client comes without retry handlers: a chat.postMessage that is tried again may be posted twice.
    """

    slack: SlackClient
    words: Wording
    channel: ApproverChannel
    _: KW_ONLY
    on_call: Sequence[str] = ()
    timing: Timing
    now: Callable[[], datetime]
    jitter: Callable[[], float] = lambda: random.uniform(0, JITTER)  # noqa: S311  no secret

    def __post_init__(self) -> None:
        self.client = self.slack.client
        self._turns: dict[str, tuple[datetime, datetime]] = {}
        """By limit of Slack's: until when it is closed, and the last turn after that which somebody has."""
        self._answered: dict[str, int] = {}
        """By request: the version that was answered by its response_url last."""

    async def find_posted(self, request: ResetRequest, state: MessageState) -> MessageState:
        if state.card is None:
            state = replace(state, card=await self._find(self.channel.id, request, CARD))
        at, version = state.card, request.version
        if at and request.tells_approvers(state) and await self._find(at.channel, request, THREAD, at.ts):
            state = replace(state, told_approvers=version)
        with suppress(SlackRefused):  # as the message itself will be, where it has to be posted
            state = await self._find_direct(request, state)
        return state

    async def _find_direct(self, request: ResetRequest, state: MessageState) -> MessageState:
        direct = state.receipt.channel if state.receipt else ChannelId("")
        if not direct:
            opening = self.client.conversations_open(users=[request.asked_by])
            data = await call(opening, within=self.timing.slack_timeout)
            if not (direct := ChannelId(text_at(data, "channel", "id"))):
                raise SlackRefused("unexpected_answer")
            state = replace(state, receipt=await self._find(direct, request, RECEIPT))
        if request.tells_requester(state) and await self._find(direct, request, DIRECT):
            state = replace(state, told_requester=request.version)
        return state

    async def update_card(self, request: ResetRequest, state: MessageState) -> MessageState:
        self._check_channel()
        ends = request.reveal_ends(self.timing.reveal_for)
        if ends is not None and self.now() >= ends:
            request = replace(request, cause=None)  # nobody has to look any more
        message = card(request, self.words, self.on_call)
        shown = state.card, state.card_digest
        ref, digest = await self._show(request, CARD, message, shown, self.channel.id)
        told = request.version if state.card is None else state.told_approvers  # a new card says it itself
        return replace(state, card=ref, card_digest=digest, told_approvers=told)

    async def update_receipt(
        self,
        request: ResetRequest,
        state: MessageState,
        first: ResetRequest | None,
        no_card: SlackError | None,
    ) -> MessageState:
        message = receipt(
            request,
            self.words,
            reveal_for=self.timing.reveal_for,
            now=self.now(),
            problem=self.channel.problem,
            no_card=no_card or SlackUnavailable() if state.card is None else None,
            first=first,
        )
        to, shown = ChannelId(request.asked_by), (state.receipt, state.receipt_digest)
        try:
            ref, digest = await self._show(request, RECEIPT, message, shown, to)
        except SlackRefused:
            await self._answer(request, message)
            raise
        told = request.version if state.receipt is None else state.told_requester
        return replace(state, receipt=ref, receipt_digest=digest, told_requester=told)

    async def tell_approvers(self, request: ResetRequest, state: MessageState) -> MessageState:
        if (ref := state.card) is None or not request.tells_approvers(state):
            return state
        self._check_channel()
        told = replace(state, told_approvers=request.version)
        said = thread_line(request, self.words, self.on_call)
        thread = {"thread_ts": ref.ts, "reply_broadcast": not request.is_over}
        try:
            await self._post(said, ref.channel, request, THREAD, **thread)
        except SlackRefused as error:
            if error.code not in GONE:
                raise
            return replace(told, card=None, card_digest="")
        return told

    async def tell_requester(self, request: ResetRequest, state: MessageState) -> MessageState:
        if not request.tells_requester(state):
            return state
        message = direct_line(request, self.words, reveal_for=self.timing.reveal_for)
        await self._post(message, ChannelId(request.asked_by), request, DIRECT)
        return replace(state, told_requester=request.version)

    async def _answer(self, request: ResetRequest, message: Message) -> None:
        """Show the receipt where the request was typed: at first, and when it is over."""
        url, last = self.slack.answers.get(request.id), self._answered.get(request.id)
        if url is not None and (last is None or (request.is_over and last != request.version)):
            self._answered[request.id] = request.version
            with suppress(SlackError):  # too late, or too often
                await self.slack.respond(url, message)

    def _check_channel(self) -> None:
        """Show nothing where others than approvers could read it; it is tried again until it can be shown."""
        if self.channel.problem is not None:
            raise SlackRefused(str(self.channel.problem))

    async def _show(
        self, request: ResetRequest, part: str, message: Message, shown: Shown, channel: ChannelId
    ) -> Shown:
        """Post, or update the message unless it shows this; None and no digest where it is gone.

        A message that Slack takes in no such form is shown without what people typed: no button outlives
        the decision that it asks for.
        """
        ref, digest = shown[0], _digest(message)
        if ref is not None and digest == shown[1]:
            return shown
        old = {} if ref is None else {"channel": ref.channel, "ts": ref.ts}
        for form in (message, shortened(message, request, self.words)):
            try:
                if ref is None:
                    return await self._post(form, channel, request, part), digest
                await self._call("chat.update", **old, metadata=_metadata(request, part), **_content(form))
            except SlackRefused as error:
                if ref is not None and error.code in GONE:
                    with suppress(SlackError):  # what is too old to change would keep its buttons
                        await self._call("chat.delete", **old)
                    return None, ""
                if error.code not in CONTENT or form is not message:
                    raise
            else:
                break
        return ref, digest

    async def _post(
        self, message: Message, channel: ChannelId, request: ResetRequest, part: str, **more: Any
    ) -> MessageRef:
        more |= {"unfurl_links": False, "unfurl_media": False, "metadata": _metadata(request, part)}
        data = await self._call("chat.postMessage", channel=channel, **more, **_content(message))
        channel_id, ts = text_at(data, "channel"), text_at(data, "ts")
        if not channel_id or not ts:
            raise SlackRefused("unexpected_answer")
        log.info("message_posted", request=request.id, part=part, channel=channel_id, ts=ts)
        return MessageRef(ChannelId(channel_id), ts)

    async def _call(self, method: str, *, channel: str, **about: Any) -> Mapping[str, object]:
        """Call within Slack's limit, which is one of the channel for posts, else of the method."""
        limit = channel if method == "chat.postMessage" else method
        if (turns := self._turns.get(limit)) and self.now() < turns[0]:
            raise self._next_turn(limit, turns[0])
        try:
            asking = self.client.api_call(method, json={"channel": channel, **about})
            return await call(asking, within=self.timing.slack_timeout)
        except SlackUnavailable as busy:
            if busy.retry_after is None:
                raise
            closed_until = self.now() + busy.retry_after + timedelta(seconds=self.jitter())
            raise self._next_turn(limit, closed_until) from busy

    def _next_turn(self, limit: str, closed_until: datetime) -> SlackUnavailable:
        """Return the refusal with a turn of its own: all at once they would be refused again."""
        _, last = self._turns.get(limit, (None, closed_until - TURN))
        turn = max(closed_until, last + TURN)
        self._turns[limit] = closed_until, turn
        return SlackUnavailable("ratelimited", turn - self.now(), is_undone=True)

    async def _find(
        self, channel: ChannelId, request: ResetRequest, part: str, thread_ts: str = ""
    ) -> MessageRef | None:
        """Return the newest message with this metadata since the request, among the last 2,000."""
        metadata, oldest, cursor = _metadata(request, part), request.asked_at - SEARCH_SKEW, ""
        method = "conversations.replies" if thread_ts else "conversations.history"
        about = {"channel": channel, "include_all_metadata": True, "limit": SEARCH_PAGE}
        about |= {"oldest": f"{oldest.timestamp():.6f}"} | ({"ts": thread_ts} if thread_ts else {})
        for _ in range(SEARCH_PAGES):
            reading = self.client.api_call(method, params=about | ({"cursor": cursor} if cursor else {}))
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
    """Any app of the workspace can read it: an id, never an authority. A line is one of a version."""
    payload: Metadata = {"request_id": request.id, "part": part}
    if part in (THREAD, DIRECT):
        payload["version"] = str(request.version)
    return {"event_type": EVENT_TYPE, "event_payload": payload}


def _digest(message: Message) -> str:
    """SHA-256 of the message's canonical JSON."""
    shown = json.dumps([message.text, message.blocks], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(shown.encode()).hexdigest()
