"""What Prometheus reads: the figures, whole, in its format, and never a number or a Call-ID."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from guard.figures import TrunkFigures, VerdictCount
from guard.web.metrics import exposition
from tests.apprig import FOREIGN, guard, run
from tests.web.some_figures import SOME

LABELS: Final = frozenset(
    ["mode", "policy", "site", "version", "trunk", "verdict", "rule", "transport", "hop", "le", "direction", "event"]
)
SAMPLE: Final = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\.)*",?)+)\})? (\S+)')


def samples(text: str) -> dict[str, float]:
    """Each sample, by its name and labels as they are written."""
    out: dict[str, float] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            found = SAMPLE.fullmatch(line)
            assert found is not None, line
            name = line.rpartition(" ")[0]
            assert name not in out, f"twice: {name}"
            out[name] = float(found[3])
    return out


def checked(text: str) -> None:
    """What promtool has to say of it."""
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_all_that_the_figures_hold() -> None:
    found = samples(exposition(SOME))
    assert found["guard_up"] == 1
    assert found['guard_info{mode="enforce",policy="5eed5eed",site="hq",version="0.1.0"}'] == 1
    assert found["guard_start_time_seconds"] == 1_795_251_600
    assert found['guard_trunk_setups_last_second{trunk="operator"}'] == 4
    assert found['guard_trunk_setups_per_second_limit{trunk="operator"}'] == 10
    assert 'guard_trunk_setups_per_second_limit{trunk="spare"}' not in found
    assert found['guard_trunk_channels_in_use{trunk="operator"}'] == 5
    assert found['guard_trunk_channels_limit{trunk="operator"}'] == 30
    assert found['guard_trunk_calls_held{trunk="operator"}'] == 2
    assert found['guard_calls_total{rule="cli.not-authorised",trunk="operator",verdict="blocked"}'] == 2
    assert found['guard_hop_up{hop="[2001:db8::7]:5061",transport="tls",trunk="operator"}'] == 0
    assert found['guard_messages_total{direction="sent",transport="udp"}'] == 90
    assert found['guard_setup_added_seconds_bucket{le="0.00025"}'] == 30
    assert found['guard_setup_added_seconds_bucket{le="0.0005"}'] == 39
    assert found['guard_setup_added_seconds_bucket{le="+Inf"}'] == 40
    assert found["guard_setup_added_seconds_count"] == 40
    assert found["guard_setup_added_seconds_sum"] == 1.234567
    assert found["guard_tasks"] == 14
    assert found["guard_state_part_ratio"] == 0.5
    assert found["guard_alerts_waiting"] == 12
    assert found['guard_events_total{event="udp_full"}'] == 0
    assert 'guard_events_total{event="decided"}' not in found


def test_without_a_guard_it_says_that_there_is_none() -> None:
    assert samples(exposition(None)) == {"guard_up": 0}
    checked(exposition(None))


def test_what_is_not_there_has_no_family() -> None:
    bare = replace(SOME, alerts=None, verdicts=(), hops=())
    text = exposition(bare)
    assert "guard_alerts" not in text
    assert "guard_calls_total" not in text
    checked(text)


def test_prometheus_finds_no_fault_with_it() -> None:
    checked(exposition(SOME))


def test_a_label_cannot_break_out_of_its_line() -> None:
    odd = VerdictCount(trunk='a"b\\c\nd', verdict="allowed", rule="", calls=1)
    trunk = TrunkFigures(name='"} 5\n', departures=0, cps=1, channels_used=0, channels=1, held=0)
    text = exposition(replace(SOME, verdicts=(odd,), trunks=(trunk,)))
    assert 'trunk="a\\"b\\\\c\\nd"' in text
    samples(text)
    checked(text)


def test_a_running_guard_names_no_number_and_no_call(tmp_path: Path) -> None:
    async def scene() -> None:
        async with guard(tmp_path) as rig:
            await rig.connected(1)
            rig.pbx.invite(2, caller=FOREIGN)
            await rig.pbx.final(2)
            text = exposition(rig.app.asking.instruments.read())
            checked(text)
            for name in samples(text):
                plain = re.sub(r"sha256:[0-9a-f]{32}", "", name.replace("0.00025", ""))  # a digest may look like one
                assert not re.search(r"[^.\d]\+?\d{9,}", plain), name
                assert "call1" not in name
                assert set(re.findall(r'([a-z]+)="', name)) <= LABELS

    run(scene)
