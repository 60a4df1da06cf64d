"""Shared counters that are lost are one incident: opened, noted, resolved; told by MQTT on one topic, and as health."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import Struct

from guard.counterincident import AGAIN, RULE, SUBJECT, CounterIncident, troubles_of
from guard.ledger.incidents import Event, Incident
from guard.net import redislink
from guard.store.books import OPENED_A_DAY, Books
from guard.store.schema import MEMORY
from tests.apprig import guard, run
from tests.deciding import NOW
from tests.messages.broker import Broker, Listener
from tests.state.server import serving
from tests.state.test_three_guards import link, serves, until
from tests.store.making_log import PARIS
from tests.test_alerts import Stopped


class Link(Struct):
    """What a way to the server says."""

    trouble: str | None = None
    place: str = "127.0.0.1 port 6379"


class Scene:
    """One guard's life after another on one log."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "guard.db")
        self.link = Link()
        self.clock = Stopped(NOW)
        self.faults: list[Exception] = []

    def life(self, path: str = "") -> CounterIncident:
        return CounterIncident(path or self.path, PARIS, self.link, self.clock, self.faults.append, look=0.005)

    def books(self) -> list[Incident]:
        with Books(self.path, PARIS) as books:
            return list(books.incidents().values())

    async def until(self, what: Callable[[list[Incident]], bool]) -> list[Incident]:
        async with asyncio.timeout(20):
            while not what(found := self.books()):
                await asyncio.sleep(0.005)
        return found


def test_it_is_opened_noted_and_resolved_under_one_number(tmp_path: Path) -> None:
    async def scene() -> None:
        s = Scene(tmp_path)
        life = s.life()
        life.start()
        s.link.trouble = "gone: Connection refused"
        await s.until(lambda found: len(found) == 1)
        s.link.trouble = "full: out of memory"
        await s.until(lambda found: len(found[0].events) == 2)
        s.link.trouble = ""
        (found,) = await s.until(lambda found: not found[0].live)
        assert [(e.step, e.text) for e in found.events] == [
            ("open", "gone: Connection refused"), ("note", "full: out of memory"), ("resolve", AGAIN),
        ]  # fmt: skip
        assert (found.subject_kind, found.subject, found.trunk, found.rule) == ("guard", SUBJECT, "", RULE)
        s.clock.at += 1
        s.link.trouble = "gone: again"
        assert [i.id for i in await s.until(lambda found: len(found) == 2)] == [1, 4]
        await life.stop()
        assert s.faults == []

    asyncio.run(scene())


def test_one_that_an_earlier_life_left_open_goes_on_or_is_over(tmp_path: Path) -> None:
    async def scene() -> None:
        s = Scene(tmp_path)
        s.link.trouble = "gone: no"
        for _ in range(2):
            life = s.life()
            life.start()
            await s.until(lambda found: len(found) == 1)
            await life.stop()
        assert len(s.books()[0].events) == 1
        s.link.trouble = None  # not known yet
        life = s.life()
        life.start()
        await asyncio.sleep(0.02)
        assert s.books()[0].live
        s.link.trouble = ""
        await s.until(lambda found: not found[0].live)
        await life.stop()

    asyncio.run(scene())


def test_a_person_may_resolve_it_and_what_comes_and_goes_is_bounded(tmp_path: Path) -> None:
    s = Scene(tmp_path)
    life = s.life()
    life._write("gone: no")
    with Books(s.path, PARIS) as books:
        books.step(Event(step="resolve", at=NOW, written=NOW, who="me", incident=1))
    life._write("")
    assert len(s.books()[0].events) == 2
    for _ in range(OPENED_A_DAY + 3):
        s.clock.at += 1
        life._write("gone: no")
        life._write("")
    assert sum(i.subject_kind == "guard" for i in s.books()) == OPENED_A_DAY


def test_books_that_refuse_are_told_once_and_a_log_of_nobody_has_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        s = Scene(tmp_path)
        (tmp_path / "guard.db-books").write_text("no database", encoding="utf-8")
        s.link.trouble = "gone: no"
        life = s.life()
        life.start()
        await asyncio.sleep(0.05)
        await life.stop()
        nobodys = s.life(MEMORY)
        nobodys.start()
        await asyncio.sleep(0.02)
        await nobodys.stop()
        assert s.faults == []

    with caplog.at_level(logging.WARNING):
        asyncio.run(scene())
    assert caplog.text.count("that shared counters are away, or back, is not written") == 1


def test_it_is_health_too() -> None:
    assert troubles_of(None)() == ()
    assert troubles_of(Link())() == ()
    (trouble,) = troubles_of(Link(trouble="late: no answer"))()
    assert (trouble.kind, trouble.of, trouble.text) == ("counters", "127.0.0.1 port 6379", "late: no answer")


def test_a_redis_that_dies_is_told_by_mqtt_and_so_is_its_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Raised and cleared on one topic; health says so as well."""
    monkeypatch.setattr(redislink, "STEADY", 300_000)
    broker = Broker(tmp_path / "broker")
    broker.start()
    listener = Listener(broker)

    def kinds() -> list[str]:
        return [json.loads(h.payload)["type"] for h in listener.heard if "/incident/" in h.topic]

    def health() -> list[list[str]]:
        said = [json.loads(h.payload)["data"] for h in listener.heard if h.topic.endswith("/health")]
        return [[t["kind"] for t in data["troubles"]] for data in said]

    async def scene() -> None:
        more = f'[state]\nurl = "{server.url}"\ndeadline_ms = 500\n[mqtt]\nurl = "{broker.url}"\n'
        async with guard(tmp_path, more=more) as rig:
            await until(lambda: serves(rig) and health() == [[]])
            server.kill()
            await until(lambda: kinds() == ["sip-guard.incident.raised"] and health() == [[], ["counters"]])
            assert link(rig).trouble is not None
            server.start()
            await until(lambda: kinds()[1:] == ["sip-guard.incident.cleared"] and health()[2:] == [[]])

    try:
        with serving() as server:
            run(scene)
        assert {h.topic for h in listener.heard if "/incident/" in h.topic} == {"guard/demo/incident/INC-1"}
    finally:
        listener.close()
        broker.stop()
