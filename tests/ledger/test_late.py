"""What is found only when a call is over: kept with its end, shown with its findings, and accrued once."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from guard.ledger.late import late_stake
from guard.ledger.lines import lines_of, total
from guard.ledger.penalties import Figures, month_bounds, summarise
from guard.ledger.record import NO_MONEY, DecisionBody, EndBody, decision_body, encode, end_body
from guard.ledger.recount import Difference, Recount
from guard.model import CallAttempt, CallEnded, Decision, Finding
from guard.store.contract import Query
from guard.store.migrations import V1, V2
from guard.store.money import accrued_since, kept_calls, ledger_lines
from guard.store.reader import Detail, SqliteReader
from guard.store.sqlite import SqliteWriter
from guard.store.whole import masked
from tests.evidence.making import verified
from tests.store.making import AT, CALLER, SECOND, attempt, decision, ended, finding
from tests.store.making_log import DIGITS, PARIS, details

FINED = replace(DIGITS, rules=(*DIGITS.rules, "traffic.ping-call"))
FIGURES = {"operator": FINED}
NOVEMBER = month_bounds("2026-11", PARIS)
PING = finding("traffic.ping-call")
PREMIUM = finding("cli.premium", mode="monitor")
OWED = 2_500_050_000

Call = tuple[CallAttempt, Decision, tuple[Finding, ...]]


def written(path: Path, calls: list[Call], figures: dict[str, Figures] = FIGURES) -> None:
    """All are up at once, and end one after the other."""
    with closing(SqliteWriter(path, site="hq", money=figures)) as writer:
        seqs = [writer.decided(call, decided, None) for call, decided, _ in calls]
        for seq, (_, _, late) in zip(seqs, calls, strict=True):
            writer.ended(seq, replace(ended("cancelled", at=AT + 5 * SECOND), findings=late))


def recounted(path: Path, figures: dict[str, Figures] = FIGURES) -> tuple[Recount, list[Difference]]:
    count = Recount(figures)
    found: list[Difference | None] = []
    for d in details(path):
        found += count.late(d.record.seq)
        found.append(count.take(d.record.seq, d.body))
        count.ended(d.end_seq, d.record.seq, d.body, d.end)
    return count, [f for f in (*found, *count.late()) if f is not None]


def test_it_stands_in_the_end_and_among_the_calls_findings(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    written(path, [(attempt(0), decision("flagged", PREMIUM), (PING,)), (attempt(1), decision(), ())])
    first, second = details(path)
    assert first.end is not None
    assert [f.rule for f in first.body.findings] == ["cli.premium"]
    assert [f.rule for f in first.end.findings] == ["traffic.ping-call"]
    shown = [json.loads(encode(d.end)) for d in (second,) if d.end is not None]
    assert "findings" not in shown[0]
    assert "money" not in shown[0]
    assert [(f.rule, f.late) for f in first.record.findings][1] == ("traffic.ping-call", True)
    assert first.record.findings[0] == first.body.findings[0]


@pytest.mark.parametrize(
    ("decided", "late", "owed"),
    [
        (decision(), (PING,), OWED),
        (decision(), (replace(PING, mode="monitor"),), OWED),
        (decision("flagged", finding("traffic.scan", "flag")), (PING, PING), OWED),
        (decision(), (replace(PING, action="flag"),), 0),  # asks for a look, is no breach
        (decision(), (finding("traffic.scan"),), 0),  # the contract does not fine it
        (decision("blocked", finding("rate.cps")), (PING,), 0),  # never left
        (replace(decision("flagged", finding("rate.cps", "hold")), held_until=5), (PING,), 0),
        (decision("flagged", PREMIUM), (PING,), 0),  # owed already, by the decision
    ],
)
def test_what_it_costs(decided: Decision, late: tuple[Finding, ...], owed: int) -> None:
    body = decision_body(attempt(), decided, "hq", NO_MONEY)
    end = end_body(1, CallEnded(at=AT, outcome="cancelled", findings=late))
    stake = late_stake(body, end.findings, FINED)
    assert (stake.money(first=True).accrued if stake is not None else 0) == owed


def test_an_emergency_call_owes_nothing() -> None:
    body = decision_body(attempt(emergency="112"), decision(), "hq", NO_MONEY)
    assert late_stake(body, end_body(1, CallEnded(at=AT, outcome="failed", findings=(PING,))).findings, FINED) is None


def mixed() -> list[Call]:
    """Numbers that are fined by a decision, late, both ways round, and not at all."""
    others = [f"+3314567{n:04}" for n in range(4)]
    return [
        (attempt(0), decision(), (PING,)),
        (attempt(1), decision("flagged", PREMIUM), ()),  # the same number, decided before the first one ended
        (attempt(2, caller=others[0]), decision(), (PING,)),
        (attempt(3, caller=others[0]), decision(), (PING,)),
        (attempt(4, caller=others[1]), decision("blocked", finding("cli.premium")), ()),
        (attempt(5, caller=others[1]), decision(), (PING,)),  # avoided first, and accrued later
        (attempt(6, caller=others[2]), decision(), ()),
        (attempt(7, caller=others[3], trunk="backup"), decision(), (PING,)),  # no contract
    ]


def test_every_sum_has_it_once_and_a_recount_gives_the_same(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    written(path, mixed())
    per_call, per_number = 50_000, 2_500_000_000
    owed = 5 * per_call + 3 * per_number
    with SqliteReader(path) as reader:
        lines = list(ledger_lines(reader, *NOVEMBER))
        groups = summarise(reader.exposures(*NOVEMBER), "trunk", PARIS)
        found = list(reader.details(Query(all=True)))
        scanned = accrued_since(reader, NOVEMBER[0], 0)
        kept = list(kept_calls(reader, *NOVEMBER, "operator"))
    assert sum(one.amount for one in lines if one.state == "accrued") == owed
    assert groups[-1] == total(lines)
    assert groups[-1].calls == 6
    assert sum(d.money.accrued for d in found) == owed == sum(k.accrued for k in kept)
    assert sum(accrued for _, _, accrued in scanned) == owed  # also what comes in behind a place that was read
    assert [k.rule for k in kept].count("traffic.ping-call") == 4
    assert all(one.call_id for one in lines)
    count, differences = recounted(path)
    assert differences == []
    assert count.accrued == owed
    assert verified(path).ok


def test_a_recount_names_late_money_that_comes_out_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    written(path, [(attempt(0), decision(), (PING,))])
    _, differences = recounted(path, {"operator": DIGITS})
    assert [(d.seq, d.written.accrued, d.counted.accrued) for d in differences] == [(1, OWED, 0)]


def test_it_is_found_by_its_rule(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    written(path, mixed())
    with SqliteReader(path) as reader:
        assert len(list(reader.records(Query(all=True, rule="traffic.ping-call")))) == 5
        assert len(list(reader.records(Query(all=True, rule="traffic.*")))) == 5
        assert len(list(reader.records(Query(all=True, rule="cli.*")))) == 2


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE exposures SET accrued = 1 WHERE seq = 3",
        "UPDATE exposures SET at = at - 1 WHERE seq = 3",
        "UPDATE exposures SET trunk = 'other' WHERE seq = 3",
        "DELETE FROM exposures WHERE seq = 3",
        "DELETE FROM call_rules WHERE seq = 3",
        "INSERT INTO exposures SELECT 4, at, trunk, line, number, fined_rule, 1, 0, 0, '', '' FROM exposures",
    ],
)
def test_an_index_that_says_other_than_the_end_is_seen(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "guard.db"
    written(path, [(attempt(0), decision(), (PING,)), (attempt(1, caller="+33145671111"), decision(), ())])
    assert verified(path).ok
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(statement)
    assert verified(path).broken in {3, 4}


def test_who_is_forgotten_leaves_the_sums_and_no_number(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    written(path, [(attempt(0), decision(), (PING,))])
    with SqliteReader(path) as reader:
        before = total(ledger_lines(reader, *NOVEMBER))
    with closing(SqliteWriter(path, site="hq", money=FIGURES)) as writer:
        writer.erase((1, 2), "request", AT)
    with SqliteReader(path) as reader:
        lines = list(ledger_lines(reader, *NOVEMBER))
        assert total(lines) == before
        assert CALLER not in {one.number for one in lines}
        assert list(reader.records(Query(all=True, rule="traffic.ping-call"))) == []
        assert reader.fetch("SELECT count(*) FROM call_rules") == [(0,)]
    assert CALLER.encode() not in path.read_bytes()
    assert verified(path).ok


def test_a_view_hides_its_numbers_too(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    written(path, [(attempt(0), decision(), (PING,))])
    with SqliteReader(path, view=masked) as reader:
        (found,) = reader.details(Query(all=True))
    assert CALLER.removeprefix("+") not in str(found)
    assert found.money.accrued == OWED


def test_lines_of_a_call_whose_end_owes() -> None:
    body: DecisionBody = decision_body(attempt(), decision(), "hq", NO_MONEY)
    end: EndBody = end_body(1, CallEnded(at=AT, outcome="cancelled", findings=(PING,)))
    stake = late_stake(body, end.findings, FINED)
    assert stake is not None
    whole = replace(end, money=stake.money(first=True))
    found = list(lines_of(1, body, whole))
    assert [(one.kind, one.state, one.amount, one.calls) for one in found] == [
        ("per-attempt", "accrued", 50_000, 1),
        ("per-number", "accrued", 2_500_000_000, 0),
    ]
    detail = Detail(record=None, body=body, end=whole, end_seq=2)  # type: ignore[arg-type]
    assert detail.money.rule == "traffic.ping-call"


def test_an_older_log_takes_late_findings_once_it_is_opened(tmp_path: Path) -> None:
    from guard.store import schema

    path = tmp_path / "guard.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (V1, V2))
        with closing(SqliteWriter(path, site="hq", money=FIGURES)) as writer:
            writer.decided(attempt(0), decision("flagged", PREMIUM), None)
    with closing(SqliteWriter(path, site="hq", money=FIGURES)) as writer:
        seq = writer.decided(attempt(1, caller="+33145671111"), decision(), None)
        writer.ended(seq, replace(ended("cancelled"), findings=(PING,)))
    with SqliteReader(path) as reader:
        assert total(ledger_lines(reader, *NOVEMBER)).accrued == 2 * OWED
    assert verified(path).ok
