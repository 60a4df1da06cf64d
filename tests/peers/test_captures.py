"""What peers once said to a running guard, replayed: the same decisions, outcomes and times, to the millisecond."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.peers.guarded import between
from tests.peers.recording import FOLDER, essence, replayed

CASES = sorted(path.stem for path in FOLDER.glob("*.pcap"))


def test_each_peer_has_a_capture() -> None:
    assert {name.partition("-")[0] for name in CASES} == {"baresip", "kamailio", "pyvoip", "sipp"}


@pytest.mark.parametrize("name", CASES)
def test_a_replay_decides_as_the_live_guard_did(name: str, tmp_path: Path) -> None:
    case = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    site = between(tmp_path)
    site.write()
    site.config.write_text(case["config"], encoding="utf-8")
    found = [
        {**essence(r), "ring_ms": r["ring_ms"], "talk_ms": r["talk_ms"]}
        for r in replayed(FOLDER / f"{name}.pcap", site)
    ]
    assert found == case["records"]
