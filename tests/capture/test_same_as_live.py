"""A replay gives the same decisions, and the same records, as the live run that was captured."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from tests.capture import making
from tests.capture.live import lived
from tests.capture.making import written
from tests.capture.telephony import Record, config, replayed


def loopback(folder: Path, **settings: int | str) -> Path:
    """The configuration with the addresses of the simulated ends."""
    path = config(folder, **settings)  # type: ignore[arg-type]
    text = path.read_text("utf-8")
    for ours, theirs in ((making.PBX, "127.0.0.2"), (making.GUARD, "127.0.0.1"), (making.OPERATOR, "127.0.0.3")):
        text = text.replace(f'"{ours}', f'"{theirs}').replace(f":{ours}", f":{theirs}")
    text = text.replace("[[number]]", 'contact = "sip:127.0.0.2"\n[[number]]', 1)
    path.write_text(text, encoding="utf-8")
    return path


def by_call(records: list[Record]) -> list[Record]:
    """Without their places in the log, in the order of the calls' time."""
    bare = [{k: v for k, v in r.items() if k not in {"seq", "hash"}} for r in records]
    return sorted(bare, key=lambda r: (str(r["time"]), str(r["call_id"])))


@pytest.mark.parametrize("both_sides", [True, False], ids=["both sides", "the side of the IPBX"])
@pytest.mark.parametrize("seed", range(6))
def test_a_replay_of_a_live_run(
    seed: int, both_sides: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = loopback(tmp_path, cps=4, channels=12, hold_ms=1500)
    # A stranger's emergency call has a channel that nobody could see on the side of the IPBX.
    lab = lived(conf, seed, 60, 20, scanned=both_sides)
    live: list[Record] = [msgspec.json.decode(msgspec.json.encode(r)) for r in lab.records()]
    verdicts = Counter((str(r["verdict"]), str(r["outcome"])) for r in live)
    ways = Counter((r["direction"], r["source"]) for r in live)
    assert ways["outbound", "pbx"] >= 60
    assert (ways["inbound", "pbx"], ways["outbound", ""]) == (20, 11 if both_sides else 0)
    assert {v for v, _ in verdicts} >= {"allowed", "blocked"}
    assert {o for _, o in verdicts} == {"answered", "cancelled", "failed", "blocked"}
    assert any(r["held_ms"] for r in live)
    found = replayed(capsys, conf, written(tmp_path, lab.capture(both_sides=both_sides)))
    assert by_call(found) == by_call(live)
