"""Pages of the log: complete, in order, each call once, whatever the filter; cursors as strangers write them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from msgspec.structs import replace

from guard.model import Verdict
from guard.store.contract import Query
from guard.store.reader import SqliteReader
from guard.wanted import Mistake, Wanted
from guard.web.data import calls
from tests.store.making import AT, CALLEE, CALLER, SECOND, attempt, decision, ended, finding
from tests.store.making_log import Call, write

COUNT = 400
VERDICTS: tuple[Verdict, ...] = ("allowed", "flagged", "masked", "blocked")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Calls of a few lines, numbers and rules, in random turn; times rise, but for a clock that was put back once."""
    path = tmp_path_factory.mktemp("log") / "guard.db"
    dice = random.Random(7)

    def every() -> list[Call]:
        out: list[Call] = []
        for n in range(COUNT):
            at = AT + n * SECOND - (100 * SECOND if 150 < n < 200 else 0)
            verdict = dice.choice(VERDICTS)
            call = attempt(
                n,
                at=at,
                caller=f"+3314567890{dice.randrange(4)}",
                callee=f"+336123456{dice.randrange(30):02d}",
                line=dice.choice(("200", "201", "21", "")),
                trunk=dice.choice(("operator", "operator", "backup")),
                call_id=f"call-{n % 350}@pbx",
            )
            said = () if verdict == "allowed" else (finding(dice.choice(("cli.premium", "rate.cps", "cli.mobile"))),)
            made = decision(verdict, *said, presented=dice.choice((CALLER, "+33145678999")))
            ends = replace(ended(), findings=(finding("traffic.callback", "flag"),)) if dice.random() < 0.1 else ended()
            out.append((call, made, ends) if dice.random() < 0.8 else (call, made))
        return out

    write(path, every())
    return path


QUERIES = (
    Query(),
    Query(all=True),
    Query(verdict="blocked"),
    Query(verdict="allowed"),
    Query(rule="cli.premium"),
    Query(rule="cli.*"),
    Query(rule="traffic.callback", all=True),
    Query(rule="*", all=True),
    Query(caller=CALLER),
    Query(caller="+3314567899*", all=True),
    Query(callee="+33612345601"),
    Query(callee="+336123456*", all=True),
    Query(trunk="backup"),
    Query(trunk="backup", all=True),
    Query(line="2*"),
    Query(line="21", all=True),
    Query(call_id="call-7@pbx", all=True),
    Query(since=AT + 60 * SECOND),
    Query(since=AT + 60 * SECOND, until=AT + 120 * SECOND, all=True),
    Query(until=AT + 2 * SECOND, all=True),
    Query(since=AT + 60 * SECOND, rule="cli.*", trunk="operator", line="200"),
    Query(caller=CALLER, callee=CALLEE, all=True),
    Query(callee="+44*"),
    Query(line="nobody", all=True),
)


def named(query: Query) -> str:
    return " ".join(f"{n}={v}" for n, v in ((n, getattr(query, n)) for n in query.__struct_fields__) if v) or "none"


@pytest.mark.parametrize("query", QUERIES, ids=named)
@pytest.mark.parametrize("limit", [1, 7, 500])
def test_pages_are_complete_in_order_and_have_each_call_once(log: Path, query: Query, limit: int) -> None:
    with SqliteReader(log) as reader:
        wanted = [r.seq for r in reader.records(replace(query, newest_first=True))]
        found: list[int] = []
        cursor: int | None = None
        for _ in range(2 * COUNT + 2):
            page = calls.page(reader, query, before=cursor, limit=limit)
            found += [c.seq for c in page.calls]
            cursor = page.older
            if cursor is None:
                break
        assert found == wanted
        back: list[int] = []
        cursor = 0
        for _ in range(2 * COUNT + 2):
            page = calls.page(reader, query, after=cursor, limit=limit)
            back = [c.seq for c in page.calls] + back
            if page.newer == cursor or page.newer is None:
                break
            cursor = page.newer
        assert back == wanted


def test_a_page_knows_its_way_back(log: Path) -> None:
    with SqliteReader(log) as reader:
        first = calls.page(reader, Query(), limit=10)
        second = calls.page(reader, Query(), before=first.older, limit=10)
        assert calls.page(reader, Query(), after=second.newer, limit=10).calls == first.calls
        nothing_yet = calls.page(reader, Query(), after=first.newer)
        assert nothing_yet.calls == ()
        assert nothing_yet.newer == first.newer
        assert calls.page(reader, Query(), before=nothing_yet.older, limit=10) == first


@pytest.mark.parametrize(
    "text", ["", "-1", "1.5", "1e3", "abc", "0x10", " 1", "1 ", "9" * 19, "9" * 400, "١٢", "1\n", "null", "' OR 1=1"]
)
def test_a_cursor_that_no_page_gave(text: str) -> None:
    with pytest.raises(Mistake, match="before is no cursor"):
        calls.cursor_of("before", text)


def test_any_number_is_a_cursor(log: Path) -> None:
    with SqliteReader(log) as reader:
        for text in ("0", "1", str((1 << 63) - 2)):
            cursor = calls.cursor_of("before", text)
            calls.page(reader, Query(all=True), before=cursor)
            calls.page(reader, Query(all=True), after=cursor)
        assert calls.cursor_of("before", None) is None
        assert calls.page(reader, Query(all=True), before=0).calls == ()


@pytest.mark.parametrize("limit", [0, -1, 501, 1 << 62])
def test_a_page_of_no_size(log: Path, limit: int) -> None:
    with SqliteReader(log) as reader, pytest.raises(Mistake, match="limit"):
        calls.page(reader, Query(), limit=limit)


def test_both_ways_at_once(log: Path) -> None:
    with SqliteReader(log) as reader, pytest.raises(Mistake, match="one of them"):
        calls.page(reader, Query(), before=3, after=3)


def test_the_filters_are_those_of_guard_log(log: Path) -> None:
    with SqliteReader(log) as reader:
        query = calls.wanted_query(
            reader, Wanted(verdict="blocked", caller="01 45 67 89 00", line="2*"), frozenset, full=True, privacy=True
        )
        assert (query.verdict, query.caller, query.line, query.all) == ("blocked", CALLER, "2*", False)
        with pytest.raises(Mistake, match='trunk "operatr" is no trunk of this log; did you mean "operator"'):
            calls.wanted_query(reader, Wanted(trunk="operatr"), frozenset, full=True, privacy=True)
        with pytest.raises(Mistake, match="line is empty"):
            calls.wanted_query(reader, Wanted(line=""), frozenset, full=True, privacy=True)
        with pytest.raises(Mistake, match="300 characters"):
            calls.wanted_query(reader, Wanted(call_id="x" * 300), frozenset, full=True, privacy=True)


def test_one_call_with_what_is_around_it(log: Path) -> None:
    with SqliteReader(log) as reader:
        view = calls.one(reader, "call-7@pbx", AT, full=True)
        assert view is not None
        assert view.call.record.call_id == "call-7@pbx"
        assert [r.call_id for r in view.same] == ["call-7@pbx"]
        assert view.same[0].seq < view.call.record.seq
        by = {r.by: r for r in view.related}
        for name, related in by.items():
            assert related.value == getattr(view.call.record, name)
            assert all(related.value in {getattr(c, name), c.presented} for c in related.calls)
            assert view.call.record.seq not in {c.seq for c in related.calls}
        again = calls.one(reader, f"#{view.call.record.seq}", AT, full=True)
        assert again == view
        assert calls.one(reader, "nobody", AT) is None
        assert calls.one(reader, "", AT) is None


def test_numbers_are_masked_unless_they_may_be_seen(log: Path) -> None:
    import msgspec

    with SqliteReader(log) as reader:
        page = msgspec.json.encode(calls.page(reader, Query(all=True), limit=50))
        view = msgspec.json.encode(calls.one(reader, "call-7@pbx", AT))
        full = msgspec.json.encode(calls.page(reader, Query(all=True), limit=50, full=True))
    for text in (page, view):
        assert b"+3314567****" in text
        assert b"+33145678" not in text
    assert b"+33145678" in full
