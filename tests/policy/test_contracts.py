"""The contracts: they load, rules find their articles in them, and mistakes in them are named."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import pytest

from guard.policy.read import read_contracts
from guard.rules import BY_ID
from guard.tomlread import Problem
from tests.deciding import NOW, SITE, call, engine_of, policy_of
from tests.policy.reading import CENT, EURO, IDS, contracts, parse, parts


def test_every_contract_is_here_and_named_after_its_file() -> None:
    assert tuple(sorted(contracts())) == IDS
    assert all(c.id == name for name, c in contracts().items())


def test_a_site_with_a_trunk_for_each_contract_loads() -> None:
    more = "".join(
        f'\n[[trunk]]\nname = "{name}"\nnext_hop = ["sip:198.51.100.20"]\ncontract = "{name}"\n' for name in IDS
    )
    policy = policy_of(more)
    assert set(IDS) <= set(policy.contracts)
    assert {n for n in IDS if n in policy.figures} == {
        "technicophone-sip-trunk", "technicophone-centrex", "technicophone-mobile", "technicophone-sva",
    }  # fmt: skip
    assert policy.terms["techcrea-centrex"].line_calls == 2
    assert policy.terms["technicophone-mobile"].cps == 10
    assert policy.terms["expert-telecom-sip-trunk"].cps is None
    assert policy.terms["technicophone-sva"].platform_roots[-1] == "+339394"


@pytest.mark.parametrize(
    ("name", "reading", "per_number", "per_attempt"),
    [
        ("technicophone-sip-trunk", "digits", 2500 * EURO, 5 * CENT),
        ("technicophone-sip-trunk", "words", 2000 * EURO, 2 * CENT),
        ("technicophone-centrex", "digits", 2500 * EURO, 5 * CENT),
        ("technicophone-centrex", "words", 2000 * EURO, 2 * CENT),
        ("technicophone-mobile", "digits", 2000 * EURO, 2 * CENT),
        ("technicophone-mobile", "words", 2000 * EURO, 2 * CENT),
        ("technicophone-sva", "digits", 2000 * EURO, 2 * CENT),
        ("technicophone-sva", "words", 2000 * EURO, 2 * CENT),
    ],
)
def test_a_trunk_chooses_its_reading(name: str, reading: str, per_number: int, per_attempt: int) -> None:
    trunk = f'\n[[trunk]]\nname = "x"\nnext_hop = ["sip:198.51.100.20"]\ncontract = "{name}"\nreading = "{reading}"\n'
    figures = policy_of(trunk).figures["x"]
    assert (figures.per_number, figures.per_attempt) == (per_number, per_attempt)
    assert figures.fines("cli.automated-mobile")
    assert not figures.fines("rate.cps")


# ---- rules --------------------------------------------------------------------------------------------------------


def test_no_rule_is_cited_that_is_not_there() -> None:
    for c in contracts().values():
        named = {r for k in parts(c) for r in getattr(k, "rules", ())} | set(c.penal_rules)
        assert named <= set(BY_ID), c.id


def test_a_decision_cites_every_article_once() -> None:
    cited_by = contracts()["technicophone-sip-trunk"].cited
    assert cited_by("cli.premium") == ("003_742b69a7556570e9.txt IV-12",)
    assert cited_by("cli.anonymous") == ("003_742b69a7556570e9.txt IV-12", "003_742b69a7556570e9.txt IV-8.1.5")
    assert cited_by("quota.callees") == ("003_742b69a7556570e9.txt IV-8",)
    assert cited_by("dst.country") == ("003_742b69a7556570e9.txt IV-8",)
    assert contracts()["technicophone-sva"].cited("dst.sva-cap") == ("003_742b69a7556570e9.txt XII-7.4",)
    assert contracts()["techcrea-centrex"].cited("quota.callees") == ("004_110190058bbf3ce6.txt §8",)
    assert cited_by("traffic.hacked-account") == (
        "003_742b69a7556570e9.txt IV-8.1.3", "003_742b69a7556570e9.txt IV-11", "003_742b69a7556570e9.txt IV-10.1",
    )  # fmt: skip
    assert cited_by("nobody.knows") == ()


ABNORMAL: Final = ("short-calls", "sva-short-calls", "concentration", "unbalanced", "sva-continuous", "hacked-account")


@pytest.mark.parametrize("name", ABNORMAL)
def test_abnormal_traffic_cites_its_definition_and_what_follows_from_it(name: str) -> None:
    found = contracts()["technicophone-sva"].cited(f"traffic.{name}")
    assert "003_742b69a7556570e9.txt XII-1" in found
    assert "003_742b69a7556570e9.txt XII-11.1" in found


@pytest.mark.parametrize(
    ("contract", "rule", "article"),
    [
        ("technicophone-mobile", "traffic.gateway", "IX-9"),
        ("technicophone-sip-trunk", "traffic.gateway", "CG 12"),
        ("techcrea-centrex", "traffic.gateway", "§16"),
        ("easy2phone", "traffic.gateway", "§4.7"),
        ("techcrea-centrex", "traffic.automated", "§8"),
        ("expert-telecom-sip-trunk", "traffic.automated", "§9.4"),
        ("technicophone-sip-trunk", "traffic.automated", "IV-8.1.4.1"),
        ("technicophone-sva", "traffic.sva-continuous", "XII-9.3"),
        ("technicophone-contact", "traffic.ping-call", "X-11.2"),
        ("technicophone-centrex", "traffic.toll-fraud", "V-10.1"),
    ],
)
def test_detection_cites_what_forbids_it(contract: str, rule: str, article: str) -> None:
    assert any(a.endswith(f" {article}") for a in contracts()[contract].cited(rule))


@pytest.mark.parametrize("rule", ["traffic.scan", "traffic.unusual"])
def test_what_no_contract_forbids_cites_none(rule: str) -> None:
    assert all(c.cited(rule) == () and rule not in c.penal_rules for c in contracts().values())


def test_a_call_of_a_centrex_user_is_judged_by_chapter_five() -> None:
    site = SITE.replace('contract = "technicophone-sip-trunk"', 'contract = "technicophone-centrex"')
    engine = engine_of(site=site)
    prepared = engine.prepare(call(caller="0612345678", source="robot", at=NOW))
    articles_of = {a for f in prepared.findings for a in f.article if f.rule == "cli.automated-mobile"}
    assert "003_742b69a7556570e9.txt V-8.1.4.1" in articles_of


# ---- mistakes -----------------------------------------------------------------------------------------------------

HEAD: Final = 'id = "one"\ntitle = "t"\nsupplier = "s"\nfile = "f.txt"\ncountry = "FR"\nlaw = "l"\n'


@pytest.mark.parametrize(
    ("text", "key", "what"),
    [
        ('[[clause]]\nsays = "x"\n', "clause[1].article", "missing"),
        ('[[clause]]\narticle = ""\nsays = "x"\n', "clause[1].article", "length >= 1"),
        ('[[consequence]]\nsays = "x"\n', "consequence[1].article", "missing"),
        ('[[prohibited]]\narticle = "1"\nsays = "x"\n', "prohibited[1].uses", "missing"),
        ('[[prohibited]]\narticle = "1"\nsays = "x"\nuses = ["robot"]\n', "prohibited[1].uses", 'mean "robots"'),
        ('[cps]\nvalue = 10\nunit = "u"\nnature = "hard"\n', "cps.article", "missing"),
        ('[cps]\nvalue = -1\nunit = "u"\nnature = "hard"\narticle = "1"\n', "cps.value", ">= 0"),
        ('[[penalty]]\nper = "calling-number"\ndigits_microeuros = 1\nwords_microeuros = 1\narticle = "1"\n',
         "penalty[1].quote", "missing"),
        ('[[penalty]]\nper = "call"\ndigits_microeuros = 1\nwords_microeuros = 1\narticle = "1"\nquote = "q"\n',
         "penalty[1].per", "call-or-attempt"),
        ('[[penalty]]\nper = "calling-number"\ndigits_microeuros = 0.05\nwords_microeuros = 1\narticle = "1"\n'
         'quote = "q"\n', "penalty[1].digits_microeuros", "expected `int`"),
        ('[[premium]]\npatterns = ["+3389"]\narticle = "1"\neffect = "prohibited"\nquote = "q"\n',
         "premium[1].patterns", "matching regex"),
        ('[[contesting]]\narticle = "1"\nsays = "x"\nwithin = { value = 10, unit = "day", since = "y" }\n',
         "contesting[1].within.unit", 'did you mean "days"'),
        ('[[contesting]]\narticle = "1"\nsays = "x"\nwithin = { value = 0, unit = "days", since = "y" }\n',
         "contesting[1].within.value", ">= 1"),
        ('[quotas.callees]\nvalue = 1\n', "quotas", 'did you mean "quota"'),
    ],
)  # fmt: skip
def test_a_mistake_is_named(text: str, key: str, what: str, tmp_path: Path) -> None:
    contract, problems = parse(HEAD + text, tmp_path)
    assert contract is None
    assert [(p.key, what in p.what) for p in problems] == [(key, True)], problems


@pytest.mark.parametrize(
    ("text", "key", "what"),
    [
        ('[[clause]]\narticle = "1"\nsays = "x"\nrules = ["cli.premiums"]\n', "clause[1].rules", '"cli.premium"'),
        ('[[prohibited]]\narticle = "1"\nsays = "x"\nuses = ["robots"]\nrules = ["source.robots"]\n',
         "prohibited[1].rules", '"source.robots"'),
        ('[[territory]]\narticle = "1"\nsays = "x"\nrules = ["cli.teritory"]\n', "territory[1].rules", "cli.territory"),
        ('[[duty]]\narticle = "1"\nsays = "x"\nrules = ["quota.calees"]\n', "duty[1].rules", '"quota.callees"'),
        ('[destinations]\nlist_in = "options"\narticle = "1"\nsays = "x"\nrules = ["dst.countries"]\n',
         "destinations.rules", '"dst.country"'),
        ('[quota.callees]\nvalue = 1\nunit = "u"\narticle = "1"\nnature = "hard"\n', "quota.callees", "callees_per"),
    ],
)  # fmt: skip
def test_a_name_that_nothing_has_is_named(text: str, key: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text('penal_rules = ["cli.*", "cli.*s"]\n' + HEAD + text, encoding="utf-8")
    problems: list[Problem] = []
    read_contracts(tmp_path, problems)
    assert [p.key for p in problems] == ["penal_rules", key]
    assert '"cli.*s"' in problems[0].what
    assert what in problems[1].what


def test_the_least_contract_loads(tmp_path: Path) -> None:
    contract, problems = parse(HEAD, tmp_path)
    assert problems == []
    assert contract is not None
    assert contract.grounds() == ()
    assert msgspec.to_builtins(contract)["id"] == "one"
