"""Policies: what is shipped loads, what is wrong is told with its file and line, and what is compiled is right."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path
from typing import Final

import pytest
from msgspec import Struct

from guard.config import load, read
from guard.confignumbers import micros
from guard.numbering.plan import LAW_ZONE
from guard.policy.load import Policy, check_policy, load_policy
from guard.policy.read import read_contracts, read_rules
from guard.rules import cli_automated
from guard.rules.numbers import NEVER
from guard.tomlread import Problem
from tests.deciding import SITE, config_of, policy_of

ROOT: Final = Path(__file__).parent.parent.parent
SHIPPED: Final = ROOT / "policies"


class Wrong(Struct, frozen=True):
    """`old` of a rules file becomes `new`: then something is told of `key` in that file, at the line of `at`."""

    name: str
    file: str
    old: str
    new: str
    key: str
    what: str
    at: str = ""


WRONG: Final = (
    Wrong(
        "unknown rule",
        "source.toml",
        '"source.unknown"',
        '"source.unknwon"',
        "rule[1].id",
        'did you mean "source.unknown"?',
    ),
    Wrong("no such kind of rule", "source.toml", '"source.unknown"', '"src.unknown"', "rule[1].id", "matching regex"),
    Wrong("unknown key", "source.toml", "status = 0", "statsu = 0", "rule[1].statsu", 'did you mean "status"?'),
    Wrong("503", "source.toml", "status = 0", "status = 503", "rule[1].status", "503 is not one of 0, 403, 480"),
    Wrong("no source", "emergency.toml", 'source = ["ARCEP', 'sources = ["ARCEP', "rule[1].source", "missing"),
    Wrong("no French text", "source.toml", 'fr = "{address}', '# fr = "{address}', "rule[1].say.unknown.fr", "missing"),
    Wrong(
        "a text it never says",
        "source.toml",
        "[rule.say.unknown]",
        "[rule.say.unknwon]",
        "rule[1].say.unknwon",
        'did you mean "unknown"?',
    ),
    Wrong(
        "a text it may say",
        "source.toml",
        "[rule.say.unknown]",
        "[rule.say.other]",
        "rule[1].say.unknown",
        "missing: the rule may say it",
    ),
    Wrong(
        "a fact it has not", "source.toml", "{address}", "{adress}", "rule[1].say.unknown", 'did you mean "address"?'
    ),
    Wrong(
        "a fact with a format",
        "source.toml",
        "{address}",
        "{address:d}",
        "rule[1].say.unknown",
        "{address:d} is no fact",
    ),
    Wrong(
        "a fact with a conversion",
        "source.toml",
        "{address}",
        "{address!r}",
        "rule[1].say.unknown",
        "{address!r} is no fact",
    ),
    Wrong("a place without a name", "source.toml", "{address}", "{}", "rule[1].say.unknown", "{} is no fact"),
    Wrong(
        "braces that do not close", "source.toml", "{address} is", "{address is", "rule[1].say.unknown", "is no fact"
    ),
    Wrong(
        "unverified that blocks",
        "source.toml",
        'action = "block"',
        'action = "block"\nconfidence = "probable"',
        "rule[1].say.unknown",
        "only probable: it may flag, no more",
    ),
    Wrong(
        "emergency that blocks",
        "emergency.toml",
        'action = "allow"',
        'action = "block"',
        "rule[1].say.emergency",
        "emergency calls always pass",
    ),
    Wrong(
        "emergency that masks",
        "emergency.toml",
        "[rule.say.emergency]",
        '[rule.say.emergency]\naction = "mask"',
        "rule[1].say.emergency",
        "emergency calls always pass",
    ),
    Wrong(
        "dates reversed",
        "emergency.toml",
        'action = "allow"',
        'action = "allow"\nfrom = 2026-02-01\nuntil = 2026-01-31',
        "rule[1].until",
        "2026-01-31 is before from = 2026-02-01",
    ),
    Wrong(
        "unknown parameter",
        "limits.toml",
        "margin_ms",
        "margin_us",
        "rule[1].parameters.margin_us",
        'did you mean "margin_ms"?',
    ),
    Wrong(
        "wrong parameter",
        "limits.toml",
        "margin_ms = 20",
        'margin_ms = "20"',
        "rule[1].parameters.margin_ms",
        '"20": expected `int`',
    ),
    Wrong("no TOML", "source.toml", "[[rule]]", "[[rule]", "", "not TOML"),
)


def copied(folder: Path) -> Path:
    shutil.copytree(SHIPPED, folder / "policies")
    return folder / "policies"


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize("wrong", WRONG, ids=lambda w: w.name)
def test_a_mistake_in_a_rule_is_told_where_it_is(tmp_path: Path, wrong: Wrong) -> None:
    rules = copied(tmp_path) / "rules"
    change(rules / wrong.file, wrong.old, wrong.new)
    problems: list[Problem] = []
    read_rules(rules, problems)
    about = [p for p in problems if p.key == wrong.key and p.file == str(rules / wrong.file)]
    assert about, [str(p) for p in problems]
    assert any(wrong.what in p.what for p in about), [str(p) for p in about]
    assert all(p.line for p in about)


def test_a_rule_that_is_written_down_twice(tmp_path: Path) -> None:
    rules = copied(tmp_path) / "rules"
    shutil.copy(rules / "source.toml", rules / "source-again.toml")
    problems: list[Problem] = []
    read_rules(rules, problems)
    assert problems
    assert all("is written down twice" in p.what for p in problems)


def test_a_rule_that_nobody_writes_down(tmp_path: Path) -> None:
    rules = copied(tmp_path) / "rules"
    (rules / "emergency.toml").unlink()
    problems: list[Problem] = []
    read_rules(rules, problems)
    assert [p.what for p in problems] == ["no file writes down the rule dst.emergency"]


def test_a_folder_without_rules(tmp_path: Path) -> None:
    problems: list[Problem] = []
    read_rules(tmp_path, problems)
    assert problems[0].what == "no rule files (*.toml) here"


def test_a_contract_under_another_name(tmp_path: Path) -> None:
    contracts = copied(tmp_path) / "contracts"
    (contracts / "technicophone-sip-trunk.toml").rename(contracts / "operator.toml")
    problems: list[Problem] = []
    read_contracts(contracts, problems)
    (problem,) = [p for p in problems if p.file.endswith("operator.toml")]
    assert "must be the name of its file" in problem.what


def test_mistakes_of_all_parts_come_together(tmp_path: Path) -> None:
    """guard.toml, numbering, rules and contracts are all looked at, whatever is wrong in the others."""
    policies = copied(tmp_path)
    change(policies / "rules" / "source.toml", "status = 0", "status = 1")
    change(policies / "numbering" / "emergency.toml", "category", "categroy")
    change(policies / "contracts" / "technicophone-sip-trunk.toml", "country", "contry")
    (tmp_path / "acme.txt").touch()
    path = tmp_path / "guard.toml"
    path.write_text('policies = "policies"\n' + SITE + '[rules."cli.premum"]\nenabled = false\n', encoding="utf-8")
    problems: list[Problem] = []
    assert check_policy(load(path), problems) is None
    assert {Path(p.file).name for p in problems} >= {
        "guard.toml", "source.toml", "emergency.toml", "technicophone-sip-trunk.toml"
    }  # fmt: skip


def test_a_list_that_is_not_there_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "acme.txt").touch()
    path = tmp_path / "guard.toml"
    path.write_text(SITE + '[prospecting]\nrefusals = "gone.csv"\n', encoding="utf-8")
    problems: list[Problem] = []
    config = read(path, problems)
    assert config is not None
    check_policy(config, problems)
    (said,) = problems
    assert said.key == "prospecting.refusals"
    assert '"gone.csv": no such file' in said.what


def test_a_list_that_went_since_the_configuration_was_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "acme.txt").touch()
    (tmp_path / "there.csv").write_text("number,at\n", encoding="utf-8")
    path = tmp_path / "guard.toml"
    path.write_text(SITE + '[prospecting]\nrefusals = "there.csv"\n', encoding="utf-8")
    config = load(path)
    (tmp_path / "there.csv").unlink()
    problems: list[Problem] = []
    assert check_policy(config, problems) is None
    assert [Path(p.file).name for p in problems] == ["there.csv"]


def test_a_plan_that_takes_an_emergency_number_away(tmp_path: Path) -> None:
    policies = copied(tmp_path)
    change(policies / "numbering" / "emergency.toml", '"115", ', "")
    (tmp_path / "acme.txt").touch()
    path = tmp_path / "guard.toml"
    path.write_text('policies = "policies"\n' + SITE, encoding="utf-8")
    problems: list[Problem] = []
    assert check_policy(load(path), problems) is None
    assert [p.what for p in problems] == ["takes away emergency numbers: 115"]


# ---- what is compiled ------------------------------------------------------------------------------------------------


def judged(policy: Policy, name: str) -> bool:
    return any(j.rule.id == name for j in policy.judges)


def test_a_rule_can_be_switched_off_but_not_emergency() -> None:
    policy = policy_of('\n[rules."cli.premium"]\nenabled = false\n')
    assert not judged(policy, "cli.premium")
    assert judged(policy_of(), "cli.premium")
    assert policy.emergency.rule.id == "dst.emergency"


def test_dates_are_those_of_paris_and_both_included() -> None:
    rule = next(j.rule for j in policy_of().judges if j.rule.id == "cli.mobile-on-trunk")
    assert rule.since == micros(date(2023, 1, 1), LAW_ZONE)
    assert rule.until == NEVER


def test_guard_toml_overrides_what_a_policy_sets() -> None:
    policy = policy_of('\n[rules."cli.automated-range"]\naccepted = ["+33145"]\naction = "flag"\n')
    rule = next(j.rule for j in policy.judges if j.rule.id == "cli.automated-range")
    assert isinstance(rule.settings, cli_automated.Settings)
    assert rule.settings.accepted == ("+33145",)
    assert "+33162" in rule.settings.roots, "what is not set stays as it is"
    assert {s.action for s in rule.says.values()} == {"flag"}


def test_the_trunk_overrides_the_contract() -> None:
    site = SITE.replace("channels = 30\n", "channels = 30\ncps = 4\n")
    assert policy_of("", site).terms["operator"].cps == 4
    assert policy_of().terms["operator"].cps == 10
    assert policy_of().terms["bare"].cps is None


def test_what_a_contract_cites() -> None:
    cited = policy_of().cited
    assert cited["operator"]["rate.cps"] == ("003_742b69a7556570e9.txt IV-12",)
    assert cited["bare"] == {}


def test_the_digest_names_what_decides_and_nothing_else() -> None:
    digest = policy_of().digest
    assert digest.startswith("sha256:")
    assert len(digest) == len("sha256:") + 32
    assert load_policy(config_of()).digest == digest
    changed = {
        policy_of('\n[rules."cli.premium"]\nenabled = false\n').digest,
        policy_of('\n[[number]]\nrange = "+33180909099"\n').digest,
        policy_of("", SITE.replace('mode = "enforce"', 'mode = "monitor"')).digest,
        policy_of("", SITE.replace("channels = 30", "channels = 31")).digest,
    }
    assert len(changed | {digest}) == 5
    assert policy_of("\n# a remark\n").digest == digest
    assert policy_of('\n[store]\npath = "elsewhere.db"\n').digest == digest


def test_a_changed_policy_file_has_another_digest(tmp_path: Path) -> None:
    policies = copied(tmp_path)
    (tmp_path / "acme.txt").touch()
    path = tmp_path / "guard.toml"
    path.write_text('policies = "policies"\n' + SITE, encoding="utf-8")
    before = load_policy(load(path)).digest
    change(policies / "rules" / "source.toml", "got no answer", "was left without an answer")
    assert load_policy(load(path)).digest != before
