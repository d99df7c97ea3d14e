"""What the vendors, and the machines in front of them, say in a bad moment."""

from http import HTTPStatus
from typing import Final

from starlette.responses import HTMLResponse, JSONResponse, Response

from sandbox.journal import Vendor

_THROTTLED: Final[dict[Vendor, dict[str, object]]] = {
    # docs.slack.dev/apis/web-api/rate-limits
    "slack": {"ok": False, "error": "ratelimited"},
    # learn.microsoft.com/graph/throttling, "Sample response"
    "graph": {
        "error": {
            "code": "TooManyRequests",
            "innerError": {"code": "429", "message": "Please retry after", "status": "429"},
            "message": "Please retry again later.",
        }
    },
    # learn.microsoft.com/entra/identity-platform/reference-error-codes, AADSTS90055
    "entra": {
        "error": "temporarily_unavailable",
        "error_description": "AADSTS90055: There are too many incoming requests.",
        "error_codes": [90055],
    },
}

# What Windows' HTTP.sys sends in front of an application that is down.
_PAGE: Final = """\
<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01//EN""http://www.w3.org/TR/html4/strict.dtd">\r
<HTML><HEAD><TITLE>{phrase}</TITLE>\r
<META HTTP-EQUIV="Content-Type" Content="text/html; charset=us-ascii"></HEAD>\r
<BODY><h2>{phrase}</h2>\r
<hr><p>HTTP Error {status}. The service is unavailable.</p>\r
</BODY></HTML>\r
"""


def throttled(to: Vendor, retry_after: int | None) -> Response:
    """429 in the vendor's own words."""
    return JSONResponse(_THROTTLED[to], 429, _headers(retry_after))


def unavailable(status: int, retry_after: int | None) -> Response:
    """A page where the client expects JSON."""
    page = _PAGE.format(phrase=_phrase(status), status=status)
    return HTMLResponse(page, status, _headers(retry_after))


def _headers(retry_after: int | None) -> dict[str, str]:
    return {} if retry_after is None else {"Retry-After": str(retry_after)}


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Server Error"
