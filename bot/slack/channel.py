"""The approver channel: whether it holds approvers alone, as Slack said last."""

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from typing import Final

import structlog

from bot.domain.errors import Code, SlackError
from bot.domain.values import ChannelId
from bot.slack.client import WatchedClient, call
from bot.timing import Timing

SHARED: Final = ("is_ext_shared", "is_pending_ext_shared")
"""With another organisation, or about to be. `is_org_shared` is our own organisation's."""

log = structlog.get_logger()


@dataclass(repr=False, eq=False)
class ApproverChannel:
    """Looked at when the bot starts, each hour, and each minute while something is wrong with it.

    `rota`: APPROVERS names user groups alone, so that to join the channel makes nobody an approver.
    """

    client: WatchedClient
    id: ChannelId
    _: KW_ONLY
    rota: bool
    timing: Timing
    now: Callable[[], datetime]
    problem: Code | None = field(init=False, default=Code.CHANNEL_UNKNOWN)
    """Why nothing is posted to it and decided in it; what nobody could look at for long is not believed."""
    _looked_at: datetime | None = field(init=False, default=None)

    async def look(self) -> None:
        """Look, where it is time; where that fails, the next call looks again."""
        now, last = self.now(), self._looked_at
        good = self.problem is None and not self.client.problem
        if good and last is not None and now < last + self.timing.channel_looked_at:
            return
        asking = self.client.conversations_info(channel=self.id)
        try:
            channel = (await call(asking, within=self.timing.slack_timeout)).get("channel")
            code = "unexpected_answer"
        except SlackError as error:
            channel, code = None, error.code
        if not isinstance(channel, Mapping):
            log.warning("approver_channel_not_looked_at", code=code)
            if last is None or now >= last + 2 * self.timing.channel_looked_at:
                self.problem = Code.CHANNEL_UNKNOWN
            return
        self._looked_at, self.problem = now, problem_of(channel, rota=self.rota)
        if self.problem is not None:
            log.error("approver_channel_refused", reason=str(self.problem))


def problem_of(channel: Mapping[str, object], *, rota: bool) -> Code | None:
    """Return why this is no channel for approvers, from what `conversations.info` says of it."""
    if any(channel.get(name) for name in SHARED):
        return Code.CHANNEL_SHARED
    return None if rota or channel.get("is_private") is True else Code.CHANNEL_PUBLIC
