"""Every mistake in a site's own rules: told, all at once, with the place and the nearest valid word."""
# ruff: noqa: E501 - tables with a row a line

from __future__ import annotations

from pathlib import Path

import pytest

from guard.config import read
from guard.policy.load import check_policy
from guard.tomlread import Problem
from tests.deciding import LISTS, SITE
from tests.policy.sites import toml


def problems(tmp_path: Path, more: str) -> list[str]:
    """What `guard check` says of the site with more in its guard.toml: without the file's name."""
    path = tmp_path / "guard.toml"
    path.write_text(SITE + more, encoding="utf-8")
    (tmp_path / "acme.txt").write_text(LISTS["acme.txt"], encoding="utf-8")
    found: list[Problem] = []
    config = read(path, found)
    assert config is not None
    check_policy(config, found)
    assert all(p.line for p in found), "a mistake without its line"
    return [f"{p.key}: {p.what}" for p in found]


W = "site_rule[1].when"
CONDITIONS = (
    ('callee = "0612345678"', f'{W}.callee: "0612345678" is no E.164 number; did you mean "+33612345678"?'),
    ('callee = "06*"', f'{W}.callee: "06*" is no pattern of numbers: write it as +3389* or 36*; did you mean "+336*"?'),
    ('callee = "+33x*"', f'{W}.callee: "+33x*" is no pattern of numbers: write it as +3389* or 36*'),
    ('callee = "+33145678900-+33145678800"', f'{W}.callee: "+33145678900-+33145678800": the first number is above the last'),
    ('callee = "112"', f'{W}.callee: "112": no rule sees an emergency call; it always passes'),
    ('callee = ["+336*", ""]', f'{W}.callee: an empty pattern fits nothing; for what is not there write not = {{ … = "*" }}'),
    ("callee = 33", f"{W}.callee: 33: expected `str | array`, got `int`"),
    ("callee = []", f"{W}.callee: []: expected `array` of length >= 1"),
    ('line = ""', f'{W}.line: an empty pattern fits nothing; for what is not there write not = {{ … = "*" }}'),
    ('calee = "+336*"', f'{W}.calee: unknown key; did you mean "callee"?'),
    ('source = "pdx"', f'{W}.source: no [[source]] "pdx"; did you mean "pbx"?'),
    ('trunk = "operators"', f'{W}.trunk: no [[trunk]] "operators"; did you mean "operator"?'),
    ('country = "fr"', f'{W}.country: "fr": must be a country in two capitals, such as FR'),
    ('callee_category = "mobil"', f'{W}.callee_category: the numbering plan has no category "mobil"; did you mean "mobile"?'),
    ('callee_territory = "XX"', f'{W}.callee_territory: the numbering plan has no territory "XX"'),
    ('address = "192.0.2.1/24"', f'{W}.address: "192.0.2.1/24" is no address or network: 192.0.2.1/24 has host bits set'),
    ('header = { "X A" = "1" }', f"{W}.header.X A: is no name of a header"),
    ('usage = "robot"', f"{W}.usage: \"robot\" is not one of human, automated, platform, prospecting"),
    ('caller_kind = "hidden"', f'{W}.caller_kind: "hidden" is not one of e164, short, anonymous, malformed, none'),
    ("", f"{W}: holds no condition: it would fit every call"),
    ("not = {}", f"{W}.not: holds no condition: it would fit every call"),
    ('any = [{ line = "2*" }, {}]', f"{W}.any[2]: holds no condition: it would fit every call"),
    ('any = [{ line = "2*" }, { lyne = "2" }]', f'{W}.any[2].lyne: unknown key; did you mean "line"?'),
    ("time = {}", f"{W}.time: holds no condition: it would fit every instant"),
    ('time = { zone = "Europe/Pari", holidays = true }', f'{W}.time.zone: "Europe/Pari" is no time zone; did you mean "Europe/Paris"?'),
    ('time = { weekdays = "monday" }', f'{W}.time.weekdays: "monday" is no weekday: write mon, tue, wed, thu, fri, sat, sun, or a span such as mon-fri'),
    ('time = { hours = "8-20" }', f'{W}.time.hours: "8-20" is no span of hours: write it as 08:00-20:00'),
    ('time = { hours = "08:00-24:01" }', f'{W}.time.hours: "08:00-24:01" is no span of hours: write it as 08:00-20:00'),
    ('time = { hours = "08:00-08:00" }', f'{W}.time.hours: "08:00-08:00" is no span of hours: write it as 08:00-20:00'),
    ("time = { from = 2026-02-01, until = 2026-01-31 }", f"{W}.time.until: 2026-01-31 is before from = 2026-02-01"),
)  # fmt: skip


@pytest.mark.parametrize("row", CONDITIONS, ids=lambda row: row[0])
def test_a_wrong_condition(tmp_path: Path, row: tuple[str, str]) -> None:
    when, said = row
    found = problems(tmp_path, toml(when))
    assert len(found) == 1
    assert found[0].startswith(said)


GOOD = 'callee = "+336*"'
RULES = (
    (toml(GOOD, action="allow"), 'site_rule[1].action: "allow" is not one of flag, mask, block'),
    (toml(GOOD, action="hold"), 'site_rule[1].action: "hold" is not one of flag, mask, block'),
    (toml(GOOD, more="status = 503"), "site_rule[1].status: 503 is not one of 403, 480"),
    (toml(GOOD, more='direction = "inbond"'), 'site_rule[1].direction: "inbond" is not one of outbound, inbound, both; did you mean "inbound"?'),
    (toml(GOOD, more="from = 2026-02-01\nuntil = 2026-01-31"), "site_rule[1].until: 2026-01-31 is before from = 2026-02-01"),
    (toml(GOOD, action="mask", more='direction = "both"'), 'site_rule[1].action: "mask": calls that come in present no number of this site; write flag or block'),
    (toml(GOOD, action="mask", more='direction = "inbound"'), 'site_rule[1].action: "mask": calls that come in present no number of this site; write flag or block'),
    (toml(GOOD).replace("site.own", "own"), 'site_rule[1].id: "own": must be "site." and a name of small letters, digits and hyphens'),
    (toml(GOOD).replace("site.own", "site.Own"), 'site_rule[1].id: "site.Own": must be "site." and a name of small letters, digits and hyphens'),
    (toml(GOOD).replace('source = "the desk, 2026-10-02: fraud in September"\n', ""), "site_rule[1].source: missing"),
    (toml(GOOD) + toml(GOOD), 'site_rule[2].id: "site.own" stands twice'),
    (toml(GOOD).replace("{callee} is", "{calee} is"), 'site_rule[1].text.en: {calee} is no fact of a call; did you mean "callee"?'),
    (toml(GOOD).replace("{callee} is", "{callee:>99999999} is"), "site_rule[1].text.en: {callee} is no fact of a call"),
    (toml(GOOD).replace("{callee} is", "{callee!r} is"), "site_rule[1].text.en: {callee} is no fact of a call"),
    (toml(GOOD).replace("{callee} is", "{callee is"), "site_rule[1].text.en: expected '}' before end of string: write {{ and }} for braces"),
    (toml(GOOD).replace("{callee} is", "{} is"), "site_rule[1].text.en: {} is no fact of a call"),
    (toml(GOOD) + '[rules."site.own"]\nmode = "monitor"\n', 'rules."site.own": is a rule of the site: set it in its [[site_rule]]'),
)  # fmt: skip


@pytest.mark.parametrize("row", RULES, ids=lambda row: row[1])
def test_a_wrong_rule(tmp_path: Path, row: tuple[str, str]) -> None:
    written, said = row
    found = problems(tmp_path, written)
    assert len(found) == 1
    assert found[0].startswith(said)


def test_a_rule_that_says_nothing(tmp_path: Path) -> None:
    lines = [line for line in toml(GOOD).splitlines() if not line.startswith("text")]
    assert problems(tmp_path, "\n".join(lines)) == ["site_rule[1].text: missing"]
    silent = "\n".join([*lines[:3], "text = {}", *lines[3:]])
    assert problems(tmp_path, silent) == ["site_rule[1].text: says nothing: write en, fr or both"]


def test_one_language_stands_in_for_the_other(tmp_path: Path) -> None:
    french = toml(GOOD).replace('en = "{callee} is not called from here", ', "")
    assert problems(tmp_path, french) == []


def test_mistakes_of_several_rules_are_told_at_once(tmp_path: Path) -> None:
    several = toml('callee = "06*"\nline = ""\ntime = { hours = "8-20", weekdays = "lundi" }')
    several += toml('sauce = "pbx"').replace("site.own", "site.two") + toml(GOOD, action="blok")
    found = problems(tmp_path, several)
    assert [f.partition(": ")[0] for f in found] == [
        "site_rule[2].when.sauce",
        "site_rule[3].action",
        *(f"site_rule[1].when.{name}" for name in ("callee", "line", "time.weekdays", "time.hours")),
    ]
