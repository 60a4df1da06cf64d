"""pyVoIP phones: behind the exchange whose calls the guard sees, and straight through the guard as their server."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim import site as s
from sim.exchange import Exchange
from sim.phone import Phone
from sim.trunk import BUSY
from tests.live.world import live, rules, run

pytestmark = pytest.mark.live

BUSY_ONE = "+33199000486"


def test_phones_behind_an_exchange(tmp_path: Path) -> None:
    async def scene() -> None:
        async with live(tmp_path, habits={BUSY_ONE: BUSY}) as world:
            exchange = Exchange(world.pbx.guard, {"200": s.ALICE, "201": s.FOREIGN, "801": s.BOB})
            await exchange.start()
            phones = {name: Phone((exchange.host, exchange.port), name) for name in exchange.lines}
            for phone in phones.values():
                await phone.start()
            answered = await phones["200"].call(s.CUSTOMER)
            assert (answered.status, answered.rang) == (200, True)
            assert (await phones["200"].call(BUSY_ONE)).status == 486
            assert (await phones["201"].call(s.CUSTOMER)).status == 403
            assert (await phones["801"].call(s.CUSTOMER)).status == 403
            log = await world.log(4)
            assert [(r["line"], r["verdict"], r["outcome"], *rules(r)) for r in log] == [
                ("200", "allowed", "answered"),
                ("200", "allowed", "failed"),
                ("201", "blocked", "blocked", "cli.not-authorised"),
                ("801", "blocked", "blocked", "cli.automated-range"),
            ]
            for phone in phones.values():
                await phone.stop()
            await exchange.stop()

    run(scene)


def test_phones_whose_server_is_the_guard(tmp_path: Path) -> None:
    """They register at the operator through the guard, and know no route: what they send still finds its call."""

    async def scene() -> None:
        async with live(tmp_path, habits={BUSY_ONE: BUSY}) as world:
            alice = Phone(world.pbx.guard, s.ALICE)
            other = Phone(world.pbx.guard, s.FOREIGN)
            await alice.start()
            await other.start()
            assert world.trunk.counts["REGISTER"] == 2
            answered = await alice.call(s.CUSTOMER)
            assert (answered.status, answered.rang) == (200, True)
            assert (await alice.call(BUSY_ONE)).status == 486
            assert (await other.call(s.CUSTOMER)).status == 403
            log = await world.log(3)
            assert [(r["caller"], r["verdict"], r["outcome"]) for r in log] == [
                (s.ALICE, "allowed", "answered"),
                (s.ALICE, "allowed", "failed"),
                (s.FOREIGN, "blocked", "blocked"),
            ]
            assert world.trunk.ended == {answered.call_id}
            assert world.trunk.counts["answers sent again"] == 0
            await alice.stop()
            await other.stop()

    run(scene)
