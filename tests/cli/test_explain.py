"""guard explain: all that was kept of one call."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from guard.store.sqlite import SqliteWriter
from tests.cli.conftest import NASTY, Guard
from tests.store.making import attempt, decision, finding
from tests.store.making_log import write

EXPLAINED = """\
#3 blocked
  time      2026-11-21 10:00:01.000+01:00
  call-id   call-1@pbx
  caller    +33899000001 (received: 0899000001)
            P-Asserted-Identity: +33899000001 (received: 0899000001)
  callee    +33612345678
  source    pbx (192.0.2.5), outbound, in FR
  line      200
  trunk     operator
  usage     human
  policy    sha256:0123
Rules that spoke
  cli.premium asks to block, and decided
    cli.premium was broken.
    article  003_742b69a7556570e9.txt IV-8.1.4.1
    facts    count = 3, held = yes, presented = +33145678900
  rate.cps asks to hold
    rate.cps was broken.
    article  003_742b69a7556570e9.txt IV-8.1.4.1
    facts    count = 3, held = yes, presented = +33145678900
Done
  refused by cli.premium: answered 403; it never reached the operator
Money
  2,500.05 EUR avoided, for cli.premium
  0.05 EUR for the call or attempt
  2,500.00 EUR for the calling number +33899000001, the first time in its billing period
  contract technicophone-sip-trunk, amounts as its digits say
Outcome
  not known yet
"""


@pytest.mark.parametrize("word", ["3", "#3"])
def test_one_record_in_full(guard: Guard, log: Path, word: str) -> None:
    assert guard("explain", "--store", log, word) == (0, EXPLAINED, "")


def test_all_records_of_a_call_id(guard: Guard, log: Path) -> None:
    ran = guard("explain", "--store", log, "call-1@pbx")
    assert ran.status == 0
    assert ran.out.startswith(EXPLAINED)
    assert [line.split()[0] for line in ran.out.splitlines() if line.startswith("#")] == ["#3", "#7"]
    assert ran.err == "2 records of one Call-ID\n"
    assert guard("explain", "--store", log, NASTY, "--json").seqs() == [6]


def test_french(guard: Guard, log: Path) -> None:
    out = guard("explain", "--store", log, "3", "--lang", "fr").out
    assert "cli.premium n’est pas respectée." in out
    assert "was broken" not in out


def test_an_allowed_call_with_its_end(guard: Guard, log: Path) -> None:
    for word in ("1", "2", "call-0@pbx"):  # 2 is its end
        out = guard("explain", "--store", log, word).out
        assert out.startswith("#1 allowed\n")
        assert "No rule spoke\n" in out
        assert "  sent on unchanged, presenting +33145678900\n" in out
        assert "  none at stake\n" in out
        assert out.endswith("  answered 30.0 s, rang 2.5 s, final status 200, ended by the caller\n")


def test_a_masked_and_a_watched_call(guard: Guard, log: Path) -> None:
    masked = guard("explain", "--store", log, "4").out
    assert "  sent on, presenting +33145678999\n" in masked
    assert "  held for 1.7 s before\n" in masked
    watched = guard("explain", "--store", log, "5").out
    assert "cli.mobile asks to block (monitor: not done)\n" in watched
    assert "EUR accrued, for cli.mobile\n" in watched


def test_a_number_that_was_counted_before(guard: Guard, log: Path) -> None:
    out = guard("explain", "--store", log, "6").out
    assert "nothing more for the calling number +33145678900: counted before in its billing period" in out


def test_json_is_the_record_and_what_was_kept_beside_it(guard: Guard, log: Path) -> None:
    (told,) = guard("explain", "--store", log, "3", "--json").objects()
    record = guard("log", "--store", log, "--json", "--rule", "rate.cps", "--limit", "2").objects()[0]
    assert {k: told[k] for k in record} == record
    assert set(told) - set(record) == {"seen", "done", "money", "end"}
    assert told["seen"]["caller_raw"] == "0899000001"
    assert told["seen"]["identities"] == [{"header": "pai", "raw": "0899000001", "value": "+33899000001"}]
    assert told["money"]["per_number"] == 2_500_000_000
    assert told["money"]["reading"] == "digits"
    assert told["end"] is None
    (told,) = guard("explain", "--store", log, "1", "--json").objects()
    assert told["end"] == {"seq": 2, "by": "caller"}


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("call-1", 'no call "call-1"; these begin so: call-1@pbx\n'),
        ("nothing@pbx", 'no call "nothing@pbx"; `guard log --all` lists what there is\n'),
        ("8", "no record #8: the last is #7\n"),
        ("0", "no record #0: the last is #7\n"),
        ("9" * 18, "the last is #7\n"),
        ("9" * 40, "lists what there is\n"),
        ("\x1b[2J", 'no call "\\x1b[2J"'),
        ("", 'no call ""'),
    ],
)
def test_a_call_that_is_not_there(guard: Guard, log: Path, word: str, says: str) -> None:
    for more in ([], ["--json"]):
        ran = guard("explain", "--store", log, *more, "--", word)
        assert (ran.status, ran.out) == (1, "")
        assert ran.err.startswith(f"guard: {log}: ")
        assert says in ran.err
        assert ran.err.count("\n") == 1


def test_a_call_id_that_is_a_number_goes_before_the_record_of_that_number(guard: Guard, tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    write(path, [(attempt(), decision()), (attempt(1, call_id="1"), decision())])
    assert guard("explain", "--store", path, "1", "--json").seqs() == [2]
    assert guard("explain", "--store", path, "#1", "--json").seqs() == [1]


def test_a_call_id_longer_than_what_is_kept(guard: Guard, tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    write(path, [(attempt(call_id="x" * 256), decision())])
    assert guard("explain", "--store", path, "x" * 300, "--json").seqs() == [1]


def test_notes_and_what_was_erased(guard: Guard, tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    writer = SqliteWriter(path, site="hq", queue_limit=1)
    with writer._reading:
        writer.decided(attempt(), decision("blocked", finding("cli.premium")), None)
        writer.decided(attempt(), decision(), None)
    writer.close()
    ran = guard("explain", "--store", path, "2")
    assert (ran.status, ran.err) == (1, "guard: #2 is a note that 1 entries could not be kept: the queue was full\n")
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE entries SET body = NULL, salt = NULL WHERE seq = 1")
        db.execute("DELETE FROM calls")
    ran = guard("explain", "--store", path, "1")
    assert (ran.status, ran.err) == (1, f"guard: {path}: what #1 said was erased\n")
