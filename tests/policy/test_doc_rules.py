"""docs/rules.md is what the policies say, and says it whole."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import pytest

from guard.policy.doc_rules import main, read
from guard.policy.read import read_rules
from guard.rules import BY_ID
from guard.tomlread import Problem

ROOT: Final = Path(__file__).parent.parent.parent
POLICIES: Final = ROOT / "policies"
PAGE: Final = (ROOT / "docs" / "rules.md").read_text("utf-8")


def test_the_page_is_up_to_date() -> None:
    problems: list[Problem] = []
    text = read(POLICIES, problems)
    assert problems == []
    assert text == PAGE, "python -m guard.policy.doc_rules policies > docs/rules.md"


def test_every_rule_is_on_it_in_the_order_in_which_they_speak() -> None:
    headings = [line[4:-1] for line in PAGE.splitlines() if line.startswith("## `")]
    assert headings == list(BY_ID)


@pytest.mark.parametrize("name", list(BY_ID))
def test_its_texts_articles_and_parameters_are_on_it(name: str) -> None:
    part = PAGE.partition(f"## `{name}`\n")[2].partition("\n## `")[0]
    for rule in read_rules(POLICIES / "rules", [])[name]:
        for say in rule.say.values():
            assert say.en in part
            assert say.fr in part
        for text in (*rule.articles, *rule.source, rule.title.en, rule.title.fr):
            assert text in part
    for field in msgspec.structs.fields(BY_ID[name].settings):
        assert f"| `{field.encode_name}` |" in part


def test_written_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(str(POLICIES)) == 0
    assert capsys.readouterr().out == PAGE


def test_a_mistake_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(str(tmp_path)) == 1
    assert "no rule files" in capsys.readouterr().err
