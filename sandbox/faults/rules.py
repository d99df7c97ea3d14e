"""One rule: which calls go wrong, how, and how often."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from sandbox.faults.targets import Target
from sandbox.journal import Vendor

Kind = Literal["latency", "429", "5xx", "reset before", "reset after", "truncated", "aborted", "hang"]

_Fit = tuple[Callable[[object], bool], str]  # whether a JSON value fits a field, and what would

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
VENDORS: Final[tuple[Vendor, ...]] = get_args(Vendor)
LONGEST_SECONDS: Final = 3600
TAKES_AFTER: Final = ("latency", "5xx", "hang")
TAKES_RETRY_AFTER: Final = ("429", "5xx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What goes wrong. ValueError, with a sentence, for one that makes no sense.

    Args:
        to: the vendor whose calls go wrong.
        kind: "latency": the answer is late. "429", "5xx": an answer that says no; the second is an HTML
            page. "reset before", "reset after": the connection is reset, without or after the effect.
            "truncated": carried out, half of the body arrives as if it were all. "aborted": carried out,
            the connection ends in the middle of the body. "hang": no answer until the client gives up.
        match: part of "METHOD /path" or of a Slack method's name; upper and lower case are alike. A
            response URL is "POST response_url". Empty: every call.
        seconds: of "latency".
        status: of "5xx".
        retry_after: seconds in the Retry-After header of "429" and "5xx"; None leaves it out.
        after: "latency", "5xx" and "hang" leave the call undone until then, or for good; with `after`
            it is carried out first.
        times: how many calls go wrong; None for ever.
        skip: how many matching calls pass before.
        probability: of each call after those; drawn from a generator with this `seed`.
    """

    to: Vendor
    kind: Kind
    match: str = ""
    seconds: float = 2.0
    status: int = 503
    retry_after: int | None = None
    after: bool = False
    times: int | None = 1
    skip: int = 0
    probability: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for holds, sentence in self._conditions():
            if not holds:
                raise ValueError(sentence)

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

    def _conditions(self) -> tuple[tuple[bool, str], ...]:
        return (
            (self.to in VENDORS, f"to must be one of: {', '.join(VENDORS)}."),
            (self.kind in KINDS, f"kind must be one of: {', '.join(KINDS)}."),
            (0 < self.seconds <= LONGEST_SECONDS, f"seconds must be above 0 and at most {LONGEST_SECONDS}."),
            (500 <= self.status <= 599, "status must be from 500 to 599."),
            (self.retry_after is None or self.retry_after >= 0, "retry_after must not be negative."),
            (
                self.retry_after is None or self.kind in TAKES_RETRY_AFTER,
                f"retry_after goes only with: {', '.join(TAKES_RETRY_AFTER)}.",
            ),
            (
                not self.after or self.kind in TAKES_AFTER,
                f"after goes only with: {', '.join(TAKES_AFTER)}.",
            ),
            (self.times is None or self.times >= 1, "times must be at least 1, or null for ever."),
            (self.skip >= 0, "skip must not be negative."),
            (0 < self.probability <= 1, "probability must be above 0 and at most 1."),
        )


def rule_from(given: Mapping[str, object]) -> Rule:
    """Read a rule from JSON; ValueError, with a sentence, for anything that is not one."""
    for name in ("to", "kind"):
        if name not in given:
            raise ValueError(f"{name} is missing.")
    for name, value in given.items():
        if name not in _FITS:
            raise ValueError(f"There is no field {name!r}. The fields are: {', '.join(_FITS)}.")
        fits, words = _FITS[name]
        if not fits(value):
            raise ValueError(f"{name} must be {words}.")
    sound: dict[str, Any] = dict(given)  # each value was just found to be of its field's type
    return Rule(**sound)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_TEXT: Final[_Fit] = (lambda value: isinstance(value, str), "a text")
_WHOLE: Final[_Fit] = (_is_whole, "a whole number")
_NUMBER: Final[_Fit] = (_is_number, "a number")
_YES_OR_NO: Final[_Fit] = (lambda value: isinstance(value, bool), "true or false")
_WHOLE_OR_NULL: Final[_Fit] = (lambda value: value is None or _is_whole(value), "a whole number or null")

_FITS: Final[Mapping[str, _Fit]] = {
    "to": _TEXT,
    "kind": _TEXT,
    "match": _TEXT,
    "seconds": _NUMBER,
    "status": _WHOLE,
    "retry_after": _WHOLE_OR_NULL,
    "after": _YES_OR_NO,
    "times": _WHOLE_OR_NULL,
    "skip": _WHOLE,
    "probability": _NUMBER,
    "seed": _WHOLE,
}
