"""The control socket of a running guard, and its client: figures, decisions, their ends."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from guard.control import DecideAsk, EndedAsk
from guard.web.controlclient import ControlClient, ControlError
from sim.site import ALICE, CUSTOMER
from tests.apprig import FOREIGN, Rig, guard, run


def client_of(rig: Rig) -> ControlClient:
    place = rig.app.config.web
    assert place is not None
    return ControlClient(place.control)


def test_figures_of_a_guard_that_carries_a_call(tmp_path: Path) -> None:
    async def scene() -> None:
        async with guard(tmp_path) as rig:
            client = client_of(rig)
            before = await client.figures()
            await rig.connected(1)
            rig.pbx.invite(2, caller=FOREIGN)
            await rig.pbx.final(2)
            rig.app.asking.instruments.tick()
            figures = rig.app.asking.instruments.read()
            assert (before.calls, before.rates.calls) == (0, ())
            trunk = figures.trunks[0]
            assert (trunk.name, trunk.channels_used, trunk.departures, trunk.cps) == ("operator", 1, 1, 10)
            assert figures.verdict("allowed") == 1
            assert [(v.verdict, v.calls) for v in figures.verdicts if v.verdict == "blocked"] == [("blocked", 1)]
            assert figures.rates.calls[-1] == 2
            assert sum(figures.latency.counts) == 1
            assert figures.transports[0].received >= 4
            assert figures.counters["decided"] == 2
            assert figures.policy == rig.app.policy.digest
            await client.close()

    run(scene)


def test_a_decision_is_counted_recorded_and_ended(tmp_path: Path) -> None:
    async def scene() -> None:
        async with guard(tmp_path) as rig:
            client = client_of(rig)
            ask = DecideAsk(caller=ALICE, callee=CUSTOMER, call_id="k1")
            found = await client.decide(ask)
            assert (found.allow, found.verdict, found.counted) == (True, "allowed", True)
            assert found.seq == 1
            again = await client.decide(ask)
            assert again == found
            figures = await client.figures()
            assert (figures.asked, figures.trunks[0].channels_used, figures.trunks[0].departures) == (1, 1, 1)
            await client.ended(EndedAsk(ticket=found.ticket, talk_ms=0))
            assert rig.app.asking.instruments.read().trunks[0].channels_used == 0
            with pytest.raises(ControlError, match="its end was told") as error:
                await client.ended(EndedAsk(ticket=found.ticket))
            assert error.value.fault is not None
            assert error.value.fault.code == "unknown-ticket"
            await client.close()
            await rig.stop()
            detail = rig.log()[0]
            assert (detail.record.call_id, detail.record.outcome) == ("k1", "answered")

    run(scene)


def test_the_socket_is_its_owners_alone_and_goes_with_the_guard(tmp_path: Path) -> None:
    async def scene() -> None:
        async with guard(tmp_path) as rig:
            place = rig.app.config.web
            assert place is not None
            assert place.control is not None
            path = place.control
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
            client = client_of(rig)
            await client.figures()
            await rig.stop()
            assert not path.exists()
            with pytest.raises(ControlError, match="not running"):
                await client.figures()
            await client.close()

    run(scene)
