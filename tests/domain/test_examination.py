"""The examination: what nobody touched is fine, everything else is named, whatever comes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from bot.domain.chain import Head, Link, StoredRow, Tip, linked, written
from bot.domain.examination import GRACE, Examination, Linked, Trust
from hypothesis import given
from hypothesis import strategies as st

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def at(minutes: float) -> str:
    return written(NOON + minutes * MINUTE)


def rows(count: int) -> list[StoredRow]:
    """A row a minute."""
    return [
        StoredRow(id=n, at=at(n), event="asked", actor="U0MEI", request_id=None, facts="{}")
        for n in range(1, count + 1)
    ]


def chain(of: list[StoredRow]) -> list[Linked]:
    return [Linked(link=link, row=row) for link, row in zip(linked(Tip(), of), of, strict=True)]


def head(link: Link, minutes: float, *, key: str = "known", signature: str = "good") -> Head:
    return Head(seq=link.seq, hash=link.hash, at=at(minutes), key=key, signature=signature)


def signed(seen: list[Linked], *seqs: int) -> list[Linked]:
    """With a head a moment after each of these links."""
    return [
        replace(each, head=head(each.link, each.link.seq + 0.5)) if each.link.seq in seqs else each
        for each in seen
    ]


def trust(given: Head) -> Trust:
    if given.key != "known":
        return Trust.UNKNOWN
    return Trust.GOOD if given.signature == "good" else Trust.BAD


def findings(
    seen: list[Linked],
    *,
    beyond: list[Head] | None = None,
    shipped: list[tuple[Head, str | None]] | None = None,
    strays: list[StoredRow] | None = None,
    tip: Tip | None = None,
) -> list[str]:
    examination = Examination(trust)
    found = [said for each in seen for said in examination.see(each)]
    found += [said for each in beyond or [] for said in examination.see_head(each, None)]
    found += [said for each, there in shipped or [] for said in examination.see_head(each, there)]
    found += [said for each in strays or [] for said in examination.see_stray(each)]
    last = seen[-1].link if seen else Link(0, 0, Tip().hash)
    return [*found, *examination.end(tip or Tip(last.seq, last.hash))]


def test_nothing_is_fine():
    assert findings([]) == []


def test_what_nobody_touched_is_fine():
    assert findings(signed(chain(rows(30)), 10, 20, 30)) == []


def test_a_tail_of_less_than_the_grace_waits_for_its_head():
    assert findings(signed(chain(rows(9)), 1)) == []
    assert findings(chain(rows(9))) == []


def test_a_longer_tail_should_have_been_signed():
    assert findings(signed(chain(rows(20)), 5)) == [
        "links 6 to 20 are signed by no head whose key is known here"
    ]
    assert findings(chain(rows(20))) == ["links 1 to 20 are signed by no head whose key is known here"]


def test_a_shipped_head_signs_a_tail_too():
    seen = chain(rows(20))
    last, before = seen[-1].link, seen[-2].link

    assert findings(seen, shipped=[(head(last, 20), last.hash)]) == []
    assert findings(seen, shipped=[(head(before, 19), before.hash)]) == []
    assert findings(seen, shipped=[(head(seen[4].link, 5), seen[4].link.hash)]) == [
        "links 6 to 20 are signed by no head whose key is known here"
    ]


def test_an_older_head_that_comes_late_unsigns_nothing():
    seen = signed(chain(rows(20)), 20)

    assert findings(seen, shipped=[(head(seen[4].link, 5), seen[4].link.hash)]) == []


def test_one_link_alone_is_named_alone():
    seen = signed(chain(rows(20)), 1, 19)
    late = replace(rows(1)[0], id=20, at=at(60))
    seen[-1] = Linked(link=next(linked(Tip(19, seen[-2].link.hash), [late])), row=late)

    assert findings(seen) == []
    del seen[0]
    assert findings(seen) == ["link 1 is missing: what was there was removed"]


def test_a_changed_row_is_named_and_no_other():
    seen = signed(chain(rows(3)), 3)
    seen[1] = replace(seen[1], row=replace(seen[1].row, actor="U0MALLORY"))

    assert findings(seen) == ["row 2 was changed"]


def test_a_missing_row_is_named_and_no_other():
    seen = signed(chain(rows(3)), 3)
    seen[1] = replace(seen[1], row=None)

    assert findings(seen) == ["row 2 is missing"]


def test_a_row_after_a_gap_is_not_accused_of_it():
    seen = signed(chain(rows(5)), 5)
    del seen[1:3]

    assert findings(seen) == ["links 2 to 3 are missing: what was there was removed"]


def test_a_link_that_comes_twice_is_found():
    seen = chain(rows(3))

    assert findings([*seen, seen[-1]]) != []


def test_a_row_that_says_it_was_before_the_head_it_came_after_is_named():
    late = [*rows(15), replace(rows(1)[0], id=16, at=at(5))]
    seen = signed(chain(late), 15)

    assert findings(seen) == [
        f"row 16 says {at(5)}, but came after the head of {at(15.5)}: it was put in",
    ]


def test_clocks_may_differ_by_the_grace():
    early = written(NOON + 15.5 * MINUTE - GRACE)

    assert findings(signed(chain([*rows(15), replace(rows(1)[0], id=16, at=early)]), 15)) == []


def test_a_stray_row_is_young_or_was_put_in():
    seen = signed(chain(rows(15)), 15)
    young, old = replace(rows(1)[0], id=99, at=at(15)), replace(rows(1)[0], id=98, at=at(1))

    assert findings(seen, strays=[young, old]) == ["row 98 is in no link: it was put in"]
    assert findings([], strays=[old]) == [], "nothing says yet when it should have been linked"


def test_heads_beyond_the_end_tell_of_a_cut_once():
    whole = chain(rows(9))

    assert findings(whole[:4], beyond=[head(whole[8].link, 9), head(whole[6].link, 7)]) == [
        f"the record ends at 4, but a head of {at(9)} signs 9"
    ]


def test_a_head_of_a_link_that_is_missing_in_between_adds_nothing():
    whole = chain(rows(5))
    gap = signed([*whole[:2], *whole[3:]], 5)

    assert findings(gap, beyond=[head(whole[2].link, 3)]) == ["link 3 is missing: what was there was removed"]


def test_a_chain_that_is_made_anew_is_said_once_and_between_which_heads():
    true = chain(rows(9))
    forged = rows(9)
    forged[5] = replace(forged[5], actor="U0MALLORY")
    made = [
        replace(each, head=head(true[n].link, n + 1.5)) if n in (2, 6, 8) else each
        for n, each in enumerate(chain(forged))
    ]

    assert findings(made) == [
        f"the chain was made anew: between link 4 and 7 it is not what the head of {at(7.5)} signs"
    ]
    unsigned = chain(forged)
    assert findings(unsigned, shipped=[(head(true[8].link, 9), unsigned[8].link.hash)]) == [
        f"the chain was made anew: between link 1 and 9 it is not what the head of {at(9)} signs"
    ]


def test_a_signature_that_does_not_fit_is_named():
    seen = signed(chain(rows(3)), 3)
    seen[1] = replace(seen[1], head=head(seen[1].link, 2, signature="bad"))

    assert findings(seen) == [f"a head of {at(2)} for link 2 has a signature that does not fit"]


def test_heads_of_unknown_keys_count_for_nothing():
    seen = chain(rows(3))
    strange = replace(seen[1], head=head(seen[1].link, 2, key="strange"))

    assert findings([seen[0], strange, seen[2]]) == ["no head is signed with a key that is known here"]
    assert findings([seen[0], strange, replace(seen[2], head=head(seen[2].link, 3))]) == []


def test_a_tip_that_says_otherwise_is_said():
    seen = chain(rows(3))

    assert findings(seen, tip=Tip(5, seen[-1].link.hash)) == [
        "the chain ends at 3, but the database says that it ends at 5"
    ]
    assert len(findings(seen, tip=Tip(3, "f" * 64))) == 1


@pytest.mark.parametrize("time", ["yesterday", "", "9999-12-31T23:59:59.999999Z"])
def test_a_time_that_is_none_stops_nobody(time):
    changed = signed(chain(rows(3)), 2)
    changed[2] = replace(changed[2], row=replace(changed[2].row, at=time))

    assert findings(changed)[0] == "row 3 was changed"


COLUMNS = st.sampled_from(["id", "at", "event", "actor", "request_id", "facts"])


@given(length=st.integers(2, 30), data=st.data())
def test_any_one_change_to_what_is_signed_is_found(length, data):
    """Edit, remove, repeat or swap whatever and wherever: it never is fine."""
    seen = signed(chain(rows(length)), *range(1, length + 1, 5), length)
    place = data.draw(st.integers(0, length - 1))
    match data.draw(st.sampled_from(["edit", "remove row", "remove link", "repeat", "swap"])):
        case "edit":
            column = data.draw(COLUMNS)
            row = replace(seen[place].row, **{column: 999 if column == "id" else "else"})
            seen[place] = replace(seen[place], row=row)
        case "remove row":
            seen[place] = replace(seen[place], row=None)
        case "remove link":
            gone = seen.pop(place)
            beyond = [gone.head] if gone.head else []
            tip = Tip(length, chain(rows(length))[-1].link.hash)
            assert findings(seen, beyond=beyond, tip=tip) != []
            return
        case "repeat":
            seen.insert(place, seen[place])
        case "swap":
            other = data.draw(st.integers(0, length - 1).filter(lambda n: n != place))
            seen[place], seen[other] = (
                replace(seen[place], row=seen[other].row),
                replace(seen[other], row=seen[place].row),
            )

    assert findings(seen) != []
