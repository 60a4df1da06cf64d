"""The mirror towards a Homer server: what arrives there, over UDP and TCP, and what happens when it does not read."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from guard.confighep import Collector
from guard.hep.packet import LOG, MAX_DATAGRAM, MAX_PACKET, SIP, TLS, UDP, Framer, Packet, decode, encode
from guard.net import hep
from guard.net.clock import SystemClock
from guard.net.hep import HIGH_WATER, MAX_BYTES, MAX_QUEUE, Connection, Mirror
from guard.net.say import Voice
from guard.proxy.effects import Flow
from guard.store.contract import Query
from tests.apprig import FOREIGN, guard
from tests.apprig import run as scene_of
from tests.capture.test_watch import Post
from tests.store.making import attempt, decision

PATIENCE = 15.0
FLOW = Flow("udp", ("192.0.2.10", 5060), ("192.0.2.5", 5066))
FLOW6 = Flow("tls", ("2001:db8::a", 5061), ("2001:db8::5", 40_000), 7)
AT = 1_795_251_600_000_001


class Homer:
    """A server of one transport on a free port, that reads unless it is told not to."""

    def __init__(self, transport: str, host: str = "127.0.0.1") -> None:
        self.transport, self.host = transport, host
        self.packets: list[Packet] = []
        self.framer = Framer()
        self.server: asyncio.Server | None = None
        self.writers: list[asyncio.StreamWriter] = []
        self.sock = socket.socket(
            socket.AF_INET6 if ":" in host else socket.AF_INET,
            socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM,
        )
        self.sock.bind((host, 0))
        self.sock.setblocking(False)
        self.port = int(self.sock.getsockname()[1])

    async def open(self, *, reads: bool = True) -> None:
        """Begin to read."""
        if self.transport == "udp":
            asyncio.get_running_loop().add_reader(self.sock.fileno(), self._datagram)
        else:
            self.server = await asyncio.start_server(lambda r, w: self._stream(r, w, reads=reads), sock=self.sock)

    def _datagram(self) -> None:
        self.packets.append(decode(self.sock.recv(65_535)))

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, reads: bool) -> None:
        self.writers.append(writer)
        while reads and (data := await reader.read(65_536)):
            self.packets += map(decode, self.framer.feed(data))

    async def close(self) -> None:
        """All that is open."""
        if self.server is not None:
            self.server.close()
        for writer in self.writers:
            writer.transport.abort()
        if self.transport == "udp":
            asyncio.get_running_loop().remove_reader(self.sock.fileno())
        self.sock.close()
        await asyncio.sleep(0)

    async def got(self, count: int) -> list[Packet]:
        """So many packets."""
        async with asyncio.timeout(PATIENCE):
            while len(self.packets) < count:
                await asyncio.sleep(0.005)
        return self.packets


@asynccontextmanager
async def mirrored(homer: Homer, *, opened: bool = True, reads: bool = True) -> AsyncIterator[Mirror]:
    """A mirror to a server."""
    if opened:
        await homer.open(reads=reads)
    to = Collector("udp" if homer.transport == "udp" else "tcp", homer.host, homer.port, 77, b"pw")
    mirror = Mirror(to, "hq", ("192.0.2.10", 5060), Voice(SystemClock.now))
    mirror.start()
    try:
        yield mirror
    finally:
        await mirror.stop()
        await homer.close()


def run(scene: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await scene()

    uvloop.run(whole())


@pytest.mark.parametrize(
    ("transport", "host"), [("udp", "127.0.0.1"), ("udp", "::1"), ("tcp", "127.0.0.1"), ("tcp", "::1")]
)
def test_both_directions_and_a_verdict(transport: str, host: str) -> None:
    async def scene() -> None:
        homer = Homer(transport, host)
        async with mirrored(homer) as mirror:
            mirror.received(b"INVITE", FLOW, AT)
            mirror.sent(b"SIP/2.0 100", FLOW, AT + 1)
            mirror.received(b"BYE", FLOW6, AT + 2)
            mirror.decided(attempt(), decision("blocked"), 42, AT + 3)
            first, second, third, verdict = await homer.got(4)
        assert first == Packet(
            src=FLOW.peer, dst=FLOW.local, at=AT, payload=b"INVITE", type=SIP, protocol=UDP, agent=77, key=b"pw"
        )
        assert (second.src, second.dst, second.at, second.payload) == (FLOW.local, FLOW.peer, AT + 1, b"SIP/2.0 100")
        assert (third.src, third.dst, third.protocol) == (FLOW6.peer, FLOW6.local, TLS)
        call, said = attempt(), decision("blocked")
        assert (verdict.type, verdict.correlation, verdict.at) == (LOG, call.call_id.encode(), AT + 3)
        assert (verdict.src[0], verdict.dst, verdict.key, verdict.agent) == (
            call.source_address, ("192.0.2.10", 5060), b"pw", 77,
        )  # fmt: skip
        text = json.loads(verdict.payload)
        assert {k: text[k] for k in ("site", "verdict", "rule", "response", "record", "callee")} == {
            "site": "hq", "verdict": "blocked", "rule": said.rule, "response": said.status, "record": 42,
            "callee": call.callee.value,
        }  # fmt: skip
        assert mirror.counters == {"hep_sent": 4, "hep_dropped": 0, "hep_cut": 0}

    run(scene)


def test_what_is_longer_than_a_datagram_is_cut() -> None:
    async def scene() -> None:
        homer = Homer("udp")
        async with mirrored(homer) as mirror:
            mirror.received(b"a" * 65_500, FLOW, AT)
            mirror.received(b"short", FLOW, AT)
            long, short = await homer.got(2)
        assert MAX_DATAGRAM - 200 < len(long.payload) < MAX_DATAGRAM
        assert short.payload == b"short"
        assert mirror.counters == {"hep_sent": 2, "hep_dropped": 0, "hep_cut": 1}

    run(scene)


def test_a_server_that_is_not_there_costs_no_more_than_the_queue(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hep, "AGAIN", 0.01)

    async def scene() -> None:
        homer = Homer("tcp")
        async with mirrored(homer, opened=False) as mirror:
            for n in range(MAX_QUEUE + 3):
                mirror.received(b"%d" % n, FLOW, AT)
            assert mirror.counters["hep_dropped"] == 3
            async with asyncio.timeout(PATIENCE):
                while "Connection refused" not in caplog.text:
                    await asyncio.sleep(0.005)
            await homer.open()
            found = await homer.got(MAX_QUEUE)
            assert [p.payload for p in found] == [b"%d" % n for n in range(MAX_QUEUE)]
            assert mirror.counters["hep_sent"] == MAX_QUEUE

    with caplog.at_level(logging.WARNING, "guard"):
        run(scene)
    assert "homer: a message was not mirrored: tcp 127.0.0.1 port" in caplog.text


def test_octets_that_may_wait() -> None:
    async def scene() -> None:
        async with mirrored(Homer("tcp"), opened=False) as mirror:
            for _ in range(MAX_BYTES // 1_000_000 + 1):
                mirror.received(bytes(1_000_000), FLOW, AT)
            assert mirror.counters["hep_dropped"] == 1
        assert mirror.counters["hep_dropped"] == MAX_BYTES // 1_000_000 + 1  # what was left at the end

    run(scene)


def test_a_server_that_does_not_read() -> None:
    async def scene() -> None:
        async with mirrored(Homer("tcp"), reads=False) as mirror:
            async with asyncio.timeout(PATIENCE):
                while not mirror.counters["hep_dropped"]:
                    for _ in range(50):
                        mirror.received(bytes(30_000), FLOW, AT)
                    await asyncio.sleep(0.001)
            link = mirror._way
            assert isinstance(link, Connection)
            assert not link.ready
            assert link._transport is not None
            # What waits, waits in the queue, which is bounded.
            assert link._transport.get_write_buffer_size() <= HIGH_WATER + MAX_PACKET

    run(scene)


def test_nothing_more_goes_over_a_connection_that_is_lost() -> None:
    async def scene() -> None:
        homer = Homer("tcp")
        async with mirrored(homer) as mirror:
            mirror.received(b"one", FLOW, AT)
            await homer.got(1)
            link = mirror._way
            assert isinstance(link, Connection)
            link.connection_lost(None)
            assert not link.ready

    run(scene)


def test_a_server_that_comes_back(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(hep, "AGAIN", 0.01)

    async def scene() -> None:
        homer = Homer("tcp")
        async with mirrored(homer) as mirror:
            mirror.received(b"one", FLOW, AT)
            await homer.got(1)
            homer.writers[0].transport.abort()
            async with asyncio.timeout(PATIENCE):
                while len(homer.writers) < 2:
                    await asyncio.sleep(0.005)
            mirror.received(b"two", FLOW, AT)
            assert [p.payload for p in await homer.got(2)] == [b"one", b"two"]

    with caplog.at_level(logging.WARNING, "guard"):
        run(scene)
    assert "the server closed the connection" in caplog.text


def test_nobody_listens_on_a_udp_port(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        homer = Homer("udp")
        homer.sock.close()
        to = Collector("udp", "127.0.0.1", homer.port, 1, b"")
        mirror = Mirror(to, "hq", ("192.0.2.10", 5060), Voice(SystemClock.now))
        mirror.start()
        async with asyncio.timeout(PATIENCE):
            while not mirror.counters["hep_dropped"]:
                mirror.received(b"x", FLOW, AT)
                await asyncio.sleep(0.005)
        await mirror.stop()

    with caplog.at_level(logging.WARNING, "guard"):
        run(scene)
    assert "a message was not mirrored: [Errno 111] Connection refused" in caplog.text


def test_a_name_that_leads_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        to = Collector("udp", "homer.invalid", 9060, 1, b"")
        mirror = Mirror(to, "hq", ("192.0.2.10", 5060), Voice(SystemClock.now))
        mirror.start()
        async with asyncio.timeout(PATIENCE):
            while "homer: udp homer.invalid port 9060: " not in caplog.text:
                await asyncio.sleep(0.005)
        await mirror.stop()

    with caplog.at_level(logging.WARNING, "guard"):
        run(scene)


def test_what_cannot_be_a_packet_costs_itself_only(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        homer = Homer("udp")
        async with mirrored(homer) as mirror:
            mirror.received(b"odd", Flow("udp", ("192.0.2.10", 5060), ("2001:db8::5", 5060)), AT)
            mirror.received(b"good", FLOW, AT)
            assert [p.payload for p in await homer.got(1)] == [b"good"]
            assert mirror.counters["hep_dropped"] == 1

    with caplog.at_level(logging.WARNING, "guard"):
        run(scene)
    assert "are of different families" in caplog.text


def test_a_whole_guard_mirrors_calls_as_they_were_on_the_wire(tmp_path: Path) -> None:
    async def scene() -> None:
        homer = Homer("udp")
        await homer.open()
        more = f'[hep]\nserver = "udp:127.0.0.1:{homer.port}"\ncapture_id = 7\npassword = "pw"\n'
        async with guard(tmp_path, more=more) as g:
            invite = g.pbx.invite(1)
            await g.operator.next("INVITE", number=1)
            g.pbx.invite(2, caller=FOREIGN)
            refused = await g.pbx.next("403", number=2)
            await g.stop()
            records = g.log()
        found = await homer.got(7)
        await homer.close()
        pbx, operator, here = (g.pbx.host, g.pbx.port), (g.operator.host, g.operator.port), g.pbx.guard
        sip = [p for p in found if p.type == SIP]
        assert {(p.src, p.dst) for p in sip} == {(pbx, here), (here, pbx), (here, operator)}
        assert next(p.payload for p in sip if p.src == pbx) == invite
        assert refused.data in [p.payload for p in sip if p.dst == pbx]
        assert {(p.agent, p.key, p.protocol) for p in found} == {(7, b"pw", UDP)}
        verdicts = {p.correlation: json.loads(p.payload) for p in found if p.type == LOG}
        assert {k: v["verdict"] for k, v in verdicts.items()} == {b"call1": "allowed", b"call2": "blocked"}
        assert verdicts[b"call2"]["record"] == next(d.record.seq for d in records if d.record.call_id == "call2")
        assert verdicts[b"call2"]["reason"]
        assert g.app.mirror is not None
        assert g.app.mirror.counters["hep_dropped"] == 0
        assert watched(g.site.config, found) == {d.record.call_id: (d.record.verdict, d.body.rule) for d in records}

    scene_of(scene)


def watched(conf: Path, packets: list[Packet]) -> dict[str, tuple[str, str]]:
    """What another guard that watches this one decides, by Call-ID."""
    post = Post(conf, key=b"pw")
    for packet in packets:
        post.watch.packet(encode(packet), packet.at)
    post.watch.finish()
    post.writer.flush()
    details = post.writer.reader().details(Query(all=True))
    return {d.record.call_id: (d.record.verdict, d.body.rule) for d in details}


def test_without_hep_there_is_no_mirror(tmp_path: Path) -> None:
    async def scene() -> None:
        async with guard(tmp_path) as g:
            assert g.app.mirror is g.app.driver.mirror is None

    scene_of(scene)
