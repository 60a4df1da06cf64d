"""Every filter of a Query: what it finds and what it leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.model import CallAttempt
from guard.store.contract import Query
from guard.store.reader import SqliteReader
from tests.store.making import AT, SECOND, attempt, decision, ended, finding
from tests.store.making_log import details, seqs, write


def inbound(call: CallAttempt) -> CallAttempt:
    from msgspec.structs import replace

    return replace(call, direction="inbound")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Decisions are entries 1, 2, 4, 5, 6, 8; entries 3 and 7 are the ends of 1 and of 6."""
    from guard.store.sqlite import SqliteWriter

    path = tmp_path_factory.mktemp("log") / "guard.db"
    writer = SqliteWriter(path, site="hq")
    premium, cps = finding("cli.premium"), finding("rate.cps", "hold")
    first = writer.decided(attempt(1, at=AT), decision(), None)
    writer.decided(attempt(2, at=AT + SECOND, caller="+33899000001", line="201"), decision("blocked", premium), None)
    writer.ended(first, ended())
    masked = decision("masked", finding("cli.premium", "mask"), presented="+33145678999", masked=True)
    writer.decided(attempt(3, at=AT + 2 * SECOND, caller="+33899000002", line="21", trunk="backup"), masked, None)
    writer.decided(attempt(4, at=AT + 3 * SECOND, callee="112"), decision("flagged", cps, premium), None)
    sixth = writer.decided(inbound(attempt(5, at=AT + 4 * SECOND, callee="+33145678900")), decision(), None)
    writer.ended(sixth, ended())
    writer.decided(attempt(6, at=AT + 5 * SECOND, call_id="call-2@pbx"), decision("blocked", cps), None)
    writer.close()
    return path


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        (Query(), [2, 4, 5, 8]),
        (Query(all=True), [1, 2, 4, 5, 6, 8]),
        (Query(since=AT + SECOND), [2, 4, 5, 8]),
        (Query(since=AT + SECOND + 1), [4, 5, 8]),
        (Query(since=AT + 6 * SECOND, all=True), []),
        (Query(until=AT + 2 * SECOND), [2]),
        (Query(until=AT + 2 * SECOND + 1), [2, 4]),
        (Query(since=AT + SECOND, until=AT + 4 * SECOND), [2, 4, 5]),
        (Query(verdict="blocked"), [2, 8]),
        (Query(verdict="masked"), [4]),
        (Query(verdict="flagged"), [5]),
        (Query(verdict="allowed"), [1, 6]),
        (Query(rule="cli.premium"), [2, 4, 5]),
        (Query(rule="rate.cps"), [5, 8]),
        (Query(rule="cli.*"), [2, 4, 5]),
        (Query(rule="cli.premiu"), []),
        (Query(rule="*"), [2, 4, 5, 8]),
        (Query(caller="+33899000001"), [2]),
        (Query(caller="+33899*"), [2, 4]),
        (Query(caller="+33145678999"), [4]),  # as presented
        (Query(caller="+3314567899*"), [4]),
        (Query(caller="+33899000003"), []),
        (Query(callee="112"), [5]),
        (Query(callee="11*"), [5]),
        (Query(callee="11"), []),
        (Query(trunk="backup"), [4]),
        (Query(trunk="back"), []),
        (Query(line="200"), [5, 8]),
        (Query(line="20"), []),
        (Query(line="20*"), [2, 5, 8]),
        (Query(call_id="call-2@pbx"), [2, 8]),
        (Query(call_id="call-2@pb"), []),
        (Query(direction="inbound", all=True), [6]),
        (Query(after=4), [5, 8]),
        (Query(upto=4), [2, 4]),
        (Query(after=2, upto=5), [4, 5]),
        (Query(limit=2), [2, 4]),
        (Query(limit=2, newest_first=True), [8, 5]),
        (Query(limit=2, tail=True), [5, 8]),
        (Query(limit=0, tail=True), []),
        (Query(tail=True), [2, 4, 5, 8]),
        (Query(ended=(0, 8), all=True), [1, 6]),
        (Query(ended=(3, 8), all=True), [6]),
        (Query(ended=(2, 6), all=True), [1]),
        (Query(ended=(2, 6)), []),  # the call was allowed
        (Query(verdict="blocked", rule="cli.*", line="201", caller="+33*", trunk="operator"), [2]),
        (Query(caller="' OR 1=1 --"), []),
        (Query(caller="%"), []),
    ],
)
def test_filter(log: Path, query: Query, wanted: list[int]) -> None:
    assert seqs(log, query) == wanted
    with SqliteReader(log) as reader:
        assert reader.count(query) == (len(wanted) if query.limit is None else 4)


def test_names_of_the_log(log: Path) -> None:
    with SqliteReader(log) as reader:
        assert reader.names("rule") == {"cli.premium", "rate.cps"}
        assert reader.names("trunk") == {"operator", "backup"}
        assert reader.call_ids("call-", 2) == ["call-1@pbx", "call-2@pbx"]
        assert reader.call_ids("call_", 2) == []


def test_a_second_end_is_no_news(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    write(path, [(attempt(), decision(), ended(), ended("failed"))])  # 1, 2 and 3
    assert seqs(path, Query(ended=(1, 2), all=True)) == [1]
    assert seqs(path, Query(ended=(2, 3), all=True)) == []


def test_more_records_than_a_page_keep_their_order(tmp_path: Path) -> None:
    from guard.store.reader import PAGE

    path = tmp_path / "guard.db"
    count = 2 * PAGE + 3
    write(path, ((attempt(n), decision("blocked", finding("cli.premium"))) for n in range(count)))
    assert seqs(path, Query()) == list(range(1, count + 1))
    assert seqs(path, Query(newest_first=True, limit=PAGE + 1)) == list(range(count, count - PAGE - 1, -1))
    assert len(details(path)) == count
