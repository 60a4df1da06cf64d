"""Alerts from the log to a real mosquitto: what arrives, where, how often and in which order."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from guard.ledger.incidents import Event
from guard.ledger.limits import Alert
from guard.messages.events import Trouble
from guard.model import Verdict
from guard.net.clock import SystemClock
from guard.proxy.shapes import Condition
from guard.publishing import Publisher, Publishing
from guard.store.books import Books
from guard.store.sqlite import SqliteWriter
from guard.troubles import HUNG, Troubles
from sim.ports import free_port
from tests.apprig import run
from tests.messages.broker import PATIENCE, Broker, Listener, first_ids
from tests.messages.rig import LOOK, Rig, config_of, publishing
from tests.store.making import AT

VERDICTS: Final[tuple[Verdict, ...]] = ("blocked", "allowed", "flagged", "masked")


def test_each_call_arrives_in_order_on_the_topic_of_its_verdict(
    tmp_path: Path, broker: Broker, listener: Listener
) -> None:
    config = config_of(tmp_path, f'url = "{broker.url}"')

    async def scene() -> None:
        async with publishing(config) as rig:
            for n, verdict in enumerate(VERDICTS):
                await rig.calls(10 * n, 3, verdict)
            await asyncio.to_thread(listener.until, lambda h: len([x for x in h if "/call/" in x.topic]) >= 9)

    run(scene)
    calls = listener.events("call")
    assert [h.topic for h in calls] == [
        f"guard/demo/call/{v}" for v in ("blocked", "flagged", "masked") for _ in range(3)
    ]
    assert not any(h.retained for h in calls)
    assert first_ids(calls) == [h.id for h in calls]
    assert [h.payload for h in listener.heard if h.topic == "guard/demo/status"] == [b"online", b"offline"]


def test_a_limit_that_was_passed_and_troubles_are_told_when_they_change(
    tmp_path: Path, broker: Broker, listener: Listener
) -> None:
    config = config_of(tmp_path, f'url = "{broker.url}"')
    alert = Alert(span="month", key="2026-11", accrued=7, limit=5, enforces=True)
    down = (Trouble(kind="trunk", of="operator", text="no next hop answers"),)

    async def scene() -> None:
        async with publishing(config) as rig:
            rig.publisher.passed(alert)
            for troubles in (down, down, (), ()):
                rig.publisher.troubled(troubles)
            await asyncio.to_thread(listener.until, lambda h: len([x for x in h if x.payload[:1] == b"{"]) >= 3)

    run(scene)
    assert [h.topic for h in listener.events()] == ["guard/demo/penalty"] + ["guard/demo/health"] * 2


@pytest.mark.parametrize("off", ["penalties", "health", "incidents"])
def test_what_is_switched_off_is_not_told(tmp_path: Path, broker: Broker, listener: Listener, off: str) -> None:
    config = config_of(tmp_path, f'url = "{broker.url}"\n{off} = false')

    async def scene() -> None:
        async with publishing(config) as rig:
            with Books(rig.store.path, config.zone) as books:
                books.open(Event(step="open", at=AT, written=AT, subject="+33145678900"))
            rig.publisher.passed(Alert(span="month", key="2026-11", accrued=7, limit=5))
            rig.publisher.troubled(())
            await rig.calls(1, 1)
            await asyncio.to_thread(listener.until, lambda h: len([x for x in h if x.payload[:1] == b"{"]) >= 3)

    run(scene)
    kinds = {"penalties": "penalty", "health": "health", "incidents": "incident"}
    wanted = {"call", *(v for k, v in kinds.items() if k != off)}
    assert {h.topic.split("/")[2] for h in listener.events()} == wanted


class Hops:
    """What the core says of its next hops."""

    def __init__(self, *up: bool) -> None:
        self.up = up

    def conditions(self, now: int) -> tuple[Condition, ...]:
        """As `ProxyCore.conditions`."""
        assert now >= 7  # the timeline, handed on
        return tuple(
            Condition("operator", ("udp", f"192.0.2.{n}", 5060), up, "" if up else "silent")
            for n, up in enumerate(self.up)
        )


class Log:
    """What a log says of itself."""

    path = "guard.db"
    faults = lost = pending = written = 0
    last_error: BaseException | None = OSError("disk full")

    def __init__(self) -> None:
        self.replaces: dict[str, str] = {}


def test_what_is_a_trouble(caplog: pytest.LogCaptureFixture) -> None:
    hops, log = Hops(True, True), Log()
    told: list[tuple[Trouble, ...]] = []
    watch = Troubles(hops, log, lambda: 7, told.append)

    def now() -> list[tuple[str, str]]:
        watch.look()
        return [(t.kind, t.of) for t in told[-1]]

    assert now() == []
    hops.up = (True, False)
    assert now() == [("next-hop", "operator: udp 192.0.2.1 port 5060")]
    hops.up = (False,)
    assert now() == [("next-hop", "operator: udp 192.0.2.0 port 5060"), ("trunk", "operator")]
    hops.up = (True,)
    log.faults, log.pending = 1, 4
    assert now() == now() == [("log", "guard.db")]
    assert "disk full" in told[-1][0].text
    assert [r.getMessage() for r in caplog.records] == [
        "guard.db is not written: disk full; what it is to hold waits in memory"
    ]
    log.pending = 0
    assert now() == now() == []
    assert [r.getMessage() for r in caplog.records][1:] == ["guard.db is written again"]
    log.lost = 3
    assert now() == [("log-lost", "guard.db")]
    log.lost = 0
    for name in ("guard.db", "guard.db-books"):
        log.replaces[name] = f"{name}-damaged-20261121T120000Z"
    assert now() == [("log-lost", "guard.db"), ("log-lost", "guard.db-books")]
    assert "20261121" in told[-1][0].text


@pytest.mark.parametrize(
    ("pending", "written", "after", "why"),
    [
        (9, 1, HUNG, ""),  # in time
        (9, 1, HUNG + 1, "has not answered"),
        (9, 2, HUNG + 1, ""),  # slow, but it gets further
        (0, 1, HUNG + 1, ""),  # nothing to write
    ],
)
def test_a_disk_that_does_not_answer_is_a_trouble(pending: int, written: int, after: int, why: str) -> None:
    log, at = Log(), 0
    told: list[tuple[Trouble, ...]] = []
    watch = Troubles(Hops(), log, lambda: 7 + at, told.append)
    log.written = 1
    watch.look()
    log.pending, log.written, at = pending, written, after
    watch.look()
    watch.look()
    assert [bool(why) and why in t.text for t in told[-1]] == [True] * bool(why)
    log.pending, log.written = 5, 7  # others wait by now
    watch.look()
    assert told[-1] == ()


def test_another_broker_takes_over_what_waits_without_a_restart(
    tmp_path: Path, broker: Broker, listener: Listener
) -> None:
    """The first is not there; the second gets all of it. Without [mqtt] nothing is told, and nothing is lost."""
    nowhere = config_of(tmp_path, f'url = "mqtt://127.0.0.1:{free_port("127.0.0.1")}"\nrate = 10000')
    there = config_of(tmp_path, f'url = "{broker.url}"\nrate = 10000')

    async def scene() -> None:
        store = SqliteWriter(nowhere.store_path, site=nowhere.site)
        faults: list[Exception] = []
        publishing = Publishing(store, nowhere, SystemClock(), faults.append, look=LOOK)
        rig = Rig(nowhere, store)
        publishing.start()
        await rig.calls(0, 3)
        publishing.adopt(there)
        publishing.troubled(())
        await asyncio.to_thread(listener.until, lambda heard: len([h for h in heard if "/call/" in h.topic]) == 3)
        none = replace(there, broker=None)
        publishing.adopt(none)
        publishing.adopt(there)
        publishing.adopt(none)
        await asyncio.to_thread(listener.until, lambda heard: heard[-1].payload == b"offline")
        assert publishing.publisher is None
        publishing.passed(Alert(span="day", key="2026-11-21", accrued=2, limit=1))
        await rig.calls(3, 2)
        publishing.adopt(replace(there, file=replace(there.file, site="other")))
        publishing.adopt(there)
        await asyncio.to_thread(listener.until, lambda heard: len([h for h in heard if "/call/" in h.topic]) == 5)
        await publishing.stop()
        store.close()
        assert faults == []

    run(scene)
    assert len(first_ids(listener.events("call"))) == 5


def test_what_comes_before_a_slow_publisher_has_begun_is_told_by_the_next(
    tmp_path: Path, broker: Broker, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread gets no turn until it is to leave: the outbox still begins where the guard began, and a limit that is
    passed between two brokers is told as well."""
    nowhere = config_of(tmp_path, f'url = "mqtt://127.0.0.1:{free_port("127.0.0.1")}"')
    there = config_of(tmp_path, f'url = "{broker.url}"')
    turn, work = threading.Event(), Publisher._run

    def late(self: Publisher) -> None:
        assert turn.wait(PATIENCE)
        work(self)

    async def scene() -> None:
        store = SqliteWriter(nowhere.store_path, site=nowhere.site)
        faults: list[Exception] = []
        publishing = Publishing(store, nowhere, SystemClock(), faults.append, look=LOOK)
        first, rig = publishing.publisher, Rig(nowhere, store)
        assert first is not None
        publishing.start()
        await rig.calls(0, 3)
        publishing.adopt(there)
        while not first._leaving.is_set():
            await asyncio.sleep(0)
        publishing.passed(Alert(span="day", key="2026-11-21", accrued=2, limit=1))
        turn.set()
        await asyncio.to_thread(listener.until, lambda heard: len([h for h in heard if "/call/" in h.topic]) == 3)
        await asyncio.to_thread(listener.until, lambda heard: [h for h in heard if h.topic == "guard/demo/penalty"])
        await publishing.stop()
        store.close()
        assert faults == []

    monkeypatch.setattr(Publisher, "_run", late)
    run(scene)


def test_guards_of_one_site_have_topics_and_connections_of_their_own(
    tmp_path: Path, broker: Broker, listener: Listener
) -> None:
    """A broker has one client of a name: two guards of a fleet with one name would throw each other out."""

    async def scene() -> None:
        one, other = (config_of(tmp_path / n, f'url = "{broker.url}"\ntopic = "guard/{n}"') for n in "ab")
        async with publishing(one) as a, publishing(other) as b:
            for n, rig in enumerate((a, b)):
                await rig.calls(0, 1)
                await asyncio.to_thread(
                    listener.until, lambda heard, n=n: len([h for h in heard if "/call/" in h.topic]) == n + 1
                )

    run(scene)
    listener.until(lambda heard: [h.payload for h in heard].count(b"offline") == 2)
    for name in "ab":
        said = [h.payload for h in listener.heard if h.topic == f"guard/{name}/demo/status"]
        assert said == [b"online", b"offline"], "neither threw the other out"
