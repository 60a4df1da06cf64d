"""An operator's rows against the log: each class, and that no call ever explains two rows."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from guard.ledger.invoice import Billed
from guard.ledger.reconcile import EXACT, TOLERANCE, Item, Kept, reconcile
from tests.store.making import AT, CALLEE, CALLER, SECOND

FINE = 2_500_000_000
TRY = 50_000


def row(n: int, *, at: int = AT, caller: str = CALLER, callee: str = CALLEE, amount: int | None = TRY) -> Billed:
    return Billed(row=n, since=at, until=at, caller=caller, callee=callee, amount=amount)


def call(
    seq: int, *, at: int = AT, caller: str = CALLER, fined: int = TRY, first: bool = False, left: bool = True
) -> Kept:
    money = fined + (FINE if first else 0)
    return Kept(
        seq=seq, at=at, verdict="flagged" if left else "blocked", callers=(caller,), callee=CALLEE,
        accrued=money if left else 0, avoided=0 if left else money, per_number=FINE if first else 0, number=caller,
    )  # fmt: skip


def told(items: list[Item]) -> list[tuple[str, int | None, int | None, int]]:
    return [(i.kind, i.billed.row if i.billed else None, i.kept.seq if i.kept else None, i.contested) for i in items]


def test_what_agrees() -> None:
    assert told(reconcile([row(2)], [call(1)])) == [("agrees", 2, 1, 0)]
    near = row(2, at=AT + TOLERANCE)
    assert told(reconcile([near], [call(1)])) == [("agrees", 2, 1, 0)]
    assert (
        told(reconcile([replace(near, until=AT + TOLERANCE + 1, since=AT + TOLERANCE + 1)], [call(1)]))[0][0]
        == "unknown"
    )
    assert told(reconcile([row(2, at=AT + 5)], [call(1)], tolerance=0))[0][0] == "unknown"


def test_another_amount_contests_what_is_too_much_only() -> None:
    assert told(reconcile([row(2, amount=TRY + 7)], [call(1)])) == [("differs", 2, 1, 7)]
    assert told(reconcile([row(2, amount=TRY - 7)], [call(1)])) == [("differs", 2, 1, 0)]


def test_a_call_without_a_breach_one_refused_and_one_that_never_was() -> None:
    assert told(reconcile([row(2)], [call(1, fined=0)])) == [("no-breach", 2, 1, TRY)]
    assert told(reconcile([row(2)], [call(1, left=False)])) == [("refused", 2, 1, TRY)]
    assert told(reconcile([row(2)], [call(1, caller="+33145678901")]))[0] == ("unknown", 2, None, TRY)
    assert told(reconcile([row(2)], [])) == [("unknown", 2, None, TRY)]


def test_a_row_twice() -> None:
    items = reconcile([row(2), row(3)], [call(1)])
    assert told(items) == [("agrees", 2, 1, 0), ("unknown", 3, None, TRY)]
    assert [i.twice for i in items] == [0, 2]


def test_a_call_that_left_is_taken_before_one_that_was_refused() -> None:
    both = [call(1, at=AT, left=False), call(2, at=AT + 60 * SECOND)]
    assert told(reconcile([row(2, at=AT + 30 * SECOND)], both))[0] == ("agrees", 2, 2, 0)
    assert told(reconcile([row(2, at=AT + EXACT)], both))[0] == ("refused", 2, 1, TRY)  # its very second


def test_the_penalty_of_a_number_on_a_row_of_its_own() -> None:
    calls = [call(1, first=True), call(2, at=AT + SECOND)]
    alone = row(4, callee="", amount=FINE)
    items = reconcile([row(2), row(3, at=AT + SECOND), alone], calls)
    assert told(items) == [("agrees", 2, 1, 0), ("agrees", 3, 2, 0), ("agrees", 4, 1, 0)]
    again = reconcile([alone, replace(alone, row=5)], calls)
    assert told(again)[:2] == [("agrees", 4, 1, 0), ("differs", 5, 1, FINE)]
    dear = reconcile([replace(alone, amount=2 * FINE)], calls)
    assert told(dear)[0] == ("differs", 4, 1, FINE)
    assert told(reconcile([alone], [call(1)]))[0] == ("differs", 4, 1, FINE)  # fined in an earlier month
    assert told(reconcile([alone], [call(1, fined=0)]))[0] == ("no-breach", 4, 1, FINE)
    assert told(reconcile([alone], [call(1, first=True, left=False)]))[0] == ("refused", 4, 1, FINE)
    assert told(reconcile([alone], [])) == [("unknown", 4, None, FINE)]


def test_both_penalties_in_one_row() -> None:
    calls = [call(1, first=True)]
    whole = row(2, amount=FINE + TRY)
    assert told(reconcile([whole], calls)) == [("agrees", 2, 1, 0)]
    assert told(reconcile([whole, row(3, callee="", amount=FINE)], calls))[0] == ("differs", 2, 1, FINE)


def test_what_was_never_billed() -> None:
    calls = [call(1, first=True), call(2, left=False, first=True), call(3, fined=0)]
    items = reconcile([], calls)
    assert [(i.kind, i.kept.seq if i.kept else 0, i.ours, i.per_number) for i in items] == [
        ("not-billed", 1, TRY, False),
        ("not-billed", 1, FINE, True),
    ]


def test_call_records_agree_wherever_a_call_left() -> None:
    calls = [call(1, fined=0), call(2, at=AT + 600 * SECOND, left=False)]
    rows = [row(2, amount=None), row(3, at=AT + 600 * SECOND, amount=None), row(4, callee="3949", amount=None)]
    found = reconcile(rows, calls, penalties=False)
    assert [i.kind for i in found] == ["agrees", "refused", "unknown"]


def test_a_number_that_was_masked_is_billed_under_either() -> None:
    masked = replace(call(1), callers=("+33145678999", CALLER))
    for caller in masked.callers:
        assert told(reconcile([row(2, caller=caller)], [masked])) == [("agrees", 2, 1, 0)]


def test_a_day_alone_takes_any_call_of_that_day() -> None:
    day = Billed(row=2, since=AT, until=AT + 86_400 * SECOND, caller=CALLER, callee=CALLEE, amount=TRY)
    assert told(reconcile([day], [call(1, at=AT + 80_000 * SECOND)])) == [("agrees", 2, 1, 0)]


CALLERS = st.sampled_from((CALLER, "+33145678901"))
TIMES = st.integers(0, 300).map(lambda s: AT + s * SECOND)
ROWS = st.lists(
    st.builds(row, st.just(0), at=TIMES, caller=CALLERS, callee=st.sampled_from((CALLEE, CALLEE, "")),
              amount=st.sampled_from((TRY, FINE, FINE + TRY, 7))),
    max_size=8,
)  # fmt: skip
CALLS = st.lists(
    st.builds(call, st.just(0), at=TIMES, caller=CALLERS, fined=st.sampled_from((0, TRY)), left=st.booleans()),
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(ROWS, CALLS)
def test_rows_and_calls_are_each_used_once_and_sums_hold(drawn: list[Billed], calls: list[Kept]) -> None:
    rows = [replace(r, row=n) for n, r in enumerate(drawn, 2)]
    kept = [replace(c, seq=n) for n, c in enumerate(calls, 1)]
    items = reconcile(rows, kept)
    assert [i.billed for i in items if i.billed is not None] == rows
    used = [i.kept.seq for i in items if i.billed is not None and i.billed.callee and i.kept is not None]
    assert len(used) == len(set(used))
    for item in items:
        amount = item.billed.amount or 0 if item.billed is not None else 0
        assert 0 <= item.contested <= amount
        if item.billed is not None and item.kept is not None and item.billed.callee:
            assert abs(item.kept.at - item.billed.since) <= TOLERANCE
            assert item.billed.caller in item.kept.callers
    # What accrued by attempt is either explained by a row or named as not billed.
    rest = {i.kept.seq for i in items if i.kind == "not-billed" and i.kept is not None}
    assert {c.seq for c in kept if c.accrued} == rest | {s for s in used if kept[s - 1].accrued}
