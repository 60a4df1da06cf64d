"""`guard run` between two sipp over IPv6: run by test_ipv6.py in a network that has the addresses (live/apart.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from sim.ports import free_port
from sim.site import CUSTOMER, GUARD, IPBX, OPERATOR
from tests.certs import authority
from tests.live.apart import GUARD6, IPBX6, OPERATOR6, SECOND6
from tests.peers.guarded import between, guarded
from tests.peers.kamailio import Kamailio, Tls
from tests.peers.sipp import SDP, Callee, Caller, Script, Sipp, done
from tests.peers.test_sipp import ANSWERED, end, hangs_up, talks

pytestmark = pytest.mark.live

Family = Literal["4", "6"]
IN_6 = {GUARD: GUARD6, IPBX: IPBX6, OPERATOR: OPERATOR6}


def host(name: str, family: Family) -> str:
    return name if family == "4" else IN_6[name]


def written(name: str, family: Family) -> str:
    return name if family == "4" else f"[{IN_6[name]}]"


@pytest.mark.parametrize(
    ("transport", "near", "far"), [("udp", "6", "6"), ("udp", "6", "4"), ("udp", "4", "6"), ("tcp", "6", "6")]
)
def test_calls_of_sipp(tmp_path: Path, transport: Literal["udp", "tcp"], near: Family, far: Family) -> None:
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


def test_kamailio_over_tls(tmp_path: Path) -> None:
    """It shows a certificate of its IPv6 address, and wants the guard's; who is called is behind it."""
    site = between(tmp_path)
    ca = authority().write(tmp_path)
    authority().issue(GUARD6).write(tmp_path, "guard")
    over, called = free_port(OPERATOR), free_port(OPERATOR)
    shown = Tls(port=over, certificate=authority().issue(OPERATOR6).write(tmp_path, "operator"), ca=ca)
    own = f'"{GUARD}:{site.port}"'
    listen = f'"[{GUARD6}]:{site.port}"'
    swap = {
        "[listen]\n": '[tls]\ncertificate = "guard.pem"\nca = "ca.pem"\n\n[listen]\n',
        f"udp = [{own}]\ntcp = [{own}]": f'udp = [{listen}]\ntls = ["[{GUARD6}]:{free_port(GUARD)}"]',
        f'"sip:{OPERATOR}:{site.trunk_port};transport=udp"': f'"sip:[{OPERATOR6}]:{over};transport=tls"',
        f'address = ["{IPBX}"]': f'address = ["{IPBX6}"]',
        f'contact = "sip:{IPBX}:': f'contact = "sip:[{IPBX6}]:',
    }
    caller, callee = hangs_up(*talks())
    there = f"[{SECOND6}]:{called}"
    with (
        Kamailio(tmp_path, f"[{OPERATOR6}]", site.trunk_port, callee=there, tls=shown),
        guarded(tmp_path, site, swap=swap) as guard,
        Sipp(tmp_path, callee, SECOND6, called) as answers,
        Sipp(tmp_path, caller, IPBX6, site.pbx_port, to=f"[{GUARD6}]:{site.port}") as calls,
    ):
        done(calls, answers)
        assert end(guard.record()) == ANSWERED
