"""`guard run` between two sipp over IPv6: run by test_ipv6.py in a network that has the addresses (live/apart.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from sim.site import CUSTOMER, GUARD, IPBX, OPERATOR
from tests.live.apart import GUARD6, IPBX6, OPERATOR6
from tests.peers.guarded import between, guarded
from tests.peers.sipp import SDP, Callee, Caller, Script, Sipp, done
from tests.peers.test_sipp import ANSWERED, end, hangs_up, talks

pytestmark = pytest.mark.live

Family = Literal["4", "6"]
IN_6 = {GUARD: GUARD6, IPBX: IPBX6, OPERATOR: OPERATOR6}


def host(name: str, family: Family) -> str:
    return name if family == "4" else IN_6[name]


def written(name: str, family: Family) -> str:
    return name if family == "4" else f"[{IN_6[name]}]"


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize(("near", "far"), [("6", "6"), ("6", "4"), ("4", "6")])
def test_calls_of_sipp(tmp_path: Path, near: Family, far: Family, transport: Literal["udp", "tcp"]) -> None:
    """Answered and hung up; given up; 112 through it all."""
    site = between(tmp_path, transport)
    own = f'"{GUARD}:{site.port}"'
    listens = ", ".join(f'"{written(GUARD, f)}:{site.port}"' for f in sorted({near, far}))
    swap = {
        f"udp = [{own}]\ntcp = [{own}]": f"udp = [{listens}]\ntcp = [{listens}]",
        f'"sip:{OPERATOR}:': f'"sip:{written(OPERATOR, far)}:',
        f'address = ["{IPBX}"]': f'address = ["{host(IPBX, near)}"]',
        f'contact = "sip:{IPBX}:': f'contact = "sip:{written(IPBX, near)}:',
    }
    rings = Caller().sends("INVITE", body=SDP).hears(100).hears(180)
    given_up = rings.pauses(100).sends("CANCEL").hears(200).hears(487).acks()
    cancelled = Callee().hears("INVITE").replies(180).hears("CANCEL").replies(200)
    plays: list[tuple[Script, Script]] = [
        hangs_up(*talks()),
        (given_up, cancelled.replies(487, first=True).hears("ACK")),
        hangs_up(
            Caller(callee="112").sends("INVITE", body=SDP).hears(100).hears(200).acks(),
            Callee().hears("INVITE").replies(200, body=SDP).hears("ACK"),
        ),
    ]
    with guarded(tmp_path, site, swap=swap) as guard:
        for caller, callee in plays:
            with (
                Sipp(tmp_path, callee, host(OPERATOR, far), site.trunk_port, transport=transport) as answers,
                Sipp(
                    tmp_path,
                    caller,
                    host(IPBX, near),
                    site.pbx_port,
                    to=f"{written(GUARD, near)}:{site.port}",
                    transport=transport,
                ) as calls,
            ):
                done(calls, answers)
        records = guard.records(3)
    assert [end(r) for r in records] == [ANSWERED, ("allowed", "cancelled", 487), ANSWERED]
    assert [r["callee"] for r in records] == [CUSTOMER, CUSTOMER, "112"]
