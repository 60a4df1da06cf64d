"""Both corpora are whole, and every message fares over IPv6 on both sides as it does over IPv4."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Final

import pytest

from guard.proxy.effects import Flow, Transport
from guard.proxy.shapes import Hop
from guard.sip.framing import StreamFramer
from guard.sip.message import parse
from guard.sources import Source
from tests.corpus.test_torture import DROP, FORWARD, ROWS, TABLE, flow_of, read
from tests.proxy.world import World

# Every section that has a message (RFC 4475 3.1.1 to 3.4, RFC 5118 4): how many each group has.
GROUPS: Final = {"3.1.1": 13, "3.1.2": 19, "3.2": 1, "3.3": 15, "3.4": 1, "4": 10}
HERE, PBX, OPERATOR = ("fd00::1", 5060), ("fd00::2", 5060), ("fd00::3", 5060)
LISTENS: Final[tuple[tuple[Transport, str, int], ...]] = (("udp", *HERE), ("tcp", *HERE))
SOURCE: Final = Source(name="pbx", networks=(ip_network("fd00::2/128"),), trunk="operator", contact=PBX)


def test_every_section_of_both_has_its_message() -> None:
    sections = {row["section"] for row in ROWS.values()} - {"(none)"}
    assert sections == {f"{group}.{n}" for group, count in GROUPS.items() for n in range(1, count + 1)}
    assert [row["rfc"] for row in ROWS.values()].count("4475") == 49 + 1  # and test.dat, of no section
    assert [row["rfc"] for row in ROWS.values()].count("5118") == 12  # 4.5 and 4.10 have two


@pytest.mark.parametrize("name", TABLE)
def test_it_fares_over_ipv6_as_over_ipv4(name: str) -> None:
    data, wanted = read(name), TABLE[name]
    stream = flow_of(name).transport == "tcp"
    if stream:
        (item,) = StreamFramer().feed(data)
        assert isinstance(item, bytes)
        data = item
    world = World(listens=LISTENS, source=SOURCE, hop=Hop("udp", *OPERATOR))
    out = world(data, Flow("tcp", HERE, PBX, 7) if stream else Flow("udp", HERE, PBX))
    down = [(flow, m) for (flow, _), (side, m) in zip(world.sent, out, strict=True) if side == "down"]
    answers = [m.status for side, m in out if side == "up"]
    if wanted == DROP:
        assert out == []
    elif wanted == FORWARD:
        ((flow, m),) = down
        assert (flow.transport, flow.peer) == ("udp", OPERATOR)
        assert (m.method, m.body()) == (parse(read(name)).method, parse(data, stream=stream).body())
        own, theirs = m.vias()[:2]
        assert own.sent_by == b"[fd00::1]:5060"
        assert theirs.received == b"fd00::2"  # without brackets, as RFC 3261's grammar and RFC 5118 4.5 want it
        assert answers == ([100] if m.method == b"INVITE" else [])
    else:
        assert (down, answers) == ([], [wanted])
