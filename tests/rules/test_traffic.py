"""traffic.* and source.quarantined: what detection says of a call becomes a finding that flags or stops."""

from __future__ import annotations

from typing import Final, get_args

import pytest

from guard.config import ConfigError
from guard.detectors.words import FEATURES, Evidence, Feature, Measure, Says, Signal
from guard.rules import BY_ID, DETECTS, detect
from guard.state.contract import Reading
from tests.deciding import NOW, call, engine_of, policy_of
from tests.rules.table import Row, check, findings, hits

HOUR: Final = 3_600_000_000


def signal(rule: str, says: Says, kind: str = "line") -> Signal:
    """An alarm of twelve calls where ten were the bound, and nine of them short."""
    bounds: dict[Feature, tuple[int, int]] = {"calls": (10, 60), "short_rings": (8, 40)}
    measures = tuple(
        Measure(f, 12 if f == "calls" else 9 if f == "short_rings" else 0, *bounds.get(f, ())) for f in FEATURES
    )
    evidence = Evidence(
        rule=rule, kind=kind, subject="pbx/200", trunk="operator", at=NOW, span_s=900, measures=measures,  # type: ignore[arg-type]
        passes=("short_rings", 7),
    )  # fmt: skip
    return Signal(evidence=evidence, says=says, until=NOW + HOUR)


def row(name: str, rule: str, signal: Signal | None, *says: str, more: str = "") -> Row:
    return Row(name=f"{rule}: {name}", rule=rule, call=call(), says=says, more=more, signal=signal)


def of_one(rule: str) -> tuple[Row, ...]:
    """What every detector may say, and a signal that is another's."""
    if rule == detect.SHUT:
        return (
            row("shut off", rule, signal("traffic.ping-call", "shut"), "stopped"),
            row("shut off by a person", rule, signal(detect.SHUT, "shut", "source"), "by_hand"),
            row("an alarm without a quarantine", rule, signal("traffic.ping-call", "certain")),
        )
    certain = next(d.certain for d in DETECTS if d.id == rule)
    other = next(d.id for d in DETECTS if d.id not in {rule, detect.SHUT})
    spoken = (
        (row("certain", rule, signal(rule, "certain"), "stopped"),)
        if certain
        else (
            row("alone", rule, signal(rule, "alone"), "seen"),
            row("two families", rule, signal(rule, "joined"), "stopped"),
            row("a dear call", rule, signal(rule, "dear"), "stopped"),
        )
    )
    return (
        *spoken,
        row("nothing alarms", rule, None),
        row("another's alarm", rule, signal(other, "dear")),
        row("its subject is shut off: another rule says so", rule, signal(rule, "shut")),
    )


ROWS: Final = tuple(r for d in DETECTS for r in of_one(d.id))


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_row(row: Row) -> None:
    check(row)


def test_a_hit_tells_every_feature_and_the_bounds_that_were_met() -> None:
    (hit,) = hits(row("x", "traffic.ping-call", signal("traffic.ping-call", "certain"), "stopped"))
    facts = hit.facts
    assert {f: facts[f] for f in FEATURES} == dict.fromkeys(FEATURES, 0) | {"calls": 12, "short_rings": 9}
    assert (facts["calls_limit"], facts["calls_share"]) == (10, 60)
    assert (facts["short_rings_limit"], facts["short_rings_share"]) == (8, 40)
    assert "costly_limit" not in facts
    assert facts["because_en"] == (
        "12 calls (alarm from 10 on, 60 % of the alarm), "
        "9 numbers rung for 6 s or less (alarm from 8 on, 40 % of the alarm)"
    )
    assert facts["passes_fr"] == "au plus 7 numéros sonnés 6 s ou moins"
    assert (facts["subject"], facts["kind"], facts["seconds"], facts["why"]) == ("pbx/200", "line", 900, "certain")
    assert (facts["subject_en"], facts["subject_fr"]) == ("Line pbx/200", "La ligne pbx/200")


@pytest.mark.parametrize("says", get_args(Says))
@pytest.mark.parametrize("rule", [d.id for d in DETECTS if d.id != detect.SHUT])
def test_alone_flags_and_all_else_blocks(rule: str, says: Says) -> None:
    if says == ("alone" if BY_ID[rule].says.keys() == {"stopped"} else "certain"):
        return  # what the watch never says of it
    one = signal(rule, says)
    name = detect.SHUT if says == "shut" else rule
    (finding,) = findings(row("x", name, one))
    assert finding.action == ("flag" if says == "alone" else "block")


def test_an_alarm_that_begins_with_the_end_of_a_call_only_tells() -> None:
    engine = engine_of()
    for d in DETECTS:
        found = engine.late(signal(d.id, "alone").evidence)
        assert found is not None
        assert found.rule == d.id
        assert found.facts["why"] == "late"
    assert engine.late(signal("traffic.gone", "alone").evidence) is None


def test_a_call_that_detection_stops_counts_nothing() -> None:
    engine = engine_of()
    prepared = engine.prepare(call())
    assert prepared.touches
    assert not engine.warned(prepared, (signal("traffic.ping-call", "certain"),)).touches
    assert engine.warned(prepared, (signal("traffic.scan", "alone"),)).touches == prepared.touches


def test_emergency_calls_hear_nothing_of_it() -> None:
    engine = engine_of()
    prepared = engine.prepare(call(callee="112"))
    assert engine.warned(prepared, (signal("traffic.ping-call", "shut"),)) == prepared


def test_on_trial_it_flags() -> None:
    engine = engine_of('\n[rules."traffic.ping-call"]\nmode = "monitor"\n')
    prepared = engine.warned(engine.prepare(call()), (signal("traffic.ping-call", "certain"),))
    assert prepared.touches
    readings = tuple(Reading(key=t.key, value=0, taken=True) for t in prepared.touches)
    assert engine.decide(prepared, readings, 0).verdict == "flagged"


def test_on_trial_it_shuts_nobody_off_and_joins_no_other() -> None:
    setting = "quarantine_minutes = 9\n"
    for more, expected in (("", (True, False)), ('mode = "monitor"\n', (False, True))):
        engine = engine_of(f'\n[rules."traffic.scan"]\n{setting}{more}')
        (one,) = (p for p in engine.patterns() if p.rule == "traffic.scan")
        assert (bool(one.quarantine), one.trial) == expected


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("clauses = [{ span_s = 0 }]", "clauses[1].span_s"),
        ("clauses = [{ span_s = 86401 }]", "clauses[1].span_s"),
        ("clauses = [{ span_s = 60, at_least = { cals = 3 } }]", "clauses[1].at_least"),
        ("clauses = [{ span_s = 60, share = { calls = 1001 } }]", "clauses[1].share"),
        ("clauses = [{ span_s = 60, at_least = { calls = 21 } }]", "clauses[1]"),
        ('clauses = [{ span_s = 60, to = "premium" }]', "clauses[1].to"),
        ('per = ["call"]', "per"),
        ("hold_minutes = 0", "hold_minutes"),
        ("quarantine_minutes = -2", "quarantine_minutes"),
        ("cents_high = 3", "cents_high"),
    ],
)
def test_a_wrong_setting_is_named(written: str, key: str) -> None:
    with pytest.raises(ConfigError) as found:
        policy_of(f'\n[rules."traffic.ping-call"]\n{written}\n')
    assert [p.key[: len(key) + 27] for p in found.value.problems] == [f'rules."traffic.ping-call".{key}']
