"""Intune's devices through Graph: find, reset once, see what became of it."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

import httpx

from bot.domain.device import is_what_was_asked
from bot.domain.errors import DeviceRefused, GraphError, NeverLeft, Unknown
from bot.domain.identifiers import DeviceId
from bot.domain.json_objects import read_object
from bot.domain.secret import Secret
from bot.domain.target import Target, TargetKind
from bot.graph import meanings, paths, rows
from bot.graph.http import RESET_MAY_TAKE
from bot.ports import ActionSeen, Clock, Found

MOST_ROWS: Final = 1000
MOST_PAGES: Final = 20
TRIES: Final = 3
FIRST_PAUSE: Final = timedelta(milliseconds=400)
LONGEST_PAUSE: Final = timedelta(seconds=8)
"""A person waits for the read: what Graph wants later than this is refused, not waited for."""
_GONE: Final = "ResourceNotFound"

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Page:
    """Rows of one answer, and Graph's id of it."""

    rows: list[rows.Row]
    request_id: str


class GraphDevices:
    """Fulfils the port `Devices`.

    `base_url` is Graph's base with its version (https://graph.microsoft.com/v1.0). `sleep` takes seconds.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        base_url: str,
        clock: Clock,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._http = http
        self._base = httpx.URL(base_url.rstrip("/"))
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter

    async def find(self, target: Target, token: Secret) -> Found:
        """The devices that the target names, every row checked against it; none where Graph knows no such.

        Raises the GraphError tree.
        """
        try:
            pages = await self._listed(paths.listing(target), token, single=target.kind is TargetKind.ID)
        except DeviceRefused as refused:
            if refused.status == 404 or refused.code == _GONE:
                return Found(request_ids=[refused.request_id])
            raise
        found = [row for page in pages for row in page.rows][:MOST_ROWS]
        devices = [device for device in map(rows.device, found) if is_what_was_asked(device, target)]
        return Found(devices=devices, request_ids=[page.request_id for page in pages])

    async def reset(self, target: Target, device: DeviceId, token: Secret, *, client_request_id: str) -> str:
        """Reset once. Never retried: a second call is a second reset. Returns Graph's request-id.

        It returns where Graph has queued the command: 204, and any other success, because the server took the
        command and to doubt that would invite a second one. What became of it, the device tells (`actions`).
        """
        url = self._url(paths.reset(target, device))
        answer = await self._bounded(self._answered("POST", url, token, client_request_id))
        if isinstance(answer, GraphError):
            raise answer
        if not answer.is_success:
            raise meanings.of_response(answer, now=self._clock.now())
        return _request_id(answer)

    async def actions(self, device: DeviceId, token: Secret) -> Sequence[ActionSeen]:
        """The resets that the device has had, from a read of this one device; raises the GraphError tree."""
        return rows.resets(await self._results(device, token))

    async def passcode(self, device: DeviceId, token: Secret, *, since: datetime) -> Secret | None:
        """The temporary passcode of the first reset that started at or after `since`, if that one is done."""
        return rows.passcode(await self._results(device, token), since=since)

    async def _results(self, device: DeviceId, token: Secret) -> rows.Row:
        """This answer holds a passcode: nothing of its body is logged or put into an exception."""
        answer = await self._read(self._url(paths.results(device)), token, with_body=False)
        return _object(answer)

    async def _listed(self, path: str, token: Secret, *, single: bool) -> list[_Page]:
        pages: list[_Page] = []
        url: httpx.URL | None = self._url(path)
        for _ in range(MOST_PAGES):
            if url is None or sum(len(page.rows) for page in pages) >= MOST_ROWS:
                break
            answer = await self._read(url, token)
            found = [_object(answer)] if single else _values(answer)
            pages.append(_Page(found, _request_id(answer)))
            url = None if single else self._next(answer)
        return pages

    def _next(self, page: httpx.Response) -> httpx.URL | None:
        """The next page, as Graph wrote it; the token goes to Graph's own origin only."""
        link = _object(page).get("@odata.nextLink")
        if not isinstance(link, str):
            return None
        try:
            url = httpx.URL(link)
        except (httpx.InvalidURL, ValueError):  # the latter for half a surrogate pair
            url = httpx.URL("")
        same = (url.scheme, url.host, url.port) == (self._base.scheme, self._base.host, self._base.port)
        if not same or url.userinfo:  # httpx would send a name and password in the token's place
            raise Unknown(code="ForeignNextLink")
        return url

    async def _read(self, url: httpx.URL, token: Secret, *, with_body: bool = True) -> httpx.Response:
        """GET, tried again a little where nothing can have gone wrong by it."""
        for attempt in range(1, TRIES + 1):
            answer = await self._answered("GET", url, token, str(uuid4()))
            if isinstance(answer, httpx.Response) and answer.is_success:
                return answer
            error = self._error(answer, with_body=with_body)
            pause = self._pause(error, attempt)
            if pause is None:
                raise error
            await self._sleep(pause.total_seconds())
        raise AssertionError("the last attempt returns or raises")

    def _error(self, answer: httpx.Response | GraphError, *, with_body: bool) -> GraphError:
        if isinstance(answer, GraphError):
            return answer
        return meanings.of_response(answer, now=self._clock.now(), with_body=with_body)

    def _pause(self, error: GraphError, attempt: int) -> timedelta | None:
        """How long to wait before the next read; None: it is not worth another."""
        if attempt == TRIES or not (isinstance(error, NeverLeft) or error.status == 503):
            return None
        asked = error.retry_after if isinstance(error, NeverLeft) else None
        grown = FIRST_PAUSE * 2 ** (attempt - 1)
        pause = (asked or grown) + grown * self._jitter()
        return pause if pause <= LONGEST_PAUSE else None

    async def _answered(
        self, method: str, url: httpx.URL, token: Secret, client_request_id: str
    ) -> httpx.Response | GraphError:
        """One call. A failure is returned, not raised, so that no exception drags the request along."""
        try:
            answer = await self._http.request(method, url, headers=_headers(token, client_request_id))
        except (*meanings.MEANINGS,) as error:
            failure = meanings.of_exception(error)
        else:
            _note(answer, client_request_id)
            return answer
        _log.warning("graph.no_answer", extra={"why": failure.code, "client_request_id": client_request_id})
        return failure

    async def _bounded(self, call: Awaitable[httpx.Response | GraphError]) -> httpx.Response | GraphError:
        try:
            return await asyncio.wait_for(call, RESET_MAY_TAKE.total_seconds())
        except TimeoutError as error:
            return meanings.of_exception(error)

    def _url(self, path: str) -> httpx.URL:
        return httpx.URL(f"{self._base}{path}")


def _headers(token: Secret, client_request_id: str) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {token.reveal()}",
        "Accept": "application/json",
        "Prefer": "include-unknown-enum-members",
        "client-request-id": client_request_id,
    }


def _note(answer: httpx.Response, client_request_id: str) -> None:
    """Ids for Microsoft's support; never an address, which names people and devices."""
    ids = {
        "status": answer.status_code,
        "client_request_id": client_request_id,
        "request_id": _request_id(answer),
        "diagnostic": answer.headers.get("x-ms-ags-diagnostic", ""),
    }
    _log.info("graph.answered", extra=ids)


def _request_id(answer: httpx.Response) -> str:
    return str(answer.headers.get("request-id", ""))


def _object(answer: httpx.Response) -> rows.Row:
    """The body as a JSON object; where it is none, the error says so and keeps nothing of it."""
    body = read_object(answer.content)
    if body is None:
        raise meanings.unreadable(answer)
    return body


def _values(page: httpx.Response) -> list[rows.Row]:
    values = _object(page).get("value")
    if not isinstance(values, list):
        raise meanings.unreadable(page)
    return [row for row in values if isinstance(row, dict)]
