"""$filter on managedDevices, exactly as far as Intune understands it, and as silent where it does not.

Source: the property descriptions of Graph v1.0's managedDevice name 20 filterable properties and their
operators. A condition on any other property, with any other operator, or with an empty literal is dropped
without a word, and the list comes back as if it had not been there.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sandbox.intune.refusals import GraphError, bad_request

_EQ: Final = frozenset({"eq"})
_EQ_OR: Final = frozenset({"eq", "or"})
_TEXT: Final = frozenset({"contains"})
_TIME: Final = frozenset({"lt", "gt"})
FILTERABLE: Final[Mapping[str, frozenset[str]]] = {
    "azureADDeviceId": _EQ,
    "complianceGracePeriodExpirationDateTime": _TIME,
    "complianceState": _EQ_OR,
    "deviceCategoryDisplayName": _EQ_OR,
    "deviceName": _EQ | _TEXT,
    "emailAddress": _TEXT,
    "enrolledDateTime": _TIME,
    "exchangeAccessState": _EQ_OR,
    "imei": _EQ_OR,
    "jailBroken": _EQ_OR,
    "lastSyncDateTime": _TIME,
    "managementAgent": _EQ_OR,
    "managementState": _EQ_OR,
    "manufacturer": _EQ_OR,
    "model": _EQ | _TEXT,
    "operatingSystem": _EQ_OR,
    "osVersion": _TEXT,
    "phoneNumber": _TEXT,
    "serialNumber": _EQ_OR,
    "userPrincipalName": frozenset({"eq", "ne"}),
}

Row = Mapping[str, object]
Test = Callable[[Row], bool]

_LITERAL: Final = r"'(?:[^']|'')*'|[^\s()',]+"
_TOKENS: Final = re.compile(rf"\s*({_LITERAL}|[(),])")
_OPERATORS: Final = frozenset({"eq", "ne", "gt", "ge", "lt", "le", "has", "in"})
_FUNCTIONS: Final = frozenset({"contains", "startswith", "endswith"})


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison as it was written; `literal` without its quotes."""

    name: str
    operator: str
    literal: str

    @property
    def understood(self) -> bool:
        return self.operator in FILTERABLE.get(self.name, frozenset()) and bool(self.literal)

    def holds(self, row: Row) -> bool:
        """Whether it is true of a row; always, where Intune does not understand it."""
        if not self.understood:
            return True
        value = str(row[self.name] or "")
        match self.operator:
            case "eq":
                return value.casefold() == self.literal.casefold()
            case "ne":
                return value.casefold() != self.literal.casefold()
            case "contains":
                return self.literal.casefold() in value.casefold()
            case "lt":
                return _time(value) < _time(self.literal)
            case _:
                return _time(value) > _time(self.literal)


def parse_filter(text: str, known: Iterable[str]) -> Test:
    """Return the test for rows, or 400 where OData itself refuses: bad syntax, a name that does not exist."""
    reader = _Reader(_tokens(text), frozenset(known))
    clause = reader.alternatives()
    if reader.more:
        raise _syntax(text)
    return clause.test


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    stripped = text.rstrip()
    while at < len(stripped):
        token = _TOKENS.match(stripped, at)
        if token is None:
            raise _syntax(text)
        found.append(token.group(1))
        at = token.end()
    return found


@dataclass(frozen=True, slots=True)
class _Clause:
    """A test and the properties it speaks of."""

    test: Test
    names: frozenset[str]


class _Reader:
    """A small recursive descent: alternatives of conjunctions of comparisons."""

    def __init__(self, tokens: Sequence[str], known: frozenset[str]) -> None:
        self._tokens = list(tokens)
        self._known = known

    @property
    def more(self) -> bool:
        return bool(self._tokens)

    def alternatives(self) -> _Clause:
        """`or` works within a property that supports it; elsewhere all branches but the first are dropped."""
        branches = [self._conjunction()]
        while self._accept("or"):
            branches.append(self._conjunction())
        names = _names(branches)
        kept = branches if _may_be_joined(names) else branches[:1]
        return _Clause(lambda row: any(branch.test(row) for branch in kept), names)

    def _conjunction(self) -> _Clause:
        parts = [self._part()]
        while self._accept("and"):
            parts.append(self._part())
        return _Clause(lambda row: all(part.test(row) for part in parts), _names(parts))

    def _part(self) -> _Clause:
        if self._accept("("):
            inner = self.alternatives()
            self._expect(")")
            return inner
        condition = self._comparison()
        return _Clause(condition.holds, frozenset({condition.name}))

    def _comparison(self) -> Condition:
        first = self._next()
        if first in _FUNCTIONS:
            return self._call(first)
        name, operator = self._name(first), self._next()
        if operator not in _OPERATORS:
            raise _syntax(operator)
        return _checked(Condition(name, operator, _unquoted(self._next())))

    def _call(self, function: str) -> Condition:
        self._expect("(")
        name = self._name(self._next())
        self._expect(",")
        literal = self._next()
        self._expect(")")
        return Condition(name, function, _unquoted(literal))

    def _name(self, token: str) -> str:
        if token not in self._known:
            raise bad_request(f"Could not find a property named '{token}' on type 'managedDevice'.")
        return token

    def _accept(self, token: str) -> bool:
        if self._tokens and self._tokens[0] == token:
            self._tokens.pop(0)
            return True
        return False

    def _expect(self, token: str) -> None:
        if not self._accept(token):
            raise _syntax(token)

    def _next(self) -> str:
        if not self._tokens:
            raise _syntax("the end")
        return self._tokens.pop(0)


def _names(clauses: Iterable[_Clause]) -> frozenset[str]:
    return frozenset().union(*(clause.names for clause in clauses))


def _may_be_joined(names: frozenset[str]) -> bool:
    return len(names) == 1 and all("or" in FILTERABLE.get(name, ()) for name in names)


def _checked(condition: Condition) -> Condition:
    if condition.understood and condition.operator in _TIME:
        _time(condition.literal)
    return condition


def _unquoted(literal: str) -> str:
    if literal in {"(", ")", ","}:
        raise _syntax(literal)
    return literal[1:-1].replace("''", "'") if literal.startswith("'") else literal


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise _syntax(text) from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _syntax(near: str) -> GraphError:
    return bad_request(f"Invalid filter clause: syntax error near '{near}'.")
