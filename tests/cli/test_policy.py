"""guard policy list, show and test, guard check and guard decide: rules of the site, versions, cases."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cli.conftest import Guard
from tests.deciding import LISTS, SITE

SHIPPED: Final = Path(__file__).parent.parent.parent / "policies"
OWN: Final = """
[[site_rule]]
id = "site.no-premium-at-night"
action = "block"
source = "management, 2026-11-02: fraud in October"
text = { en = "not at night: {callee}", fr = "pas la nuit : {callee}" }
from = 2026-11-02
when = { callee = "+3389*", time = { hours = "20:00-07:00" }, header = { X-Desk = "*" } }

[[case]]
name = "at night"
caller = "0145678900"
callee = "0899123456"
at = 2026-11-21T22:00:00
header = { X-Desk = "2" }
verdict = "blocked"
rule = "site.no-premium-at-night"
"""
BROKEN: Final = """
[[case]]
name = "in the evening"
caller = "0145678900"
callee = "0899123456"
at = 2026-11-21T19:00:00
verdict = "blocked"
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The tests' site with a rule of its own, and a case of it."""
    (tmp_path / "acme.txt").write_text(LISTS["acme.txt"], encoding="utf-8")
    path = tmp_path / "guard.toml"
    path.write_text(SITE + OWN, encoding="utf-8")
    return path


@pytest.fixture
def broken(site: Path) -> Path:
    """The same with a case that does not hold."""
    site.write_text(site.read_text("utf-8") + BROKEN, encoding="utf-8")
    return site


def by_id(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Rules by their ids, each once."""
    found = {o["id"]: o for o in objects}
    assert len(found) == len(objects), "a rule is listed twice"
    return found


# ---- list and show ---------------------------------------------------------------------------------------------------


def test_every_entry_names_a_source(guard: Guard, site: Path) -> None:
    for at in ("2026-07-01", "2026-11-21"):
        rules = guard("policy", "list", "-c", site, "--at", at, "--json").objects()
        assert all(r["source"] for r in rules)
        assert {"destinations/international", "destinations/irsf", "destinations/sva"} <= by_id(rules).keys()
        assert len(rules) > 30


@pytest.mark.parametrize(
    ("at", "since", "article"),
    [
        ("2026-08-10T23:59", "2023-03-01", "Code de la consommation D.223-9 (décret 2022-1313)"),
        ("2026-08-11", "2026-08-11", "Code de la consommation L.221-16"),
    ],
)
def test_of_a_rule_with_versions_the_one_of_that_day_is_listed(
    guard: Guard, site: Path, at: str, since: str, article: str
) -> None:
    rules = by_id(guard("policy", "list", "-c", site, "--at", at, "--json").objects())
    assert rules["dst.refused"]["from"] == since
    assert article in rules["dst.refused"]["articles"]


def test_days_of_the_law_are_those_of_paris(guard: Guard, site: Path) -> None:
    site.write_text('timezone = "America/New_York"\n' + site.read_text("utf-8"), encoding="utf-8")
    for command in (("list",), ("show", "dst.refused")):
        rules = guard("policy", *command, "-c", site, "--at", "2026-08-10T20:00", "--json").objects()
        assert by_id(rules)["dst.refused"]["from"] == "2026-08-11"
    own = guard("policy", "list", "-c", site, "--at", "2026-11-02T00:00", "--json").objects()
    assert "site.no-premium-at-night" in by_id(own)  # those of the site are of its own zone


def test_rules_of_another_time_are_not_listed(guard: Guard, site: Path) -> None:
    now = by_id(guard("policy", "list", "-c", site, "--at", "2026-11-21", "--json").objects())
    july = by_id(guard("policy", "list", "-c", site, "--at", "2026-07-01", "--json").objects())
    assert {"dst.opposed"} == set(july) - set(now)
    assert set(now) - set(july) == {"dst.no-consent", "dst.request-expired", "site.no-premium-at-night"}
    old = by_id(guard("policy", "list", "-c", site, "--at", "2010-01-01", "--json").objects())
    assert "dst.refused" not in old
    assert "dst.emergency" in old


def test_a_rule_of_the_site_is_listed_like_the_others(guard: Guard, site: Path) -> None:
    rules = by_id(guard("policy", "list", "-c", site, "--at", "2026-11-21", "--json").objects())
    own = rules["site.no-premium-at-night"]
    assert own["actions"] == ["block"]
    assert own["source"] == ["management, 2026-11-02: fraud in October"]
    assert own["from"] == "2026-11-02"
    assert "site.no-premium-at-night" in guard("policy", "list", "-c", site, "--at", "2026-11-21").out


def test_show_tells_the_version_of_the_day(guard: Guard, site: Path) -> None:
    def days(at: str) -> int:
        (rule,) = guard("policy", "show", "dst.refused", "-c", site, "--at", at, "--json").objects()
        found: int = rule["parameters"]["days"]
        return found

    assert days("2026-07-01") == 60
    assert days("2026-11-21") == 0
    assert days("2000-01-01") == 0  # no law of that day: the newest


def test_show_tells_a_rule_of_the_site_and_a_contract(guard: Guard, site: Path) -> None:
    (own,) = guard("policy", "show", "site.no-premium-at-night", "-c", site, "--json").objects()
    assert own["parameters"]["when"]["time"] == {"hours": "20:00-07:00"}
    assert guard("policy", "show", "technicophone-sip-trunk", "-c", site).out.startswith("id: technicophone-sip-trunk")
    missing = guard("policy", "show", "site.no-premium-at-nigth", "-c", site)
    assert missing.status == 1
    assert 'did you mean "site.no-premium-at-night"?' in missing.err


def test_destination_data_is_listed_with_its_sources_and_dates(guard: Guard, site: Path) -> None:
    policies = site.parent / "policies"
    shutil.copytree(SHIPPED, policies)
    site.write_text('policies = "policies"\n' + site.read_text("utf-8"), encoding="utf-8")
    (policies / "destinations" / "own.toml").write_text(
        """[[source]]
id = "desk"
title = "the desk, 2026-11-02"
[[source]]
id = "unused"
title = "nobody cites it"
[[risk]]
prefixes = ["+9997"]
kind = "range"
level = "high"
name = { en = "a", fr = "a" }
confidence = "sure"
source = ["desk p. 3"]
from = 2026-11-03
[[risk]]
prefixes = ["+9998"]
kind = "range"
level = "high"
name = { en = "b", fr = "b" }
confidence = "probable"
source = ["desk"]
from = 2026-11-01
until = 2026-11-20
""",
        encoding="utf-8",
    )

    def own(at: str) -> dict[str, Any]:
        return by_id(guard("policy", "list", "-c", site, "--at", at, "--json").objects())["destinations/own"]

    now, before = own("2026-11-20T23:59"), own("2026-11-02")
    assert (now["risks"], now["bands"], now["confidence"]) == (2, 0, ["probable", "sure"])
    assert (now["from"], now["until"], now["source"]) == ("2026-11-03", "2026-11-20", ["the desk, 2026-11-02"])
    assert (before["risks"], before["from"]) == (1, "2026-11-01")
    assert (own("2026-11-21")["risks"], own("2026-11-21")["until"]) == (1, None)
    assert (own("2026-10-31")["risks"], own("2026-10-31")["source"]) == (0, [])
    listed = " ".join(guard("policy", "list", "-c", site, "--at", "2026-11-20").out.split())
    assert "destinations/own 2 risks from 2026-11-03 until 2026-11-20 the desk, 2026-11-02" in listed
    (shown,) = guard("policy", "show", "destinations/own", "-c", site, "--json").objects()
    assert [r["prefixes"] for r in shown["risk"]] == [["+9997"], ["+9998"]]
    assert 'did you mean "destinations/irsf"?' in guard("policy", "show", "destinations/irfs", "-c", site).err


# ---- test and check --------------------------------------------------------------------------------------------------


def test_cases_that_hold(guard: Guard, site: Path) -> None:
    ran = guard("policy", "test", "-c", site)
    assert ran.status == 0
    assert f"{site}: 1 case, all as expected" in ran.out
    assert ran.out.splitlines()[-1].endswith("cases, all as expected")
    objects = guard("policy", "test", "-c", site, "--json").objects()
    assert all(o["holds"] and o["wrong"] == [] for o in objects)
    assert objects[-1]["rule"] == "site.no-premium-at-night"


def test_a_case_that_does_not_hold(guard: Guard, broken: Path) -> None:
    ran = guard("policy", "test", "-c", broken)
    assert ran.status == 1
    assert f"{broken}: 1 of 2 cases not as expected" in ran.out
    assert "case[2]: in the evening" in ran.out
    assert "expected blocked, is allowed by no rule" in ran.out
    (failed,) = (o for o in guard("policy", "test", "-c", broken, "--json").objects() if not o["holds"])
    assert failed["case"] == "in the evening"
    assert broken.read_text("utf-8").splitlines()[failed["line"] - 1] == "[[case]]"
    assert failed["verdict"] == "allowed"


def test_guard_check_asks_the_cases(guard: Guard, site: Path) -> None:
    ran = guard("check", "-c", site)
    assert ran.status == 0
    count = len(guard("policy", "test", "-c", site, "--json").objects())
    assert ran.out.rstrip().endswith(f"{count} cases hold")
    site.write_text(site.read_text("utf-8") + BROKEN, encoding="utf-8")
    ran = guard("check", "-c", site)
    assert ran.status == 1
    assert 'case[2]: "in the evening": expected blocked, is allowed by no rule' in ran.err
    assert "1 mistake" in ran.err


def test_mistakes_come_before_cases(guard: Guard, broken: Path) -> None:
    broken.write_text(broken.read_text("utf-8").replace('callee = "+3389*"', 'callee = "0899*"'), encoding="utf-8")
    for command in (("check",), ("policy", "test")):
        ran = guard(*command, "-c", broken)
        assert ran.status == 1
        assert 'did you mean "+33899*"?' in ran.err
        assert "in the evening" not in ran.err + ran.out


# ---- decide ----------------------------------------------------------------------------------------------------------

NIGHT: Final = ("--caller", "0145678900", "--callee", "0899123456", "--at", "2026-11-21T22:00")


def test_a_decision_by_a_rule_of_the_site(guard: Guard, site: Path) -> None:
    ran = guard("decide", "-c", site, *NIGHT, "--header", "x-desk: 2", "--lang", "fr")
    assert ran.status == 1
    assert "site.no-premium-at-night asks to block, and decided" in ran.out
    assert "pas la nuit : +33899123456" in ran.out
    assert "header    x-desk: 2" in ran.out
    assert "management, 2026-11-02: fraud in October" in ran.out
    assert guard("decide", "-c", site, *NIGHT).status == 0
    assert guard("decide", "-c", site, *NIGHT, "--header", "X-Other: 2").status == 0


def test_a_header_that_is_none(guard: Guard, site: Path) -> None:
    for word in ("X-Desk", ": 2"):
        ran = guard("decide", "-c", site, *NIGHT, "--header", word)
        assert ran.status == 2
        assert 'write it as "X-Tenant: acme"' in ran.err


def test_a_call_that_comes_in_and_a_device(guard: Guard, site: Path) -> None:
    text = site.read_text("utf-8").replace("from = 2026-11-02", 'direction = "inbound"').replace('"block"', '"flag"')
    head, _, _ = text.partition("when = {")
    text = head + 'when = { user_agent = "*scan*" }'
    site.write_text(text, encoding="utf-8")
    numbers = ("--caller", "0299112233", "--callee", "0145678900")
    coming = ("decide", "-c", site, *numbers, "--user-agent", "Friendly-Scanner")
    assert "site.no-premium-at-night" in guard(*coming, "--inbound").out
    assert "site.no-premium-at-night" not in guard(*coming).out
    assert "site.no-premium-at-night" not in guard(*coming[:-2], "--inbound").out
