"""A whole guard in this process: calls through real sockets, its start, its stop and the clocks that it follows."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from guard.app import App
from guard.app_parts import open_store
from guard.config import load
from guard.engine import Engine
from guard.net.clock import SystemClock
from guard.nexthops import resolved
from guard.policy.load import load_policy
from guard.recount import Past, recount
from guard.state.contract import State
from guard.state.memory import MemoryState
from guard.store.contract import Query
from guard.store.errors import StoreError
from guard.store.reader import Detail, SqliteReader
from sim.ports import free_port
from sim.site import GUARD, MAIN, Site
from tests.apprig import FOREIGN, MASKED, PATIENCE, Peer, guard, rules, run


def test_a_call_from_the_first_invite_to_the_record_of_its_end(tmp_path: Path) -> None:
    async def scene() -> None:
        async with guard(tmp_path) as g:
            await g.connected()
            await g.hung_up()
            await g.stop()
            (call,) = g.log()
            assert (call.record.verdict, call.record.call_id) == ("allowed", "call1")
            assert call.end is not None
            assert (call.end.outcome, call.end.by) == ("answered", "caller")

    run(scene)


def test_a_masked_call_and_a_refused_one_are_on_disk_when_they_show(tmp_path: Path) -> None:
    async def scene() -> None:
        async with guard(tmp_path) as g:
            committed: list[int] = []
            tell = g.store._tell

            def telling(entry: object, error: BaseException | None) -> None:
                committed.append(1)
                tell(entry, error)  # type: ignore[arg-type]

            g.store._tell = telling  # type: ignore[method-assign]
            invite = await g.carried(1, caller=MASKED)
            assert len(committed) >= 1
            assert MAIN.encode() in invite.from_().uri
            g.pbx.invite(2, caller=FOREIGN)
            refusal = await g.pbx.next("403")
            assert len(committed) >= 2
            assert b"cli.not-authorised #" in (refusal.first(b"reason") or b"")
            await g.stop()
            assert [c.record.verdict for c in g.log()] == ["masked", "blocked"]

    run(scene)


def test_stopping_commits_what_nobody_waited_for(tmp_path: Path) -> None:
    async def scene() -> None:
        async with guard(tmp_path) as g:
            for number in range(20):
                await g.carried(number)
            await g.stop()
            assert len(g.log()) == 20
            with pytest.raises(StoreError, match="closed"):
                g.store.flush()
            again = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            with again:
                again.bind((GUARD, g.site.port))

    run(scene)


def test_a_call_that_was_up_can_be_hung_up_after_a_restart(tmp_path: Path) -> None:
    async def scene() -> None:
        async with guard(tmp_path) as g:
            await g.connected()
            await g.stop()
            (call,) = g.log()
            assert call.end is None
            config = load(g.site.config)
            policy = load_policy(config)
            again = App(config, policy, open_store(config, policy), resolved(config))
            await again.start()
            try:
                await g.hung_up()
                await g.connected(2)
            finally:
                await again.stop()

    run(scene)


def test_what_ends_while_the_past_is_counted_is_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that goes on from the life before is of the past, its end is not."""
    read, go = SqliteReader._page, threading.Event()
    past: list[tuple[int, bool]] = []

    def later(self: SqliteReader, seqs: Sequence[int]) -> Iterator[Detail]:
        assert go.wait(PATIENCE)
        return read(self, seqs)

    def counted(engine: Engine, state: State, calls: Iterable[Past]) -> Iterator[int]:
        found = list(calls)
        past.extend((seq, end is not None) for seq, _, end in found)
        return recount(engine, state, found)

    async def scene() -> None:
        async with guard(tmp_path) as g:
            await g.connected(1)
            await g.connected(2)
            await g.hung_up(2)
            await g.stop()
            monkeypatch.setattr(SqliteReader, "_page", later)
            monkeypatch.setattr("guard.recounting.recount", counted)
            config = load(g.site.config)
            policy = load_policy(config)
            store = open_store(config, policy)
            again = App(config, policy, store, resolved(config))
            await again.start()
            try:
                await g.hung_up(1)
                await g.connected(3)
                store.flush()
                go.set()
                assert again._recounting is not None
                await again._recounting
            finally:
                await again.stop()
            assert past == [(1, False), (2, True)]

    run(scene)


def test_what_arrives_while_stopping_is_left_alone(tmp_path: Path) -> None:
    async def scene() -> None:
        async with guard(tmp_path) as g:
            await g.carried()
            stopping = asyncio.ensure_future(g.stop())
            g.pbx.invite(2)
            await stopping
            assert {c.record.call_id for c in g.log()} <= {"call1", "call2"}

    run(scene)


def test_tcp_is_served_on_the_same_port(tmp_path: Path) -> None:
    async def scene() -> None:
        async with guard(tmp_path) as g:
            reader, writer = await asyncio.open_connection(GUARD, g.site.port, local_addr=(g.pbx.host, 0))
            writer.write(
                f"OPTIONS sip:{GUARD}:{g.site.port} SIP/2.0\r\nVia: SIP/2.0/TCP {g.pbx.host};branch=z9hG4bKx\r\n"
                f"Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:b>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n"
                f"Content-Length: 0\r\n\r\n".encode()
            )
            async with asyncio.timeout(PATIENCE):
                assert (await reader.readline()) == b"SIP/2.0 200 OK\r\n"
            writer.close()
            await writer.wait_closed()

    run(scene)


class SetClock:
    """The machine's clocks, of which the wall clock was set."""

    moved = 0

    @staticmethod
    def now() -> int:
        return SystemClock.now()

    @classmethod
    def wall(cls) -> int:
        return SystemClock.wall() + cls.moved


def test_records_follow_a_wall_clock_that_was_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("guard.app.SystemClock", SetClock)
    monkeypatch.setattr("guard.app.TICK", 0.001)
    year = 365 * 86_400 * 1_000_000

    async def scene() -> None:
        async with guard(tmp_path) as g:
            await g.carried(1)
            SetClock.moved = year
            async with asyncio.timeout(PATIENCE):
                while not g.counters["wall_clock_set"]:
                    await asyncio.sleep(0.001)
            await g.connected(2)
            await g.hung_up(2)
            await g.stop()
            first, second = g.log()
            assert year <= second.body.at - first.body.at < year + 60_000_000
            assert second.end is not None
            assert 0 <= second.end.at - second.body.at < 60_000_000

    with caplog.at_level(logging.INFO, "guard"):
        run(scene)
    assert caplog.text.count("wall clock: was set") == 1


def test_systemd_hears_of_start_life_and_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as supervisor:
            supervisor.bind(str(tmp_path / "notify"))
            loop = asyncio.get_running_loop()
            async with guard(tmp_path):
                heard: list[bytes] = []
                while heard.count(b"WATCHDOG=1") < 2:
                    heard += (await loop.sock_recv(supervisor, 500)).split(b"\n")
            told = [line for line in heard if line.startswith((b"READY", b"WATCHDOG"))]
            assert told == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
            last = b""
            while last != b"STOPPING=1":
                last = supervisor.recv(500).split(b"\n")[0]

    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "4000")
    run(scene)


def test_a_recurring_look_that_raises_comes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guard.app.TICK", 0.001)

    async def scene() -> None:
        async with guard(tmp_path) as g:
            looks: list[int] = []

            def broken() -> None:
                looks.append(1)
                raise RuntimeError("a fault of ours")

            g.app._every(0.001, broken)
            async with asyncio.timeout(PATIENCE):
                while len(looks) < 3 or g.counters["exceptions"] < 3:
                    await asyncio.sleep(0.001)

    run(scene)


def site(folder: Path, **changes: object) -> Site:
    found = Site(folder=folder, port=free_port(GUARD), trunk_port=5060, pbx_port=5060, **changes)  # type: ignore[arg-type]
    found.write()
    return found


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_port_in_use_is_named_and_nothing_is_left_open(tmp_path: Path, transport: str) -> None:
    async def scene() -> None:
        s = site(tmp_path)
        kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        with socket.socket(socket.AF_INET, kind) as taken:
            taken.bind((GUARD, s.port))
            if transport == "tcp":
                taken.listen()
            config = load(s.config)
            policy = load_policy(config)
            app = App(config, policy, open_store(config, policy), resolved(config))
            with pytest.raises(OSError, match=f"cannot listen on {GUARD}:{s.port}: "):
                await app.start()
            await app.stop()
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            with socket.socket(socket.AF_INET, kind) as free:
                free.bind((GUARD, s.port))

    run(scene)


def test_rate_limited_calls_wait_and_leave(tmp_path: Path) -> None:
    """The desk's clock is the loop's: a held call leaves by itself."""

    async def scene() -> None:
        async with guard(tmp_path, cps=2) as g:
            for number in (1, 2, 3):
                g.pbx.invite(number)
            for number in (1, 2, 3):
                await g.operator.next("INVITE", number=number)
            assert g.counters["held"] == 1
            await g.stop()
            assert [("rate.cps" in rules(c), c.record.held_ms > 0) for c in g.log()] == [
                (False, False),
                (False, False),
                (True, True),
            ]

    run(scene)


def test_a_stranger_gets_no_answer_but_a_record(tmp_path: Path) -> None:
    async def scene() -> None:
        async with guard(tmp_path) as g:
            stranger = Peer("127.0.0.9", g.pbx.guard)
            stranger.invite()
            await g.carried(2)
            with stranger.sock, pytest.raises(BlockingIOError):
                stranger.sock.recv(1)
            await g.stop()
            assert [(c.body.source_address, rules(c)) for c in g.log() if c.record.verdict == "blocked"] == [
                ("127.0.0.9", ["source.unknown"])
            ]

    run(scene)


def test_an_emergency_call_from_an_unlisted_private_address_is_carried(tmp_path: Path) -> None:
    async def scene() -> None:
        async with guard(tmp_path) as g:
            phone = Peer("127.0.0.9", g.pbx.guard)
            with phone.sock:
                phone.invite(uri=f"sip:112@{GUARD}")
                g.answer(await g.operator.next("INVITE"), 200)
                await phone.next("200")

    run(scene)


def test_stopping_while_the_log_is_read_waits_for_the_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file closed under the thread that reads it ends the process."""
    reading, go = threading.Event(), threading.Event()
    seqs, close = SqliteReader._seqs, SqliteReader.close
    order: list[str] = []
    slow_ones: list[SqliteReader] = []  # others read the log too, and are done with it

    def slow(self: SqliteReader, query: Query) -> array[int]:
        slow_ones.append(self)
        reading.set()
        assert go.wait(PATIENCE)
        found = seqs(self, query)
        order.append("read")
        return found

    def closing(self: SqliteReader) -> None:
        if self in slow_ones:
            order.append("closed")
        close(self)

    async def scene() -> None:
        async with guard(tmp_path) as g:
            assert await asyncio.to_thread(reading.wait, PATIENCE)
            await g.carried()
            stopping = asyncio.ensure_future(g.stop())
            for _ in range(20):
                await asyncio.sleep(0)
            go.set()
            await stopping
            assert order == ["read", "closed"]

    monkeypatch.setattr(SqliteReader, "_seqs", slow)
    monkeypatch.setattr(SqliteReader, "close", closing)
    run(scene)


def test_a_fault_in_reading_the_log_costs_no_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: SqliteReader, query: Query) -> array[int]:
        raise ZeroDivisionError

    async def scene() -> None:
        async with guard(tmp_path) as g:
            with monkeypatch.context() as faulty:
                faulty.setattr(SqliteReader, "_seqs", broken)
                async with asyncio.timeout(PATIENCE):
                    while not g.counters["exceptions"]:
                        await asyncio.sleep(0.001)
            await g.carried()
            await g.stop()
            assert len(g.log()) == 1

    run(scene)


def test_the_talk_of_a_call_counts_for_the_next(tmp_path: Path) -> None:
    """What a quota of talk time is read from comes with the end of each call."""

    async def scene() -> None:
        async with guard(tmp_path) as g:
            await g.connected()
            await g.hung_up()
            await g.carried(2)
            await g.stop()
            first = g.log()[0]
            assert first.end is not None
            assert first.end.talk_us > 0
            since = 0
            assert isinstance(g.app._state, MemoryState)
            assert g.app._state.tallies.total("talk:trunk:operator", since)[0] == first.end.talk_us

    run(scene)
