"""What holds of every rule: written down with its source, in both languages, and everything it may say is reached."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest

from guard.rules import BY_ID, COUNTS, DETECTS, EMERGENCY, JUDGES
from tests.deciding import policy_of
from tests.rules.table import Row, hits

HERE: Final = Path(__file__).parent
ROWS: Final[tuple[Row, ...]] = tuple(
    row
    for path in sorted(HERE.glob("test_*.py"))
    if path.stem != "test_every_rule"
    for row in getattr(import_module(f"tests.rules.{path.stem}"), "ROWS", ())
)
# What rate.cps says of calls that wait is the engine's to say; tests/test_desk.py reaches these.
BY_THE_ENGINE: Final = frozenset({("rate.cps", "waits"), ("rate.cps", "waited"), ("rate.cps", "refused")})


@pytest.mark.parametrize("name", list(BY_ID))
def test_everything_it_may_say_is_reached(name: str) -> None:
    reached = {s for row in ROWS if row.rule == name for s in row.says}
    reached |= {say for rule, say in BY_THE_ENGINE if rule == name}
    assert set(BY_ID[name].says) == reached


@pytest.mark.parametrize("name", list(BY_ID))
def test_each_has_a_near_miss(name: str) -> None:
    assert any(row.rule == name and not row.says for row in ROWS)


@pytest.mark.parametrize("name", list(BY_ID))
def test_its_facts_are_those_it_promises(name: str) -> None:
    for row in ROWS:
        for hit in hits(row) if row.rule == name and row.says else ():
            assert set(hit.facts) >= BY_ID[name].says[hit.say], row.name


def test_the_policies_write_down_exactly_the_rules_there_are() -> None:
    written = policy_of().written
    assert set(written) == set(BY_ID)
    assert {EMERGENCY.id} | {r.id for r in JUDGES} | {r.id for r in COUNTS} | {r.id for r in DETECTS} == set(BY_ID)
    assert len(BY_ID) == 1 + len(JUDGES) + len(COUNTS) + len(DETECTS), "an id stands twice"


@pytest.mark.parametrize("name", list(BY_ID))
def test_it_is_written_down_with_source_and_both_texts(name: str) -> None:
    rule = policy_of().written[name]
    assert rule.source
    assert all(s.strip() for s in rule.source)
    assert rule.title.en != rule.title.fr
    assert set(rule.say) == set(BY_ID[name].says)
    for say in rule.say.values():
        assert say.en.strip() != say.fr.strip()
        assert "'" not in say.fr, "a French text with a typewriter's apostrophe"


@pytest.mark.parametrize("name", [n for n in BY_ID if n.startswith("cli.") and n != "cli.identity-mismatch"])
def test_what_judges_a_number_cites_a_text(name: str) -> None:
    assert policy_of().written[name].articles


def test_rules_hold_no_number_of_the_law() -> None:
    """Ranges, limits and dates are data: no string of digits, and no prefix, stands in the code of a rule."""
    found = [
        f"{path.name}:{node.lineno}: {node.value}"
        for path in sorted((HERE.parent.parent / "guard" / "rules").glob("*.py"))
        if "base.Judge(" in (text := path.read_text("utf-8")) or "base.Count(" in text
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.lstrip("+").isdigit()
    ]
    assert found == []
