"""Bolt's app: which listener gets what. Hot ones first, for Bolt looks through them in order."""

import logging
import time
from collections.abc import Callable
from typing import Final

from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.response import BoltResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack import ids
from bot.slack.listeners import Listeners

COMMAND: Final = "/reset-passcode"


class TimedApp(AsyncApp):
    """Bolt's app that says how long Slack waited, over HTTP and over sockets alike."""

    answered: Callable[[float], None] = staticmethod(lambda _seconds: None)

    async def async_dispatch(self, req: AsyncBoltRequest) -> BoltResponse:
        """Run the listener; it ends when Slack has what it waits for."""
        began = time.perf_counter()
        try:
            return await super().async_dispatch(req)
        finally:
            self.answered(time.perf_counter() - began)


def bolt_app(
    client: AsyncWebClient,
    us: AuthorizeResult,
    listeners: Listeners,
    answered: Callable[[float], None] | None = None,
) -> AsyncApp:
    """An app for one workspace, whose bot `us` is, as `auth.test` said at start.

    `process_before_response`: with it Bolt answers when the listener returns; without it Bolt looks for
    the answer every 10 ms. No listener awaits anything slow before or after its acknowledgement.
    """

    async def authorize() -> AuthorizeResult:
        return us

    app = TimedApp(
        client=client,
        authorize=authorize,
        process_before_response=True,
        request_verification_enabled=False,  # the door has verified; a socket needs none
        ssl_check_enabled=False,
        logger=logging.getLogger("slack_bolt.unlatch"),
    )
    if answered is not None:
        app.answered = answered
    app.command(COMMAND)(listeners.command)
    app.action(ids.APPROVE)(listeners.approve_pressed)
    app.view(ids.APPROVE_FORM)(listeners.approve_submitted)
    app.view(ids.AGAIN_FORM)(listeners.again_submitted)
    app.action(ids.DENY)(listeners.deny_pressed)
    app.view(ids.DENY_FORM)(listeners.deny_submitted)
    app.view(ids.ASK_FORM)(listeners.ask_submitted)
    app.action(ids.CLOSE)(listeners.close_pressed)
    app.action(ids.WITHDRAW)(listeners.withdraw_pressed)
    app.action(ids.SHOW_PASSCODE)(listeners.passcode_pressed)
    app.action(ids.SIGN_IN)(listeners.link_followed)
    app.error(listeners.crashed)
    return app
