"""The tree of errors, and what a refusal carries."""

import re
from collections.abc import Iterator

from bot.domain import errors
from bot.domain.errors import UnlatchError


def walk(error: type[Exception], depth: int = 0) -> Iterator[tuple[int, str]]:
    yield depth, error.__name__
    for each in error.__subclasses__():
        yield from walk(each, depth + 1)


def test_the_drawn_tree_of_errors_is_the_tree_there_is():
    drawn = re.findall(
        r"^([│├└─ ]*)([A-Z][A-Za-z]+Error|(?<=─ )[A-Z]\w+)", errors.__doc__ or "", re.MULTILINE
    )
    assert [(len(branch) // 4, name) for branch, name in drawn] == list(walk(UnlatchError))
