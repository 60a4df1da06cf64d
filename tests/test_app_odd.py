"""Odd messages over real sockets: long ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.site import CUSTOMER, GUARD
from tests.apprig import guard, run
from tests.proxy.world import request


@pytest.mark.parametrize("length", [1_400, 4_096, 60_000])
def test_a_long_message_goes_through_both_ways(tmp_path: Path, length: int) -> None:
    """Longer than an Ethernet frame: the kernel makes fragments of it, and puts them together."""

    async def scene() -> None:
        async with guard(tmp_path) as rig:
            body = "x" * length
            there = f"sip:{CUSTOMER}@{GUARD}"
            rig.pbx.send(request(uri=there, call_id="call1", host=rig.pbx.host, port=rig.pbx.port, body=body))
            invite = await rig.operator.next("INVITE", number=1)
            assert invite.body() == body.encode()
            rig.answer(invite, 183, more=f"X-Long: {body}\r\n")
            ringing = await rig.pbx.next("183", number=1)
            assert ringing.first(b"x-long") == body.encode()
            rig.answer(invite, 486)
            assert (await rig.pbx.final(1)).status == 486

    run(scene)
