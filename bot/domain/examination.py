"""The examination of a record: every link, every row, every head, in one pass and in constant memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final

from bot.domain.chain import Head, Link, StoredRow, Tip, hash_after, written

GRACE: Final = timedelta(minutes=10)
"""How far a row's own time may lie before the head that was signed before it was linked: clocks of replicas
differ, and a replica of an older version leaves its rows to be linked by the others."""


class Trust(Enum):
    """What a head's signature is worth."""

    GOOD = auto()
    BAD = auto()
    UNKNOWN = auto()
    """Signed with a key that is not known here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """A link as it is stored, with the row that it names and the head that signs it, where they are there."""

    link: Link
    row: StoredRow | None = None
    head: Head | None = None


@dataclass
class Examination:
    """Shown everything in this order: `see` links, `see_head` other heads, `see_stray` rows, then `end`.

    Each yields a sentence for everything that is wrong.
    """

    trust: Callable[[Head], Trust]
    links: int = 0
    last: Link = field(default_factory=lambda: Link(0, 0, Tip().hash))
    signed: Head | None = None
    """The newest head that is good and fits."""
    waiting: int = 0
    """Rows without a link that are new enough to get one still."""
    unknown_keys: set[str] = field(default_factory=set)
    _beyond: Head | None = None
    """The head that signs most of what is no longer there."""
    _remade: bool = False
    _unsigned_since: str | None = None
    _newest_at: str = ""

    def see(self, seen: Linked) -> Iterator[str]:
        """The next link of the chain."""
        link, row = seen.link, seen.row
        if link.seq != self.last.seq + 1:
            yield f"{_links(self.last.seq + 1, link.seq - 1)} missing: what was there was removed"
        if row is None:
            yield f"row {link.row} is missing"
        else:
            yield from self._see_row(link, row)
        self.links, self.last = self.links + 1, link
        if seen.head is not None:
            yield from self.see_head(seen.head, link.hash)

    def see_head(self, head: Head, hash_there: str | None) -> Iterator[str]:
        """A head, and the hash of the link that it signs, None where there is no such link."""
        trust = self.trust(head)
        if trust is Trust.BAD:
            yield f"a head of {head.at} for link {head.seq} has a signature that does not fit"
        elif trust is Trust.UNKNOWN:
            self.unknown_keys.add(head.key)
        elif hash_there is None:
            self._beyond = max(self._beyond or head, head, key=_seq)
        elif hash_there != head.hash:
            yield from self._say_remade(head)
        else:
            self._fits(head)

    def see_stray(self, row: StoredRow) -> Iterator[str]:
        """A row that is in no link."""
        if self._is_backdated(row):
            yield f"row {row.id} is in no link: it was put in"
        else:
            self.waiting += 1

    def end(self, tip: Tip) -> Iterator[str]:
        """Nothing more comes; `tip` is where the database says that the chain ends."""
        if self._beyond is not None and self._beyond.seq > self.last.seq:
            missing = f"a head of {self._beyond.at} signs {self._beyond.seq}"
            yield f"the record ends at {self.last.seq}, but {missing}"
        if self.signed is None and self.unknown_keys:
            yield "no head is signed with a key that is known here"
        if (tip.seq, tip.hash) != (self.last.seq, self.last.hash):
            yield f"the chain ends at {self.last.seq}, but the database says that it ends at {tip.seq}"
        if self._is_long_unsigned():
            first = self.signed.seq + 1 if self.signed else 1
            yield f"{_links(first, self.last.seq)} signed by no head whose key is known here"

    def _see_row(self, link: Link, row: StoredRow) -> Iterator[str]:
        follows = link.seq == self.last.seq + 1
        if follows and hash_after(self.last.hash, row) != link.hash:
            yield f"row {row.id} was changed"
        elif self._is_backdated(row) and self.signed is not None:
            yield f"row {row.id} says {row.at}, but came after the head of {self.signed.at}: it was put in"
        self._unsigned_since = self._unsigned_since or row.at
        self._newest_at = max(self._newest_at, row.at)

    def _say_remade(self, head: Head) -> Iterator[str]:
        """Said once: where one link is another, so are all that follow."""
        if not self._remade:
            first = self.signed.seq + 1 if self.signed else 1
            yield (
                f"the chain was made anew: between link {first} and {head.seq} it is not what the head of "
                f"{head.at} signs"
            )
        self._remade = True

    def _fits(self, head: Head) -> None:
        if self.signed is None or head.seq >= self.signed.seq:
            self.signed = head
            self._unsigned_since = None if head.seq == self.last.seq else head.at

    def _is_backdated(self, row: StoredRow) -> bool:
        return self.signed is not None and _later(row.at, GRACE) < self.signed.at

    def _is_long_unsigned(self) -> bool:
        """Heads are made every minute: rows that span more than the grace do not wait for their first."""
        since = self._unsigned_since
        return since is not None and _later(since, GRACE) < self._newest_at


def _links(first: int, last: int) -> str:
    return f"link {first} is" if first == last else f"links {first} to {last} are"


def _seq(head: Head) -> int:
    return head.seq


def _later(at: str, by: timedelta) -> str:
    """A time in the record's writing, later; what is no time stays as it is."""
    try:
        return written(datetime.fromisoformat(at) + by)
    except (ValueError, OverflowError):
        return at
