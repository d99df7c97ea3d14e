"""The query options of Graph: $select, $top, $skip, $count, and pages behind an opaque link."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from sandbox.intune.refusals import GraphError, bad_request

LARGEST_TOP: Final = 1000
METADATA: Final = "https://graph.microsoft.com/v1.0/$metadata"
_OPTIONS: Final = frozenset(
    {"$filter", "$select", "$top", "$skip", "$count", "$orderby", "$search", "$skiptoken"}
)

Entity = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked of a list or of one entity. Orders and searches are accepted and not followed."""

    select: tuple[str, ...]
    filter: str
    top: int | None
    skip: int
    count: bool
    token: str
    carried: tuple[tuple[str, str], ...]
    """The options that the link to the next page repeats."""

    @classmethod
    def parse(cls, query: QueryParams, known: Iterable[str]) -> Self:
        """Read the options, or 400 for an option or a property that does not exist."""
        _check_names(query)
        select = tuple(name.strip() for name in query.get("$select", "").split(",") if name.strip())
        for name in select:
            if name not in frozenset(known):
                raise bad_request(f"Parsing OData Select and Expand failed: no property named '{name}'.")
        return cls(
            select=select,
            filter=query.get("$filter", ""),
            top=_number(query, "$top", least=1),
            skip=_number(query, "$skip", least=0) or 0,
            count=query.get("$count", "") == "true",
            token=query.get("$skiptoken", ""),
            carried=tuple((name, query[name]) for name in ("$filter", "$select", "$top") if name in query),
        )

    def chosen(self, entity: Entity) -> dict[str, object]:
        """The selected properties; all of them where nothing was selected."""
        if not self.select:
            return dict(entity)
        return {name: value for name, value in entity.items() if name in self.select}

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
        start = self._start(options, address)
        end = start + min(options.top or size, size)
        return rows[start:end], self._link(options, address, end) if end < len(rows) else ""

    def _start(self, options: Options, address: str) -> int:
        if not options.token:
            return options.skip
        place = self._places.get(options.token)
        if place is None or place[0] != address:
            raise bad_request("Skip token is not valid.")
        return place[1]

    def _link(self, options: Options, address: str, start: int) -> str:
        token = secrets.token_urlsafe(18)
        self._places[token] = (address, start)
        return f"{address}?{urlencode([*options.carried, ('$skiptoken', token)], safe='$')}"


def _check_names(query: QueryParams) -> None:
    names = [name for name, _ in query.multi_items() if name.startswith("$")]
    for name in names:
        if name not in _OPTIONS or names.count(name) > 1:
            raise _bad_option(name)


def _number(query: QueryParams, name: str, *, least: int) -> int | None:
    if name not in query:
        return None
    text = query[name]
    if not text.isdecimal() or not least <= int(text) <= LARGEST_TOP:
        raise _bad_option(name)
    return int(text)


def _bad_option(name: str) -> GraphError:
    return bad_request(f"The query option '{name}' is not valid here.")
