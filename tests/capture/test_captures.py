"""The captures of others: what we find in them is what tshark finds in them (counts.tsv)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from guard.capture.messages import Messages
from guard.sip.message import BadMessage, parse

HERE = Path(__file__).parent
DATA = HERE / "data"
COUNTS = [line.split("\t") for line in (HERE / "counts.tsv").read_text("ascii").splitlines()[1:]]


def kind(data: bytes) -> str:
    """The method, or the status."""
    first, second = data.lstrip(b"\r\n").split(b" ", 2)[:2]
    return (second if first == b"SIP/2.0" else first).decode()


def test_every_capture_is_counted() -> None:
    assert {row[0] for row in COUNTS} == {p.name for p in DATA.glob("*.pcap*")}


@pytest.mark.parametrize(("name", "frames", "sip", "messages"), COUNTS, ids=[row[0] for row in COUNTS])
def test_messages_are_those_of_tshark(name: str, frames: str, sip: str, messages: str) -> None:
    reading = Messages([DATA / name])
    found = Counter(kind(data) for data, _, _ in reading)
    tally = reading.tally
    assert tally.frames == int(frames)
    assert tally.sip == int(sip)  # each message lies in one frame, or ends in one
    assert dict(found) == {k: int(n) for k, _, n in (m.partition("=") for m in messages.split())}
    assert set(tally.dropped()) <= {"backwards"}
    assert tally.warnings == []


def test_both_formats_hold_the_same_call() -> None:
    one, two = (list(Messages([DATA / f"isa__call.{end}"])) for end in ("pcap", "pcapng"))
    assert one == two
    assert len(one) == 9


def test_who_says_what_to_whom_and_when() -> None:
    """As tshark lists it: -T fields -e frame.time_epoch -e ip.src -e udp.srcport -e ip.dst -e udp.dstport ..."""
    caller, callee = ("10.0.2.4", 5060), ("10.0.2.15", 5060)
    found = [(at, f.transport, f.peer, f.local, kind(m)) for m, f, at in Messages([DATA / "isa__call.pcap"])]
    assert found[0] == (1_416_949_761_124_098, "udp", caller, callee, "INVITE")
    assert found[1] == (1_416_949_761_124_795, "udp", callee, caller, "401")
    assert found[-1] == (1_416_949_762_767_808, "udp", caller, callee, "200")


def test_both_ends_of_a_connection_are_one_connection() -> None:
    flows = [f for _, f, _ in Messages([DATA / "sipnab__call_tcp.pcap"])]
    assert {f.transport for f in flows} == {"tcp"}
    assert {f.conn for f in flows} == {1}
    assert flows[0].peer == flows[1].local
    assert flows[0].peer[0] == "10.33.6.100"


def test_the_large_body_comes_out_whole() -> None:
    sizes = [len(m) for m, _, _ in Messages([DATA / "sv__body_large_tcp_null.pcap"]) if m.startswith(b"INVITE")]
    assert len(sizes) == 1
    assert sizes[0] > 65_536


def test_what_is_found_is_a_message_unless_it_was_sent_broken() -> None:
    refused = []
    for path in sorted(DATA.glob("*.pcap*")):
        for data, flow, _ in Messages([path]):
            try:
                parse(data, stream=flow.transport == "tcp")
            except BadMessage as error:
                refused.append((path.name, error.status))
    # A BYE that was captured without its last bytes, and two messages whose Content-Length is a word.
    assert refused == [
        ("pcpp__requests_pppoe.pcap", 400),
        ("zeek__invalid_content_length.pcap", 400),
        ("zeek__invalid_content_length.pcap", 400),
    ]
