"""What one Web API method is: who may call it, with which scopes, and what it does."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sandbox.journal import Bearer
from sandbox.slack.arguments import Arguments
from sandbox.slack.platform import Platform
from sandbox.slack.refusals import Refused
from sandbox.slack.shapes import JsonObject

TokenKind = Literal["bot", "app-level", "any", "none"]


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One call being answered."""

    platform: Platform
    arguments: Arguments
    bearer: Bearer

    def need(self, *scopes: str) -> None:
        """Require every one of these scopes: `missing_scope` with what is needed and what is there."""
        granted = self.platform.scopes
        missing = [scope for scope in scopes if scope not in granted]
        if missing:
            raise Refused("missing_scope", needed=",".join(missing), provided=",".join(granted))
        self.platform.scopes_used.update(scopes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One Web API method.

    `caller`: the kind of token it takes. `accepts`: the scopes that Slack's documentation names.
    `subject`: the argument that the journal notes.
    """

    run: Callable[[ApiCall], JsonObject]
    accepts: tuple[str, ...] = ()
    caller: TokenKind = "bot"
    subject: str = ""
