"""The tree of errors, and what a refusal carries."""

import re
from collections.abc import Iterator

from bot.domain import errors
from bot.domain.errors import Cause, Code, GraphError, RecentlyReset, Refusal, UnlatchError
from tests.support.clock import NOON


def walk(error: type[Exception], depth: int = 0) -> Iterator[tuple[int, str]]:
    yield depth, error.__name__
    for each in error.__subclasses__():
        yield from walk(each, depth + 1)


def test_the_drawn_tree_of_errors_is_the_tree_there_is():
    drawn = re.findall(
        r"^([│├└─ ]*)([A-Z][A-Za-z]+Error|(?<=─ )[A-Z]\w+)", errors.__doc__ or "", re.MULTILINE
    )

    assert [(len(branch) // 4, name) for branch, name in drawn] == list(walk(UnlatchError))


def test_a_refusal_keeps_its_code_and_facts_for_a_row_and_for_the_audit_log():
    refusal = RecentlyReset(NOON, platform="iOS")

    assert refusal.cause == Cause(
        Code.RECENTLY_RESET, {"at": "2026-03-02T12:00:00.000000Z", "platform": "iOS"}
    )
    assert Refusal(Code.OWN_DEVICE, device="x").cause.as_facts() == {"cause": "own_device", "device": "x"}


def test_the_facts_of_a_graph_error_are_what_graph_gave():
    assert GraphError().as_facts() == {}
    assert GraphError(400, "BadRequest", "No.", "r-1", "a-1").as_facts() == {
        "status": "400",
        "code": "BadRequest",
        "message": "No.",
        "request_id": "r-1",
        "activity_id": "a-1",
    }
