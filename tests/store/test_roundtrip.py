"""What goes into the log comes out of it as the object that INTERFACES names."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from guard.ledger.record import DecisionBody, SeenIdentity, encode
from guard.model import Identity
from guard.store.reader import SqliteReader
from tests.store.making import AT, CALLEE, CALLER, SECOND, attempt, decision, ended, finding, number
from tests.store.making_log import DIGITS, details, write

# docs: "One call's record". A field that is missing or renamed breaks what operators built on it.
IDENTITY = "seq hash time call_id site source trunk line direction caller presented callee usage verdict response"
REST = "findings accrued_cents avoided_cents held_ms policy outcome ring_ms talk_ms final_status"


def test_a_decision_and_its_end_come_out_as_one_record(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    blocked = decision("blocked", finding("cli.premium"), finding("cli.mismatch", "flag", "monitor"), held_us=1_500_999)
    write(path, [(attempt(7, call_id="é\x00\x1b[2J"), blocked, ended("blocked"))])
    (found,) = details(path)
    r = found.record
    assert (r.seq, r.site, r.source, r.trunk, r.line, r.direction) == (1, "hq", "pbx", "operator", "200", "outbound")
    assert r.time == "2026-11-21T10:00:00.000000+01:00"
    assert r.call_id == "é\x00\x1b[2J"
    assert (r.caller, r.presented, r.callee) == (CALLER, "", CALLEE)
    assert (r.verdict, r.response, r.usage, r.policy) == ("blocked", 403, ("human",), "sha256:0123")
    assert (r.held_ms, r.outcome, r.ring_ms, r.talk_ms, r.final_status) == (1500, "blocked", 2500, 30004, 200)
    assert [(f.rule, f.action, f.mode) for f in r.findings] == [
        ("cli.premium", "block", "enforce"),
        ("cli.mismatch", "flag", "monitor"),
    ]
    assert r.findings[0].facts == {"presented": CALLER, "count": 3, "held": True}
    assert (r.accrued_cents, r.avoided_cents) == (0, 250_005)
    assert found.end_seq == 2


def test_the_fields_of_the_record_are_those_that_are_published(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    write(path, [(attempt(), decision())])
    with SqliteReader(path) as reader:
        written = json.loads(msgspec.json.encode(details(path)[0].record))
        assert reader.last_seq() == 1
    assert list(written) == f"{IDENTITY} {REST}".split()
    assert [written[n] for n in ("response", "outcome", "ring_ms", "talk_ms", "final_status")] == [None] * 5


def test_a_fraction_of_a_cent_is_told_in_micro_euros_beside_whole_cents(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    odd = msgspec.structs.replace(DIGITS, per_number=0, per_attempt=25_001)
    write(path, [(attempt(), decision("flagged", finding("cli.premium"))), (attempt(1), decision())], {"operator": odd})
    first, second = (json.loads(msgspec.json.encode(d.record)) for d in details(path))
    assert (first["accrued_cents"], first["accrued_microeuros"]) == (2, 25_001)
    assert "avoided_microeuros" not in first
    assert "accrued_microeuros" not in second


def test_what_was_received_is_kept_beside_what_it_means(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    pai = Identity("pai", number("+33899000000", "0899000000"))
    write(path, [(attempt(identities=(pai,)), decision())])
    body = details(path)[0].body
    assert (body.caller, body.caller_raw) == (CALLER, "0145678900")
    assert (body.callee, body.callee_raw) == (CALLEE, "")  # received as it is shown
    assert body.identities == (SeenIdentity(header="pai", raw="0899000000", value="+33899000000"),)


def test_a_second_end_of_one_call_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    write(path, [(attempt(), decision(), ended("answered"), ended("failed", at=AT + 90 * SECOND))])
    (found,) = details(path)
    assert (found.record.outcome, found.end_seq) == ("answered", 2)


def test_the_json_that_the_chain_covers_is_canonical() -> None:
    body = DecisionBody(at=1, call_id="c", verdict="blocked", trunk="operator")
    assert encode(body) == b'{"at":1,"call_id":"c","trunk":"operator","verdict":"blocked"}'
