"""pyVoIP phones at the exchange's registrar, their calls bridged to the operator."""

from __future__ import annotations

import asyncio

from sim.exchange import Exchange
from sim.phone import Phone
from sim.trunk import BUSY, Trunk


def test_a_registered_phone_calls_out_and_hears_how_it_went() -> None:
    async def scene() -> None:
        trunk = Trunk(habits={"+33199000486": BUSY})
        await trunk.start()
        exchange = Exchange((trunk.host, trunk.port), {"200": "+33145678901"})
        await exchange.start()
        phone = Phone((exchange.host, exchange.port), "200")
        await phone.start()
        assert set(exchange.registered) == {"200"}
        answered = await phone.call("+33199001234")
        assert (answered.status, answered.rang) == (200, True)
        busy = await phone.call("+33199000486")
        assert busy.status == 486
        await phone.stop()
        assert not exchange.registered
        first, second = trunk.news
        assert "+33145678901" in first.from_
        assert trunk.ended == {first.call_id}
        assert exchange.refused == [486]
        assert second.called == "+33199000486"
        await exchange.stop()
        await trunk.stop()

    async def bounded() -> None:
        async with asyncio.timeout(30):
            await scene()

    asyncio.run(bounded())
