"""`unlatch audit verify`: examine a record, and name every row that is not as it was written."""

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from bot.domain.chain import Head
from bot.domain.errors import StoreAway
from bot.domain.examination import Examination
from bot.notary import Witness
from bot.shipping import heads
from bot.store.reading import RecordReader, reading

FINE, TAMPERED, CANNOT_READ = 0, 1, 2
MOST_NAMED: Final = 100
"""After so many findings they are counted only."""
AT_ONCE: Final = 500

Lines = Iterator[str]


class CannotRead(Exception):
    """What is in the way of an examination, as a sentence."""


def verify(database: str, witness: Witness, shipped: Path | None) -> int:
    """Print what is wrong with the record, or that nothing is; `shipped` holds heads that left the house.

    The file may be a whole log. Returns FINE, TAMPERED or CANNOT_READ.
    """
    examination = Examination(witness.trust)
    try:
        with ExitStack() as stack:
            # Before the record is looked at: a head that is shipped later may sign what we do not see.
            lines = None if shipped is None else _lines(stack.enter_context(shipped.open("rb")))
            record = stack.enter_context(reading(database))
            found = _print(_findings(examination, record, lines))
    except StoreAway:
        return _cannot("The record cannot be read. Is this Unlatch's database, and up to date?")
    except OSError as error:
        return _cannot(f"{shipped} cannot be read ({error.strerror}).")
    except (ValueError, CannotRead) as error:
        return _cannot(f"{error}.")
    _print_notes(examination)
    print(f"TAMPERED: {found} found." if found else _fine(examination))
    return TAMPERED if found else FINE


def _findings(examination: Examination, record: RecordReader, lines: Lines | None) -> Iterator[str]:
    for linked in record.links():
        yield from examination.see(linked)
    for head in record.heads_beyond():
        yield from examination.see_head(head, None)
    if lines is not None:
        yield from _shipped(examination, record, heads(lines))
    for row in record.strays():
        yield from examination.see_stray(row)
    yield from examination.end(record.tip())


def _shipped(examination: Examination, record: RecordReader, shipped: Iterator[Head]) -> Iterator[str]:
    some = False
    while batch := list(islice(shipped, AT_ONCE)):
        some = True
        there = record.hashes([head.seq for head in batch])
        for head in batch:
            yield from examination.see_head(head, there.get(head.seq))
    if not some:
        raise CannotRead("There is no head in the file of --heads")


def _lines(file: BinaryIO) -> Lines:
    """The lines that are there by now; of what is no file, all that come."""
    status = os.fstat(file.fileno())
    return _up_to(file, status.st_size if stat.S_ISREG(status.st_mode) else sys.maxsize)


def _up_to(file: Iterable[bytes], size: int) -> Lines:
    read = 0
    for line in file:
        yield line.decode(errors="replace")
        read += len(line)
        if read >= size:
            return


def _print(findings: Iterable[str]) -> int:
    """Print the first of them; returns how many there are."""
    found = 0
    for finding in findings:
        found += 1
        if found <= MOST_NAMED:
            print(finding)
    if found > MOST_NAMED:
        print(f"and {found - MOST_NAMED} more")
    return found


def _print_notes(examination: Examination) -> None:
    if examination.waiting:
        print(f"note: {examination.waiting} rows wait to be linked; a running Unlatch does so every minute")
    if examination.unknown_keys:
        unknown = ", ".join(sorted(examination.unknown_keys))
        print(f"note: heads of keys that are unknown here were passed over: {unknown}")


def _fine(examination: Examination) -> str:
    head = examination.signed
    signed = "no head signs them yet" if head is None else f"the head of {head.at} signs {head.seq} of them"
    return f"fine: {examination.links} rows as they were written; {signed}."


def _cannot(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return CANNOT_READ
