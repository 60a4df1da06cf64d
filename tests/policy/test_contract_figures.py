"""The figures of the contracts, once more, as a person read them."""

from __future__ import annotations

from typing import Final

import pytest

from guard.policy.schema import QUOTAS, Span
from tests.policy.reading import CENT, EURO, IDS, contracts

AUTOMATED: Final = (
    "+33162", "+33163", "+33270", "+33271", "+33377", "+33378", "+33424", "+33425", "+33568", "+33569", "+33948",
    "+33949",
)  # fmt: skip
PLATFORM: Final = ("+33937", "+33938", "+339390", "+339391", "+339392", "+339393", "+339394")
LIMITS: Final[dict[str, dict[str, tuple[int, str, str]]]] = {
    "technicophone-vga": {
        "cps": (10, "I-11", "operator-limits"),
        "callees_per_analogue_line": (150, "I-8", "plan-exclusion"),
        "callees_per_t0": (400, "I-8", "plan-exclusion"),
    },
    "technicophone-preselection": {"cps": (10, "II-6", "operator-limits")},
    "technicophone-sip-trunk": {
        "cps": (10, "IV-12", "operator-limits"),
        "callees_per_channel": (300, "IV-8", "plan-exclusion"),
        "talk_hours_per_channel": (40, "IV-8", "plan-exclusion"),
    },
    "technicophone-centrex": {
        "cps": (10, "V-12", "operator-limits"),
        "user_calls": (3, "V-8", "plan-exclusion"),
        "callees_per_user": (150, "V-8", "plan-exclusion"),
        "talk_hours_per_channel": (40, "V-8", "plan-exclusion"),
        "devices_per_user": (3, "V-8", "plan-exclusion"),
    },
    "technicophone-mobile": {
        "cps": (10, "IX-20", "operator-limits"),
        "callees_per_user": (150, "IX-15", "plan-exclusion"),
        "talk_hours_per_user": (40, "IX-15", "plan-exclusion"),
        "sms_per_user": (1000, "IX-15", "plan-exclusion"),
        "sms_recipients_per_user": (50, "IX-15", "plan-exclusion"),
    },
    "technicophone-contact": {"cps": (10, "X-13", "operator-limits")},
    "technicophone-sva": {"short_call": (2, "XII-1", "abnormal-traffic")},
    "techcrea-centrex": {
        "line_calls": (2, "§8", "hard"),
        "callees_per_line": (500, "§8", "presumption-of-fraud"),
        "call_minutes": (120, "§8", "presumption-of-fraud"),
    },
    "expert-telecom-sip-trunk": {},
    "easy2phone": {},
    "crossing-telecom": {},
}
PER_BREACH: Final = (
    ("technicophone-sip-trunk", "calling-number", 2500 * EURO, 2000 * EURO, "IV-10.3", False),
    ("technicophone-sip-trunk", "call-or-attempt", 5 * CENT, 2 * CENT, "IV-10.3", False),
    ("technicophone-centrex", "calling-number", 2500 * EURO, 2000 * EURO, "V-10.3", False),
    ("technicophone-centrex", "call-or-attempt", 5 * CENT, 2 * CENT, "V-10.3", False),
    ("technicophone-mobile", "calling-number", 2000 * EURO, 2000 * EURO, "IX-11.3", False),
    ("technicophone-mobile", "call-or-attempt", 2 * CENT, 2 * CENT, "IX-11.3", False),
    ("technicophone-sva", "calling-number", 2000 * EURO, 2000 * EURO, "XII-11.3", True),
    ("technicophone-sva", "call-or-attempt", 2 * CENT, 2 * CENT, "XII-11.3", True),
    ("technicophone-sva", "sva-number", 5000 * EURO, 5000 * EURO, "XII-13.1", False),
    ("technicophone-sva", "sva-not-put-right", 10_000 * EURO, 10_000 * EURO, "XII-13.1", False),
    ("technicophone-sva", "sva-repeated-in-a-year", 10_000 * EURO, 10_000 * EURO, "XII-13.1", False),
)


@pytest.mark.parametrize("name", IDS)
def test_limits_are_these_and_no_others(name: str) -> None:
    c = contracts()[name]
    single = {n: getattr(c, n) for n in ("cps", "channels", "line_calls", "user_calls", "short_call")}
    found = {**{n: f for n, f in single.items() if f is not None}, **c.quota}
    assert {n: (f.value, f.article, f.nature) for n, f in found.items()} == LIMITS[name]
    assert set(c.quota) <= QUOTAS


def test_penalties_are_these_and_no_others() -> None:
    found = [
        (c.id, p.per, p.digits_microeuros, p.words_microeuros, p.article, p.excluding_vat)
        for c in contracts().values()
        for p in c.penalty
    ]
    assert sorted(found) == sorted(PER_BREACH)
    assert all(p.cumulative for c in contracts().values() for p in c.penalty)
    assert {p.article for c in contracts().values() for p in c.penalty if not p.attempts} == {"XII-13.1"}
    spans = {p.per: p.within for p in contracts()["technicophone-sva"].penalty}
    assert spans["sva-not-put-right"] == Span(value=5, unit="business-days", since="the operator’s e-mail")
    assert spans["sva-repeated-in-a-year"] is not None
    assert (spans["sva-repeated-in-a-year"].value, spans["sva-repeated-in-a-year"].unit) == (1, "years")


def test_roots_and_premium_bands_are_these() -> None:
    four = {n for n, c in contracts().items() if c.automated and c.platform}
    assert four == {"technicophone-sip-trunk", "technicophone-centrex", "technicophone-mobile", "technicophone-sva"}
    for n in four:
        c = contracts()[n]
        assert c.automated is not None
        assert c.platform is not None
        assert (c.automated.roots, c.platform.roots) == (AUTOMATED, PLATFORM)
    changed = {(c.id, p.article) for c in contracts().values() for p in c.premium if p.effect == "operator-may-change"}
    assert {a for _, a in changed} == {"I-11", "II-6", "IV-12", "V-12", "IX-20", "X-13"}
    banned = {
        (p.article, p.patterns, p.above_microeuros_per_minute, p.above_microeuros_per_call, p.but, p.towards)
        for c in contracts().values()
        for p in c.premium
        if p.effect == "prohibited"
    }
    assert banned == {
        ("X-10", ("089B",), None, None, (), "anyone"),
        ("X-10", ("3BPQ",), 20 * CENT, 50 * CENT, (), "anyone"),
        ("XII-9.3", ("089",), None, None, (), "consumers"),
        ("XII-9.3", ("3BPQ",), 20 * CENT, 50 * CENT, ("30PQ", "31PQ"), "consumers"),
        ("XII-9.3", ("118XYZ",), None, None, (), "consumers"),
    }


def test_sva_caps_are_thirty_minutes_and_twenty_four_euros() -> None:
    caps = [c.sva for c in contracts().values() if c.sva]
    assert [
        (s.max_minutes, s.above_microeuros_per_minute, s.max_microeuros_per_call, s.including_vat) for s in caps
    ] == [(30, 20 * CENT, 24 * EURO, True)]


@pytest.mark.parametrize(
    ("name", "article", "value", "unit"),
    [
        *((n, "CG 11.3", 10, "days") for n in IDS if n.startswith("technicophone")),
        *((n, "CG 10.6", 6, "months") for n in IDS if n.startswith("technicophone")),
        ("technicophone-sva", "XII-10.2", 72, "hours"),
        ("technicophone-sva", "XII-13.1", 5, "business-days"),
        ("technicophone-contact", "X-9.1", 1, "months"),
        ("technicophone-mobile", "IX-5.4", 14, "days"),
        ("technicophone-mobile", "IX-17", 3, "months"),
        ("techcrea-centrex", "§11.3", 30, "days"),
        ("techcrea-centrex", "§19", 7, "days"),
        ("easy2phone", "§14.2", 30, "days"),
        ("easy2phone", "§12.1", 30, "days"),
        ("easy2phone", "§12.2", 1, "months"),
    ],
)
def test_time_limits_are_these(name: str, article: str, value: int, unit: str) -> None:
    c = contracts()[name]
    found = [k.within for k in (*c.grounds(), *c.contesting, *c.evidence) if k.article == article and k.within]
    assert [(w.value, w.unit) for w in found] == [(value, unit)]


@pytest.mark.parametrize(
    ("name", "article", "kind", "notice"),
    [
        ("technicophone-sip-trunk", "IV-10.2", "suspension-of-routing", "none"),
        ("technicophone-sip-trunk", "IV-10.1", "suspension-of-account", "none"),
        ("technicophone-sip-trunk", "IV-8", "retroactive-billing", "none"),
        ("technicophone-sip-trunk", "IV-10.3", "penalties-passed-on", ""),
        ("technicophone-centrex", "V-10.2", "suspension-of-routing", "none"),
        ("technicophone-centrex", "V-8", "retroactive-billing", "none"),
        ("technicophone-centrex", "V-10.3", "undetermined-origin-tariff", ""),
        ("technicophone-mobile", "IX-11.3", "undetermined-origin-tariff", ""),
        ("technicophone-mobile", "IX-9", "penalties-passed-on", ""),
        ("technicophone-sva", "XII-11.3", "undetermined-origin-tariff", ""),
        ("technicophone-sva", "XII-10.3", "pay-outs-withheld", "none"),
        ("technicophone-contact", "X-11.2", "suspension-of-service", "none"),
        ("technicophone-vga", "I-8", "retroactive-billing", "none"),
        ("techcrea-centrex", "§8", "billing-beyond-plan", ""),
        ("techcrea-centrex", "§19", "suspension-of-service", "prior-notice"),
        ("techcrea-centrex", "§19", "termination", ""),
        ("expert-telecom-sip-trunk", "§9.4", "suspension-of-service", "none"),
        ("easy2phone", "§8.7", "restriction", ""),
    ],
)
def test_consequences_are_these(name: str, article: str, kind: str, notice: str) -> None:
    assert (article, kind, notice) in {(k.article, k.kind, k.notice) for k in contracts()[name].consequence}


@pytest.mark.parametrize(
    ("name", "article", "use"),
    [
        ("expert-telecom-sip-trunk", "§9.4", "robots"),
        ("techcrea-centrex", "§8", "call-centre"),
        ("techcrea-centrex", "§8", "telemarketing"),
        ("techcrea-centrex", "§16", "auto-dialling"),
        ("techcrea-centrex", "§16", "re-routing"),
        ("techcrea-centrex", "§16", "sim-box"),
        ("techcrea-centrex", "§16", "resale"),
        ("easy2phone", "§4.3", "mass-calls"),
        ("easy2phone", "§17.1", "spoofing"),
        ("crossing-telecom", "§2.7.3", "spoofing"),
        ("technicophone-mobile", "IX-9", "sim-box"),
        ("technicophone-mobile", "IX-5.5.1", "mobile-beyond-one-person"),
        ("technicophone-sva", "XII-9.3", "sva-repeated-calls"),
        ("technicophone-sva", "XII-9.3", "ping-call"),
        ("technicophone-contact", "X-11.2", "ping-call"),
        ("technicophone-sip-trunk", "IV-8", "call-centre"),
        ("technicophone-sip-trunk", "IV-8", "forwarding"),
        ("technicophone-sip-trunk", "IV-8.1.5", "unlawful-canvassing"),
    ],
)
def test_prohibited_uses_are_these(name: str, article: str, use: str) -> None:
    assert (article, use) in {(k.article, u) for k in contracts()[name].prohibited for u in k.uses}


def test_only_three_chapters_bill_an_undetermined_origin() -> None:
    found = {c.id for c in contracts().values() for t in c.territory if t.undetermined_origin}
    assert found == {"technicophone-centrex", "technicophone-mobile", "technicophone-sva"}


def test_emergency_calls_are_spoken_of() -> None:
    found = {(c.id, k.article) for c in contracts().values() for k in c.emergency if "dst.emergency" in k.rules}
    assert found == {
        ("technicophone-vga", "I-2"), ("technicophone-preselection", "II-2.2"), ("technicophone-mobile", "IX-2.1"),
        ("easy2phone", "§8.7"),
    }  # fmt: skip
