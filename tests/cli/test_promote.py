"""guard policy promote: a log of a few days, books beside it, and what is told of a rule on trial."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from guard.ledger.incidents import Event
from guard.store.books import Books
from tests.cli.conftest import Guard
from tests.deciding import LISTS, SITE
from tests.store.making import SECOND, attempt, decision, finding
from tests.store.making_log import PARIS, write

RULE: Final = "cli.premium"
DAY: Final = 86_400 * SECOND
MORE: Final = f"""
[rules."{RULE}"]
mode = "monitor"

[[site_rule]]
id = "site.night"
action = "flag"
source = "management"
text = {{ en = "not at night: {{callee}}", fr = "pas la nuit : {{callee}}" }}
when = {{ callee = "+3389*" }}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine days ago to today, an hour earlier each: entries 1 to 9 allowed, 10 to 12 on trial (11 and 12 of one
    number), 13 stopped by another rule as well, 14 flagged by a rule of the site, 15 twenty days ago."""
    folder = tmp_path_factory.mktemp("promote")
    (folder / "acme.txt").write_text(LISTS["acme.txt"], encoding="utf-8")
    path = folder / "guard.toml"
    path.write_text(SITE + MORE + f'\n[store]\npath = "{folder}/guard.db"\n', encoding="utf-8")
    now = time.time_ns() // 1000
    trial = decision("flagged", finding(RULE, "block", "monitor"))
    both = decision("blocked", finding("cli.malformed"), finding(RULE, "block", "monitor"))
    calls = [(attempt(n, at=now - n * DAY - 3600 * SECOND), decision()) for n in range(9)]
    calls += [
        (attempt(10, at=now - 50 * SECOND, caller="+33145678901"), trial),
        (attempt(11, at=now - 40 * SECOND), trial),
        (attempt(12, at=now - 40 * SECOND), trial),
        (attempt(13, at=now - 20 * SECOND, caller="+33145678902"), both),
        (attempt(14, at=now - 10 * SECOND), decision("flagged", finding("site.night", "flag"))),
        (attempt(15, at=now - 20 * DAY, caller="+33145678903"), trial),
    ]
    calls += [
        (replace(attempt(16, at=now - 5 * SECOND), direction="inbound"), decision()),
        (attempt(17, at=now - 5 * SECOND, trunk=""), decision("blocked", finding("source.unknown"))),
    ]  # neither is a call that a rule on trial judges
    write(folder / "guard.db", calls)
    opening = Event(
        step="open", at=now - 50 * SECOND, written=now, subject_kind="number", subject="+33145678901", trunk="operator",
        rule=RULE,
    )  # fmt: skip
    with Books(folder / "guard.db", PARIS) as books:
        books.open(opening)
        books.step(Event(step="release", at=now, written=now, incident=1))
        books.open(replace(opening, subject="+33145678900"))
    return path


def test_json(guard: Guard, site: Path) -> None:
    ran = guard("policy", "promote", RULE, "-c", site, "--days", "14", "--json")
    assert (ran.status, ran.err) == (1, "")
    (told,) = ran.objects()
    names = (
        "rule",
        "acts",
        "calls",
        "would_stop",
        "stopped_anyway",
        "legitimate",
        "rightly_stopped",
        "unjudged",
        "ready",
    )
    assert {n: told[n] for n in names} == {
        "rule": RULE, "acts": False, "calls": 14, "would_stop": 3, "stopped_anyway": 1, "legitimate": 1,
        "rightly_stopped": 0, "unjudged": 3, "ready": False,
    }  # fmt: skip
    assert told["avoided_microeuros"] == 2 * 2_500_000_000 + 3 * 50_000
    assert told["days"] in {9, 10}, "an hour may be of the day before"
    assert told["upper_bound"] == pytest.approx(0.3147, abs=1e-4)
    assert told["toml"] == f'[rules."{RULE}"]\nmode = "enforce"\n'
    assert told["seqs"] == [
        {"seq": 10, "judged": "wrong"}, {"seq": 11, "judged": None}, {"seq": 12, "judged": None},
        {"seq": 13, "judged": None},
    ]  # fmt: skip
    assert any("10,000 are needed" in why for why in told["why"])


def test_people(guard: Guard, site: Path) -> None:
    ran = guard("policy", "promote", RULE, "-c", site, "--days", "14")
    assert (ran.status, ran.err) == (1, "")
    assert "it would have stopped 3, besides 1 that were stopped anyway; penalties avoided: 5,000.15 EUR\n" in ran.out
    assert "by people: 0 rightly, 1 wrongly, 3 not judged\n" in ran.out
    assert "not judged: #11 #12 #13\n" in ran.out
    assert "not yet: 14 calls: 10,000 are needed; " in ran.out
    assert "[rules" not in ran.out
    assert "+33" not in ran.out, "no number of anybody"


def test_how_far_back(guard: Guard, site: Path) -> None:
    (told,) = guard("policy", "promote", RULE, "-c", site, "--json").objects()
    assert (told["calls"], told["would_stop"]) == (15, 4)
    (told,) = guard("policy", "promote", RULE, "-c", site, "--days", "1", "--json").objects()
    assert (told["calls"], told["would_stop"]) == (6, 3)


def test_a_person_judges(guard: Guard, site: Path) -> None:
    words = ("policy", "promote", RULE, "-c", site, "--days", "14", "--json")
    (told,) = guard(*words, "--judged").objects()
    assert (told["legitimate"], told["rightly_stopped"], told["unjudged"]) == (1, 3, 0)
    (told,) = guard(*words, "--legitimate", "11", "13", "--judged").objects()
    assert (told["legitimate"], told["rightly_stopped"], told["unjudged"]) == (3, 1, 0)


def test_when_it_is_ready(guard: Guard, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guard.ledger.promotion.NEEDED_CALLS", 10)
    monkeypatch.setattr("guard.ledger.promotion.WORST", 2)
    ran = guard("policy", "promote", RULE, "-c", site, "--days", "14", "--judged")
    assert ran.status == 0
    assert ran.out.endswith(f'ready\n[rules."{RULE}"]\nmode = "enforce"\n')


def test_while_the_whole_file_is_on_trial(guard: Guard, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guard.ledger.promotion.NEEDED_CALLS", 10)
    monkeypatch.setattr("guard.ledger.promotion.WORST", 2)
    path = site.with_name("trial.toml")
    path.write_text(site.read_text("utf-8").replace('mode = "enforce"', 'mode = "monitor"', 1), encoding="utf-8")
    ran = guard("policy", "promote", RULE, "-c", path, "--days", "14", "--judged")
    assert 'no mode = "monitor" at the top' in ran.out


def test_a_rule_that_only_flags(guard: Guard, site: Path) -> None:
    (told,) = guard("policy", "promote", "site.night", "-c", site, "--json").objects()
    assert (told["would_stop"], told["toml"]) == (
        1,
        '[[site_rule]]  # the one of id = "site.night"\naction = "block"\n',
    )
    (told,) = guard("policy", "promote", "traffic.scanner", "-c", site, "--json").objects()
    assert told["toml"] == '[rules."traffic.scanner"]\naction = "block"\n'


def test_a_rule_that_acts_already(guard: Guard, site: Path) -> None:
    ran = guard("policy", "promote", "cli.malformed", "-c", site)
    assert "it has stopped 1\n" in ran.out
    assert "it acts already\n" in ran.out


def test_a_log_that_is_not_there_yet(guard: Guard, site: Path) -> None:
    path = site.with_name("new.toml")
    path.write_text(site.read_text("utf-8").replace("guard.db", "none/guard.db"), encoding="utf-8")
    ran = guard("policy", "promote", RULE, "-c", path)
    assert (ran.status, ran.out) == (1, "")
    assert "none/guard.db" in ran.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("cli.premiun",), 'no rule "cli.premiun" is in force; did you mean "cli.premium"?'),
        (("dst.emergency",), "dst.emergency: emergency calls always pass"),
        ((RULE, "--days", "0"), "--days 0: from 1 to 3650"),
        ((RULE, "--days", "4000"), "--days 4000: from 1 to 3650"),
        ((RULE, "--legitimate", "1"), "--legitimate 1: cli.premium would not have stopped a call #1"),
        ((RULE, "--legitimate", "x"), "invalid int value"),
    ],
)
def test_mistakes(guard: Guard, site: Path, words: tuple[str, ...], says: str) -> None:
    ran = guard("policy", "promote", *words, "-c", site)
    assert (ran.status, ran.out) == (2, "")
    assert says in ran.err
