"""Intune's devices through Graph: find, reset once, read the result."""

import asyncio
import unicodedata
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from html import escape, unescape
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final, TypeVar, assert_never
from urllib.parse import quote, urlencode
from uuid import uuid4

import httpx
import stamina
import structlog
from stamina.instrumentation import set_on_retry_hooks

from bot import __version__
from bot.domain.device import ActionResult, Device, FoundDevices, NewPasscode, matches_target
from bot.domain.errors import DeviceRefused, GraphError, NotExecuted, OutcomeUnknown
from bot.domain.target import IMEI_DIGITS, Target, TargetKind
from bot.domain.values import DeviceId, Secret, normalized, read_object, straight
from bot.graph import managed_device
from bot.graph.errors import HTTPX_ERRORS, from_exception, from_response, graphs_id, unreadable
from bot.network import tls_context
from bot.timing import Timing

ALL_DEVICES: Final = "/deviceManagement/managedDevices"
MAX_ROWS, MAX_PAGES, READ_ATTEMPTS = 1000, 20, 3
MAX_PAUSE: Final = timedelta(seconds=8)
"""A person waits for the read: where Graph asks for a longer pause, the read fails."""

T = TypeVar("T")

log = structlog.get_logger()
# stamina's own log line carries the exception, and with it Graph's words; each answer has a line of ours.
set_on_retry_hooks([])


def graph_client(timing: Timing, transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    """Return the HTTP client for `Intune`: explicit timeouts, no redirects, no cookies. The caller closes it.

    One client serves every approver, so it keeps no cookies: a cookie set for one would be sent for all.
    """
    whole = timing.graph_timeout.total_seconds()
    return httpx.AsyncClient(
        transport=transport,
        verify=tls_context(),
        headers={"User-Agent": f"unlatch/{__version__}"},
        timeout=httpx.Timeout(whole / 6, read=whole * 2 / 3),
        follow_redirects=False,
        cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
    )


class Intune:
    """The Protocol `Intune`; each method takes at most `timing.graph_timeout`, with every page and retry.

    `base_url` is Graph's base with its version (https://graph.microsoft.com/v1.0).
    """

    def __init__(
        self, http: httpx.AsyncClient, base_url: str, *, timing: Timing, now: Callable[[], datetime]
    ) -> None:
        self._http = http
        self._base = httpx.URL(base_url.rstrip("/"))
        self._timeout = timing.graph_timeout.total_seconds()
        self._now = now

    async def find(self, target: Target, token: Secret) -> FoundDevices:
        return await self._within_timeout(self._find_target(target, token))

    async def reset_passcode(
        self, target: Target, device: DeviceId, token: Secret, *, client_request_id: str, direct: bool = False
    ) -> str:
        """Reset once, never retried: a second call is a second reset.

        Where Graph may not know the path below the target, a device that is gone is told by the direct one.
        Graph answers 204 when it has queued the command. Any other success, or one without its request-id,
        proves neither that nor the opposite. The outcome is on the device (`actions`).
        """
        collection = ALL_DEVICES if direct else _collection(target)
        url = self._url(f"{collection}/{_segment(device)}/resetPasscode")
        answer = await self._within_timeout(self._send("POST", url, token, client_request_id))
        if answer.status_code != 204 or not graphs_id(answer):
            raise from_response(answer, now=self._now(), second_path=collection != ALL_DEVICES)
        return graphs_id(answer)

    async def actions(self, device: DeviceId, token: Secret) -> Sequence[ActionResult]:
        results = await self._action_results(device, token)
        return [reset for reset, _ in managed_device.parse_resets(results)]

    async def passcode(self, device: DeviceId, token: Secret, *, since: datetime) -> NewPasscode | None:
        return managed_device.parse_passcode(await self._action_results(device, token), since=since)

    async def _action_results(self, device: DeviceId, token: Secret) -> managed_device.Row:
        """Read a device's results. The answer holds a passcode: it goes into no log and no exception."""
        url = self._url(f"{ALL_DEVICES}/{_segment(device)}", managed_device.RESULT_FIELDS)
        return _object(await self._within_timeout(self._read(url, token, with_body=False)))

    async def _find_target(self, target: Target, token: Secret) -> FoundDevices:
        single = target.kind is TargetKind.ID
        path = _collection(target) + (f"/{_segment(target.value)}" if single else "")
        ways = [(path, condition) for condition in _conditions(target)]
        if target.kind is TargetKind.PERSON:  # where nobody signs in by it, it may be somebody's mail address
            ways.append((ALL_DEVICES, f"contains(emailAddress,{_literal(target.value)})"))
        if single:  # it may be the id by which Entra lists the device
            ways.append((ALL_DEVICES, f"azureADDeviceId eq {_literal(target.value)}"))
        devices: dict[str, Device] = {}
        request_ids: list[str] = []
        complete = True
        for path, condition in ways:
            try:
                found = await self._find(path, condition, target, token)
            except DeviceRefused as refused:
                if not (refused.is_gone or devices):
                    raise
                complete = complete and refused.is_gone
                request_ids.append(refused.request_id)
            else:
                for device in found.devices:
                    devices.setdefault(device.id.casefold(), device)
                request_ids += found.request_ids
                complete = complete and found.complete
                if target.kind is not TargetKind.NAME:  # of which every spelling is asked for
                    break
        return FoundDevices(devices=list(devices.values()), request_ids=request_ids, complete=complete)

    async def _find(self, path: str, condition: str, target: Target, token: Secret) -> FoundDevices:
        """Read a list to its end, or as far as it can be; each device once.

        Below a person or an app the address decides whose devices come. Elsewhere a filter does, which Graph
        may ignore, so each row is checked.
        """
        single = target.kind is TargetKind.ID and not condition
        checked = path.startswith(ALL_DEVICES)
        url: httpx.URL | None = self._url(path, managed_device.DEVICE_FIELDS, condition)
        found: dict[str, Device] = {}
        request_ids: list[str] = []
        seen: set[httpx.URL] = set()
        rows = 0
        while url is not None and url not in seen and rows < MAX_ROWS and len(seen) < MAX_PAGES:
            seen.add(url)
            answer = await self._read(url, token)
            request_ids.append(graphs_id(answer))
            page = _object(answer)
            values = [page] if single else page.get("value")
            if not isinstance(values, list):
                raise unreadable(answer)
            for row in values:
                device = managed_device.parse_device(row if isinstance(row, dict) else {})
                if device.id and (not checked or matches_target(device, target)):
                    if target.kind is TargetKind.PERSON and not checked:
                        device = managed_device.below_person(device, target.value, page)
                    found.setdefault(device.id.casefold(), device)
            rows += len(values)
            url = None if single else self._next_page(url, page)
        if url is not None:
            log.warning("device_search_cut", rows=rows, pages=len(seen), repeats=url in seen)
        return FoundDevices(devices=list(found.values()), request_ids=request_ids, complete=url is None)

    def _next_page(self, url: httpx.URL, page: managed_device.Row) -> httpx.URL | None:
        """Return the next page's URL, None after the last one; one that cannot be followed is the page's own.

        The token goes to Graph's own origin only.
        """
        link = page.get("@odata.nextLink")
        if not link:
            return None
        try:
            following = url.join(link if isinstance(link, str) else "")
        except (httpx.InvalidURL, ValueError):  # the latter for half a surrogate pair
            return url
        same = (following.scheme, following.netloc) == (self._base.scheme, self._base.netloc)
        # httpx would send a name and password in the token's place
        return following if same and not following.userinfo else url

    async def _read(self, url: httpx.URL, token: Secret, *, with_body: bool = True) -> httpx.Response:
        """GET, retried where a moment may help: a read changes nothing."""
        retries = stamina.retry_context(
            on=pause_before_retry,
            attempts=READ_ATTEMPTS,
            timeout=self._timeout,
            wait_initial=0.4,
            wait_max=MAX_PAUSE,
            wait_jitter=0.4,
        )
        async for attempt in retries:
            with attempt:
                answer = await self._send("GET", url, token, str(uuid4()))
                if not answer.is_success or not graphs_id(answer):
                    raise from_response(answer, now=self._now(), with_body=with_body)
                return answer
        raise AssertionError("the last attempt returns or raises")

    async def _send(self, method: str, url: httpx.URL, token: Secret, call_id: str) -> httpx.Response:
        headers = {
            "Authorization": f"Bearer {token.reveal()}",
            "Accept": "application/json",
            "Prefer": "include-unknown-enum-members",
            "client-request-id": call_id,
        }
        try:
            answer = await self._http.request(method, url, headers=headers)
        except HTTPX_ERRORS as error:
            failure = from_exception(error)
        else:
            # Ids for Microsoft's support; never a URL, which names people and devices.
            log.info(
                "graph_answered",
                status=answer.status_code,
                client_request_id=call_id,
                request_id=graphs_id(answer),
                diagnostic=answer.headers.get("x-ms-ags-diagnostic", ""),
            )
            return answer
        log.warning("graph_no_answer", error=failure.code, client_request_id=call_id)
        # Outside of the except: an httpx exception carries the request, and with it the token.
        raise failure

    async def _within_timeout(self, call: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._timeout):
                return await call
        except TimeoutError as error:
            failure = from_exception(error)
        raise failure

    def _url(self, path: str, select: str = "", where: str = "") -> httpx.URL:
        query = {name: text for name, text in (("$select", select), ("$filter", where)) if text}
        # Blanks as %20: not every OData reader takes a plus sign for a blank.
        encoded = urlencode(query, quote_via=quote, safe="$,'")
        return httpx.URL(f"{self._base}{path}" + (f"?{encoded}" if encoded else ""))


def _collection(target: Target) -> str:
    """Return the path below which the target's devices are listed, and each of them is reset."""
    match target.kind:
        case TargetKind.PERSON:
            return f"/users/{_segment(target.value)}/managedDevices"
        case TargetKind.APP:
            return f"/deviceManagement/detectedApps/{_segment(target.value)}/managedDevices"
        case TargetKind.SERIAL | TargetKind.IMEI | TargetKind.NAME | TargetKind.ID:
            return ALL_DEVICES
        case TargetKind.MENTION:
            raise DeviceRefused(code="MentionNotResolved")
        case _:
            assert_never(target.kind)


def _conditions(target: Target) -> Sequence[str]:
    """Return by what a list of all devices is filtered: one condition for each list to ask for."""
    match target.kind:
        case TargetKind.SERIAL:
            return [f"serialNumber eq {_literal(target.value)}"]
        case TargetKind.NAME:  # Graph has no `or` for it
            return [f"deviceName eq {_literal(name)}" for name in _spellings(target.value)]
        case TargetKind.IMEI:
            return [" or ".join(f"imei eq {_literal(imei)}" for imei in _imeis(target.value))]
        case _:
            return [""]


def _imeis(imei: str) -> Sequence[str]:
    """Return how Intune may have it: iPhones write 35 298710 123456 7; the check digit may be 0 or lack."""
    parts, tails = (imei[:2], imei[2:8], imei[8:IMEI_DIGITS]), ((imei[IMEI_DIGITS:],), (), ("0",))
    return [mark.join((*parts, *tail)) for tail in tails for mark in ("", " ", "-")]


def _spellings(name: str) -> Sequence[str]:
    """Return how the name may be spelled in Intune: phones write curly apostrophes, consoles entities."""
    plain = straight(unescape(name))
    curly = plain.replace("'", "’")
    texts = [name, plain, curly, *(text.replace(" ", "\u00a0") for text in (plain, curly)), normalized(name)]
    texts += [escape(plain, quote=False).replace("'", entity) for entity in ("&apos;", "&#39;")]
    texts += [unicodedata.normalize(form, text) for form in ("NFC", "NFD") for text in (plain, curly)]
    return list(dict.fromkeys(filter(None, texts)))


def _literal(text: str) -> str:
    """Return an OData string; a quote is doubled, so that a name cannot end it."""
    return "'" + text.replace("'", "''") + "'"


def _segment(text: str) -> str:
    """Return one path segment that nothing in `text` can leave; "." and ".." cannot be encoded: refused."""
    if text in ("", ".", ".."):
        raise DeviceRefused(code="NoIdentifier")
    return quote(text, safe="")


def pause_before_retry(error: Exception) -> bool | timedelta:
    """Return whether a read is worth another attempt, and after which pause where Graph names one.

    Not where an answer took its time in vain, and not where another one would say the same.
    """
    match error:
        case GraphError(retry_after=timedelta() as asked):
            return asked if asked <= MAX_PAUSE else False
        case NotExecuted() | OutcomeUnknown(code="ReadError" | "WriteError" | "RemoteProtocolError"):
            return True
        case GraphError(status=int() as status):
            return status == 429 or (status >= 500 and status != 501)
        case _:
            return False


def _object(answer: httpx.Response) -> managed_device.Row:
    """Return the body as a JSON object; where it is none, the error keeps nothing of it."""
    body = read_object(answer.content)
    if body is None:
        raise unreadable(answer)
    return body
