"""The control API below /sandbox: what people do in the page, what they see, and what tests change or count.

Refusals are `{"error": sentence}` with a 4xx status.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final, get_args

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from sandbox.faults.queue import Hit
from sandbox.faults.rules import Rule, sentence
from sandbox.intune.fleet import Role, Traps
from sandbox.intune.resetting import AcceptedReset
from sandbox.setup import Setup
from sandbox.slack import NotPossible, Outcome
from sandbox.slack.sockets import DisconnectReason

if TYPE_CHECKING:
    from sandbox.app import Sandbox

DEBOUNCE_SECONDS: Final = 0.05
PING_SECONDS: Final = 15
NEVER_STORED: Final = {"cache-control": "no-store"}
REASONS: Final[tuple[DisconnectReason, ...]] = get_args(DisconnectReason)

Body = Mapping[str, Any]  # the JSON that was sent; each handler reads what it needs
Handler = Callable[[Request], Awaitable[Response]]


class Refused(Exception):
    """A request that is not served: a sentence why, and the HTTP status."""

    def __init__(self, sentence: str, status: int = 400) -> None:
        super().__init__(sentence)
        self.status = status


class ControlApi:
    """Routes below /sandbox. No token and no passcode is in any answer, but in a modal that the bot shows."""

    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox
        self._slack = sandbox.slack
        self._running: set[asyncio.Task[Outcome]] = set()
        self._actions: Mapping[str, Callable[[str, Body], Awaitable[Response]]] = {
            "command": self._command,
            "message": self._message,
            "click": self._click,
            "submit": self._submit,
            "close": self._close,
            "dismiss": self._dismiss,
        }

    def routes(self) -> list[BaseRoute]:
        """The routes, with absolute paths."""
        return [
            _route("GET", "/sandbox/events", self._events),
            _route("GET", "/sandbox/state", self._state),
            _route("GET", "/sandbox/resets", self._resets),
            _route("GET", "/sandbox/posted", self._posted),
            _route("POST", "/sandbox/people/{user}/{action}", self._acts),
            _route("POST", "/sandbox/phones/{id}", self._phone),
            _route("POST", "/sandbox/phones/{id}/unlock", self._unlock),
            _route("POST", "/sandbox/roles/{id}", self._role),
            _route("POST", "/sandbox/graph", self._graph),
            _route("POST", "/sandbox/setup", self._set_up),
            _route("POST", "/sandbox/sockets", self._sockets),
            _route("GET", "/sandbox/faults", self._faults),
            _route("POST", "/sandbox/faults", self._add_fault),
            _route("DELETE", "/sandbox/faults", self._clear_faults),
            _route("DELETE", "/sandbox/faults/{id:int}", self._remove_fault),
        ]

    async def aclose(self) -> None:
        """Wait for what people began: at most the three seconds that Slack allows."""
        await asyncio.gather(*self._running, return_exceptions=True)

    # What people do

    async def _acts(self, request: Request) -> Response:
        user, name = request.path_params["user"], request.path_params["action"]
        if name not in self._actions or user not in self._slack.workspace.people:
            raise Refused("There is no such person or action.", 404)
        return await self._actions[name](user, await _body(request))

    async def _command(self, user: str, body: Body) -> Response:
        self._begin(self._slack.prepare_command(user, _text(body, "channel"), _text(body, "text")))
        return JSONResponse({}, 202)

    async def _message(self, user: str, body: Body) -> Response:
        self._slack.message(user, _text(body, "channel"), _text(body, "text"))
        return JSONResponse({}, 202)

    async def _click(self, user: str, body: Body) -> Response:
        view_id = str(body.get("view_id") or "")
        if view_id and isinstance(body.get("values"), dict):
            self._slack.fill(user, body["values"], view_id=view_id)
        chosen = {k: v for k, v in body.items() if k == "value" or k.startswith("selected_")}
        self._begin(
            self._slack.prepare_click(
                user,
                _text(body, "action_id"),
                channel=str(body.get("channel") or ""),
                ts=str(body.get("ts") or ""),
                view_id=view_id,
                block_id=_text(body, "block_id"),
                value=chosen or None,
            )
        )
        return JSONResponse({}, 202)

    async def _submit(self, user: str, body: Body) -> Response:
        values = body.get("values") or {}
        if not isinstance(values, dict):
            raise Refused("values must be an object.")
        outcome = await self._slack.submit(user, values, view_id=_text(body, "view_id"))
        if not outcome.delivered:
            raise Refused(outcome.notice, 502)
        if outcome.errors:
            return JSONResponse({"errors": dict(outcome.errors)})
        return JSONResponse({"closed": True} if outcome.closed else {})

    async def _close(self, user: str, body: Body) -> Response:
        await self._slack.close(
            user, view_id=_text(body, "view_id"), all_of_them=body.get("all_of_them") is True
        )
        return JSONResponse({})

    async def _dismiss(self, user: str, body: Body) -> Response:
        if not self._slack.dismiss(user, _text(body, "id")):
            raise Refused("There is nothing like that to dismiss.", 404)
        return JSONResponse({})

    def _begin(self, action: Coroutine[Any, Any, Outcome]) -> None:
        task = asyncio.create_task(action)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    # Phones, roles, sockets and faults

    async def _phone(self, request: Request) -> Response:
        behaviour = _text(await _body(request), "behaviour")
        self._sandbox.intune.set_behaviour(request.path_params["id"], behaviour)
        return JSONResponse({}, 202)

    async def _unlock(self, request: Request) -> Response:
        passcode = _text(await _body(request), "passcode")
        return JSONResponse({"open": self._sandbox.intune.unlock(request.path_params["id"], passcode)})

    async def _role(self, request: Request) -> Response:
        """The fields of `Role`."""
        role = Role.model_validate(await _body(request))
        self._sandbox.intune.set_role(request.path_params["id"], role)
        return JSONResponse({}, 202)

    async def _graph(self, request: Request) -> Response:
        """The fields of `Traps`."""
        self._sandbox.intune.set_traps(Traps.model_validate(await _body(request)))
        return JSONResponse({}, 202)

    async def _set_up(self, request: Request) -> Response:
        """The fields of `Setup`."""
        Setup.model_validate(await _body(request)).apply(self._sandbox)
        return JSONResponse({}, 202)

    async def _sockets(self, request: Request) -> Response:
        """Close the sockets of the app: `{"reason": …}`."""
        reason = (await _body(request)).get("reason")
        if reason not in REASONS:
            raise Refused(f"reason must be one of: {', '.join(REASONS)}.")
        await self._slack.sockets.disconnect(reason)
        return JSONResponse({"open": self._slack.sockets.connections})

    async def _faults(self, _request: Request) -> Response:
        faults = self._sandbox.faults
        body = {"faults": faults.snapshot(), "hits": [_hit(hit) for hit in faults.hits]}
        return JSONResponse(body, headers=NEVER_STORED)

    async def _add_fault(self, request: Request) -> Response:
        rule = Rule.model_validate(await _body(request))
        return JSONResponse(self._sandbox.faults.add(rule).snapshot(), 201)

    async def _clear_faults(self, _request: Request) -> Response:
        self._sandbox.faults.clear()
        return JSONResponse({})

    async def _remove_fault(self, request: Request) -> Response:
        self._sandbox.faults.remove(request.path_params["id"])
        return JSONResponse({})

    # What people see, and what arrived at the vendors

    async def _resets(self, _request: Request) -> Response:
        return JSONResponse([_reset(r) for r in self._sandbox.intune.resets], headers=NEVER_STORED)

    async def _posted(self, request: Request) -> Response:
        """The messages of every channel, or of `?channel=`."""
        channels = self._slack.workspace.conversations
        wanted = request.query_params.get("channel")
        if wanted is not None and wanted not in channels:
            raise Refused("There is no such channel.", 404)
        posted = [
            {"metadata": None}
            | self._slack.workspace.message_json(message, with_metadata=True)
            | {"channel": channel, "by_app": message.by_app}
            for channel in ([wanted] if wanted is not None else channels)
            for message in channels[channel].messages.values()
        ]
        return JSONResponse(posted, headers=NEVER_STORED)

    async def _state(self, _request: Request) -> Response:
        return JSONResponse(self._sandbox.snapshot(), headers=NEVER_STORED)

    async def _events(self, _request: Request) -> Response:
        headers = NEVER_STORED | {"x-accel-buffering": "no"}
        return StreamingResponse(self._stream(), media_type="text/event-stream", headers=headers)

    async def _stream(self) -> AsyncIterator[str]:
        while not self._sandbox.closing:
            changed = self._sandbox.next_change()
            yield f"event: state\ndata: {json.dumps(self._sandbox.snapshot())}\n\n"
            while not await _within(PING_SECONDS, changed):
                yield ": ping\n\n"
            # One action makes several changes: a click, a call, a message.
            await asyncio.sleep(DEBOUNCE_SECONDS)


def _route(method: str, path: str, handler: Handler) -> Route:
    async def endpoint(request: Request) -> Response:
        try:
            return await handler(request)
        except Refused as refused:
            words, status = str(refused), refused.status
        except NotPossible as impossible:
            words, status = f"That is not possible: {impossible}.", 409
        except ValidationError as wrong:
            words, status = sentence(wrong), 400
        except LookupError:
            words, status = "There is no such thing to change.", 404
        except ValueError as wrong:
            words, status = str(wrong), 400
        return JSONResponse({"error": words}, status)

    return Route(path, endpoint, methods=[method])


async def _body(request: Request) -> Body:
    """The JSON object that was sent."""
    # A form on another page can send anything but this type without a CORS preflight.
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise Refused("Send JSON.")
    try:
        body = await request.json()
    except ValueError:
        raise Refused("That is not JSON.") from None
    if not isinstance(body, dict):
        raise Refused("Send a JSON object.")
    return body


def _text(body: Body, name: str) -> str:
    """A text that must be there."""
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise Refused(f"{name} is missing.")
    return value


def _reset(reset: AcceptedReset) -> dict[str, str]:
    return {
        "device": reset.device_id,
        "form": reset.form,
        "oid": reset.oid,
        "upn": reset.upn,
        "client_request_id": reset.client_request_id,
        "at": reset.at.isoformat(),
    }


def _hit(hit: Hit) -> dict[str, object]:
    return {
        "at": hit.at.isoformat(),
        "id": hit.rule_id,
        "to": hit.target.to,
        "method": hit.target.method,
        "path": hit.target.path,
        "kind": hit.rule.kind,
    }


async def _within(seconds: float, changed: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await changed.wait()
    except TimeoutError:
        return False
