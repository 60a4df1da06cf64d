"""A pyVoIP phone that knows no route and no server but the guard, registered through it at Kamailio."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sim import site as s
from sim.phone import Phone
from tests.peers.baresip import Baresip
from tests.peers.guarded import between, guarded
from tests.peers.kamailio import DOWN, PASSWORD, REALM, Kamailio
from tests.peers.test_baresip import FRIEND, NOBODY
from tests.peers.test_sipp import ANSWERED, end

pytestmark = pytest.mark.live


def test_a_phone_whose_server_is_the_guard(tmp_path: Path) -> None:
    site = between(tmp_path)
    users = (s.ALICE, s.CUSTOMER)

    async def scene() -> None:
        phone = Phone((s.GUARD, site.port), s.ALICE, password=PASSWORD)
        await phone.start()  # registered: Kamailio knew the digest that the guard passed on
        answered = await phone.call(s.CUSTOMER)
        assert answered.status == 200  # whether it rang: pyVoIP swallows a 180 that is the first answer it reads
        assert (await phone.call(DOWN)).status == 480
        await phone.stop()

    operator = f"{s.OPERATOR}:{site.trunk_port}"
    with (
        Kamailio(tmp_path, s.OPERATOR, site.trunk_port, callee=NOBODY, accounts=users),
        guarded(tmp_path, site, record="pyvoip") as guard,
        Baresip(tmp_path, FRIEND, s.CUSTOMER, operator, domain=REALM, registers=600, answers="auto") as customer,
    ):
        asyncio.run(scene())
        customer.hears("CALL_ESTABLISHED")
        customer.hears("CALL_CLOSED")
        taken, refused = guard.records(2)
    assert (*end(taken), taken["callee"]) == (*ANSWERED, s.CUSTOMER)
    assert end(refused) == ("allowed", "failed", 480)
