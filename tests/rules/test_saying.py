"""Sentences of detection: every feature in both languages, one and several, with its unit."""

from __future__ import annotations

from typing import Final

import pytest

from guard.detectors.words import FEATURES, Evidence, Feature, Measure, Sense, Signal
from guard.rules import saying

SENSES: Final[tuple[Sense, ...]] = ("", "different", "callers", "step")


def evidence(*measures: Measure, passes: tuple[Feature, int] = ("calls", 0)) -> Evidence:
    return Evidence(
        rule="traffic.x", kind="line", subject="pbx/200", trunk="t", at=0, span_s=3600, measures=measures, passes=passes
    )


@pytest.mark.parametrize(
    ("measure", "en", "fr"),
    [
        (Measure("calls", 1, 1), "1 call (alarm from 1 on)", "1 appel (alerte à partir de 1)"),
        (
            Measure("received", 0, 0, 100, most=True), "0 calls received (alarm up to 0)",
            "0 appel reçu (alerte jusqu’à 0)",
        ),
        (
            Measure("costly", 1205, 450), "12.05 EUR of calls, as they are taken to cost (alarm from 4.50 EUR on)",
            "12,05 EUR d’appels, au coût estimé (alerte à partir de 4,50 EUR)",
        ),
        (
            Measure("regularity", 3, 6, 100, most=True),
            "3 % of variation in the time between calls (alarm up to 6 %)",
            "3 % d’écart dans l’espacement des appels (alerte jusqu’à 6 %)",
        ),
        (
            Measure("origins", 2, 3, 100, most=True, sense="callers"), "2 calling numbers shown (alarm up to 3)",
            "2 numéros présentés (alerte jusqu’à 3)",
        ),
    ],
)  # fmt: skip
def test_a_value_and_its_bound(measure: Measure, en: str, fr: str) -> None:
    assert saying.because((measure,), "en") == en
    assert saying.because((measure,), "fr") == fr


@pytest.mark.parametrize("lang", saying.LANGS)
def test_every_feature_has_words(lang: saying.Lang) -> None:
    for feature in FEATURES:
        for value in (0, 1, 2):
            (said,) = {saying.because((Measure(feature, value, 1),), lang)}
            assert said
            assert "{" not in said
    assert saying.because((Measure("calls", 5),), lang) == "", "what is not bounded is no reason"


def test_what_would_have_passed() -> None:
    from_below = evidence(Measure("in_order", 9, 8), passes=("in_order", 7))
    assert saying.passes(from_below, "en") == "at most 7 numbers called in order"
    assert saying.passes(from_below, "fr") == "au plus 7 numéros appelés dans l’ordre"
    from_above = evidence(Measure("received", 0, 0, 100, most=True), passes=("received", 1))
    assert saying.passes(from_above, "en") == "at least 1 call received"
    assert saying.passes(from_above, "fr") == "au moins 1 appel reçu"


@pytest.mark.parametrize(
    ("seconds", "en", "fr"),
    [
        (60, "60 seconds", "60 secondes"),
        (900, "15 minutes", "15 minutes"),
        (3600, "60 minutes", "60 minutes"),
        (3601, "3601 seconds", "3601 secondes"),
        (7200, "2 hours", "2 heures"),
        (86_400, "24 hours", "24 heures"),
    ],
)
def test_a_span(seconds: int, en: str, fr: str) -> None:
    assert (saying.span(seconds, "en"), saying.span(seconds, "fr")) == (en, fr)


def test_why_a_call_is_stopped_names_who_else_alarms() -> None:
    signal = Signal(evidence=evidence(), says="joined", until=9, other="traffic.scan")
    assert saying.why(signal, "en") == "Stopped because traffic.scan alarms too, on another measure"
    assert "traffic.scan" in saying.why(signal, "fr")
