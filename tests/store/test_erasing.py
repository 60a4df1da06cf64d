"""Erasing: what entries said goes, wherever it is kept; that they were there, and what they cost, stays."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from guard.ledger.penalties import By, Line, month_bounds, summarise
from guard.model import Identity
from guard.store import erasures, requests, retention
from guard.store.erasing import spans
from guard.store.reader import SqliteReader
from guard.store.sqlite import ERASE_LIMIT, SqliteWriter
from guard.store.verify import uncovered, verify
from tests.store.making import AT, SECOND, attempt, decision, ended, finding, number
from tests.store.making_log import DIGITS, PARIS, details, verified, write

DAY = retention.DAY
PREMIUM = finding("cli.premium")
HERS, HIS = "+33145678111", "+33145678222"
A_DAY = 500  # calls
STAYS = 200  # octets of the file for an entry that was erased: two hashes, its place, its time, and what pages waste


def writer(path: Path, **more: object) -> SqliteWriter:
    return SqliteWriter(path, site="hq", money={"operator": replace(DIGITS, **more)})


def erase(path: Path, *seqs: int, forget: str = "") -> None:
    with closing(writer(path)) as log:
        log.erase(seqs, "retention" if forget else "request", AT, 0, forget)


def sums(path: Path, by: By = "rule") -> list[Line]:
    with SqliteReader(path) as reader:
        return summarise(reader.exposures(*month_bounds("2026-11", PARIS)), by, PARIS)


def everything(path: Path) -> bytes:
    """All octets of the log's files."""
    return b"".join(p.read_bytes() for p in sorted(path.parent.glob(path.name + "*")))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Entries 1 and 3: blocked calls of hers, with their ends; 5: one of his."""
    path = tmp_path / "guard.db"
    blocked = decision("blocked", replace(PREMIUM, facts={"presented": HERS}))
    write(
        path,
        [
            (attempt(1, caller=HERS), blocked, ended("blocked")),
            (attempt(2, caller=HERS), blocked, ended("blocked")),
            (attempt(3, caller=HIS), decision("blocked", PREMIUM), ended("blocked")),
        ],
    )
    return path


def test_an_erased_call_is_gone_and_the_chain_is_whole(log: Path) -> None:
    before = sums(log)
    erase(log, 1, 2, 3, 4)
    found = verified(log)
    assert (found.ok, found.reason, found.entries, found.erased) == (True, "", 7, 4)
    assert [d.record.seq for d in details(log)] == [5]
    assert sums(log) == before
    assert HERS.encode() not in everything(log)
    assert HERS[3:].encode() not in everything(log)  # as it was dialled
    assert HIS.encode() in everything(log)
    with closing(sqlite3.connect(log)) as db:
        assert db.execute("SELECT count(*) FROM ends").fetchone() == (1,)
        assert db.execute("SELECT body FROM entries WHERE seq = 7").fetchone() == (
            b'{"at":1795251600000000,"entries":4,"reason":"request","spans":[[1,4]]}',
        )


def test_a_number_that_was_erased_is_not_counted_again(log: Path) -> None:
    erase(log, 1, 2, 3, 4)
    with closing(writer(log)) as again:
        seq = again.decided(attempt(4, caller=HERS), decision("blocked", PREMIUM), None)
        other = again.decided(attempt(5, caller="+33145678333"), decision("blocked", PREMIUM), None)
    found = {d.record.seq: d.body.money.per_number for d in details(log)}
    assert (found[seq], found[other]) == (0, 2_500_000_000)
    assert verified(log).ok


def test_nor_is_it_by_the_guard_that_erases_while_it_writes(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    with closing(writer(path)) as log:
        log.decided(attempt(1, caller=HERS), decision("blocked", PREMIUM), None)
        log.flush()
        log.erase((1,), "request", AT)
        seq = log.decided(attempt(2, caller=HERS), decision("blocked", PREMIUM), None)
    assert {d.record.seq: d.body.money.per_number for d in details(path)} == {seq: 0}


def test_what_was_avoided_and_then_accrued_is_still_taken_out_after_erasing(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    flagged = decision("flagged", finding("cli.premium", "block", "monitor"))
    write(path, [(attempt(1, caller=HERS), decision("blocked", PREMIUM)), (attempt(2, caller=HERS), flagged)])
    before = sums(path)[-1]
    assert (before.accrued, before.avoided) == (2_500_050_000, 50_000)
    erase(path, 1)
    erase(path, 2)
    assert sums(path)[-1] == before
    lines = sums(path, "number")
    assert len(lines) == 2
    assert lines[0].key.startswith("#")


def test_keys_of_past_months_are_destroyed(log: Path) -> None:
    erase(log, 1, forget="2026-11")
    with closing(sqlite3.connect(log)) as db:
        assert db.execute("SELECT period FROM token_keys").fetchall() == [("2026-11",)]
    erase(log, 3, forget="2026-12")
    with closing(sqlite3.connect(log)) as db:
        assert db.execute("SELECT count(*) FROM token_keys").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM fined_numbers").fetchone() == (0,)
    assert sums(log)[-1].avoided == 2 * 2_500_000_000 + 3 * 50_000


def test_a_key_that_was_destroyed_is_not_used_again(tmp_path: Path) -> None:
    """Else its tokens would stand for numbers by a key that nobody has, and be found under no number."""
    path = tmp_path / "guard.db"
    with closing(writer(path)) as log:
        log.decided(attempt(1, caller=HERS), decision("blocked", PREMIUM), None)
        log.flush()
        log.erase((1,), "request", AT)
        log.erase((), "retention", AT, 0, "2026-12")
        late = log.decided(attempt(2, caller=HIS), decision("blocked", PREMIUM), None)
        log.flush()
        log.erase((late,), "request", AT)
        log.flush()
        assert log._builder._fined._known == {}  # nor does the writer itself still know the numbers
    with closing(writer(path)) as log:
        again = log.decided(attempt(3, caller=HIS), decision("blocked", PREMIUM), None)
    assert {d.record.seq: d.body.money.per_number for d in details(path)} == {again: 0}


def test_a_number_that_is_counted_once_for_good_stays_counted(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    with closing(writer(path, period="ever")) as log:
        log.decided(attempt(1, caller=HERS), decision("blocked", PREMIUM), None)
        log.flush()
        log.erase((1,), "retention", AT, 1, "2099-01")
        seq = log.decided(attempt(2, caller=HERS), decision("blocked", PREMIUM), None)
    assert {d.record.seq: d.body.money.per_number for d in details(path)} == {seq: 0}


def test_notes_are_not_erased_and_nothing_is_erased_twice(log: Path) -> None:
    erase(log, 1)
    erase(log, 1, 2, 7, 99)
    with SqliteReader(log) as reader:
        assert reader.entry(7).body is not None  # type: ignore[union-attr]
        assert b'"spans":[[2,2]]' in (reader.entry(8).body or b"")  # type: ignore[union-attr]
    assert verified(log).erased == 2


def test_the_end_of_an_erased_call_may_still_come(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    with closing(writer(path)) as log:
        log.decided(attempt(1), decision(), None)
        log.flush()
        log.erase((1,), "request", AT)
        log.ended(1, ended())
    assert verified(path).ok


def test_there_is_a_limit_to_what_is_erased_at_once(tmp_path: Path) -> None:
    with (
        closing(writer(tmp_path / "guard.db")) as log,
        pytest.raises(ValueError, match=f"251 entries to erase at once: {ERASE_LIMIT} is the limit"),
    ):
        log.erase(tuple(range(ERASE_LIMIT + 1)), "request", AT)


def test_erased_between_two_pages_of_a_verification(log: Path) -> None:
    """The note of it stands behind what was the log's end when the walk began."""
    done: list[int] = []

    def meanwhile(_done: int, _of: int) -> None:
        if not done:
            done.append(1)
            erase(log, 1, 2)

    with SqliteReader(log) as reader:
        found = verify(reader, meanwhile)
    assert (found.ok, found.reason) == (True, "")


@pytest.mark.parametrize(
    ("gone", "noted", "bare"),
    [
        ([(1, 5)], [(1, 5)], []),
        ([(1, 5)], [(4, 9), (1, 3)], []),
        ([(1, 5)], [(2, 5)], [1]),
        ([(1, 5)], [(1, 2), (4, 5)], [3]),
        ([(1, 5), (8, 8)], [(1, 4)], [5, 8]),
        ([(3, 3)], [], [3]),
        ([], [(1, 2)], []),
        ([(2, 6)], [(1, 3), (1, 4), (2, 9)], []),
    ],
)
def test_which_erased_entries_no_note_covers(
    gone: list[tuple[int, int]], noted: list[tuple[int, int]], bare: list[int]
) -> None:
    assert list(uncovered(gone, noted)) == bare


@given(st.sets(st.integers(1, 60)))
def test_spans_say_the_same_as_the_numbers(seqs: set[int]) -> None:
    made = spans(sorted(seqs))
    assert {n for a, b in made for n in range(a, b + 1)} == seqs
    assert all(b[0] > a[1] + 1 for a, b in pairwise(made))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from([HERS, HIS]), st.booleans()), max_size=8), st.data())
def test_whatever_is_erased_the_log_verifies_and_the_sums_stay(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[str, bool]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("erase") / "guard.db"
    watched = decision("flagged", finding("cli.premium", "block", "monitor"))
    write(
        path,
        [
            (attempt(n, caller=who), decision("blocked", PREMIUM) if stopped else watched, ended())
            for n, (who, stopped) in enumerate(calls)
        ],
    )
    before = sums(path)
    wanted = data.draw(st.sets(st.integers(1, max(2 * len(calls), 1))))
    erase(path, *sorted(wanted))
    found = verified(path)
    assert (found.ok, found.reason) == (True, "")
    assert sums(path) == before


# --- what is due ----------------------------------------------------------------------------------------------------


def due(path: Path, now: int, days: int = 180) -> list[int]:
    """The entries that retention asks for."""
    with SqliteReader(path) as reader:
        return [seq for seqs, _ in retention.slices(reader, retention.due(reader, now, days)) for seq in seqs]


def aged(path: Path, *ages: int) -> None:
    """A log of calls that are so many days old."""
    write(path, [(attempt(n, at=AT - age * DAY), decision()) for n, age in enumerate(ages)])


@pytest.mark.parametrize(
    ("ages", "wanted"),
    [
        ((), []),
        ((10, 5), []),
        ((200, 190, 10), [1, 2]),
        ((181, 180, 179), [1]),
        ((200, 190), [1, 2]),
        ((200, 10, 20_000, 5), [1]),  # a clock that had jumped back: what it wrote is as young as what stands before
        ((200, -3_000, 190, 10), [1, 2, 3]),  # forward: it does not keep what stands behind it
        ((10, -3_000, 190), []),
    ],
)
def test_what_retention_asks_for(tmp_path: Path, ages: tuple[int, ...], wanted: list[int]) -> None:
    aged(tmp_path / "guard.db", *ages)
    assert due(tmp_path / "guard.db", AT) == wanted


def test_the_purge_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    aged(path, 200, 190, 100, 10)
    with closing(writer(path)) as log:
        assert erasures.purge(log, AT, 180) == requests.Answer(calls=2, entries=2)
        assert erasures.purge(log, AT, 180) == requests.Answer()
        assert erasures.purge(log, AT + 90 * DAY, 180) == requests.Answer(calls=1, entries=1)
    with SqliteReader(path) as reader:
        assert retention.due(reader, AT + 90 * DAY, 180).first == 3
    assert [d.record.seq for d in details(path)] == [4]
    assert verified(path).ok


def test_many_are_erased_in_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "guard.db"
    monkeypatch.setattr(retention, "ERASE_LIMIT", 3)
    aged(path, *[200] * 8, 1)
    with closing(writer(path)) as log:
        assert erasures.purge(log, AT, 180).calls == 8
    found = verified(path)
    assert (found.ok, found.erased, found.entries) == (True, 8, 9 + 3)


PAI = Identity("pai", number("+33145678901", "0145678901"))


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (attempt(1, caller=HERS), True),
        (attempt(1, callee=HERS), True),
        (attempt(1, line="0145678111"), True),
        (attempt(1, identities=(Identity("pai", number(HERS, "01 45 67 81 11")),)), True),
        (attempt(1, identities=(PAI,)), False),
        (attempt(1, caller="+44145678111"), False),  # ends alike, and is somebody else's
        (attempt(1, call_id="0145678111@pbx"), False),
    ],
)
def test_calls_that_are_about_a_number(tmp_path: Path, call: object, named: bool) -> None:
    path = tmp_path / "guard.db"
    write(path, [(call, decision(presented="+33199000000"), ended())])  # type: ignore[list-item]
    with SqliteReader(path) as reader:
        found = [one.seqs for one in retention.about(reader, HERS, lambda _done, _of: None)]
    assert found == ([(1, 2)] if named else [])


def test_a_number_that_was_only_presented_and_a_short_one(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    write(path, [(attempt(1), decision(presented=HERS)), (attempt(2, callee="3949"), decision())])
    nobody: Callable[[int, int], None] = lambda _done, _of: None  # noqa: E731
    with SqliteReader(path) as reader:
        assert [one.seqs for one in retention.about(reader, HERS, nobody)] == [(1,)]
        assert [one.seqs for one in retention.about(reader, "3949", nobody)] == [(2,)]


def test_forgetting_a_number(log: Path) -> None:
    with closing(writer(log)) as one:
        one.decided(attempt(9, at=AT + SECOND, callee=HERS), decision(), None)
        assert erasures.forget(one, HERS, AT, lambda _done, _of: None) == requests.Answer(calls=2, entries=4)
        one.flush()
        assert erasures.forget(one, HERS, AT, lambda _done, _of: None) == requests.Answer(calls=1, entries=1)
        assert erasures.forget(one, HERS, AT, lambda _done, _of: None) == requests.Answer()
    assert verified(log).ok
    assert HERS.encode() not in everything(log)


def test_what_is_erased_makes_room_for_what_is_written_next(tmp_path: Path) -> None:
    """A day after the other, with the one before erased: the file grows by what stays of it, and no body more."""
    path = tmp_path / "guard.db"
    sizes: list[int] = []
    before: list[int] = []
    with closing(writer(path)) as log:
        for _ in range(5):
            today: list[int] = []
            for n in range(A_DAY):
                seq = log.decided(attempt(n), decision("flagged", PREMIUM), None)
                log.ended(seq, ended())
                today += [seq, seq + 1]
            for start in range(0, len(before), ERASE_LIMIT):
                log.erase(tuple(before[start : start + ERASE_LIMIT]), "retention", AT)
            log.flush()
            before = today
            with closing(sqlite3.connect(path)) as db:
                sizes.append(
                    db.execute("PRAGMA page_count").fetchone()[0] * db.execute("PRAGMA page_size").fetchone()[0]
                )
    a_day = sizes[0]
    assert a_day > A_DAY * 2 * 5 * STAYS
    assert sizes[-1] - sizes[1] < 3 * A_DAY * 2 * STAYS
    assert verified(path).ok
