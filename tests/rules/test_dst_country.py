"""dst.country: allowed and blocked countries, numbers of none, and what cannot be read."""

from __future__ import annotations

from typing import Final

import pytest
from msgspec.structs import replace

from guard.config import ConfigError
from guard.policy.terms import terms_of
from guard.prospecting.lists import NO_LISTS
from guard.rules import dst_country
from guard.rules.base import Terms
from guard.rules.case import Case
from guard.rules.destinations import NOWHERE
from tests.deciding import call, config_of, engine_of, policy_of
from tests.rules.table import Row, check, hits

ID: Final = "dst.country"
ALLOWED: Final = '\n[rules."dst.country"]\nallowed = ["FR", "BE", "CA", "RE"]\n'
BLOCKED: Final = '\n[rules."dst.country"]\nblocked = ["CU", "US"]\n'


def row(name: str, callee: str, *says: str, more: str = ALLOWED) -> Row:
    return Row(name=name, rule=ID, call=call(callee=callee), says=says, more=more)


ROWS: Final = (
    row("nothing is set, so nothing is said", "005355512345", more=""),
    row("a country that is not on the list", "005355512345", "not-allowed"),
    row("one that is", "003225551234"),
    row("France", "0199001234"),
    row("a French mobile", "0612345678"),
    row("an overseas territory on the list", "0262201234"),
    row("an overseas territory that is not", "0590201234", "not-allowed"),
    row("shared +1, of which one country is on the list", "0012125551234"),
    row("an area code of +1 that is another country", "0018765551234", "not-allowed"),
    row("a satellite is of no country", "00881612345678", "nowhere"),
    row("nor is a global network, where countries are only blocked", "00882161234567", more=BLOCKED),
    row("a free number", "0800123456"),
    row("a premium number is French", "0892681234"),
    row("a short number", "3949"),
    row("a social number", "116111"),
    row("an emergency number", "112"),
    row("a number that cannot be read", "0123456789012345678", "unreadable"),
    row("one that cannot, where countries are only blocked", "0123456789012345678", more=BLOCKED),
    row("a name", "reception"),
    row("a code of the operator's", "*43#"),
    row("a blocked country", "005355512345", "blocked", more=BLOCKED),
    row("its neighbour", "005055512345", more=BLOCKED),
    row("shared +1, of which only one country is blocked", "0012125551234", more=BLOCKED),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_row(row: Row) -> None:
    check(row)


def test_facts() -> None:
    rows = {r.name: hits(r)[0].facts for r in ROWS if r.says}
    assert rows["a country that is not on the list"] == {"number": "+5355512345", "country": "CU"}
    assert rows["an overseas territory that is not"]["country"] == "GP/MF/BL"
    assert rows["a number that cannot be read"] == {"number": "0123456789012345678", "reason": "too-long"}


def test_no_list_lets_no_french_number_be_free_to_refuse() -> None:
    """With a list that leaves France out, free, social and emergency numbers pass still; others do not."""
    abroad = '\n[rules."dst.country"]\nallowed = ["BE"]\n'
    verdicts = {
        n: engine_of(abroad).judge(call(callee=n)).verdict
        for n in ("112", "0800123456", "3020", "116111", "3949", "0892681234", "0199001234")
    }
    blocked = {n for n, v in verdicts.items() if v == "blocked"}
    assert blocked == {"3949", "0892681234", "0199001234"}


def case(callee: str, *countries: str, country: str = "FR") -> Case:
    policy = policy_of()
    return Case(call(callee=callee), Terms(countries=countries, country=country), policy.held, policy.plan.lookup)


@pytest.mark.parametrize(
    ("contract", "site", "callee", "refused"),
    [
        (("FR", "BE"), (), "003225551234", False),
        (("FR", "BE"), (), "005355512345", True),
        (("FR", "BE"), ("FR", "CU"), "003225551234", True),  # the site's own list is stricter
        (("FR", "BE"), ("FR", "CU"), "005355512345", True),
        (("FR", "BE"), ("FR", "CU"), "0199001234", False),
        ((), ("CU",), "005355512345", False),
    ],
)
def test_both_lists_hold(contract: tuple[str, ...], site: tuple[str, ...], callee: str, refused: bool) -> None:
    settings = dst_country.Settings(allowed=site)
    assert bool(dst_country.judge(case(callee, *contract), settings)) is refused


def test_a_short_number_is_of_the_trunk() -> None:
    settings = dst_country.Settings(allowed=("BE",))
    assert dst_country.judge(case("3949", country="BE"), settings) == ()
    assert [h.say for h in dst_country.judge(case("3949"), settings)] == ["not-allowed"]
    assert [h.say for h in dst_country.judge(case("0892681234", country="BE"), settings)] == ["not-allowed"]


def test_the_list_of_a_contract_reaches_the_rule() -> None:
    policy, config = policy_of(), config_of()
    assert policy.terms["operator"].countries == ()  # no document prints its list
    contract = policy.contracts["technicophone-sip-trunk"]
    assert contract.destinations is not None
    listed = replace(contract, destinations=replace(contract.destinations, countries=("FR",)))
    terms = terms_of(config, config.file.trunk[0], listed, NO_LISTS, NOWHERE)
    refused = dst_country.judge(
        Case(call(callee="005355512345"), terms, policy.held, policy.plan.lookup), dst_country.Settings()
    )
    assert [h.say for h in refused] == ["not-allowed"]


@pytest.mark.parametrize("wrong", ['["France"]', '["fr"]', '"FR"', "[33]"])
def test_a_country_is_two_capitals(wrong: str) -> None:
    with pytest.raises(ConfigError) as found:
        policy_of(f'\n[rules."dst.country"]\nallowed = {wrong}\n')
    assert [p.key for p in found.value.problems] == ['rules."dst.country".allowed']
    assert config_of()
