"""What is shipped for Prometheus and Grafana: every query parses, and asks for what a running guard really shows."""

from __future__ import annotations

import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from guard.web.metrics import exposition
from tests.apprig import guard, run
from tests.web.some_figures import SOME
from tests.web.test_metrics import samples

FOLDER: Final = Path(__file__).parent.parent.parent / "docs" / "monitoring"
BOARD: Final = json.loads((FOLDER / "grafana-dashboard.json").read_text(encoding="utf-8"))
QUERIES: Final = [
    (panel["title"], target["expr"].replace("$job", ".*").replace("$instance", ".*"))
    for panel in BOARD["panels"]
    for target in panel["targets"]
]
ALERTS: Final = (FOLDER / "alerts.yml").read_text(encoding="utf-8")
NAME: Final = re.compile(r"\bguard_[a-z_]+")
EVENT: Final = re.compile(r'event=~?"([a-z_|]+)"')
RESULT: Final = re.compile(r"_(bucket|sum|count)$")


def promtool(*command: str) -> None:
    done = subprocess.run(["promtool", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@cache
def shown(folder: Path) -> frozenset[str]:
    """The samples that a running guard shows, with those that only some configurations have."""
    out: set[str] = set(samples(exposition(SOME)))

    async def scene() -> None:
        async with guard(folder) as rig:
            await rig.connected(1)
            out.update(samples(exposition(rig.app.asking.instruments.read())))

    run(scene)
    return frozenset(out)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> frozenset[str]:
    return shown(tmp_path_factory.mktemp("guard"))


def test_alert_rules_are_sound() -> None:
    promtool("check", "rules", str(FOLDER / "alerts.yml"))


def test_every_query_of_the_dashboard_parses(tmp_path: Path) -> None:
    rules = [{"record": f"query:{n}", "expr": expr} for n, (_, expr) in enumerate(QUERIES)]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}), encoding="utf-8")  # JSON is YAML
    promtool("check", "rules", str(file))


def test_a_query_that_does_not_parse_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "x", "rules": [{"record": "x", "expr": "sum(guard_up"}]}]}))
    with pytest.raises(AssertionError, match=r"could not parse|parse error|unclosed"):
        promtool("check", "rules", str(file))


@pytest.mark.parametrize(("where", "text"), [*QUERIES, ("alerts", ALERTS)])
def test_every_metric_is_one_that_a_guard_shows(where: str, text: str, real: frozenset[str]) -> None:
    names = {name.partition("{")[0] for name in real}
    asked = set(NAME.findall(text))
    assert asked, where
    assert asked <= names, where


@pytest.mark.parametrize("text", [q for _, q in QUERIES] + [ALERTS])
def test_every_event_is_one_that_a_guard_counts(text: str, real: frozenset[str]) -> None:
    events = {m for name in real for m in re.findall(r'event="([a-z_]+)"', name)}
    for found in EVENT.findall(text):
        assert set(found.split("|")) <= events


def test_every_metric_is_in_the_manual_and_on_the_dashboard_or_told_why(real: frozenset[str]) -> None:
    families = {RESULT.sub("", n) if "setup_added" in n else n for n in (name.partition("{")[0] for name in real)}
    manual = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert set(NAME.findall(manual.partition("| metric |")[2])) == families


def test_alerts_fire_and_keep_quiet(tmp_path: Path) -> None:
    up = 'guard_up{instance="a"}'
    hop = 'guard_hop_up{instance="a",trunk="operator",hop="198.51.100.10:5060",transport="udp"}'
    tests = {
        "rule_files": [str(FOLDER / "alerts.yml")],
        "evaluation_interval": "30s",
        "tests": [
            {
                "interval": "30s",
                "input_series": [
                    {"series": up, "values": "1x4 0x10"},
                    {"series": hop, "values": "1x4 0x10"},
                    {"series": 'guard_events_total{instance="a",event="exceptions"}', "values": "0x4 1x10"},
                ],
                "alert_rule_test": [
                    {"eval_time": "1m", "alertname": name, "exp_alerts": []}
                    for name in ("GuardDown", "GuardTrunkDown", "GuardFaults", "GuardWebDown")
                ]
                + [
                    {"eval_time": "5m", "alertname": "GuardDown", "exp_alerts": [_alert("GuardDown", instance="a")]},
                    {
                        "eval_time": "5m",
                        "alertname": "GuardTrunkDown",
                        "exp_alerts": [_alert("GuardTrunkDown", instance="a", trunk="operator")],
                    },
                    {
                        "eval_time": "4m",
                        "alertname": "GuardFaults",
                        "exp_alerts": [_alert("GuardFaults", instance="a", event="exceptions")],
                    },
                ],
            }
        ],
    }
    file = tmp_path / "tests.yml"
    file.write_text(json.dumps(tests), encoding="utf-8")
    promtool("test", "rules", str(file))


def _alert(name: str, **labels: str) -> dict[str, dict[str, str]]:
    """The alert as it is written down, filled in with these labels."""
    block = ALERTS.partition(f"- alert: {name}\n")[2].partition("- alert:")[0]
    severity = re.findall(r"severity: (\w+)", block)[0]
    texts = dict(re.findall(r'(summary|description): "(.*)"', block))
    for label, value in labels.items():
        texts = {k: v.replace("{{ $labels." + label + " }}", value) for k, v in texts.items()}
    return {"exp_labels": {"severity": severity, **labels}, "exp_annotations": texts}
