"""Alarms of a running guard become incidents, and who the books shut off is refused, from the first call on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from guard.config import Config
from guard.desk import Desk
from guard.detection import DROPPED, FAULTS, Detection, watching
from guard.detectors.alarms import FOR_GOOD, MAX_ALARMS, Alarms
from guard.detectors.watch import Watch
from guard.detectors.words import Evidence, Measure, Pattern
from guard.incidents import Incidents
from guard.ledger import incidents as ledger
from guard.ledger.incidents import Event, Incident, Quarantine
from guard.ledger.sightings import Sighting, both
from guard.model import SECOND
from guard.relearn import Journaled
from guard.rules.detect import SHUT
from guard.shut import evidence_of, quarantine_of, shut_off, sightings, standing
from guard.state.memory import MemoryState
from guard.store.books import OPENED_A_DAY, SHUT_A_DAY, Books
from guard.store.sqlite import SqliteWriter
from tests import apprig
from tests.deciding import NOW, SITE, call, engine_of
from tests.store.making_log import PARIS
from tests.test_alerts import Stopped
from tests.test_config import loaded
from tests.test_incidents import NONE

HOUR = 3600 * SECOND
RULE = "traffic.ping-call"
SEEN = Evidence(
    rule=RULE, kind="line", subject="pbx/200", trunk="operator", at=NOW, span_s=900,
    measures=(Measure("short_rings", 7, 7, 100), Measure("calls", 9)), passes=("short_rings", 6),
)  # fmt: skip
FOR_EVER = Quarantine(kind="line", subject="pbx/200", until=ledger.FOR_GOOD, at=NOW)


class Scene:
    """A desk and its detection, on a log that nobody writes but its books."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "guard.db"
        self.store = SqliteWriter(self.path, site="hq")
        self.config: Config = loaded(folder, "")
        self.clock = Stopped(NOW)
        self.faults: list[Exception] = []
        self.engine = engine_of()
        self.desk = Desk(self.engine, MemoryState(), watch=watching())
        self.incidents = Incidents(self.store, self.config, NONE, self.clock, self.faults.append, look=0.005)
        self.detection = Detection(
            self.desk, self.store, self.config, lambda: self.engine, self.incidents, self.clock, self.faults.append,
            look=0.005,
        )  # fmt: skip
        self.tickets = 0

    def books(self, work: Callable[[Books], Incident]) -> Incident:
        with Books(self.path, PARIS) as books:
            return work(books)

    def shut(self, quarantine: Quarantine = FOR_EVER, **more: str) -> Incident:
        event = Event(
            step="open", at=NOW, written=NOW, who="me", subject_kind="line", subject=quarantine.subject, rule=SHUT,
            quarantine=quarantine,
        )  # fmt: skip
        return self.books(lambda books: books.quarantine(replace(event, **more) if more else event))

    def step(self, incident: Incident, step: ledger.Step) -> None:
        self.books(lambda books: books.step(Event(step=step, at=NOW + 1, written=NOW + 1, incident=incident.id)))

    def books_now(self) -> list[Incident]:
        with Books(self.path, PARIS) as books:
            return list(books.incidents().values())

    def rule(self, at: int = NOW) -> str:
        """What stops the next call; other rules have their say, and it is not looked at."""
        self.tickets += 1
        said = [f.rule for f in self.desk.submit(self.tickets, call(at=at), at)[0][1].findings]
        return next((rule for rule in (RULE, SHUT) if rule in said), "")

    async def until(self, rule: str) -> None:
        async with asyncio.timeout(20):
            while self.rule() != rule:
                await asyncio.sleep(0.005)


def run(folder: Path, scene: Callable[[Scene], Awaitable[None]]) -> Scene:
    async def whole() -> Scene:
        s = Scene(folder)
        try:
            await scene(s)
        finally:
            await s.detection.stop()
            await s.incidents.stop()
            s.store.close()
        assert s.faults == []
        return s

    return asyncio.run(whole())


def test_who_is_shut_off_in_the_books_is_refused_from_the_first_call_until_released(tmp_path: Path) -> None:
    async def scene(s: Scene) -> None:
        incident = s.shut()
        assert s.rule() == ""
        await s.detection.load(0)
        assert s.rule() == SHUT
        s.detection.start()
        s.step(incident, "release")
        await s.until("")
        s.step(s.shut(), "resolve")  # put right, between two looks or not
        await s.until("")
        s.shut()
        await s.until(SHUT)

    run(tmp_path, scene)


def test_a_release_ends_an_alarm_that_shut_nobody_off(tmp_path: Path) -> None:
    async def scene(s: Scene) -> None:
        watch = s.desk.watch
        assert watch is not None
        s.incidents.start()
        await s.detection.load(0)
        s.detection.start()
        pattern = next(p for p in s.engine.patterns() if p.rule == RULE)
        watch.alarms.begin(pattern, SEEN, NOW)
        assert s.rule() == RULE
        s.detection.tick()
        async with asyncio.timeout(20):
            while not (found := s.books_now()):
                await asyncio.sleep(0.005)
        assert (found[0].subject_kind, found[0].subject, found[0].rule) == ("line", "pbx/200", RULE)
        assert "7 numbers rung for 6 s or less" in found[0].events[0].text
        s.step(found[0], "release")
        await s.until("")

    run(tmp_path, scene)


def test_a_quarantine_ends_by_time_and_does_not_take_an_alarm_with_it(tmp_path: Path) -> None:
    async def scene(s: Scene) -> None:
        s.shut(replace(FOR_EVER, until=NOW + HOUR))
        await s.detection.load(0)
        assert s.rule(NOW + HOUR - 1) == SHUT
        assert s.rule(NOW + HOUR) == ""

    run(tmp_path, scene)


def test_what_is_shut_off_survives_the_watch_that_takes_over(tmp_path: Path) -> None:
    async def scene(s: Scene) -> None:
        s.shut()
        await s.detection.load(0)
        before = s.desk.watch
        await s.detection.learn([])
        await s.detection.learned()
        assert isinstance(before, Journaled)
        assert s.desk.watch is not before
        assert not isinstance(s.desk.watch, Journaled)
        assert s.rule() == SHUT

    run(tmp_path, scene)


def test_what_cannot_be_learned_is_told_and_detection_goes_on(tmp_path: Path) -> None:
    async def scene(s: Scene) -> None:
        await s.detection.load(0)
        await s.detection.learn([None])  # type: ignore[list-item]  # a bug of ours
        assert len(s.faults) == 1
        s.faults.clear()
        await s.detection.learned()
        live = s.desk.watch
        assert isinstance(live, Journaled)
        s.rule()
        assert not live.journal
        s.shut()
        s.detection.start()
        await s.until(SHUT)

    run(tmp_path, scene)


def test_books_that_cannot_be_read_are_told_once_and_cost_no_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(s: Scene) -> None:
        (tmp_path / "guard.db-books").write_text("no database", encoding="utf-8")
        await s.detection.load(0)
        s.detection.start()
        await asyncio.sleep(0.05)
        assert s.rule() == ""

    with caplog.at_level(logging.WARNING):
        run(tmp_path, scene)
    assert caplog.text.count("who is shut off or released is not known") == 1


def test_counters_of_detection_have_their_names(tmp_path: Path) -> None:
    async def scene(s: Scene) -> None:
        names = set(s.detection.counters)
        assert {
            FAULTS,
            DROPPED,
            "detectors_journal_dropped",
            "detectors_clock_back",
            "detectors_alarms_dropped",
        } <= names
        assert all(name.startswith("detectors_") for name in names - {DROPPED})

    run(tmp_path, scene)
    text = (Path(__file__).parents[1] / "docs" / "operations.md").read_text(encoding="utf-8")
    for name in (FAULTS, DROPPED, *Journaled().counters):
        assert f"`{name}`" in text


def test_a_guard_that_stops_says_what_detection_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async with apprig.guard(tmp_path) as g:
            watch = g.app.desk.watch
            assert watch is not None
            g.app.desk.watch_faults = 3
            watch.counters["detectors_clock_back"] = 2
            await g.stop()

    with caplog.at_level(logging.INFO):
        apprig.run(scene)
    assert "detectors_clock_back 2, detectors_faults 3" in caplog.text


# ---- what is kept ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("until", [NOW + HOUR, FOR_GOOD])
def test_evidence_in_the_books_reads_as_it_was(until: int) -> None:
    kept = quarantine_of(SEEN, until)
    assert evidence_of(kept, "operator") == SEEN
    watch = Watch()
    shut_off(watch, kept, "operator")
    assert watch.alarms.closed["l:pbx/200"].until == until


def test_a_feature_that_is_measured_no_more_is_left_out() -> None:
    kept = replace(quarantine_of(SEEN, FOR_GOOD), measures=(("tides", 3, 2, 100),), passes=("tides", 1))
    again = evidence_of(kept, "operator")
    assert (again.rule, again.measures, again.passes) == (SHUT, (), ("calls", 0))


def test_alarms_are_taken_away_once_each_with_its_quarantine() -> None:
    engine = engine_of('[rules."traffic.ping-call"]\nquarantine_minutes = 60\n')
    watch = Watch(engine.patterns())
    pattern = next(p for p in engine.patterns() if p.rule == RULE)
    watch.alarms.begin(pattern, SEEN, NOW)
    (found,) = sightings(watch, engine.late)
    assert (found.subject_kind, found.rule, found.at) == ("line", RULE, NOW)
    assert found.quarantine is not None
    assert found.quarantine.until == NOW + HOUR
    assert sightings(watch, engine.late) == []


@pytest.mark.parametrize("more", ['mode = "monitor"', "enabled = true"])
def test_a_rule_on_trial_shuts_nobody_off(more: str) -> None:
    engine = engine_of(f'[rules."traffic.ping-call"]\nquarantine_minutes = -1\n{more}\n')
    pattern = next(p for p in engine.patterns() if p.rule == RULE)
    assert pattern.quarantine == (0 if "monitor" in more else -1)


def test_a_site_on_trial_shuts_nobody_off() -> None:
    engine = engine_of('[rules."traffic.ping-call"]\nquarantine_minutes = -1\n', SITE.replace("enforce", "monitor"))
    assert all(p.quarantine == 0 for p in engine.patterns())
    watch = Watch(engine.patterns())
    watch.alarms.shut(replace(SEEN, rule=SHUT, measures=()), FOR_GOOD)
    ((_, decision),) = Desk(engine, MemoryState(), watch=watch).submit(1, call(), NOW)
    assert (decision.verdict, decision.rule) == ("flagged", SHUT)


def test_shut_off_has_its_bound_and_lets_the_oldest_go() -> None:
    alarms = Alarms()
    for n in range(MAX_ALARMS):
        assert alarms.shut(replace(SEEN, subject=str(n)), FOR_GOOD) == 0
    assert alarms.shut(replace(SEEN, subject="0"), NOW) == 0  # it is known, lasts as long as it did, and is young again
    assert alarms.closed["l:0"].until == FOR_GOOD
    assert alarms.shut(replace(SEEN, subject="one more"), FOR_GOOD) == 1
    assert "l:1" not in alarms.closed
    assert len(alarms.closed) == MAX_ALARMS


def sighting(n: int = 0, **more: object) -> Sighting:
    made = Sighting(
        subject_kind="line", subject=f"pbx/{n}", trunk="operator", rule=RULE, at=NOW + n, reached=True, text="seven"
    )
    return replace(made, **more) if more else made


def test_several_rules_feed_one_incident_and_a_quarantine_is_always_written(tmp_path: Path) -> None:
    shut = replace(FOR_EVER, subject="pbx/0", until=NOW + HOUR)
    with Books(tmp_path / "guard.db", PARIS) as books:
        one = [sighting(), sighting(at=NOW + 1), sighting(rule="traffic.scan", at=NOW + 2)]
        found = [i for i, _ in books.seen(one)]
        assert {i.id for i in found} == {1}
        assert [e.rule for e in found[-1].events] == [RULE, "traffic.scan"]
        ((fed, _),) = books.seen([sighting(at=NOW + 3, quarantine=shut)])
        assert fed.shut_off(NOW) == shut
        ((less, _),) = books.seen([sighting(at=NOW + 4, quarantine=replace(shut, until=NOW + 5))])
        assert less.shut_off(NOW + 10) == shut  # a detector only prolongs it
        assert less.shut_off(NOW + HOUR) is None
        assert standing([less], NOW).shut == {("line", "pbx/0"): (shut, "operator")}
        assert standing([less], NOW + HOUR).shut == {}


def test_two_sightings_of_one_topic_keep_the_longer_quarantine() -> None:
    short, long = replace(FOR_EVER, until=NOW + 5), FOR_EVER
    first, last = sighting(quarantine=long), sighting(at=NOW + 9, quarantine=short)
    assert both(first, last).quarantine == both(last, first).quarantine == long
    assert both(first, sighting(at=NOW + 9)).quarantine == long


def test_a_flood_of_who_is_shut_off_is_kept_up_to_its_own_bound(tmp_path: Path) -> None:
    with Books(tmp_path / "guard.db", PARIS) as books:
        many = [sighting(n, quarantine=replace(FOR_EVER, subject=f"pbx/{n}")) for n in range(SHUT_A_DAY + 5)]
        books.seen(many)
        found = standing(books.incidents().values(), NOW)
    assert OPENED_A_DAY < len(found.shut) == SHUT_A_DAY


def test_a_pattern_that_shuts_off_does_so_at_once() -> None:
    alarms = Alarms()
    pattern = Pattern(rule=RULE, certain=True, per=("line",), clauses=(), hold=HOUR, quarantine=-1)
    assert alarms.begin(pattern, SEEN, NOW) == 0
    assert alarms.closed["l:pbx/200"].until == FOR_GOOD
    assert alarms.release("line", "pbx/200")
    assert not alarms.release("line", "pbx/200")
