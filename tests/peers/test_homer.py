"""What the guard mirrors, as another's HEPv3 reads it (Kamailio's sipcapture)."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sim.ports import free_port
from sim.site import FOREIGN, GUARD, IPBX, OPERATOR
from tests.live.world import Record
from tests.peers.guarded import between, guarded
from tests.peers.homer import Homer, Mirrored
from tests.peers.sipp import SDP, Caller, Sipp
from tests.peers.test_sipp import ANSWERED, end, hangs_up, play, talks

pytestmark = pytest.mark.live

COLLECTOR = "127.0.0.7"
LEGS = ["INVITE", "INVITE", "100", "180", "180", "200", "200", "ACK", "ACK", "BYE", "BYE", "200", "200"]


def first(payload: str) -> str:
    """The method or status of a message."""
    line = payload.split("\r\n", 1)[0].split(" ")
    return line[1] if line[0] == "SIP/2.0" else line[0]


def messages(sip: list[Mirrored], call: Record) -> list[str]:
    """Those of one call, in their order."""
    return [first(p.payload) for p in sip if f"\r\nCall-ID: {call['call_id']}\r\n" in p.payload]


def test_every_message_and_verdict_of_two_calls(tmp_path: Path) -> None:
    site = between(tmp_path)
    port = free_port(COLLECTOR)
    site.more = f'[hep]\nserver = "udp:{COLLECTOR}:{port}"\ncapture_id = 2001\npassword = "myHep"\n'
    refused = Caller(FOREIGN).sends("INVITE", body=SDP).hears(100).hears(403).acks()
    with Homer(tmp_path, COLLECTOR, port) as homer:
        with guarded(tmp_path, site) as guard:
            answered = play(guard, tmp_path, *hangs_up(*talks()))
            with Sipp(tmp_path, refused, IPBX, site.pbx_port, to=guard.address) as calls:
                calls.done()
            blocked = guard.record()
        assert (end(answered), end(blocked)) == (ANSWERED, ("blocked", "blocked", 403))
        found = homer.heard(len(LEGS) + 4 + 2)
    assert {(p.agent, p.key) for p in found} == {(2001, "myHep")}
    sip = [p for p in found if p.kind == 1]
    assert sorted(messages(sip, answered)) == sorted(LEGS)
    assert messages(sip, blocked) == ["INVITE", "100", "403", "ACK"]
    here, ipbx, operator = (GUARD, site.port), (IPBX, site.pbx_port), (OPERATOR, site.trunk_port)
    assert {(p.src, p.dst) for p in sip} == {(ipbx, here), (here, ipbx), (here, operator), (operator, here)}
    for packet in sip:
        length = re.search(r"\r\nContent-Length: *(\d+)\r\n", packet.payload)
        assert length is not None
        assert len(packet.payload.partition("\r\n\r\n")[2]) == int(length.group(1))  # whole
    verdicts = {p.correlation: json.loads(p.payload) for p in found if p.kind == 100}
    assert {k: v["verdict"] for k, v in verdicts.items()} == {
        answered["call_id"]: "allowed",
        blocked["call_id"]: "blocked",
    }
