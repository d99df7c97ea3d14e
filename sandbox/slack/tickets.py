"""Short-lived rights that Slack hands to an app: trigger ids and response URLs."""

import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Final

from sandbox.clock import Clock
from sandbox.slack.refusals import Refused

TRIGGER_LIFE: Final = timedelta(seconds=3)
RESPONSE_URL_LIFE: Final = timedelta(minutes=30)
RESPONSE_URL_USES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """The right to show one modal to `user`; `view_id` is the modal it came from, if any."""

    user: str
    view_id: str | None
    expires_at: datetime
    exchanged: bool = False


class Triggers:
    """Trigger ids: three seconds, one use (docs.slack.dev/interactivity/handling-user-interaction)."""

    def __init__(self, clock: Clock) -> None:
        self.life = TRIGGER_LIFE
        self._clock = clock
        self._issued: dict[str, Trigger] = {}
        self._number = count(1000)

    def issue(self, user: str, view_id: str | None = None) -> str:
        """Return a new trigger id for something that `user` just did."""
        number = next(self._number)
        trigger_id = f"{number}.{number * 7}.{secrets.token_hex(16)}"
        expires_at = self._clock.now() + self.life
        self._issued[trigger_id] = Trigger(user=user, view_id=view_id, expires_at=expires_at)
        return trigger_id

    def look(self, trigger_id: str) -> Trigger:
        """Return a trigger that can still be exchanged, or refuse as Slack does."""
        trigger = self._issued.get(trigger_id)
        if trigger is None:
            raise Refused("invalid_trigger_id")
        if trigger.exchanged:
            raise Refused("exchanged_trigger_id")
        if self._clock.now() >= trigger.expires_at:
            raise Refused("expired_trigger_id")
        return trigger

    def exchange(self, trigger_id: str) -> Trigger:
        """Use a trigger up."""
        trigger = self.look(trigger_id)
        self._issued[trigger_id] = replace(trigger, exchanged=True)
        return trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseUrl:
    """The right to answer `user` where they acted; `message_ts` is the message that they clicked."""

    user: str
    channel: str
    message_ts: str | None
    expires_at: datetime
    uses_left: int = RESPONSE_URL_USES


class ResponseUrls:
    """Response URLs: five uses within thirty minutes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._issued: dict[str, ResponseUrl] = {}

    def issue(self, user: str, channel: str, message_ts: str | None = None) -> str:
        """Return the secret end of a new response URL."""
        token = secrets.token_urlsafe(18)
        self._issued[token] = ResponseUrl(
            user=user,
            channel=channel,
            message_ts=message_ts,
            expires_at=self._clock.now() + RESPONSE_URL_LIFE,
        )
        return token

    def look(self, token: str) -> ResponseUrl:
        """Return what a response URL may still do, or refuse as Slack does."""
        url = self._issued.get(token)
        if url is None:
            raise Refused("invalid_url")
        if self._clock.now() >= url.expires_at:
            raise Refused("expired_url")
        if url.uses_left == 0:
            raise Refused("used_url")
        return url

    def use(self, token: str) -> None:
        """Count one use."""
        url = self.look(token)
        self._issued[token] = replace(url, uses_left=url.uses_left - 1)
