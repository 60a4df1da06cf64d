"""`guard decide`: the engine's answer to a call that nobody placed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Guard, Ran
from tests.deciding import MAIN, MASKING, PREMIUM, ROBOT, SITE, STRANGERS

AT = "2026-11-21T10:00:00"


@pytest.fixture
def ask(guard: Guard, tmp_path: Path) -> Guard:
    """`guard decide` on the site of the tests."""
    (tmp_path / "acme.txt").touch()
    path = tmp_path / "guard.toml"
    path.write_text(SITE, encoding="utf-8")

    def run(*words: str | Path) -> Ran:
        return guard("decide", "-c", path, "--at", AT, *words)

    return run


def record(done: Ran) -> dict[str, object]:
    (line,) = done.out.splitlines()
    made = json.loads(line)
    assert isinstance(made, dict)
    return made


def test_an_allowed_call(ask: Guard) -> None:
    done = ask("--caller", MAIN, "--callee", "0299001234")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("allowed\n")
    assert "No rule spoke" in done.out
    assert "sent on unchanged, presenting +33145678900" in done.out


def test_a_refused_call_says_why_on_what_ground_and_what_it_would_cost(ask: Guard) -> None:
    done = ask("--caller", STRANGERS, "--callee", "0299001234")
    assert done.status == 1
    assert done.out.startswith("blocked\n")
    for part in (
        "cli.not-authorised",
        "IV-3.4.4",
        "CPCE L.44 IV",
        "which no [[number]] lists",
        "answered 403",
        "2,500.05 EUR avoided",
    ):
        assert part in done.out, part


def test_in_french(ask: Guard) -> None:
    done = ask("--caller", STRANGERS, "--callee", "0299001234", "--lang", "fr")
    assert "qu’aucun [[number]] ne liste" in done.out


def test_a_masked_call(ask: Guard) -> None:
    done = ask("--caller", PREMIUM, "--callee", "0299001234")
    assert done.status == 0
    assert f"presenting {MASKING} in place of {PREMIUM}" in done.out


def test_as_json_it_is_the_record_of_the_log(ask: Guard) -> None:
    made = record(ask("--caller", PREMIUM, "--callee", "0299001234", "--json"))
    assert (made["verdict"], made["caller"], made["presented"], made["callee"]) == (
        "masked", PREMIUM, MASKING, "+33299001234",
    )  # fmt: skip
    assert made["time"] == "2026-11-21T10:00:00.000000+01:00"
    assert (made["source"], made["trunk"], made["usage"]) == ("pbx", "operator", ["human"])
    assert made["response"] is None


@pytest.mark.parametrize(
    ("words", "verdict", "rules"),
    [
        (("--source", "robot", "--caller", MAIN), "blocked", ["cli.automated-range"]),
        (("--source", "robot", "--caller", ROBOT), "allowed", []),
        (("--usage", "automated", "--caller", MAIN), "blocked", ["cli.automated-range"]),
        (("--usage", "prospecting", "--caller", MAIN, "--privacy"), "blocked", ["cli.anonymous"]),
        (("--caller", STRANGERS, "--diversion", MAIN), "allowed", []),
        (("--caller", "anonymous", "--pai", MAIN), "allowed", []),
        (("--caller", MAIN, "--pai", STRANGERS), "blocked", ["cli.not-authorised", "cli.identity-mismatch"]),
        (("--caller", ""), "flagged", ["cli.anonymous"]),
    ],
)
def test_what_can_be_asked(ask: Guard, words: tuple[str, ...], verdict: str, rules: list[str]) -> None:
    done = ask("--callee", "0299001234", "--json", *words)
    made = record(done)
    found = made["findings"]
    assert isinstance(found, list)
    spoke = [f["rule"] for f in found]
    assert made["verdict"] == verdict
    assert [r for r in spoke if r in rules] == rules
    assert [r for r in spoke if r.startswith("cli.") and r not in rules] == []
    assert done.status == (verdict == "blocked")


@pytest.mark.parametrize("callee", ["112", "0112", "+33112", "3651112", "urn:service:sos", "tel:112", "sip:112@pbx"])
def test_an_emergency_call_passes(ask: Guard, callee: str) -> None:
    made = record(ask("--caller", "nonsense", "--callee", callee, "--json"))
    assert made["verdict"] == "allowed"
    assert made["callee"] == "112"


def test_the_law_of_another_day(ask: Guard) -> None:
    lent = ("--caller", "+33180909090", "--callee", "0299001234", "--json")
    assert record(ask(*lent))["verdict"] == "allowed"
    assert record(ask(*lent, "--at", "2027-01-01"))["verdict"] == "blocked"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--source", "pxb"), 'guard: --source no [[source]] "pxb"; did you mean "pbx"?'),
        (("--usage", "robot"), 'guard: --usage "robot" is not one of human, automated, platform, prospecting'),
        (
            ("--usage", "human,automatd"),
            'guard: --usage "automatd" is not one of human, automated, platform, prospecting',
        ),
        (("--at", "tomorrow"), 'guard: "tomorrow" is no time'),
    ],
)
def test_wrong_usage_is_told_in_one_line(ask: Guard, words: tuple[str, ...], told: str) -> None:
    done = ask("--caller", MAIN, "--callee", "1", *words)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(told)
    assert done.err.count("\n") == 1


def test_a_call_needs_two_numbers(ask: Guard) -> None:
    assert ask("--caller", MAIN).status == 2


@pytest.mark.parametrize("at", ["0001-01-01", "9999-12-31T23:59", "999999d"])
def test_an_instant_that_no_call_has_is_wrong_usage(ask: Guard, at: str) -> None:
    done = ask("--caller", MAIN, "--callee", "0299001234", "--at", at)
    assert (done.status, done.out) == (2, "")
    assert done.err == f'guard: "{at}" is out of range: a time from 1970 to 2199 is wanted\n'


def test_the_record_names_the_site(ask: Guard) -> None:
    assert record(ask("--caller", MAIN, "--callee", "0299001234", "--json"))["site"] == "test"
