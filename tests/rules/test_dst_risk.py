"""dst.risk-prefix: reported countries, satellites, premium numbers abroad; levels and exceptions."""

from __future__ import annotations

from typing import Final

import pytest

from guard.config import ConfigError
from tests.deciding import call, engine_of, policy_of
from tests.rules.table import Row, check, hits

ID: Final = "dst.risk-prefix"
ALL: Final = '\n[rules."dst.risk-prefix"]\nlevel = "elevated"\n'
BUT: Final = '\n[rules."dst.risk-prefix"]\nbut = ["+371", "+88161"]\n'
BLOCK: Final = '\n[rules."dst.risk-prefix"]\naction = "block"\n'


def row(name: str, callee: str, *says: str, more: str = "") -> Row:
    return Row(name=name, rule=ID, call=call(callee=callee), says=says, more=more)


ROWS: Final = (
    row("a country that was often reported", "005355512345", "reported"),
    row("a region within +1", "0018765551234", "reported"),
    row("the rest of +1", "0012125551234"),
    row("a satellite", "00881612345678", "dear"),
    row("Inmarsat", "00870773123456", "dear"),
    row("a global network", "00883510001234", "dear"),
    row("a premium number abroad", "00449012345678", "dear"),
    row("a neighbour that is called every day", "00441212345678"),
    row("the same, where all levels count", "00441212345678", "reported", more=ALL),
    row("a country that is in no list", "003225551234", more=ALL),
    row("France", "0199001234", more=ALL),
    row("a prefix that this site calls", "0037167123456", more=BUT),
    row("its neighbour", "0037267123456", "reported", more=BUT),
    row("a longer prefix that this site calls", "00881612345678", more=BUT),
    row("an emergency number", "112", more=ALL),
    row("a name", "reception", more=ALL),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_row(row: Row) -> None:
    check(row)


def test_facts() -> None:
    rows = {r.name: hits(r)[0].facts for r in ROWS if r.says}
    assert rows["a country that was often reported"] == {
        "number": "+5355512345", "prefix": "+53", "name_en": "Cuba", "name_fr": "Cuba", "reported": 2060,
    }  # fmt: skip
    assert rows["Inmarsat"]["prefix"] == "+870"


def test_it_flags_and_blocks_only_where_that_is_set() -> None:
    cuba = call(callee="005355512345")
    assert engine_of().judge(cuba).verdict == "flagged"
    decision = engine_of(BLOCK).judge(cuba)
    assert (decision.verdict, decision.status, decision.rule) == ("blocked", 403, ID)


@pytest.mark.parametrize(("key", "value"), [("level", '"low"'), ("but", '["53"]')])
def test_a_wrong_setting_is_named(key: str, value: str) -> None:
    with pytest.raises(ConfigError) as found:
        policy_of(f'\n[rules."dst.risk-prefix"]\n{key} = {value}\n')
    assert [p.key for p in found.value.problems] == [f'rules."dst.risk-prefix".{key}']
