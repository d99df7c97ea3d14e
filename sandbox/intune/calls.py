"""One call to Graph from its first header to its last: ids, dates, the error envelope, the journal's line."""

import json
import time
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final, TypedDict
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.intune.bearer import UNKNOWN
from sandbox.intune.reading import Answered
from sandbox.intune.refusals import GraphError
from sandbox.journal import NOBODY, Bearer

_DIAGNOSTIC: Final = json.dumps({"ServerInfo": {"DataCenter": "Sandbox", "Slice": "E", "Ring": "1"}})


class Line(TypedDict):
    """What the journal keeps of a call."""

    method: str
    path: str
    status: int
    bearer: Bearer
    note: str
    duration_ms: float


class GraphCall:
    """`bearer` is nobody or an unknown token until the caller was recognised."""

    def __init__(self, request: Request, at: datetime) -> None:
        self.bearer = UNKNOWN if "authorization" in request.headers else NOBODY
        self._request = request
        self._at = at
        self._started = time.perf_counter()
        self._id = str(uuid4())
        self._client_id = request.headers.get("client-request-id", self._id)

    def refused(self, error: GraphError) -> Answered:
        """The error envelope (Graph: "Error responses and resource types")."""
        inner = {
            "date": f"{self._at:%Y-%m-%dT%H:%M:%S}",
            "request-id": self._id,
            "client-request-id": self._client_id,
        }
        body = {"error": {"code": error.code, "message": error.message, "innerError": inner}}
        return Answered(JSONResponse(body, error.status, error.headers), error.note)

    def line(self, answered: Answered) -> Line:
        return Line(
            method=self._request.method,
            path=self._request.url.path.removeprefix("/graph"),
            status=answered.response.status_code,
            bearer=self.bearer,
            note=answered.note,
            duration_ms=(time.perf_counter() - self._started) * 1000,
        )

    def finished(self, response: Response) -> Response:
        """The response with the headers that every answer of Graph carries."""
        response.headers["request-id"] = self._id
        response.headers["client-request-id"] = self._client_id
        response.headers["x-ms-ags-diagnostic"] = _DIAGNOSTIC
        response.headers["Date"] = format_datetime(self._at.astimezone(UTC), usegmt=True)
        response.headers.setdefault("Cache-Control", "no-cache")
        return response
