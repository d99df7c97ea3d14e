"""One rule: which calls go wrong, how, and how often."""

from dataclasses import dataclass
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from starlette.types import Scope

from sandbox.journal import Vendor

Kind = Literal["latency", "429", "5xx", "reset before", "reset after", "truncated", "aborted", "hang"]

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
TAKES_AFTER: Final = ("latency", "5xx", "hang")
TAKES_RETRY_AFTER: Final = ("429", "5xx")


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
        """The call that this request is; None for the page, the control API and WebSockets."""
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
            case ["entra" | "graph" as vendor, *_]:
                short = path.removeprefix(f"/{vendor}")
                return cls(to=vendor, method=verb, path=short, subject=f"{verb} {path}")
        return None


class Rule(BaseModel):
    """What goes wrong. ValidationError (a ValueError) for one that makes no sense; see `sentence`.

    Args:
        to: the vendor whose calls go wrong.
        kind: "latency": the answer is late. "429", "5xx": a refusal; the second is an HTML page.
            "reset before", "reset after": the connection is reset, without or after the effect.
            "truncated": carried out, half of the body arrives as if it were all. "aborted": carried out,
            the connection ends in the middle of the body. "hang": no answer until the client gives up.
        match: part of "METHOD /path" or of a Slack method's name; upper and lower case are alike. A
            response URL is "POST response_url". Empty: every call.
        seconds: of "latency", 3600 at most.
        status: of "5xx", 500 to 599.
        retry_after: seconds in the Retry-After header of "429" and "5xx"; None leaves it out.
        after: "latency", "5xx" and "hang" leave the call undone until then, or for good; with `after`
            it is carried out first.
        times: how many calls go wrong; None for no limit.
        skip: how many matching calls pass before.
        probability: of each call after those; drawn from a generator with this `seed`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    to: Vendor
    kind: Kind
    match: str = ""
    seconds: Annotated[float, Field(gt=0, le=3600)] = 2.0
    status: Annotated[int, Field(ge=500, le=599)] = 503
    retry_after: Annotated[int | None, Field(ge=0)] = None
    after: bool = False
    times: Annotated[int | None, Field(ge=1)] = 1
    skip: Annotated[int, Field(ge=0)] = 0
    probability: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: int = 0

    @model_validator(mode="after")
    def _fields_fit_the_kind(self) -> Self:
        if self.retry_after is not None and self.kind not in TAKES_RETRY_AFTER:
            raise ValueError(f"retry_after goes only with {', '.join(TAKES_RETRY_AFTER)}")
        if self.after and self.kind not in TAKES_AFTER:
            raise ValueError(f"after goes only with {', '.join(TAKES_AFTER)}")
        return self

    def matches(self, target: Target) -> bool:
        """Whether this call is one of those."""
        return target.to == self.to and self.match.lower() in target.subject.lower()

    @property
    def note(self) -> str:
        """What the journal says about a call that went wrong."""
        what: str = self.kind
        if self.kind == "5xx":
            what = str(self.status)
        elif self.kind == "latency":
            what = f"{self.seconds:g} s late"
        return f"fault: {what}{', after the effect' if self.after else ''}"


def sentence(error: ValidationError) -> str:
    """The first mistake as a sentence: "status: Input should be less than or equal to 599."."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return ": ".join(filter(None, (where, first["msg"].removeprefix("Value error, ")))) + "."
