"""Cases that policies carry: those that ship hold and reach every rule; one that does not is told, with its file."""
# ruff: noqa: E501 - tables with a row a line

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from guard.cases import Outcome, failing, run_all, run_folder, run_site
from guard.config import ConfigError, load
from guard.policy.load import load_policy
from guard.reload import load_anew
from guard.rules import BY_ID
from tests.deciding import LISTS, SITE

POLICIES: Final = Path(__file__).parents[2] / "policies"
TIME: Final = "at = 2026-11-21T10:00:00\n"


@cache
def shipped() -> tuple[Outcome, ...]:
    """Every case that ships, judged."""
    return tuple(run_folder(POLICIES))


# ---- those that ship -------------------------------------------------------------------------------------------------


def test_they_hold() -> None:
    assert [str(o.problem()) for o in shipped() if o.wrong] == []


@pytest.mark.parametrize("rule", list(BY_ID))
def test_every_rule_has_a_hit_and_a_near_miss_where_it_is_written_down(rule: str) -> None:
    here = [o.case for o in shipped() if f'id = "{rule}"\n' in Path(o.file).read_text("utf-8")]
    assert any(rule in {case.rule, *case.speaks} for case in here), "no hit"
    if rule != "dst.emergency" or here:
        assert any(rule in case.silent for case in here), "no near miss"


@pytest.mark.parametrize("rule", list(BY_ID))
def test_a_hit_is_one_for_it_speaks_and_a_miss_for_it_does_not(rule: str) -> None:
    for outcome in shipped():
        assert outcome.decision is not None
        spoke = {f.rule for f in outcome.decision.findings}
        if rule in {outcome.case.rule, *outcome.case.speaks}:
            assert rule in spoke
        if rule in outcome.case.silent:
            assert rule not in spoke


@pytest.mark.parametrize("day", ["2025-01-01", "2026-11-20", "2028-06-01"])
def test_they_hold_whatever_the_date_of_the_file_of_blocks(tmp_path: Path, day: str) -> None:
    """An operator installs a newer one: no case may fail for that."""
    shutil.copytree(POLICIES, tmp_path / "policies")
    for path in tmp_path.glob("policies/numbering/allotted*.csv"):
        text = path.read_text("utf-8")
        path.write_text(text.replace("# date: 2026-04-17", f"# date: {day}"), encoding="utf-8")
    outcomes = list(run_folder(tmp_path / "policies"))
    assert len(outcomes) == len(shipped())
    assert [str(o.problem()) for o in outcomes if o.wrong] == []


def test_they_hold_whatever_the_site_says(tmp_path: Path) -> None:
    path = guard_toml(tmp_path, 'mode = "monitor"\n', '[rules."cli.premium"]\nenabled = false\n')
    config = load(path)
    policy = load_policy(config)
    assert failing(config, policy) == []
    assert len(list(run_all(config, policy))) == len(shipped())


# ---- those of a site -------------------------------------------------------------------------------------------------


def guard_toml(folder: Path, head: str = "", tail: str = "") -> Path:
    """The site of the tests with more in its guard.toml."""
    (folder / "acme.txt").write_text(LISTS["acme.txt"], encoding="utf-8")
    path = folder / "guard.toml"
    path.write_text(head + SITE.replace('mode = "enforce"\n', "" if "mode" in head else 'mode = "enforce"\n') + tail)
    return path


def case(more: str, *, caller: str = "0145678900", callee: str = "0199001234", at: str = TIME) -> str:
    """One case of a guard.toml."""
    return f'\n[[case]]\nname = "mine"\ncaller = "{caller}"\ncallee = "{callee}"\n{at}{more}\n'


def told(folder: Path, written: str) -> list[str]:
    """What is told of the cases of a site."""
    config = load(guard_toml(folder, tail=written))
    return [o.problem().what for o in run_site(config, load_policy(config)) if o.wrong]


HOLD: Final = (
    case('verdict = "allowed"\nrule = ""'),
    case('verdict = "allowed"\npresented = "+33145678900"\nstatus = 0'),
    case('verdict = "blocked"\nrule = "cli.not-authorised"\nstatus = 403\npresented = ""', caller="0299112233"),
    case('verdict = "blocked"\nspeaks = ["cli.not-authorised"]\nsilent = ["cli.premium"]', caller="0299112233"),
    case('verdict = "blocked"\nrule = "cli.automated-range"\nsource = "robot"'),
    case('verdict = "allowed"\nsource = "robot"\nusage = "human"'),
    case('verdict = "blocked"\nusage = ["automated", "prospecting"]'),
    case('verdict = "blocked"\nrule = "source.unknown"\nstatus = 0\nstranger = true'),
    case('verdict = "allowed"\nspeaks = ["dst.emergency"]\nstranger = true', callee="112"),
    case('verdict = "flagged"\nrule = "cli.malformed"\npai = "0145678900"', caller="200"),
    case('verdict = "allowed"\npai = ["0145678900"]\nprivacy = true', caller="anonymous"),
    case('verdict = "allowed"\ndiversion = "0145678900"', caller="0299112233"),
    case('verdict = "allowed"\ndirection = "inbound"', caller="0299112233", callee="0145678900"),
    # The consent of Acme ends with 2026, in the site's time zone.
    case('verdict = "allowed"', caller="0180909090", at="at = 2026-12-31T23:59:59\n"),
    case('verdict = "blocked"', caller="0180909090", at="at = 2027-01-01T00:00:00\n"),
    case('verdict = "blocked"', caller="0180909090", at="at = 2026-12-31T23:59:59Z\n"),
    # Two calls at once of a line (limit.line-calls of the site).
    case('verdict = "blocked"\nrule = "limit.line-calls"\nline = "200"\nbefore = [{ calls = 2 }]'),
    case('verdict = "allowed"\nline = "200"\nbefore = [{ calls = 1 }]'),
    case('verdict = "allowed"\nline = "200"\nbefore = [{ calls = 2, line = "201" }]'),
    case('verdict = "allowed"\nline = "200"\nbefore = [{ calls = 2, ago_s = 60, talk_s = 30 }]'),
    case('verdict = "allowed"\nline = "200"\nbefore = [{ calls = 2, ago_s = 60, ring_ms = 9000 }]'),
    case('verdict = "blocked"\nline = "200"\nbefore = [{ calls = 1 }, { calls = 1, callee = "0612345678" }]'),
    # What is refused before takes up no place.
    case('verdict = "allowed"\nline = "200"\nbefore = [{ calls = 2, caller = "0299112233" }]'),
    # One that is still up when the call comes holds its place; one that has just ended gave it back.
    case('verdict = "blocked"\nline = "200"\nbefore = [{ calls = 2, ago_s = 60, talk_s = 61 }]'),
    case('verdict = "allowed"\nline = "200"\nbefore = [{ calls = 2, ago_s = 60, talk_ms = 60000 }]'),
    case('verdict = "allowed"\nline = "200"\nbefore = [{ calls = 2, ago_s = 60, status = 486 }]'),
    case('verdict = "allowed"\nline = "200"\nbefore = [{ calls = 2, address = "192.0.2.77", user_agent = "x", line = "9" }]'),
    # Calls that hang up while others wait: the desk hears of each at its own instant (Watch's clock never goes back).
    case('verdict = "allowed"\nbefore = [{ calls = 25, ago_s = 60, talk_ms = 500, another_callee = true }]'),
    # Ten set-ups a second: the eleventh waits, and goes out (policies/rules/limits.toml has one that does not).
    case('verdict = "allowed"\nspeaks = ["rate.cps"]\nbefore = [{ calls = 10, ring_ms = 0 }]'),
)  # fmt: skip


@pytest.mark.parametrize("written", HOLD)
def test_a_case_that_holds(tmp_path: Path, written: str) -> None:
    assert told(tmp_path, written) == []


FAIL: Final = (
    (case('verdict = "blocked"'), '"mine": expected blocked, is allowed by no rule'),
    (
        case('verdict = "allowed"', caller="0299112233"),
        '"mine": expected allowed, is blocked by cli.not-authorised; it says: From presents +33299112233, which no',
    ),
    (
        case('verdict = "blocked"\nrule = "cli.premium"', caller="0299112233"),
        '"mine": expected blocked by cli.premium, is blocked by cli.not-authorised; it says: ',
    ),
    (
        case('verdict = "blocked"\nrule = ""', caller="0299112233"),
        '"mine": expected blocked, is blocked by cli.not-authorised; it says: ',
    ),
    (case('verdict = "allowed"\npresented = ""'), "\"mine\": expected presented '', is '+33145678900'"),
    (case('verdict = "blocked"\nstatus = 480', caller="0299112233"), '"mine": expected status 480, is 403'),
    (case('verdict = "allowed"\nspeaks = ["cli.premium"]'), '"mine": cli.premium does not speak, no rule does'),
    (
        case('verdict = "blocked"\nspeaks = ["cli.premium"]', caller="0299112233"),
        '"mine": cli.premium does not speak, cli.not-authorised does',
    ),
    (
        case('verdict = "blocked"\nsilent = ["cli.not-authorised"]', caller="0299112233"),
        '"mine": cli.not-authorised speaks: From presents +33299112233',
    ),
    (case('verdict = "allowed"\nrule = "cli.premiun"'), '"mine": no rule is called "cli.premiun"; did you mean "cli.premium"?'),
    (case('verdict = "allowed"\nsource = "pdx"'), '"mine": no [[source]] "pdx"; did you mean "pbx"?'),
    (case('verdict = "allowed"\nsource = "pbx"\nstranger = true'), '"mine": a stranger is of no source'),
    (case('verdict = "allowed"\nbefore = [{ talk_s = 1, talk_ms = 1 }]'), '"mine": before: talk_s and talk_ms: one of them'),
    (case('verdict = "allowed"\nbefore = [{ talk_s = 1, status = 486 }]'), '"mine": before: a call that was answered does not end with 486'),
    (case('verdict = "allowed"\nbefore = [{ another_callee = true, in_order = true }]'), '"mine": before: another_callee and in_order: one'),
    (case('verdict = "allowed"\nsite = "x"'), '"mine": "x": there is no other site in guard.toml'),
)  # fmt: skip


@pytest.mark.parametrize("row", FAIL, ids=lambda row: row[1])
def test_a_case_that_does_not_hold(tmp_path: Path, row: tuple[str, str]) -> None:
    written, expected = row
    (said,) = told(tmp_path, written)
    assert said.startswith(expected)


def test_everything_that_differs_is_told_at_once(tmp_path: Path) -> None:
    (said,) = told(tmp_path, case('verdict = "blocked"\nstatus = 403\nspeaks = ["cli.premium"]'))
    assert said.count("; ") == 2


def test_a_failing_case_names_its_file_line_and_place(tmp_path: Path) -> None:
    path = guard_toml(tmp_path, tail=case('verdict = "allowed"') + case('verdict = "blocked"'))
    config = load(path)
    (problem,) = failing(config, load_policy(config))
    lines = path.read_text("utf-8").splitlines()
    assert (problem.file, problem.key) == (str(path), "case[2]")
    assert lines[problem.line - 1] == "[[case]]"
    assert problem.line > len(lines) - 9


MISTAKES: Final = (
    (case('verdict = "refused"'), 'case[1].verdict: "refused" is not one of allowed, flagged, masked, blocked'),
    (case('verdikt = "blocked"\nverdict = "blocked"'), 'case[1].verdikt: unknown key; did you mean "verdict"?'),
    (case('verdict = "allowed"', at="at = 2026-11-21\n"), "case[1].at: "),
    (case('verdict = "allowed"\nbefore = [{ calls = 0 }]'), "case[1].before[1].calls: 0: expected `int` >= 1"),
    (case('verdict = "allowed"\nbefore = [{ calls = 10001 }]'), "case[1].before[1].calls: 10001: expected `int` <= 10000"),
    (case('verdict = "allowed"\nbefore = [{ status = 200 }]'), "case[1].before[1].status: 200: expected `int` >= 300"),
    (case('verdict = "allowed"\nbefore = [{ by = "guard" }]'), 'case[1].before[1].by: "guard" is not one of caller, callee'),
    (case('verdict = "allowed"\nbefore = [{ ago_s = 9999999 }]'), "case[1].before[1].ago_s: 9999999: expected `int` <= "),
)  # fmt: skip


@pytest.mark.parametrize("row", MISTAKES, ids=lambda row: row[1])
def test_a_case_that_is_wrong_itself(tmp_path: Path, row: tuple[str, str]) -> None:
    written, expected = row
    with pytest.raises(ConfigError) as raised:
        load(guard_toml(tmp_path, tail=written))
    assert [f"{p.key}: {p.what}"[: len(expected)] for p in raised.value.problems] == [expected]


def test_a_reload_waits_for_cases_that_hold(tmp_path: Path) -> None:
    path = guard_toml(tmp_path, tail=case('verdict = "allowed"'))
    assert load_anew(path, b"").config.file.case
    path.write_text(path.read_text("utf-8") + case('verdict = "blocked"'), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"case\[2\]"):
        load_anew(path, b"")


# ---- sites of a policy file ------------------------------------------------------------------------------------------


def policies(folder: Path, cases: str) -> Path:
    """The policies that ship, with other cases in one file."""
    shutil.copytree(POLICIES, folder / "policies")
    for path in (folder / "policies" / "rules").glob("*.toml"):
        rules = path.read_text("utf-8").partition("# ---- cases")[0]
        path.write_text(rules + (cases if path.name == "source.toml" else ""), encoding="utf-8")
    return folder / "policies"


def test_a_site_that_is_not_written_down_has_one_trunk_and_one_source(tmp_path: Path) -> None:
    found = list(run_folder(policies(tmp_path, case('verdict = "blocked"\nrule = "cli.not-authorised"'))))
    assert [o.wrong for o in found] == [()]


def test_sites_by_name_are_the_site_with_other_keys(tmp_path: Path) -> None:
    written = """
[[site.number]]
range = "+33145678900"
[sites.robots]
source = [{ name = "robot", usage = "automated" }]
[sites.others]
number = [{ range = "+33145678901", holder = "Acme", proof = "anywhere.pdf" }]
"""
    written += case('verdict = "allowed"')
    written += case('verdict = "blocked"\nrule = "cli.automated-range"\nsite = "robots"')
    written += case('verdict = "blocked"\nrule = "cli.not-authorised"\nsite = "others"')
    assert [o.wrong for o in run_folder(policies(tmp_path, written))] == [(), (), ()]


def test_mistakes_of_a_site_are_told_by_its_first_case(tmp_path: Path) -> None:
    written = """
[[site.number]]
range = "0145678900"
[sites.two]
contrakt = "x"
[sites.two.rules."rate.cps"]
hold = 1
[site.lists]
consent = "number"
consents = "number,from"
"""
    written += case('verdict = "allowed"') * 2 + case('verdict = "allowed"\nsite = "two"')
    written += case('verdict = "allowed"\nsite = "tow"')
    found = list(run_folder(policies(tmp_path, written)))
    assert [o.key for o in found] == ["case[1]", "case[3]", "case[4]"]
    assert found[0].wrong[0] == 'site.number[1].range: "0145678900" is no E.164 number; did you mean "+33145678900"?'
    assert 'lists.consent: no such list; did you mean "consents"?' in found[0].wrong
    assert any(w.startswith('prospecting.consents: no column "proof"') for w in found[0].wrong)
    assert 'sites.two.contrakt: unknown key; did you mean "contact"?' not in found[1].wrong
    assert any(w.startswith("sites.two.contrakt: unknown key") for w in found[1].wrong)
    assert found[2].wrong == ('no [sites.tow]; did you mean "two"?',)


def test_a_rule_setting_of_a_site_is_checked(tmp_path: Path) -> None:
    written = '[site.rules."rate.cps"]\nhold = 1\n' + case('verdict = "allowed"')
    (found,) = run_folder(policies(tmp_path, written))
    assert found.wrong == ('site.rules."rate.cps".hold: unknown key; did you mean "hold_ms"?',)


def test_a_rule_that_turns_is_noticed(tmp_path: Path) -> None:
    """What cases are for: somebody edits a policy, and what it did before is held against it."""
    shutil.copytree(POLICIES, tmp_path / "policies")
    path = tmp_path / "policies" / "rules" / "caller-range.toml"
    text = path.read_text("utf-8").replace('masked = ["+3389"]', 'masked = ["+33891"]')
    path.write_text(text, encoding="utf-8")
    wrong = [o.case.name for o in run_folder(tmp_path / "policies") if o.wrong]
    assert wrong == ["a premium number is masked", "a premium number asserted beside an ordinary one"]
