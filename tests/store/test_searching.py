"""Searches: the same calls as the plain statement finds, however small their steps; and each filter by its index."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from guard.model import Verdict
from guard.store import schema, searching, tables
from guard.store.contract import Query
from guard.store.filters import Value, select
from guard.store.migrations import MIGRATIONS, RUN_BITS
from guard.store.reader import SqliteReader
from guard.store.sqlite import SqliteWriter
from tests.store.making import AT, SECOND, attempt, decision, ended, finding
from tests.store.making_log import Call, verified, write

COUNT = 250
SHORT = 5  # bits of a run
RULES = ("cli.premium", "cli.mobile", "rate.cps")
VERDICTS: tuple[Verdict, ...] = ("allowed", "flagged", "masked", "blocked")


def every() -> Iterator[Call]:
    """Calls of all kinds in random turn, with a clock that was put back; some rules speak only when a call is over."""
    dice = random.Random(11)
    for n in range(COUNT):
        verdict = dice.choice(VERDICTS)
        call = attempt(
            n,
            at=AT + n * SECOND - (90 * SECOND if 100 < n < 140 else 0),
            caller=f"+331456789{dice.randrange(60):02d}",
            callee=f"+336123456{dice.randrange(60):02d}",
            line=dice.choice(("200", "201", "21", "")),
            trunk=dice.choice(("operator", "backup")),
            call_id=f"call-{n % 200}@pbx",
        )
        said = () if verdict == "allowed" else tuple(finding(r) for r in dice.sample(RULES, dice.randint(1, 2)))
        made = decision(verdict, *said, presented=f"+331456789{dice.randrange(60):02d}")
        late = (finding(dice.choice(("traffic.callback", *RULES)), "flag"),) if dice.random() < 0.2 else ()
        yield (call, made, replace(ended(), findings=late)) if dice.random() < 0.8 else (call, made)


@pytest.fixture(scope="module", autouse=True)
def short_runs() -> Iterator[None]:
    """Of 32 entries, so that the log has fourteen."""
    with pytest.MonkeyPatch.context() as patch:
        short = tuple(sql.replace(f">> {RUN_BITS}", f">> {SHORT}") for sql in MIGRATIONS[-1])
        assert short != MIGRATIONS[-1]
        patch.setattr(schema, "MIGRATIONS", (*MIGRATIONS[:-1], short))
        for module in (searching, tables):
            patch.setattr(module, "RUN_BITS", SHORT)
        yield


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "guard.db"
    write(path, every())
    return path


def some(*words: str) -> st.SearchStrategy[str]:
    return st.sampled_from(("", *words))


QUERIES = st.builds(
    Query,
    since=st.none() | st.integers(-10, COUNT + 10).map(lambda n: AT + n * SECOND),
    until=st.none() | st.integers(-10, COUNT + 10).map(lambda n: AT + n * SECOND),
    verdict=st.none() | st.sampled_from(VERDICTS),
    rule=some("cli.premium", "rate.cps", "traffic.callback", "cli.*", "*", "no.such"),
    caller=some("+33145678901", "+3314567890*", "+331456789*", "*", "+44*"),
    callee=some("+33612345601", "+3361234560*", "+336*", "nobody"),
    trunk=some("operator", "backup", "none"),
    line=some("200", "2*", "21", "9*"),
    call_id=some("call-7@pbx", "call-300@pbx"),
    direction=st.none() | st.sampled_from(("outbound", "inbound")),
    all=st.booleans(),
    after=st.integers(0, COUNT),
    upto=st.none() | st.integers(0, 2 * COUNT),
    newest_first=st.booleans(),
    limit=st.integers(1, 30),
)


@given(query=QUERIES, window=st.integers(1, 9), few=st.sampled_from((0, 3, 2_000)))
@settings(max_examples=400, deadline=None)
def test_a_search_in_steps_finds_what_the_plain_statement_finds(log: Path, query: Query, window: int, few: int) -> None:
    limit = query.limit or 0
    with pytest.MonkeyPatch.context() as patch, SqliteReader(log) as reader:
        patch.setattr(searching, "WINDOWS", (window, 2 * window))
        patch.setattr(searching, "FEW", few)
        plain = [row[0] for row in reader.fetch(*select(replace(query, limit=None)))]
        found: list[int] = []
        going: Query | None = query
        while going is not None:
            step = reader.search(going)
            found += step.seqs
            assert len(step.seqs) <= limit
            last = step.beyond if step.beyond is not None else step.seqs[-1] if len(step.seqs) == limit else None
            going = None
            if last is not None:
                going = replace(query, upto=last - 1) if query.newest_first else replace(query, after=last)
        assert found == plain
        assert [r.seq for r in reader.records(query)] == plain[:limit]
        assert [r.seq for r in reader.records(replace(query, limit=None))] == plain
        assert reader.count(query) == len(plain)
        assert [r.seq for r in reader.records(replace(query, tail=True, newest_first=False))] == sorted(
            [r.seq for r in reader.records(replace(query, newest_first=True))]
        )


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("everything", [True, False])
@pytest.mark.parametrize(
    "query",
    [
        Query(caller="+33145678901"),
        Query(caller="+3314567890*"),
        Query(callee="+33612345601"),
        Query(callee="+336*"),
        Query(line="2*"),
        Query(call_id="call-9@pbx"),
        Query(line="200", trunk="backup"),
        Query(callee="+3361234560*", after=70, upto=340),
    ],
)
def test_what_goes_from_run_to_run_comes_in_order(
    log: Path, query: Query, everything: bool, newest_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "WINDOWS", (3, 5))
    query = replace(query, all=everything, newest_first=newest_first)
    with SqliteReader(log) as reader:
        plain = [row[0] for row in reader.fetch(*select(query))]
        assert plain
        assert [r.seq for r in reader.records(query)] == plain
        assert [r.seq for r in reader.records(replace(query, limit=3))] == plain[:3]
        assert reader.count(query) == len(plain)


FILTERS: Final[dict[str, tuple[Query, str]]] = {
    "none": (Query(), "calls_notable"),
    "all": (Query(all=True), "INTEGER PRIMARY KEY"),
    "verdict": (Query(verdict="masked"), "calls_verdict"),
    "rule": (Query(rule="rate.cps", all=True), "call_rules"),
    "rule*": (Query(rule="cli.*", all=True), "late_rules"),
    "caller": (Query(caller="+33145678901"), "notable_caller"),
    "caller all": (Query(caller="+33145678901", all=True), "calls_caller"),
    "presented": (Query(caller="+33145678901", all=True), "calls_presented"),
    "callee": (Query(callee="+33612345601"), "notable_callee"),
    "callee all": (Query(callee="+33612345601", all=True), "calls_callee"),
    "callee*": (Query(callee="+3361234560*", all=True), "calls_callee"),
    "line": (Query(line="21"), "notable_line"),
    "line all": (Query(line="2*", all=True), "calls_line"),
    "trunk": (Query(trunk="backup"), "notable_trunk"),
    "trunk all": (Query(trunk="backup", all=True), "calls_trunk"),
    "call-id": (Query(call_id="call-7@pbx", all=True), "calls_call_id"),
    "since": (Query(since=AT + SECOND), "calls_notable"),
    "until all": (Query(until=AT + SECOND, all=True), "INTEGER PRIMARY KEY"),
    "caller and trunk": (Query(caller="+33145678901", trunk="backup"), "notable_caller"),
    "rule and line": (Query(rule="cli.mobile", line="200", all=True), "late_rules"),
}


@pytest.mark.parametrize("name", FILTERS)
def test_each_filter_is_answered_by_its_index(log: Path, name: str) -> None:
    """Of every statement that a search runs: none reads a table, and the filter's own index is among those used."""
    query, wanted = FILTERS[name]
    plans: list[str] = []
    with SqliteReader(log) as reader, sqlite3.connect(log) as db:

        def explained(sql: str, values: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
            plans.extend(str(row[3]) for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", values))
            return reader.fetch(sql, values)

        found = searching.Search(explained, replace(query, newest_first=True), lambda: reader.names("rule")).run(51)
        assert found.seqs
    assert any(wanted in plan for plan in plans), plans
    short = ("SCAN r", "SCAN l", "SCAN n", "SCAN (subquery", "SCAN CONSTANT")  # what a step has made, or few rows
    walks = [p for p in plans if p.startswith("SCAN") and "USING INDEX" not in p and "USING COVERING INDEX" not in p]
    assert [p for p in walks if not any(s in p for s in short)] == []


@pytest.mark.parametrize("version", [4, 5])
def test_a_log_of_an_older_guard_is_searched_as_it_stands_and_once_it_is_upgraded(
    tmp_path: Path, version: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "guard.db"
    with monkeypatch.context() as patched:
        patched.setattr(schema, "MIGRATIONS", MIGRATIONS[:version])
        write(path, every())
    with SqliteReader(path) as reader:
        queries = [q for q, _ in FILTERS.values()]
        before = [reader.search(replace(q, limit=20)).seqs for q in queries]
        assert all(before)
        monkeypatch.setattr(schema, "TELL", 10)
        write(path, [])
        assert f"is brought from version {version} to 6" in caplog.text
        assert "done in" in caplog.text
        assert verified(path).ok
        assert [reader.search(replace(q, limit=20)).seqs for q in queries] == before


def test_what_was_erased_is_found_no_more(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    late = replace(ended(), findings=(finding("traffic.callback", "flag"),))
    write(path, [(attempt(n), decision(), late) for n in range(3)])  # 1 to 6
    with closing(SqliteWriter(path, site="hq")) as writer:
        writer.erase((3, 4), "request", AT)
        writer.flush()
    with SqliteReader(path) as reader:
        assert reader.search(Query(rule="traffic.callback", all=True)).seqs == [1, 5]
        assert reader.fetch("SELECT count(*) FROM late_rules") == [(2,)]
    assert verified(path).ok


@pytest.mark.parametrize("query", [Query(), Query(all=True), Query(rule="cli.*", line="2*"), Query(callee="+44*")])
@pytest.mark.parametrize("windows", [(3, 5), (1_000,)])
def test_what_fits_is_counted_up_to_a_bound(
    log: Path, query: Query, windows: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "WINDOWS", windows)
    with SqliteReader(log) as reader:
        count = reader.count(query)
        for limit in (1, 10, COUNT):
            asked = replace(query, tail=True, limit=limit)
            fit, whole = reader.fitting(asked, COUNT)
            assert fit == count if whole else min(limit, 8) <= fit <= count
            if windows == (1_000,):
                assert (fit, whole) == (count, True)
            fit, whole = reader.fitting(asked, 5)
            assert fit == count if whole else fit <= count
            assert (fit > 0) == (count > 0)
