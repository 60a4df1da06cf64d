"""cli.territory and cli.foreign: the source's country, the trunk's, and that of the presented number."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from guard.engine import Engine
from guard.model import CallAttempt
from tests.deciding import MAIN, MOBILE, NOW, call, policy_of
from tests.rules.table import Row, check, hits

TERRITORY: Final = "cli.territory"
FOREIGN: Final = "cli.foreign"
TRUNKS: Final = """
[[trunk]]
name = "belgian"
next_hop = ["sip:198.51.100.12"]
contract = "easy2phone"
[[trunk]]
name = "centrex"
next_hop = ["sip:198.51.100.13"]
contract = "technicophone-centrex"
"""
BELGIAN: Final = "+3223456789"


def day(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Paris")).timestamp()) * 1_000_000


def made(
    number: str, country: str = "FR", trunk: str = "operator", at: int = NOW, **more: tuple[str, ...]
) -> CallAttempt:
    return replace(call(number, at=at, **more), country=country, trunk=trunk)  # type: ignore[arg-type]


def row(rule: str, number: str, country: str, *says: str, trunk: str = "operator", at: int = NOW) -> Row:
    name = f"{rule}: {number} from {country} over {trunk} at {at}"
    return Row(name=name, rule=rule, call=made(number, country, trunk, at), says=says, more=TRUNKS)


ROWS: Final = (
    # where they belong; several countries share some codes, and Guadeloupe's numbers are Saint-Martin's, too
    *(row(TERRITORY, n, "FR") for n in (MAIN, MOBILE, "0948123456", "0937123456", "0972123456")),
    *(row(TERRITORY, "0590271234", c) for c in ("GP", "MF", "BL")),
    *(row(TERRITORY, "0262123456", c) for c in ("RE",)),
    *(row(TERRITORY, "0269601234", c) for c in ("YT",)),
    *(row(TERRITORY, "+12025550123", c) for c in ("US", "CA")),
    *(row(TERRITORY, "+442071234567", c) for c in ("GB", "JE")),
    row(TERRITORY, "+687201234", "NC"),
    row(TERRITORY, "+12425550123", "BS"),
    # nowhere
    *(row(TERRITORY, n, "BE") for n in ("0800123456", "0892681234", "0840123456", "3020", "118218")),
    *(row(TERRITORY, n, "BE") for n in ("anonymous", "", "200")),
    row(TERRITORY, "+80012345678", "FR"),
    # elsewhere
    *(row(TERRITORY, MAIN, c, "other") for c in ("BE", "RE", "GP", "MF", "NC", "CA")),
    row(TERRITORY, "0590271234", "FR", "other"),
    row(TERRITORY, "0262123456", "YT", "other"),
    row(TERRITORY, "0269601234", "RE", "other"),
    row(TERRITORY, "0947512345", "FR", "other"),
    row(TERRITORY, BELGIAN, "FR", "other"),
    row(TERRITORY, "+687201234", "FR", "other"),
    row(TERRITORY, "+12425550123", "US", "other"),
    row(TERRITORY, MAIN, "BE", "billed", trunk="centrex"),
    row(TERRITORY, MAIN, "FR", trunk="centrex"),
    row(TERRITORY, BELGIAN, "FR", "billed", trunk="centrex"),
    row(TERRITORY, BELGIAN, "FR", "other", trunk="belgian"),
    row(TERRITORY, MAIN, "BE", at=day("2023-07-24T23:59:59")),
    row(TERRITORY, MAIN, "BE", "other", at=day("2023-07-25")),
    # mobile numbers from abroad, each territory from its own day; the overseas territories are not abroad
    *(row(TERRITORY, n, "BE", "mobile") for n in (MOBILE, "0712345678", "0692123456", "0694123456", "0708561234")),
    row(TERRITORY, MOBILE, "BE", "other", at=day("2025-12-31T23:59:59")),
    row(TERRITORY, MOBILE, "BE", "mobile", at=day("2026-01-01")),
    row(TERRITORY, "0690123456", "BE", "other"),
    row(TERRITORY, "0690123456", "BE", "other", at=day("2027-12-31T23:59:59")),
    row(TERRITORY, "0690123456", "BE", "mobile", at=day("2028-01-01")),
    row(TERRITORY, MOBILE, "RE", "other"),
    row(TERRITORY, "+32470123456", "FR", "other"),
    row(TERRITORY, "07000000012345", "BE", "other"),
    Row(name="told once", rule=TERRITORY, call=made(MAIN, "BE", pai=(MAIN,)), says=("other",)),
    Row(name="asserted", rule=TERRITORY, call=made(MAIN, pai=(BELGIAN, "+3223456780")), says=("other", "other")),
    # foreign to the trunk
    *(row(FOREIGN, n, "FR", "presented") for n in (BELGIAN, "+442071234567", "+12025550123")),
    *(row(FOREIGN, n, "FR", "presented") for n in ("+687201234", "+80012345678")),
    row(FOREIGN, BELGIAN, "BE", "presented"),
    *(row(FOREIGN, n, "FR") for n in (MAIN, "0590271234", "0612345678", "0840123456", "3020", "anonymous", "", "200")),
    row(FOREIGN, BELGIAN, "FR", trunk="belgian"),
    row(FOREIGN, MAIN, "BE", "presented", trunk="belgian"),
    row(FOREIGN, "+352123456", "BE", "presented", trunk="belgian"),
    *(row(FOREIGN, n, "BE", trunk="belgian") for n in ("0892681234", "+80012345678", "3020")),
    Row(name="asserted", rule=FOREIGN, call=made(MAIN, pai=(BELGIAN,), ppi=(BELGIAN,)), says=("presented",)),
)  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_row(row: Row) -> None:
    check(row)


@pytest.mark.parametrize("rule", [TERRITORY, FOREIGN])
def test_a_number_in_two_headers_is_told_of_the_first(rule: str) -> None:
    (hit,) = hits(Row(name="", rule=rule, call=made(BELGIAN, pai=(BELGIAN,))))
    assert hit.facts["header"] == "from"


@pytest.mark.parametrize(
    ("number", "country", "verdict"),
    [(MAIN, "BE", "flagged"), (MOBILE, "BE", "blocked"), (MOBILE, "RE", "flagged"), (MOBILE, "FR", "allowed")],
)
def test_only_mobile_numbers_from_abroad_are_refused(number: str, country: str, verdict: str) -> None:
    more = '\n[rules."cli.mobile-on-trunk"]\nconvergence = true\n'
    assert Engine(policy_of(more)).judge(made(number, country)).verdict == verdict


def test_the_clauses_of_the_contract_are_cited() -> None:
    policy = policy_of(TRUNKS)
    for rule in (TERRITORY, FOREIGN):
        assert "003_742b69a7556570e9.txt IV-8.2" in policy.cited["operator"][rule]
        assert "003_742b69a7556570e9.txt V-10.3" in policy.cited["centrex"][rule]
