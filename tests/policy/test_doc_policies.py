"""docs/policies.md: its rules load, its cases hold, and its commands are commands."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Final

import pytest

from guard.cases import run_folder, run_site
from guard.cli.main import main, parser_for
from guard.config import load
from guard.policy.load import load_policy
from tests.deciding import LISTS, SITE

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "policies.md").read_text("utf-8")
BLOCKS: Final[list[str]] = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_its_rules_load_and_its_cases_hold(tmp_path: Path) -> None:
    rules, cases, _ = BLOCKS
    (tmp_path / "acme.txt").write_text(LISTS["acme.txt"], encoding="utf-8")
    path = tmp_path / "guard.toml"
    path.write_text(SITE.partition('[rules."limit.line-calls"]')[0] + rules + cases, encoding="utf-8")
    config = load(path)
    outcomes = list(run_site(config, load_policy(config)))
    assert [o.wrong for o in outcomes] == [()] * cases.count("[[case]]")
    named = {rule for case in config.file.case for rule in (case.rule, *case.speaks, *case.silent)}
    assert {rule.id for rule in config.file.site_rule} - named == {"site.scanners"}


def test_a_site_of_a_policy_file(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    for path in (tmp_path / "policies" / "rules").glob("*.toml"):
        rules = path.read_text("utf-8").partition("# ---- cases")[0]
        path.write_text(rules + (BLOCKS[2] if path.name == "source.toml" else ""), encoding="utf-8")
    outcomes = list(run_folder(tmp_path / "policies"))
    assert [o.wrong for o in outcomes] == [(), ()]


def commands() -> list[str]:
    """Every command of the page."""
    whole = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return [line for block in whole for line in block.splitlines()]


@pytest.mark.parametrize("line", commands())
def test_its_commands_are_commands(line: str) -> None:
    program, *words = shlex.split(line)
    assert program == "guard"
    parser, _ = parser_for("policy")
    args = parser.parse_args(words)
    assert (args.what, args.a != args.b) == ("diff", True)


def test_every_part_of_the_command_is_on_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["policy", "--help"])
    parts = re.search(r"list\|[a-z|-]+", capsys.readouterr().out)
    assert parts is not None
    for name in parts.group().split("|"):
        assert re.search(rf"`guard policy {name}[ `]", PAGE), name
