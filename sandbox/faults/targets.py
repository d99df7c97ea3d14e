"""Which vendor a request is for, and what it is called: as the journal says it."""

from dataclasses import dataclass
from typing import Self

from starlette.types import Scope

from sandbox.journal import Vendor


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One call to a vendor. `method` and `path` are what the journal keeps of such a call."""

    to: Vendor
    method: str
    path: str
    subject: str
    """What a rule is compared with: "POST /slack/api/chat.postMessage"."""

    @classmethod
    def of(cls, scope: Scope) -> Self | None:
        """The call that this request is; None for the page, its API, and WebSockets."""
        if scope["type"] != "http":
            return None
        path, verb = scope["path"], scope["method"]
        match path.split("/")[1:3]:
            case ["slack", "api"]:
                name = path.removeprefix("/slack/api/")
                return cls(to="slack", method=name, path=path, subject=f"{verb} {path}")
            case ["slack", "response"]:
                hidden = "/slack/response/…"  # the rest of the path is a secret
                return cls(to="slack", method="response_url", path=hidden, subject=f"{verb} response_url")
            case ["entra", *_]:
                short = path.removeprefix("/entra")
                return cls(to="entra", method=verb, path=short, subject=f"{verb} {path}")
            case ["graph", *_]:
                short = path.removeprefix("/graph")
                return cls(to="graph", method=verb, path=short, subject=f"{verb} {path}")
        return None
