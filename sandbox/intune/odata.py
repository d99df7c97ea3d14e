"""OData as far as the bot uses it: $select, $filter by eq and contains, pages behind an opaque link.

Whatever else Graph has is answered 501, never ignored. One silence is Graph's own and stays: Intune drops a
condition that it does not support, and lists the devices of all users.
"""

import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from sandbox.intune.refusals import bad_request, not_known

METADATA: Final = "https://graph.microsoft.com/v1.0/$metadata"
_KNOWN: Final = ("$filter", "$select", "$skiptoken")
_GRAPHS: Final = ("$top", "$skip", "$count", "$orderby", "$search", "$expand", "$format")

# Properties that a $filter on managedDevices compares with eq, by Graph v1.0's property descriptions.
_EQ_OR: Final = frozenset(
    {
        *("complianceState", "deviceCategoryDisplayName", "exchangeAccessState", "imei", "jailBroken"),
        *("managementAgent", "managementState", "manufacturer", "operatingSystem", "serialNumber"),
    }
)
_EQ: Final = _EQ_OR | {"azureADDeviceId", "deviceName", "model", "userPrincipalName"}
_CONTAINS: Final = frozenset({"deviceName", "emailAddress", "model", "osVersion", "phoneNumber"})
_CONTAINS_CALL: Final = re.compile(r"contains\((\w+),'((?:[^']|'')*)'\)")
_CONDITION: Final = r"(\w+) eq '((?:[^']|'')*)'"
_FILTER: Final = re.compile(rf"{_CONDITION}(?: or {_CONDITION})*")

Entity = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """`name eq 'literal'`, or several joined by `or` that compare the same property; or `contains`."""

    name: str
    literals: tuple[str, ...]
    contains: bool = False

    @classmethod
    def parse(cls, text: str, known: Collection[str]) -> Self:
        """Read a $filter; 400 for what Graph refuses, 501 for what only real Graph understands."""
        if text.count("'") % 2:
            raise bad_request(f"Invalid filter clause: there is an unterminated string literal in '{text}'.")
        called = _CONTAINS_CALL.fullmatch(text)
        if not called and not _FILTER.fullmatch(text):
            raise not_known(f"$filter={text}")
        conditions = [called.groups()] if called else re.findall(_CONDITION, text)
        for name, _ in conditions:
            if name not in known:
                raise bad_request(f"Could not find a property named '{name}' on type 'managedDevice'.")
        if len({name for name, _ in conditions}) > 1:
            raise not_known(f"$filter={text}")
        literals = tuple(literal.replace("''", "'") for _, literal in conditions)
        name = conditions[0][0]
        # Where the property does not support `or`, Intune follows the first condition and drops the others.
        literals = literals if name in _EQ_OR else literals[:1]
        return cls(name=name, literals=literals, contains=called is not None)

    def holds(self, row: Entity) -> bool:
        """Whether a row passes; every row does where Intune drops the condition."""
        if self.name not in (_CONTAINS if self.contains else _EQ) or "" in self.literals:
            return True
        value = str(row[self.name] or "").casefold()
        wanted = [literal.casefold() for literal in self.literals]
        return wanted[0] in value if self.contains else value in wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked of a list or of one device."""

    select: tuple[str, ...]
    filter: Filter | None
    token: str
    carried: tuple[tuple[str, str], ...]
    """The options that the link to the next page repeats."""

    @classmethod
    def parse(cls, query: QueryParams, known: Collection[str]) -> Self:
        """Read the options; 400 for an option or a property that does not exist, 501 for Graph's others."""
        names = [name for name, _ in query.multi_items() if name.startswith("$")]
        for name in names:
            if name in _GRAPHS:
                raise not_known(name)
            if name not in _KNOWN or names.count(name) > 1:
                raise bad_request(f"The query option '{name}' is not valid here.")
        select = tuple(name.strip() for name in query.get("$select", "").split(",") if name.strip())
        for name in select:
            if name not in known:
                raise bad_request(f"Parsing OData Select and Expand failed: no property named '{name}'.")
        return cls(
            select=select,
            filter=Filter.parse(query["$filter"], known) if "$filter" in query else None,
            token=query.get("$skiptoken", ""),
            carried=tuple((name, query[name]) for name in ("$filter", "$select") if name in query),
        )

    def chosen(self, entity: Entity) -> dict[str, object]:
        """The selected properties; all of them where nothing was selected."""
        return {name: value for name, value in entity.items() if not self.select or name in self.select}

    def context(self, of: str) -> str:
        """The @odata.context of an answer about `of`."""
        return f"{METADATA}#{of}({','.join(self.select)})" if self.select else f"{METADATA}#{of}"


class Pages:
    """Hands out a list in pages. A link works only for the address that it was made for."""

    def __init__(self) -> None:
        self._places: dict[str, tuple[str, int]] = {}

    def page(
        self, rows: Sequence[Entity], options: Options, *, address: str, size: int
    ) -> tuple[Sequence[Entity], str]:
        """Return one page and the link to the next ("" on the last)."""
        start = 0
        if options.token:
            of, start = self._places.get(options.token, ("", 0))
            if of != address:
                raise bad_request("Skip token is not valid.")
        end = start + size
        if end >= len(rows):
            return rows[start:], ""
        token = secrets.token_urlsafe(18)
        self._places[token] = (address, end)
        link = f"{address}?{urlencode([*options.carried, ('$skiptoken', token)], safe='$')}"
        return rows[start:end], link
