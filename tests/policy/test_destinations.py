"""policies/destinations: everything in them is found, has its source, and every mistake in such a file is told."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from guard.policy.destinations import load_destinations
from guard.rules.destinations import NO_CAPS, Band, Caps, Destinations
from guard.tomlread import Problem

SHIPPED: Final = Path(__file__).parent.parent.parent / "policies" / "destinations"
AT: Final = 1_795_251_600_000_000  # 2026-11-21
MINUTE: Final = 60_000_000


def shipped() -> Destinations:
    problems: list[Problem] = []
    found = load_destinations(SHIPPED, problems)
    assert problems == []
    return found


DESTINATIONS: Final = shipped()


@pytest.mark.parametrize(
    ("number", "name", "level"),
    [
        ("+5355512345", "Cuba", "high"),
        ("+881612345678", "satellite phone (Iridium, Globalstar and others)", "high"),
        ("+870773123456", "Inmarsat satellite phone", "high"),
        ("+882161234567", "international network (+882)", "high"),
        ("+883510001234", "international network (+883)", "high"),
        ("+18765551234", "Jamaica", "high"),
        ("+441212345678", "United Kingdom", "elevated"),
        ("+449012345678", "British premium number", "high"),  # longer than +44
        ("+12125551234", None, None),
        ("+18085551234", None, None),  # Hawaii: +808 is no part of it
        ("+3227881234", None, None),
        ("+33145678900", None, None),
        ("3949", None, None),
        ("", None, None),
    ],
)
def test_a_risk_is_found_by_its_longest_prefix(number: str, name: str | None, level: str | None) -> None:
    risk = DESTINATIONS.risk(number, AT)
    assert (risk.name_en if risk else None, risk.level if risk else None) == (name, level)


@pytest.mark.parametrize(
    ("number", "band", "per_minute", "per_call"),
    [
        ("+33810123456", "081", 60_000, 150_000),
        ("+33820123456", "082", 200_000, 500_000),
        ("+33892681234", "089", 800_000, 3_000_000),
        ("3949", "3BPQ", 800_000, 3_000_000),
        ("3210", "3BPQ", 800_000, 3_000_000),
        ("118712", "118", 800_000, 3_000_000),
        ("1015", "10YT", None, None),
        ("+33805123456", "", None, None),  # free
        ("+33809123456", "", None, None),  # at ordinary price
        ("3020", "", None, None),  # 30PQ is free
        ("3129", "", None, None),
        ("3349", "", None, None),  # allotted to nobody
        ("39490", "", None, None),  # a short number for SMS
        ("116000", "", None, None),
        ("+3389268123", "", None, None),  # a digit is missing
        ("+33189123456", "", None, None),
        ("", "", None, None),
    ],
)
def test_a_service_has_its_band(number: str, band: str, per_minute: int | None, per_call: int | None) -> None:
    found = DESTINATIONS.band(number, AT)
    assert (found.id if found else "") == band
    if found is not None:
        assert (found.per_minute, found.per_call) == (per_minute, per_call)


def test_prices_that_are_known_number_by_number_are_marked() -> None:
    assert {b.id for b in DESTINATIONS.bands if b.varies} == {"3BPQ", "10YT"}


def band(per_minute: int | None) -> Band:
    return Band(
        id="x", prefix="3", length=4, name_en="x", name_fr="x", per_minute=per_minute, per_call=0, varies=False,
        confidence="sure", since=0, until=1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("caps", "per_minute", "minutes"),
    [
        (Caps(max_us=30 * MINUTE, above_per_minute=200_000, max_microeuros=24_000_000), 800_000, 30),  # both alike
        (Caps(max_us=30 * MINUTE, above_per_minute=200_000, max_microeuros=24_000_000), 200_000, 120),  # 24 € alone
        (Caps(max_us=30 * MINUTE, above_per_minute=200_000, max_microeuros=24_000_000), 60_000, 400),
        (Caps(max_us=30 * MINUTE, above_per_minute=200_000), 200_001, 30),
        (Caps(max_us=30 * MINUTE, above_per_minute=200_000), 200_000, 0),  # not above
        (Caps(max_microeuros=24_000_000), 1_600_000, 15),
        (Caps(max_us=30 * MINUTE, max_microeuros=24_000_000), 1_600_000, 15),
        (Caps(max_us=10 * MINUTE, max_microeuros=24_000_000), 1_600_000, 10),
        (Caps(max_us=30 * MINUTE), None, 0),  # no ceiling is known
        (Caps(max_us=30 * MINUTE, max_microeuros=24_000_000), 0, 0),  # free
        (NO_CAPS, 800_000, 0),
    ],
)
def test_the_stricter_cap_holds(caps: Caps, per_minute: int | None, minutes: int) -> None:
    assert caps.talk_us(band(per_minute)) == minutes * MINUTE


def test_a_cap_that_no_call_could_keep_ends_it_at_once() -> None:
    assert Caps(max_microeuros=1).talk_us(band(10**9)) == 1, "0 would mean that there is none"


GOOD: Final = """
[[source]]
id = "S"
title = "a source"

[[risk]]
prefixes = ["+53"]
kind = "country"
level = "high"
name = { en = "Cuba", fr = "Cuba" }
confidence = "probable"
source = ["S page 3"]

[[band]]
id = "089"
roots = ["089"]
digits = 10
code = "33"
name = { en = "089", fr = "089" }
confidence = "sure"
source = ["S"]
"""


def problems_of(tmp_path: Path, **files: str) -> list[str]:
    for name, text in files.items():
        (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
    problems: list[Problem] = []
    load_destinations(tmp_path, problems)
    return [f"{p.key}: {p.what}" for p in problems]


def test_the_least_file_is_good(tmp_path: Path) -> None:
    assert problems_of(tmp_path, a=GOOD) == []


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    problems: list[Problem] = []
    found = load_destinations(tmp_path / "none", problems)
    assert (found.risks, found.bands, problems) == ((), (), [])


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('source = ["S"]\n', "", "band[1].source: missing"),
        ('source = ["S"]', "source = []", "band[1].source: []: expected `array` of length >= 1"),
        ('source = ["S"]', 'source = ["T"]', 'band[1].source: no source of this file is called "T"'),
        ('confidence = "sure"\n', "", "band[1].confidence: missing"),
        ('"+53"', '"53"', "risk[1].prefixes: "),
        ('"+53"', '"+53", "+53"', 'risk[1].prefixes: "+53" stands here twice'),
        ('roots = ["089"]', 'roots = ["89"]', 'band[1].roots: "89" is not how such a number begins'),
        ('code = "33"\n', "", 'band[1].roots: "089" is not how such a number begins'),
        ('roots = ["089"]', 'roots = ["0890-0899"]', 'band[1].roots: "0890-0899" is not how'),
        (
            'level = "high"',
            'level = "hihg"',
            'risk[1].level: "hihg" is not one of elevated, high; did',
        ),
        ("digits = 10", "digts = 10", 'band[1].digts: unknown key; did you mean "digits"?'),
        (
            'level = "high"',
            'level = "high"\nfrom = 2026-02-01\nuntil = 2026-01-31',
            "risk[1].until: 2026-01-31 is before from = 2026-02-01",
        ),
        ('title = "a source"', 'title = "a source"\n[[source]]\nid = "S"\ntitle = "x"', "source[2].id: "),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in GOOD
    found = problems_of(tmp_path, a=GOOD.replace(old, new, 1))
    assert any(f.startswith(told) for f in found), found


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    wrong = GOOD.replace('"S page 3"', '"T"').replace('roots = ["089"]', 'roots = ["89"]')
    assert len(problems_of(tmp_path, a=wrong, b="x = 1\n", c="[[[\n")) == 4


def test_two_files_must_not_say_the_same_prefix_for_the_same_day(tmp_path: Path) -> None:
    assert problems_of(tmp_path, a=GOOD, b=GOOD) == [
        f'risk[1].prefixes: "+53" is in {tmp_path / "a.toml"}',
        f'band[1].roots: "+3389" is in {tmp_path / "a.toml"}',
    ]


def test_each_day_has_its_own_entry(tmp_path: Path) -> None:
    old = GOOD.replace('level = "high"', 'level = "high"\nuntil = 2026-11-20')
    new = GOOD.replace('level = "high"', 'level = "elevated"\nfrom = 2026-11-21').split("[[band]]")[0]
    assert problems_of(tmp_path, a=old, b=new) == []
    found = load_destinations(tmp_path, [])
    midnight = 1_795_215_600_000_000  # 2026-11-21T00:00 in Paris
    day = 24 * 3600 * 1_000_000
    levels = {at: risk.level for at in (midnight - 1, midnight, midnight - day) if (risk := found.risk("+5312345", at))}
    assert levels == {midnight - 1: "high", midnight: "elevated", midnight - day: "high"}
