"""guard log: every filter from the command line, three outputs, and what it says to a mistake."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from msgspec.structs import replace

from guard.cli import show
from guard.cli.log import CSV
from guard.cli.show import COLUMNS, euros, harmless, seconds
from guard.numbering.number import Number
from tests.cli.conftest import NASTY, Guard
from tests.deciding import SITE
from tests.store.making import attempt, decision, finding
from tests.store.making_log import write


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], [3, 4, 5, 6, 7]),
        (["--all"], [1, 3, 4, 5, 6, 7]),
        (["--since", "2026-11-21T10:00:02"], [4, 5, 6, 7]),
        (["--since", "2026-11-21T09:00:02Z"], [4, 5, 6, 7]),
        (["--since", "2026-11-21 10:00:02.000001"], [5, 6, 7]),
        (["--since", "2026-11-21", "--until", "2026-11-21T10:00:02"], [3]),
        (["--until", "2026-11-21"], []),
        (["--since", "999999d"], [3, 4, 5, 6, 7]),
        (["--verdict", "masked"], [4]),
        (["--verdict", "allowed"], [1]),
        (["--rule", "rate.cps"], [3, 7]),
        (["--rule", "cli.*"], [3, 4, 5, 6]),
        (["--rule", "cli.malformed"], []),  # a rule that has not spoken
        (["--caller", "0899000001"], [3]),
        (["--caller", "08 99 00 00 01"], [3]),
        (["--caller", "0033899000001"], [3]),
        (["--caller", "+33899000003"], []),
        (["--caller", "0899*"], [3, 4]),
        (["--caller", "0033899*"], [3, 4]),
        (["--caller", "+33899*"], [3, 4]),
        (["--caller", "0145678999"], [4]),  # as presented
        (["--callee", "3949"], [5]),
        (["--callee", "39*"], [5]),
        (["--callee", "06*"], [3, 4, 6, 7]),
        (["--trunk", "backup"], [4]),
        (["--line", "21"], [4]),
        (["--line", "2*"], [3, 4, 5, 7]),
        (["--line", "2"], []),
        (["--call-id", "call-1@pbx"], [3, 7]),
        (["--call-id", "call-0@pbx"], [1]),  # allowed, and asked for by name
        (["--call-id", "call-1"], []),
        (["--limit", "2"], [6, 7]),
        (["--limit", "all"], [3, 4, 5, 6, 7]),
        (["--limit", "0"], []),
        (["--rule", "cli.*", "--verdict", "blocked", "--line", "200"], [3]),
    ],
)
def test_filters(guard: Guard, log: Path, words: list[str], wanted: list[int]) -> None:
    ran = guard("log", "--store", log, "--json", *words)
    assert (ran.status, ran.err, ran.seqs()) == (0, "", wanted)


def test_a_log_can_be_read_while_something_else_of_the_configuration_is_wrong(
    guard: Guard, log: Path, tmp_path: Path
) -> None:
    (tmp_path / "acme.txt").touch()
    path = tmp_path / "guard.toml"
    wrong = '[prospecting]\nconsents = "gone.csv"\n[rules."cli.premum"]\nenabled = 1\n'
    path.write_text(SITE + f'[store]\npath = "{log}"\n' + wrong, encoding="utf-8")
    assert guard("check", "-c", path).status == 1
    ran = guard("log", "-c", path, "--json", "--caller", "+33899000001")
    assert (ran.status, ran.err, ran.seqs()) == (0, "", [3])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("[store]\npath = 3\n", "store.path: "),
        ("[stroe]\n", 'stroe: unknown key; did you mean "store"?'),
        ('[privacy]\nshow_numbers = "everybody"\n', "privacy.show_numbers: "),
        ('timezone = "Europe/Pars"\n', 'did you mean "Europe/Paris"?'),
    ],
)
def test_a_mistake_in_what_reading_needs_is_told(
    guard: Guard, log: Path, tmp_path: Path, wrong: str, says: str
) -> None:
    (tmp_path / "acme.txt").touch()
    path = tmp_path / "guard.toml"
    path.write_text(wrong + SITE if wrong.startswith("timezone") else SITE + wrong, encoding="utf-8")
    for store in ((), ("--store", log)):
        ran = guard("log", "-c", path, *store)
        assert (ran.status, ran.out) == (1, "")
        assert says in ran.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--verdict", "blokced"], 'did you mean "blocked"?'),
        (["--rule", "cli.premum"], '--rule "cli.premum" is no rule; did you mean "cli.premium"?'),
        (["--rule", "clip.*"], "is no rule"),
        (["--trunk", "operater"], 'did you mean "operator"?'),
        (["--since", "yesterdy"], '"yesterdy" is no time'),
        (["--until", "25:00"], '"25:00" is no time'),
        (["--since", "2026-11-22", "--until", "2026-11-21"], "--until 2026-11-21 is not after 2026-11-22 (since)"),
        (["--limit", "-5"], '--limit "-5" is no number of records'),
        (["--limit", "many"], "write one, such as 100, or all"),
        (["--limit", "9" * 5000], "is no number of records"),
        (["--caller", ""], "--caller is empty"),
        (["--follow", "--until", "2026-11-21"], "leave out --until"),
        (["--verify", "--line", "200", "--all"], "leave out --line, --all"),
        (["--json", "--csv"], "not allowed with"),
        (["--colour"], "unrecognized arguments"),
    ],
)
def test_mistakes_are_one_clear_line_and_status_2(guard: Guard, log: Path, words: list[str], says: str) -> None:
    ran = guard("log", "--store", log, *words)
    assert (ran.status, ran.out) == (2, "")
    assert says in ran.err
    assert len([line for line in ran.err.splitlines() if line.startswith("guard")]) == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--verdict", "blokced"], 'did you mean "blocked"?'),
        (["--rule", "cli.premum"], 'did you mean "cli.premium"?'),
        (["--since", "yesterdy"], '"yesterdy" is no time'),
        (["--limit", "-5"], "is no number of records"),
        (["--follow", "--until", "2026-11-21"], "leave out --until"),
        (["--verify", "--csv"], "leave out --csv"),
    ],
)
def test_mistakes_are_told_before_a_log_that_is_not_there(
    guard: Guard, tmp_path: Path, words: list[str], says: str
) -> None:
    ran = guard("log", "--store", tmp_path / "none.db", *words)
    assert (ran.status, ran.out) == (2, "")
    assert says in ran.err
    assert "no such log" not in ran.err


def test_a_log_that_is_not_there_is_told_where_nothing_is_wrong_with_what_is_asked(
    guard: Guard, tmp_path: Path
) -> None:
    words = ("--rule", "cli.premium", "--trunk", "operator", "--since", "2h", "--follow")
    ran = guard("log", "--store", tmp_path / "none.db", *words)
    assert (ran.status, ran.out) == (1, "")
    assert "none.db: no such log" in ran.err


def test_a_log_that_cannot_be_read_is_one_line_and_status_1(guard: Guard, tmp_path: Path) -> None:
    for command in (["log"], ["log", "--verify"], ["explain", "1"], ["penalties"]):
        ran = guard(*command, "--store", tmp_path / "none.db")
        assert (ran.status, ran.out) == (1, "")
        assert ran.err == f"guard: {tmp_path}/none.db: no such log (has the guard run with this [store] path?)\n"


def test_the_table(guard: Guard, log: Path) -> None:
    ran = guard("log", "--store", log)
    head, *rows = ran.out.splitlines()
    assert head.split() == " ".join(COLUMNS).split()
    assert len(rows) == 5  # one line each, newest last
    assert "2026-11-21 10:00:01.000" in rows[0]
    assert "blocked" in rows[0]
    assert "cli.premium +1" in rows[0]
    assert "avoided 2,500.05 EUR" in rows[0]
    assert "+33899000002 -> +33145678999" in rows[1]
    assert "traffic.short +1" in rows[2]
    assert ran.err == ""


def test_nothing_that_a_caller_chose_reaches_the_terminal_as_it_is(guard: Guard, log: Path) -> None:
    for words in (["log", "--all"], ["log", "--json"], ["log", "--csv"], ["explain", "6"], ["explain", "6", "--json"]):
        ran = guard(*words, "--store", log)
        assert ran.out
        odd = {c for c in ran.out + ran.err if not c.isprintable()} - {"\n"}
        assert odd == set(), words
    assert guard("log", "--json", "--store", log).objects()[3]["call_id"] == NASTY  # and yet is told truly
    assert "[bold red]" in guard("explain", "6", "--store", log).out


def test_harmless() -> None:
    assert harmless("réseau +33 '[bold]") == "réseau +33 '[bold]"
    assert harmless("\x1b[0m\n\x7f\x9b\u202e\u200b\U000e0041\ud800") == (
        "\\x1b[0m\\x0a\\x7f\\x9b\\u202e\\u200b\\U000e0041\\ud800"
    )


def test_an_endless_number_does_not_push_the_table_off_the_screen(guard: Guard, tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    odd = replace(attempt(), callee=Number("", "malformed", "7" * 64, "too-long"), line="x" * 200)
    write(path, [(odd, decision("blocked", finding("cli.premium")))])
    out = guard("log", "--store", path).out
    assert max(map(len, out.splitlines())) < 160
    assert "7" * 16 + "…" in out
    assert "7" * 64 in guard("explain", "--store", path, "1").out


def test_a_narrow_terminal_gets_the_columns_that_matter(
    guard: Guard, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(show, "PIPE_WIDTH", 80)
    out = guard("log", "--store", log).out
    assert max(map(len, out.splitlines())) <= 80
    assert "trunk" not in out
    assert out.count("+33612345678") == 4  # no number is broken over two lines
    monkeypatch.setattr(show, "PIPE_WIDTH", 120)
    assert "trunk" in guard("log", "--store", log).out


def test_a_table_that_is_cut_says_so(guard: Guard, tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    write(path, [(attempt(n), decision("blocked", finding("cli.premium"))) for n in range(60)])
    ran = guard("log", "--store", path)
    assert [int(line.split()[0]) for line in ran.out.splitlines()[1:]] == list(range(11, 61))
    assert ran.err == "the newest 50 of 60 calls that fit (--limit N or --limit all shows more)\n"
    assert len(guard("log", "--store", path, "--limit", "all").out.splitlines()) == 61
    assert len(guard("log", "--store", path, "--json").out.splitlines()) == 60


def test_nothing_found_is_said(guard: Guard, log: Path) -> None:
    ran = guard("log", "--store", log, "--callee", "0123456789")
    assert (ran.status, ran.out) == (0, "")
    assert ran.err == "no call fits (allowed calls are shown with --all)\n"
    assert guard("log", "--store", log, "--callee", "0123456789", "--all").err == "no call fits\n"


def test_csv(guard: Guard, log: Path) -> None:
    ran = guard("log", "--store", log, "--all", "--csv")
    header, *rows = csv.reader(io.StringIO(ran.out))
    assert tuple(header) == CSV
    found = [dict(zip(header, row, strict=True)) for row in rows]
    assert [r["seq"] for r in found] == ["1", "3", "4", "5", "6", "7"]
    assert found[1]["rules"] == "cli.premium rate.cps"
    assert found[1]["caller"] == "+33899000001"  # a number, not a formula
    assert (found[1]["avoided_cents"], found[1]["avoided_microeuros"]) == ("250005", "2500050000")
    assert (found[0]["outcome"], found[0]["talk_ms"], found[0]["response"]) == ("answered", "30004", "")


def test_no_cell_of_the_csv_is_a_formula(guard: Guard, log: Path) -> None:
    ran = guard("log", "--store", log, "--csv")
    found = [dict(zip(CSV, row, strict=True)) for row in csv.reader(io.StringIO(ran.out))][4]
    assert found["line"] == "'=2+3\\x1b]0;x\\x07"
    assert found["call_id"].startswith("\\x1b[2J\\u202e=cmd")


def test_money_and_time_for_people() -> None:
    assert euros(2_500_050_000) == "2,500.05 EUR"
    assert euros(0) == "0.00 EUR"
    assert euros(50_000) == "0.05 EUR"
    assert euros(25_000) == "0.025 EUR"
    assert euros(1) == "0.000001 EUR"
    assert euros(-1_234_567_890_000) == "-1,234,567.89 EUR"
    assert euros(10**21 + 1) == "1,000,000,000,000,000.000001 EUR"  # more than a float can hold
    assert [seconds(ms) for ms in (0, 999, 30_004, 599_999, 600_000, 7_500_000)] == [
        *("0.0 s", "0.9 s", "30.0 s", "599.9 s", "0 h 10 min", "2 h 05 min"),
    ]


def test_verify(guard: Guard, log: Path, tmp_path: Path) -> None:
    ran = guard("log", "--store", log, "--verify")
    assert (ran.status, ran.err) == (0, "")
    first, last = ran.out.splitlines()
    assert first == f"{log}: 7 entries as they were written"
    whole = guard("log", "--store", log, "--json", "--limit", "1").objects()[0]
    assert last == f"last: #7 {whole['hash']}"
    (told,) = guard("log", "--store", log, "--verify", "--json").objects()
    assert (told["ok"], told["entries"], told["hash"], told["broken"]) == (True, 7, whole["hash"], None)


def test_verify_names_the_first_entry_that_is_broken(guard: Guard, tmp_path: Path) -> None:
    import sqlite3
    from contextlib import closing

    path = tmp_path / "guard.db"
    write(path, [(attempt(n), decision()) for n in range(5)])
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE entries SET body = CAST(replace(body, '192.0.2.5', '192.0.2.6') AS BLOB) WHERE seq = 3")
    ran = guard("log", "--store", path, "--verify")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == f"guard: {path}: entry #3: its body is not what was written\n"
    ran = guard("log", "--store", path, "--verify", "--json")
    assert ran.status == 1
    assert (ran.objects()[0]["ok"], ran.objects()[0]["broken"]) == (False, 3)


def test_a_record_that_cannot_be_read_any_more_is_an_error_and_no_traceback(guard: Guard, tmp_path: Path) -> None:
    import sqlite3
    from contextlib import closing

    path = tmp_path / "guard.db"
    write(path, [(attempt(), decision("blocked", finding("cli.premium")))])
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE entries SET body = CAST('{' AS BLOB)")
    ran = guard("log", "--store", path)
    assert ran.status == 1
    assert ran.err.startswith(f"guard: {path}: entry 1 cannot be read")


def test_the_configuration_names_the_log_its_trunks_and_its_zone(guard: Guard, log: Path, tmp_path: Path) -> None:
    config = tmp_path / "guard.toml"
    config.write_text(
        f"""timezone = "Indian/Reunion"
[store]
path = "{log}"
[listen]
udp = ["127.0.0.1:5060"]
[[trunk]]
name = "operator"
next_hop = ["sip:198.51.100.10"]
[[trunk]]
name = "spare"
next_hop = ["sip:198.51.100.11"]
[[source]]
name = "pbx"
address = ["192.0.2.5"]
trunk = "operator"
"""
    )
    ran = guard("log", "-c", config, "--json", "--all", "--limit", "all", "--until", "2026-11-21T13:00:00.1")
    assert ran.err == ""
    assert [r["time"] for r in ran.objects()] == ["2026-11-21T13:00:00.000000+04:00"]
    assert guard("log", "-c", config, "--json", "--trunk", "spare")[:2] == (0, "")
    ran = guard("log", "-c", config, "--json", "--trunk", "spar")
    assert (ran.status, ran.err) == (2, 'guard: --trunk "spar" is no trunk of this log; did you mean "spare"?\n')


@pytest.mark.parametrize("words", [("log", "--caller"), ("log", "--call-id"), ("explain",)])
def test_octets_that_are_no_text_are_wrong_usage(guard: Guard, log: Path, words: tuple[str, ...]) -> None:
    done = guard(words[0], "--store", log, *words[1:], "\udcff\x1b")
    assert (done.status, done.out) == (2, "")
    assert done.err.endswith(": not UTF-8\n")
    assert "\x1b" not in done.err
