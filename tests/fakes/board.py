"""A Slack that keeps what is shown in it, and breaks down part by part."""

import asyncio
from dataclasses import dataclass, field, replace

from bot.domain.errors import SlackError
from bot.domain.request import ResetRequest
from bot.ports import MessageRef, Shown
from tests.fakes.people import CHANNEL


@dataclass
class FakeBoard:
    """`posted` are messages that somebody was notified of; `troubles` are raised by the part they name."""

    posted: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    kept: dict[str, MessageRef] = field(default_factory=dict)
    """What Slack really holds, whatever anybody remembers."""
    troubles: dict[str, SlackError] = field(default_factory=dict)

    async def find(self, _request: ResetRequest, shown: Shown) -> Shown:
        await self._breathe("find")
        return replace(
            shown, card=shown.card or self.kept.get("card"), receipt=shown.receipt or self.kept.get("receipt")
        )

    async def card(self, request: ResetRequest, shown: Shown) -> Shown:
        ref = await self._show("card", request, shown.card, shown.card_digest)
        return replace(shown, card=ref, card_digest=_digest(request))

    async def receipt(self, request: ResetRequest, shown: Shown) -> Shown:
        ref = await self._show("receipt", request, shown.receipt, shown.receipt_digest)
        return replace(shown, receipt=ref, receipt_digest=_digest(request))

    async def reminder(self, request: ResetRequest, shown: Shown) -> Shown:
        await self._breathe("reminder")
        if request.reminders > shown.reminders:
            self.posted.append("reminder")
        return replace(shown, reminders=request.reminders)

    async def _show(
        self, part: str, request: ResetRequest, ref: MessageRef | None, digest: str
    ) -> MessageRef:
        await self._breathe(part)
        if ref is None:
            self.posted.append(part)
            self.kept[part] = MessageRef(CHANNEL, f"{len(self.posted)}.0")
            return self.kept[part]
        if digest != _digest(request):
            self.updated.append(part)
        return ref

    async def _breathe(self, part: str) -> None:
        await asyncio.sleep(0)
        if part in self.troubles:
            raise self.troubles[part]


def _digest(request: ResetRequest) -> str:
    return str(request.status)
