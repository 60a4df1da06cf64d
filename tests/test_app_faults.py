"""No rightful call is lost to a fault of ours: faults made on purpose in a whole guard, and calls meanwhile."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from guard.net.udp import UdpSocket
from guard.proxy import facts
from guard.proxy.door import Door
from guard.proxy.forward import Forwarder
from guard.store.errors import StoreError
from sim.site import GUARD, MAIN
from tests.apprig import FOREIGN, MASKED, PATIENCE, Peer, Rig, guard, rules, run

PASS = '\n[faults]\nengine = "pass"\nstore = "pass"\n'
BLOCK = '\n[faults]\nengine = "block"\nstore = "block"\n'
SOS = f"sip:112@{GUARD}"
FLOOD = 10_000  # datagrams


class Bug(Exception):
    """A fault of ours."""


def buggy(*_: object, **__: object) -> object:
    raise Bug


async def settled(g: Rig, counter: str, least: int = 1) -> None:
    async with asyncio.timeout(PATIENCE):
        while g.counters[counter] < least:
            await asyncio.sleep(0.001)


# ---- a bug while a call is looked at ---------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["facts", "door"])
def test_a_call_that_we_cannot_read_passes_where_the_file_says_so(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with guard(tmp_path, more=PASS) as g:
            with monkeypatch.context() as broken:
                _break(broken, where)
                await g.connected()
            await g.hung_up()
            await g.connected(2)
            assert g.counters["faults_engine"] == g.counters["exceptions"] == 1
            await g.stop()
            first, second = g.log()
            assert (first.record.verdict, rules(first)) == ("flagged", ["fault.engine"])
            assert first.body.findings[0].facts == {"error": "Bug"}
            assert first.record.outcome == "answered"
            assert first.record.call_id == "call1"
            assert (second.record.verdict, rules(second)) == ("allowed", [])

    run(scene)


@pytest.mark.parametrize("where", ["facts", "door"])
def test_a_call_that_we_cannot_read_is_stopped_where_the_file_says_so(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with guard(tmp_path, more=BLOCK) as g:
            with monkeypatch.context() as broken:
                _break(broken, where)
                g.pbx.invite()
                refusal = await g.pbx.next("480")
            assert int(refusal.first(b"retry-after") or b"0") > 0
            assert b"fault.engine #1" in (refusal.first(b"reason") or b"")
            g.pbx.say("ACK")
            await g.operator.none_of("INVITE")
            await g.connected(2)
            await g.stop()
            assert [(c.record.verdict, rules(c)) for c in g.log()] == [
                ("blocked", ["fault.engine"]),
                ("allowed", []),
            ]

    run(scene)


def _break(broken: pytest.MonkeyPatch, where: str) -> None:
    if where == "facts":
        broken.setattr(facts, "attempt", buggy)
    else:
        broken.setattr(Door, "acceptable", buggy)


@pytest.mark.parametrize("more", [PASS, BLOCK], ids=["pass", "block"])
@pytest.mark.parametrize("where", ["attempt", "emergency", "engine", "log"])
def test_an_emergency_call_passes_whatever_is_broken(
    where: str, more: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with guard(tmp_path, more=more) as g:
            with monkeypatch.context() as broken:
                if where == "engine":
                    broken.setattr(g.app.desk, "submit", buggy)
                elif where == "log":
                    broken.setattr(g.store, "decided", buggy)
                else:
                    broken.setattr(facts, where, buggy)
                await g.connected(1, uri=SOS)
            await g.hung_up()
            await g.stop()
            assert [c.record.verdict for c in g.log()] == ([] if where == "log" else ["flagged"])

    run(scene)


def test_a_call_that_fails_twice_gets_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        async with guard(tmp_path, more=PASS) as g:
            with monkeypatch.context() as broken:
                broken.setattr(Forwarder, "request", buggy)
                g.pbx.invite()
                refusal = await g.pbx.next("480")
                assert int(refusal.first(b"retry-after") or b"0") > 0
                g.pbx.say("ACK")
            await g.connected(2)
            await g.stop()
            assert [c.record.final_status for c in g.log()][:1] == [480]

    run(scene)


def test_a_request_within_a_call_that_we_cannot_handle_gets_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with guard(tmp_path) as g:
            await g.connected()
            with monkeypatch.context() as broken:
                broken.setattr(Forwarder, "request", buggy)
                g.pbx.say("INFO", cseq=2)
                await g.pbx.next("500")
            g.pbx.say("BYE", cseq=3)
            g.answer(await g.operator.next("BYE"), 200)
            await g.pbx.next("200")
            await g.stop()
            assert g.log()[0].record.outcome == "answered"

    run(scene)


def test_a_call_from_the_operator_that_we_cannot_read_is_carried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with guard(tmp_path, more=BLOCK) as g:
            with monkeypatch.context() as broken:
                broken.setattr(facts, "attempt", buggy)
                g.operator.invite(uri=f"sip:{MAIN}@{GUARD}")
                await g.pbx.next("INVITE")
            await g.stop()
            assert [(c.record.direction, c.record.verdict) for c in g.log()] == [("inbound", "flagged")]

    run(scene)


@pytest.mark.parametrize(("more", "wanted"), [(PASS, "flagged"), (BLOCK, "blocked")], ids=["pass", "block"])
def test_a_decision_that_raises(more: str, wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        async with guard(tmp_path, more=more) as g:
            with monkeypatch.context() as broken:
                broken.setattr(g.app.desk._engine, "decide", buggy)
                g.pbx.invite()
                if wanted == "flagged":
                    await g.operator.next("INVITE")
                else:
                    await g.pbx.next("480")
            await g.connected(2)
            await g.stop()
            assert [c.record.verdict for c in g.log()] == [wanted, "allowed"]

    run(scene)


def test_held_calls_are_not_left_waiting_for_a_desk_that_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with guard(tmp_path, cps=1, more=PASS) as g:
            await g.carried(1)
            g.pbx.invite(2)
            g.pbx.invite(3)
            await settled(g, "held", 2)
            with monkeypatch.context() as broken:
                broken.setattr(g.app.desk, "wake", buggy)
                await g.operator.next("INVITE", number=2)
                await g.operator.next("INVITE", number=3)
            await g.stop()
            assert [rules(c) for c in g.log()][1:] == [["fault.engine"]] * 2

    run(scene)


# ---- the log fails ---------------------------------------------------------------------------------------------------


class HungDisk:
    """The writer's thread stops in the middle of a commit until it is let go."""

    def __init__(self, g: Rig) -> None:
        self.reached = threading.Event()
        self._go = threading.Event()
        self._transaction: Callable[..., None] = g.store._transaction
        self.returned = False
        g.store._transaction = self._hang  # type: ignore[method-assign, assignment]

    def _hang(self, batch: list[object]) -> None:
        self.reached.set()
        assert self._go.wait(4 * PATIENCE)
        self._transaction(batch)
        self.returned = True

    async def hanging(self) -> None:
        assert await asyncio.to_thread(self.reached.wait, PATIENCE)

    def go(self) -> None:
        self._go.set()


async def with_a_hung_disk(g: Rig, what: Callable[[HungDisk], Awaitable[None]]) -> None:
    disk = HungDisk(g)
    try:
        g.pbx.invite(100, caller=FOREIGN)  # what makes the writer commit
        await disk.hanging()
        await what(disk)
        assert not disk.returned, "all of that happened while the disk hung"
    finally:
        disk.go()


def test_while_the_disk_hangs_calls_go_on(tmp_path: Path) -> None:
    async def scene() -> None:
        async with guard(tmp_path, more=PASS) as g:

            async def meanwhile(disk: HungDisk) -> None:
                await g.connected(1, uri=SOS)
                await g.connected(2)
                await g.carried(3, caller=MASKED)
                await g.pbx.next("403", number=100)
                assert g.counters["store_late"] == 2

            await with_a_hung_disk(g, meanwhile)
            await g.stop()
            assert sorted(c.record.call_id for c in g.log()) == ["call1", "call100", "call2", "call3"]

    run(scene)


def test_while_the_disk_hangs_calls_are_stopped_where_the_file_says_so(tmp_path: Path) -> None:
    async def scene() -> None:
        async with guard(tmp_path, more=BLOCK) as g:

            async def meanwhile(disk: HungDisk) -> None:
                await g.connected(1, uri=SOS)
                g.pbx.invite(2)
                refusal = await g.pbx.next("480", number=2)
                assert b"fault.store" in (refusal.first(b"reason") or b"")
                await g.operator.none_of("INVITE")

            await with_a_hung_disk(g, meanwhile)
            await g.connected(4)
            await g.stop()
            said = {c.record.call_id: (c.record.verdict, c.record.outcome, c.record.final_status) for c in g.log()}
            assert said["call2"] == ("allowed", "blocked", 480), "its end tells what became of what was decided"

    run(scene)


def test_an_emergency_call_leaves_before_the_log_call_returns(tmp_path: Path) -> None:
    """By order of events: the disk is let go only after the operator has the INVITE."""

    async def scene() -> None:
        async with guard(tmp_path, more=BLOCK) as g:

            async def meanwhile(disk: HungDisk) -> None:
                g.pbx.invite(1, uri=SOS)
                await g.operator.next("INVITE", number=1)
                assert not disk.returned

            await with_a_hung_disk(g, meanwhile)

    run(scene)


@pytest.mark.parametrize("more", [PASS, BLOCK], ids=["pass", "block"])
def test_a_log_that_another_process_has_locked(more: str, tmp_path: Path) -> None:
    async def scene() -> None:
        async with guard(tmp_path, more=more + "deadline_ms = 10000\n") as g:
            other = sqlite3.connect(g.store.path, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            try:
                await g.connected(1, uri=SOS)
                g.pbx.invite(2, caller=MASKED)
                if more == PASS:
                    assert MAIN.encode() in (await g.operator.next("INVITE", number=2)).from_().uri
                else:
                    await g.pbx.next("480", number=2)
                assert g.counters["faults_store"] == 1
            finally:
                other.execute("ROLLBACK")
                other.close()
            await g.connected(3)
            await g.stop()
            assert [c.record.call_id for c in g.log()] == ["call1", "call2", "call3"]

    run(scene)


@pytest.mark.parametrize("more", [PASS, BLOCK], ids=["pass", "block"])
def test_a_full_disk(more: str, tmp_path: Path) -> None:
    """SQLite's own SQLITE_FULL, by max_page_count: the same with and without root."""

    async def scene() -> None:
        async with guard(tmp_path, more=more + "deadline_ms = 10000\n") as g:
            (pages,) = g.store._db.execute("PRAGMA page_count").fetchone()
            g.store._db.execute(f"PRAGMA max_page_count = {pages}")
            refused, number = 0, 0
            while not refused:  # until the last page is full
                number += 1
                g.pbx.invite(number, caller=FOREIGN)
                assert (await g.pbx.final(number)).status in ({403} if more == PASS else {403, 480})
                refused = g.counters["faults_store"]
                assert number < 500
            await g.connected(1001, uri=SOS)
            g.pbx.invite(1002)
            if more == PASS:
                await g.operator.next("INVITE", number=1002)
            else:
                await g.pbx.next("480", number=1002)
            g.store._db.execute("PRAGMA max_page_count = 1000000")
            await g.connected(1003)
            await g.stop()
            logged = {c.record.call_id for c in g.log()}
            assert logged == {f"call{n}" for n in (*range(1, number + 1), 1001, 1002, 1003)}

    run(scene)


def test_stopping_on_a_full_disk_says_how_much_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guard.store.sqlite.CLOSE_PATIENCE", 0.05)

    async def scene() -> None:
        async with guard(tmp_path) as g:
            (pages,) = g.store._db.execute("PRAGMA page_count").fetchone()
            g.store._db.execute(f"PRAGMA max_page_count = {pages}")
            for number in range(60):
                g.pbx.invite(number, caller=FOREIGN)
                await g.pbx.final(number)
            g.stopped = True
            with pytest.raises(StoreError, match="entries could not be written: database or disk is full"):
                await g.app.stop()

    run(scene)


# ---- a flood from one stranger ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["garbage", "INVITE"])
def test_a_flood_does_not_stop_service(kind: str, tmp_path: Path) -> None:
    async def scene() -> None:
        async with guard(tmp_path) as g:
            stranger = Peer("127.0.0.9", g.pbx.guard)
            with stranger.sock:
                flooding = asyncio.ensure_future(_flood(stranger, kind))
                data = g.pbx.invite(1)
                invite = await g.pbx.insist(data, g.operator.next("INVITE", number=1))
                g.answer(invite, 200)
                await g.pbx.next("200", number=1)
                g.pbx.say("ACK")
                await flooding
                await g.connected(2)
                core = g.app.core
                assert core.counters["unreadable" if kind == "garbage" else "strangers"] > 0
                assert core.calls == 2
                assert core.transactions <= 4
                assert len(core._c.timers) <= 40
                (sock,) = g.app.driver._udp.values()
                assert isinstance(sock, UdpSocket)
                assert len(sock._flows) <= 3
                assert g.counters["exceptions"] == 0
                with pytest.raises(BlockingIOError):
                    stranger.sock.recv(1)
            await g.stop()
            records = [c for c in g.log() if c.body.source_address == "127.0.0.9"]
            assert len(records) + g.counters["strangers_unrecorded"] == core.counters["strangers"]

    run(scene)


async def _flood(stranger: Peer, kind: str) -> None:
    for number in range(FLOOD):
        if kind == "garbage":
            stranger.send(b"\xff\x00garbage %d\r\n\r\n" % number)
        else:
            stranger.invite(number)
        if number % 50 == 49:
            await asyncio.sleep(0)
