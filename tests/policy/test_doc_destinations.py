"""docs/destinations.md says what the policies do: prices, settings, an example that loads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec
import pytest

from guard.rules import BY_ID
from guard.rules.destinations import Band
from tests.deciding import call, engine_of, policy_of

PAGE: Final = (Path(__file__).parent.parent.parent / "docs" / "destinations.md").read_text("utf-8")
EXAMPLE: Final = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)[0]
ROWS: Final = [[c.strip() for c in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| ")]
RULES: Final = {cells[0].strip("`"): cells for cells in ROWS if cells[0].startswith("`dst.")}


@pytest.mark.parametrize("band", policy_of().terms["operator"].destinations.bands, ids=lambda b: b.prefix)
def test_each_band_stands_there_with_its_prices(band: Band) -> None:
    (row,) = (cells for cells in ROWS if cells[0].split(" ")[0] == band.id)
    prices = [f"€{micro / 1_000_000:.2f}" if micro is not None else "" for micro in (band.per_minute, band.per_call)]
    assert row[1:3] == prices
    assert row[3].startswith(band.confidence)
    assert ("own" in row[3]) is (band.varies and band.per_minute is not None)


@pytest.mark.parametrize("name", [n for n in BY_ID if n in RULES])
def test_each_setting_that_it_names_is_one(name: str) -> None:
    fields = {f.encode_name for f in msgspec.structs.fields(BY_ID[name].settings)} | {"action"}
    named = set(re.findall(r"`([a-z_]+)`", RULES[name][2]))
    assert named <= fields
    assert fields - named <= {"action", "free"}


def test_every_rule_of_the_file_is_there() -> None:
    text = (Path(__file__).parent.parent.parent / "policies" / "rules" / "destinations.toml").read_text("utf-8")
    assert set(re.findall(r'^id = "(.*)"$', text, re.MULTILINE)) == set(RULES)


def test_the_example_does_what_it_says() -> None:
    engine = engine_of("\n" + EXAMPLE)
    verdicts = {
        number: engine.judge(call(callee=number)).verdict
        for number in ("0199001234", "0262201234", "003225551234", "0041445551234", "0034915551234", "00881612345678")
    }
    assert verdicts == {
        "0199001234": "allowed", "0262201234": "allowed", "003225551234": "allowed", "0041445551234": "allowed",
        "0034915551234": "blocked", "00881612345678": "blocked",
    }  # fmt: skip
    assert engine.judge(call(callee="0899123456")).max_talk_us == 375_000_000  # five euros at 80 cents a minute
