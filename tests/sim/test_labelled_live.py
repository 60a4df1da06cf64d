"""A small world as live SIP on loopback, through a real guard."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from guard.config import load
from sim.labelled.live import MAX_CALLS, MAX_PEERS, Live
from sim.labelled.words import HOUR, SimError
from tests.sim.labelled import MONDAY, world


def test_forty_calls_go_as_planned_and_spoofed_ones_are_refused(tmp_path: Path) -> None:
    made = world("office:30,cli-spoofing:0.3,wangiri-in:0.3", days=0.05, start=MONDAY + 9 * HOUR, after=0.0)
    live = Live(made, tmp_path, calls=40, speed=600)
    heard = asyncio.run(asyncio.wait_for(live.run(), 60))
    assert len(heard) == 40
    trunks = load(tmp_path / "guard.toml").file.trunk  # a stall of the machine has them all up at once
    assert len(trunks) == 2
    assert all((t.channels or 0) >= 40 for t in trunks)
    kinds = Counter((h.placed.label, h.placed.call.direction, h.placed.ended.outcome) for h in heard)
    assert len(kinds) > 6
    for h in heard:
        call, ended = h.placed.call, h.placed.ended
        if h.placed.label == "cli-spoofing":
            assert (h.status, h.arrived) == (403, False), call.call_id
        else:
            assert (h.status, h.arrived) == (ended.final_status, True), call.call_id
            assert h.rang is (ended.ring_us > 0), call.call_id
            if call.direction == "outbound":
                (operator,) = (o for o in live.operators.values() if o.of(call.call_id))
                message = operator.of(call.call_id)[0].message
                assert message.get("user-agent") == call.user_agent
                assert message.all("via")[-1].startswith(f"SIP/2.0/UDP {call.source_address}:")
    records = {p.call.call_id: (p, d.record) for p, d in live.records()}
    assert len(records) == 40
    for placed, record in records.values():
        call = placed.call
        assert (record.source, record.line, record.direction) == (call.source, call.line, call.direction)
        assert (record.caller, record.callee) == (call.caller.value, call.callee.value)
        spoofed = placed.label == "cli-spoofing"
        assert (record.verdict == "blocked") is spoofed
        assert record.outcome == ("blocked" if spoofed else placed.ended.outcome)


def test_what_cannot_be_live_is_told(tmp_path: Path) -> None:
    for calls in (0, MAX_CALLS + 1):
        with pytest.raises(SimError, match="live calls are not between 1 and"):
            Live(world("office"), tmp_path, calls=calls)
    with pytest.raises(SimError, match=r"speed 0\.5 is not 1 or more"):
        Live(world("office"), tmp_path, speed=0.5)
    with pytest.raises(SimError, match=f"at most {MAX_PEERS}"):
        Live(world(",".join(["office"] * (MAX_PEERS // 2 + 1))), tmp_path)
