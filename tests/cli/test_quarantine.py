"""guard incidents quarantine and release: what people type, what the books hold, what decide says of it."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from guard.detectors.words import Evidence, Measure
from guard.ledger.sightings import Sighting
from guard.shut import evidence_of, quarantine_of
from guard.store.books import Books
from tests.cli.conftest import Guard, Ran
from tests.test_config import GOOD

NUMBER = "+33145678901"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    text = GOOD.replace('name = "operator"\n', 'name = "operator"\ncontract = "technicophone-sva"\n', 1)
    (tmp_path / "guard.toml").write_text(text + '\n[store]\npath = "guard.db"\n', encoding="utf-8")
    return tmp_path


def work(guard: Guard, site: Path, *words: str | Path) -> Ran:
    return guard("incidents", *words, "-c", site / "guard.toml")


def rules(guard: Guard, site: Path, *more: str) -> list[str]:
    words = ("--caller", "0145678901", "--callee", "0199001234", "--line", "200", *more)
    (found,) = guard("decide", *words, "--json", "-c", site / "guard.toml").objects()
    return [f["rule"] for f in found["findings"]]


@pytest.mark.parametrize(
    ("kind", "word", "subject", "incident"),
    [
        ("number", "01 45 67 89 01", NUMBER, "number"),
        ("line", "pbx/200", "pbx/200", "line"),
        ("line", "200", "pbx/200", "line"),
        ("source", "pbx", "pbx", "source"),
    ],
)
def test_who_is_shut_off_is_refused_until_released(
    guard: Guard, site: Path, kind: str, word: str, subject: str, incident: str
) -> None:
    assert "source.quarantined" not in rules(guard, site)
    said = work(guard, site, "quarantine", kind, word, "--text", "a complaint").out
    assert said == "INC-1 is open, and shut off until it is released\n"
    (found,) = work(guard, site, "--json").objects()
    assert (found["kind"], found["subject"], found["rule"]) == (incident, subject, "source.quarantined")
    assert found["quarantine"] == {"kind": kind, "until": None}
    assert (found["accrued_microeuros"], found["avoided_microeuros"]) == (0, 0)
    assert found["events"][0]["text"] == "a complaint"
    assert "open, shut off" in work(guard, site).out
    assert "shut off until it is released; emergency calls pass" in work(guard, site, "show", "1").out
    assert "source.quarantined" in rules(guard, site)
    assert rules(guard, site, "--callee", "112") == ["dst.emergency"]
    assert "source.quarantined" not in rules(guard, site, "--inbound")
    assert work(guard, site, "release", "1").out == "INC-1 is released\n"
    assert "source.quarantined" not in rules(guard, site)
    (found,) = work(guard, site, "--all", "--json").objects()
    assert found["quarantine"] is None


def test_a_service_is_shut_off_for_whoever_calls_it(guard: Guard, site: Path) -> None:
    assert "INC-1 is open" in work(guard, site, "quarantine", "service", "0899 123 456").out
    assert "source.quarantined" in rules(guard, site, "--callee", "0899123456")
    assert "source.quarantined" not in rules(guard, site)
    (found,) = work(guard, site, "--json").objects()
    assert (found["kind"], found["subject"], found["avoided_microeuros"]) == ("sva", "+33899123456", 0)


def test_for_some_hours_and_what_is_said_last_holds(guard: Guard, site: Path) -> None:
    assert "shut off until 20" in work(guard, site, "quarantine", "number", NUMBER, "--hours", "2").out
    assert "source.quarantined" in rules(guard, site)
    assert "source.quarantined" not in rules(guard, site, "--at", "2199-01-01T00:00")
    assert work(guard, site, "quarantine", "number", NUMBER).out == "INC-1 is open, and shut off until it is released\n"
    assert "source.quarantined" in rules(guard, site, "--at", "2199-01-01T00:00")
    work(guard, site, "quarantine", "number", NUMBER, "--hours", "1")
    assert "source.quarantined" not in rules(guard, site, "--at", "2199-01-01T00:00")
    (found,) = work(guard, site, "--json").objects()
    assert [e["step"] for e in found["events"]] == ["open", "quarantine", "quarantine"]


def test_a_second_incident_keeps_a_subject_shut_off(guard: Guard, site: Path) -> None:
    """One incident a trunk: whoever is shut off for two stays so until both are released."""
    work(guard, site, "quarantine", "number", NUMBER)
    text = (site / "guard.toml").read_text(encoding="utf-8")
    more = '\n[[trunk]]\nname = "second"\nnext_hop = ["sip:198.51.100.99"]\n'
    (site / "guard.toml").write_text(text + more, encoding="utf-8")
    assert "INC-2" in work(guard, site, "quarantine", "number", NUMBER, "--trunk", "second").out
    work(guard, site, "release", "1")
    assert "source.quarantined" in rules(guard, site)
    work(guard, site, "resolve", "2")
    assert "source.quarantined" not in rules(guard, site)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("numbr", NUMBER), 'KIND "numbr" is none of line, number, service, source'),
        (("number", "abc"), '"abc" is no number'),
        (("number", " "), "SUBJECT is empty"),
        (("source", "pbxx"), 'no [[source]] "pbxx"'),
        (("line", "200", "--hours", "0"), "--hours 0 is not from 1 to 8760"),
        (("line", "200", "--hours", "9000"), "--hours 9000 is not from 1 to 8760"),
        (("line", "200", "--trunk", "nope"), 'no [[trunk]] "nope"'),
    ],
)
def test_what_cannot_be_shut_off_is_said(guard: Guard, site: Path, words: tuple[str, ...], says: str) -> None:
    ran = work(guard, site, "quarantine", *words)
    assert ran.status == 2
    assert says in ran.err
    assert not (site / "guard.db-books").exists()


def test_books_that_cannot_be_read_are_told_and_the_decision_comes_all_the_same(guard: Guard, site: Path) -> None:
    (site / "guard.db-books").write_text("no database", encoding="utf-8")
    ran = guard("decide", "--caller", NUMBER, "--callee", "112", "-c", site / "guard.toml")
    assert "who is shut off is not known" in ran.err
    assert ran.status == 0


SEEN = Evidence(
    rule="traffic.unbalanced", kind="line", subject="pbx/200", trunk="operator", at=1_795_251_600_000_000,
    span_s=86_400, passes=("received", 1),
    measures=(
        Measure("calls", 9, 8, 60), Measure("received", 0, 0, 40, most=True),
        Measure("origins", 1, 3, 0, most=True, sense="callers"),
    ),
)  # fmt: skip


def test_what_a_detector_saw_of_who_is_shut_off_is_shown(guard: Guard, site: Path) -> None:
    kept = quarantine_of(SEEN, 1 << 62)
    assert evidence_of(kept, "operator") == SEEN, "the books keep all of it"
    one = Sighting(
        subject_kind="line", subject="pbx/200", trunk="operator", rule=SEEN.rule, at=SEEN.at, reached=True, text="",
        quarantine=kept,
    )  # fmt: skip
    with Books(site / "guard.db", ZoneInfo("Europe/Paris")) as books:
        books.seen([one])
    assert work(guard, site, "show", "1").out.splitlines()[2:4] == [
        "  shut off until it is released; emergency calls pass",
        "  seen: 9 calls (alarm from 8 on, 60 % of the alarm), 0 calls received (alarm up to 0, 40 % of the alarm), "
        "1 calling number shown (alarm up to 3, 0 % of the alarm) within 24 hours (traffic.unbalanced)",
    ]
