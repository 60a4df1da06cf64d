"""What detection shuts off is told to other guards, and what they tell reaches the watch and the books."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from guard.detection import Detection
from guard.fleetshuts import SAYS, WHO, FleetShuts, Held, write
from guard.ledger.incidents import FOR_GOOD, Event, Quarantine, Terms
from guard.rules.detect import SHUT
from guard.state.shuts import RELEASED, Change, Shuts
from guard.store.books import Books
from tests import test_quarantines as alone
from tests.deciding import NOW
from tests.store.making_log import PARIS
from tests.test_quarantines import FOR_EVER, HOUR, RULE, SEEN

NAME = "l:pbx/200"


class Scene(alone.Scene):
    """One guard of several; the test is the others."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.shuts = Shuts(lambda: None)
        self.detection = Detection(
            self.desk, self.store, self.config, lambda: self.engine, self.incidents, self.clock, self.faults.append,
            look=0.005, shuts=self.shuts,
        )  # fmt: skip

    def hear(self, held: Held, until: int, at: int = NOW) -> None:
        """Another guard says it."""
        line = b"%d:%d:%s" % (at, until, msgspec.json.encode(held))
        self.shuts.merge(1, [NAME.encode(), line])


def theirs(until: int = FOR_GOOD) -> Held:
    return Held(kind="line", subject="pbx/200", trunk="operator", quarantine=replace(FOR_EVER, until=until))


RELEASE = Held(kind="line", subject="pbx/200", ended="released")


def test_an_alarm_that_shuts_off_is_told_and_a_person_elsewhere_releases_it_before_it_is_written(
    tmp_path: Path,
) -> None:
    async def scene() -> None:
        s = Scene(tmp_path)
        await s.detection.load(0)
        watch = s.desk.watch
        assert watch is not None
        pattern = replace(next(p for p in s.engine.patterns() if p.rule == RULE), quarantine=-1)
        watch.alarms.begin(pattern, SEEN, NOW)
        s.detection.tick()
        assert s.shuts.known[NAME].until == FOR_GOOD
        s.hear(RELEASE, RELEASED, NOW + 1)
        assert NAME not in watch.alarms.closed
        s.incidents.start()
        s.detection.start()
        async with asyncio.timeout(20):
            while not (found := s.books_now()) or found[0].live:
                await asyncio.sleep(0.005)
        assert (found[0].state, found[0].events[-1].who) == ("released", WHO)
        assert s.shuts.known[NAME].until == RELEASED
        assert NAME not in watch.alarms.closed
        await s.detection.stop()
        await s.incidents.stop()
        s.store.close()
        assert s.faults == []

    asyncio.run(scene())


def test_an_alarm_older_than_a_release_shuts_nobody_off(tmp_path: Path) -> None:
    async def scene() -> None:
        s = Scene(tmp_path)
        await s.detection.load(0)
        s.hear(RELEASE, RELEASED, NOW + 1)
        watch = s.desk.watch
        assert watch is not None
        pattern = replace(next(p for p in s.engine.patterns() if p.rule == RULE), quarantine=-1)
        watch.alarms.begin(pattern, SEEN, NOW)
        s.detection.tick()
        assert NAME not in watch.alarms.closed
        s.store.close()
        assert s.faults == []

    asyncio.run(scene())


def test_what_is_heard_holds_for_the_next_call_and_until_its_time(tmp_path: Path) -> None:
    async def scene() -> None:
        s = Scene(tmp_path)
        await s.detection.load(0)
        s.hear(theirs(), NOW + HOUR)
        assert s.rule(NOW + HOUR - 1) == SHUT
        assert s.rule(NOW + HOUR) == ""
        s.hear(theirs(), FOR_GOOD, NOW + 1)
        assert s.rule(NOW + HOUR) == SHUT
        s.hear(RELEASE, RELEASED, NOW + 2)
        assert s.rule() == ""
        s.store.close()

    asyncio.run(scene())


@pytest.mark.parametrize("body", [b"", b"[]", b'{"kind":"planet","subject":"x"}', b'{"kind":"line","subject":7}'])
def test_what_no_guard_can_have_said_is_told_and_left(body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    faults: list[Exception] = []
    shuts = Shuts(lambda: None)
    fleet = FleetShuts(shuts, lambda: None, faults.append)
    with caplog.at_level(logging.WARNING):
        shuts.merge(1, [b"l:x", b"5:-1:" + body])
    assert "who is shut off: l:x" in caplog.text
    assert fleet.take() == []
    assert faults == []


def test_a_fault_of_ours_is_told_and_ends_nothing() -> None:
    faults: list[Exception] = []
    shuts = Shuts(lambda: None)

    def broken() -> None:
        raise ZeroDivisionError

    FleetShuts(shuts, broken, faults.append)
    shuts.merge(1, [b"l:x", b'5:0:{"kind":"line","subject":"x"}'])
    assert [type(f) for f in faults] == [ZeroDivisionError]


def test_books_say_each_thing_once_cost_nothing_and_leave_other_incidents_alone(tmp_path: Path) -> None:
    own = Event(
        step="open", at=NOW, written=NOW, subject_kind="line", subject="pbx/200", rule="cli.not-authorised",
        trunk="other", terms=Terms(subject_cost=5),
    )  # fmt: skip
    with Books(tmp_path / "guard.db", PARIS) as books:
        books.open(own)
        write(books, [theirs()], NOW + 1)
        write(books, [theirs()], NOW + 2)
        mine, mirrored = books.incidents().values()
        assert mine.quarantine is None
        assert (len(mirrored.events), mirrored.events[0].text, mirrored.terms) == (1, SAYS[""], Terms())
        write(books, [theirs(NOW + HOUR)], NOW + 3)  # a person made it shorter
        assert books.incidents()[2].shut_off(NOW) == Quarantine(
            kind="line", subject="pbx/200", until=NOW + HOUR, at=FOR_EVER.at
        )
        write(books, [replace(RELEASE, ended="resolved")], NOW + 4)
        assert [i.state for i in books.incidents().values()] == ["open", "resolved"]
        write(books, [RELEASE], NOW + 5)
        assert len(list(books.links())) == 4


def test_what_could_not_be_written_waits_and_what_came_since_is_later() -> None:
    shuts = Shuts(lambda: None)
    fleet = FleetShuts(shuts, lambda: None, lambda _: None)
    fleet._heard(Change(NAME, 1, RELEASED, '{"kind":"line","subject":"pbx/200"}'))
    first = fleet.take()
    assert not fleet.pends(("line", "pbx/200"))
    fleet._heard(Change(NAME, 2, RELEASED, '{"kind":"line","subject":"pbx/200","ended":"resolved"}'))
    fleet.put_back(first)
    assert [h.ended for h in fleet.take()] == ["resolved"]
