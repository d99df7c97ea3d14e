"""The page's API: what people do in the browser, and everything they see, as it changes."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from sandbox.json_bodies import Body, Malformed, json_body, refused, text
from sandbox.slack import NotPossible, Outcome

if TYPE_CHECKING:
    from sandbox.app import Sandbox

DEBOUNCE_SECONDS: Final = 0.05
PING_SECONDS: Final = 15

Gesture = Callable[[str, Body], Awaitable[Response]]


class People:
    """Routes below /sandbox. Refusals are `{"error": sentence}` with a 4xx status."""

    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox
        self._slack = sandbox.slack
        self._running: set[asyncio.Task[Outcome]] = set()
        self._gestures: Mapping[str, Gesture] = {
            "command": self._command,
            "message": self._message,
            "click": self._click,
            "submit": self._submit,
            "close": self._close,
            "suggest": self._suggest,
            "dismiss": self._dismiss,
        }

    def routes(self) -> list[BaseRoute]:
        """The routes, with absolute paths."""
        return [
            Route("/sandbox/events", self._events),
            Route("/sandbox/state", self._state),
            Route("/sandbox/people/{user}/{gesture}", self._gesture, methods=["POST"]),
            Route("/sandbox/phones/{id}", self._phone, methods=["POST"]),
            Route("/sandbox/phones/{id}/unlock", self._unlock, methods=["POST"]),
            Route("/sandbox/roles/{id}", self._role, methods=["POST"]),
        ]

    async def aclose(self) -> None:
        """Wait for what people began: at most the three seconds that Slack allows."""
        await asyncio.gather(*self._running, return_exceptions=True)

    # -- what people do ---------------------------------------------------------------------------

    async def _gesture(self, request: Request) -> Response:
        user, name = request.path_params["user"], request.path_params["gesture"]
        gesture = self._gestures.get(name)
        if gesture is None or user not in self._slack.workspace.people:
            return refused("There is no such person or gesture.", 404)
        try:
            return await gesture(user, await json_body(request))
        except NotPossible as impossible:
            return refused(f"That is not possible: {impossible}.", 409)
        except Malformed as malformed:
            return refused(str(malformed), 400)

    async def _command(self, user: str, body: Body) -> Response:
        self._begin(self._slack.prepare_command(user, text(body, "channel"), text(body, "text")))
        return JSONResponse({}, 202)

    async def _message(self, user: str, body: Body) -> Response:
        self._slack.message(user, text(body, "channel"), text(body, "text"))
        return JSONResponse({}, 202)

    async def _click(self, user: str, body: Body) -> Response:
        view_id = str(body.get("view_id") or "")
        if view_id and isinstance(body.get("values"), dict):
            self._slack.fill(user, body["values"], view_id=view_id)
        chosen = {k: v for k, v in body.items() if k == "value" or k.startswith("selected_")}
        self._begin(
            self._slack.prepare_click(
                user,
                text(body, "action_id"),
                channel=str(body.get("channel") or ""),
                ts=str(body.get("ts") or ""),
                view_id=view_id,
                block_id=text(body, "block_id"),
                value=chosen or None,
            )
        )
        return JSONResponse({}, 202)

    async def _submit(self, user: str, body: Body) -> Response:
        values = body.get("values") or {}
        if not isinstance(values, dict):
            raise Malformed("values must be an object.")
        outcome = await self._slack.submit(user, values, view_id=text(body, "view_id"))
        if not outcome.delivered:
            return refused(outcome.notice, 502)
        if outcome.errors:
            return JSONResponse({"errors": dict(outcome.errors)})
        return JSONResponse({"closed": True} if outcome.closed else {})

    async def _close(self, user: str, body: Body) -> Response:
        await self._slack.close(
            user, view_id=text(body, "view_id"), all_of_them=body.get("all_of_them") is True
        )
        return JSONResponse({})

    async def _suggest(self, user: str, body: Body) -> Response:
        seen = self._slack.workspace.message(str(body.get("channel")), str(body.get("ts")), seen_by=user)
        options = await self._slack.suggest(
            user,
            text(body, "action_id"),
            text(body, "value"),
            view_id=str(body.get("view_id") or ""),
            seen=seen,
        )
        return JSONResponse({"options": options})

    async def _dismiss(self, user: str, body: Body) -> Response:
        if not self._slack.dismiss(user, text(body, "id")):
            return refused("There is nothing like that to dismiss.", 404)
        return JSONResponse({})

    def _begin(self, gesture: Coroutine[Any, Any, Outcome]) -> None:
        task = asyncio.create_task(gesture)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    # -- phones and roles -------------------------------------------------------------------------

    async def _phone(self, request: Request) -> Response:
        def change(phone: str, body: Body) -> None:
            self._sandbox.intune.set_behaviour(phone, text(body, "behaviour"))

        return await self._changed(request, change)

    async def _unlock(self, request: Request) -> Response:
        def change(phone: str, body: Body) -> Mapping[str, bool]:
            return {"open": self._sandbox.intune.unlock(phone, text(body, "passcode"))}

        return await self._changed(request, change)

    async def _role(self, request: Request) -> Response:
        def change(oid: str, body: Body) -> None:
            wanted = body.get("reset_passcode")
            if not isinstance(wanted, bool):
                raise Malformed("reset_passcode is missing.")
            self._sandbox.intune.set_role(oid, wanted)

        return await self._changed(request, change)

    async def _changed(self, request: Request, change: Callable[[str, Body], object]) -> Response:
        try:
            answer = change(request.path_params["id"], await json_body(request))
        except LookupError:
            return refused("There is no such thing to change.", 404)
        except (ValueError, Malformed) as wrong:
            return refused(str(wrong), 400)
        return JSONResponse({}, 202) if answer is None else JSONResponse(answer)

    # -- what people see --------------------------------------------------------------------------

    async def _state(self, _request: Request) -> Response:
        return JSONResponse(self._sandbox.snapshot(), headers={"cache-control": "no-store"})

    async def _events(self, _request: Request) -> Response:
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(self._stream(), media_type="text/event-stream", headers=headers)

    async def _stream(self) -> AsyncIterator[str]:
        while not self._sandbox.closing:
            changed = self._sandbox.next_change()
            yield f"event: state\ndata: {json.dumps(self._sandbox.snapshot())}\n\n"
            while not await _within(PING_SECONDS, changed):
                yield ": ping\n\n"
            # Changes come in flocks: a click, a call, a message.
            await asyncio.sleep(DEBOUNCE_SECONDS)


async def _within(seconds: float, changed: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await changed.wait()
    except TimeoutError:
        return False
