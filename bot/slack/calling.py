"""One call of Slack's Web API, and what its failures mean."""

import asyncio
from collections.abc import Awaitable, Mapping
from datetime import timedelta
from typing import Final

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.domain.errors import CannotShow, SlackAway, SlackError

LONGEST_PAUSE: Final = timedelta(minutes=10)
# Slack's own words for “later”. Source: the error tables of the Web API's method pages.
_LATER: Final = frozenset(
    {
        "fatal_error",
        "internal_error",
        "org_login_required",
        "rate_limited",
        "ratelimited",
        "request_timeout",
        "service_unavailable",
        "team_added_to_org",
    }
)


async def answer(call: Awaitable[AsyncSlackResponse], *, within: timedelta) -> Mapping[str, object]:
    """What Slack answered; SlackAway where a later try may go well, CannotShow where it will not."""
    try:
        async with asyncio.timeout(within.total_seconds()):
            response = await call
    except SlackApiError as error:
        raise _meaning(error) from error
    except TimeoutError as error:
        raise SlackAway("timeout") from error
    except (aiohttp.ClientError, SlackClientError, OSError, ValueError, RecursionError) as error:
        raise SlackAway(type(error).__name__) from error
    except AttributeError as error:  # the SDK stumbles over a body that is no JSON object
        raise SlackAway("no_object") from error
    data = response.data
    return data if isinstance(data, dict) else {}


def _meaning(error: SlackApiError) -> SlackError:
    """What has no error code of Slack's did not come from the Web API but from something on the way."""
    status, code = _status(error.response), _code(error.response)
    if status == 429 or status >= 500 or not code or code in _LATER:
        return SlackAway(code or f"http_{status}", _retry_after(error.response))
    return CannotShow(code)


def _status(response: object) -> int:
    status = getattr(response, "status_code", getattr(response, "status", 0))
    return status if isinstance(status, int) else 0


def _code(response: object) -> str:
    data = getattr(response, "data", None)
    code = data.get("error") if isinstance(data, dict) else None
    return code if isinstance(code, str) else ""


def _retry_after(response: object) -> timedelta | None:
    headers = getattr(response, "headers", None)
    if not isinstance(headers, Mapping):
        return None
    named = {str(name).lower(): str(value) for name, value in headers.items()}
    seconds = named.get("retry-after", "").strip()
    return min(timedelta(seconds=int(seconds[:6])), LONGEST_PAUSE) if seconds.isdecimal() else None
