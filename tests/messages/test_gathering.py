"""What goes into the outbox and comes out of it: calls, incidents, limits and health, and no more than may wait."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import jsonschema
import pytest

from guard.gathering import CLEARED, PAGE, Gatherer, Told
from guard.ledger.incidents import Event
from guard.ledger.limits import Alert
from guard.messages.choice import MINUTE
from guard.messages.events import KINDS, Trouble
from guard.messages.schema import schema_of
from guard.model import Verdict
from guard.net.mqtt import Unread
from guard.net.mqttclient import Outgoing
from guard.store.books import Books
from guard.store.errors import StoreError
from guard.store.outbox import Outbox, path_of
from guard.store.sqlite import SqliteWriter
from tests.messages.rig import config_of
from tests.store.making import AT, CALLEE, CALLER, attempt, decision, finding

ALERT = Alert(span="day", key="2026-11-21", accrued=5_000_000, limit=1_000_000)


class Scene:
    """A log, its books and its outbox, on a clock of their own."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.config = config_of(folder, f'url = "mqtt://192.0.2.1"\n{more}')
        self.store = SqliteWriter(self.config.store_path, site="demo")
        self.said: SimpleQueue[Told] = SimpleQueue()
        self.now = AT
        self.gatherer = self.opened()

    def opened(self, first: int = 0) -> Gatherer:
        assert self.config.broker is not None
        outbox = Outbox(path_of(self.store.path))
        return Gatherer(self.config, self.config.broker, self.store, outbox, self.said, first, self.now)

    def again(self) -> None:
        """Another life of the guard."""
        self.gatherer.close()
        self.gatherer = self.opened()

    def calls(self, count: int, verdict: Verdict = "blocked", at: int = 0) -> None:
        """Write some."""
        for n in range(count):
            found = () if verdict == "allowed" else (finding("cli.not-authorised"),)
            self.store.decided(attempt(n, at=at or self.now), decision(verdict, *found), None)
        self.store.flush()

    def gather(self) -> None:
        """Take all that is new."""
        while self.gatherer.gather(self.now):
            pass

    def out(self, limit: int = 10_000) -> list[Outgoing]:
        """Gather, and take all out as a broker would. All is of its schema, and no topic holds a number."""
        self.gather()
        found = self.gatherer.page(limit)
        if found:
            self.gatherer.taken(found[-1].place)
        for one in found:
            assert not re.search(r"\d{7}", one.topic)
            if one.payload:
                event = json.loads(one.payload)
                kind = next(k for k, (types, _, _) in KINDS.items() if event["type"] in types)
                jsonschema.validate(event, schema_of(kind))
        return found

    def kinds(self) -> list[str]:
        """The same, in short."""
        return [str(json.loads(o.payload)["type"])[10:] if o.payload else f"no {o.topic}" for o in self.out()]

    def close(self) -> None:
        self.gatherer.close()
        self.store.close()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    found = Scene(tmp_path)
    yield found
    found.close()


def event(one: Outgoing) -> dict[str, object]:
    found = json.loads(one.payload)
    assert isinstance(found, dict)
    return found


def data(one: Outgoing) -> dict[str, object]:
    found = event(one)["data"]
    assert isinstance(found, dict)
    return found


# ---- calls -----------------------------------------------------------------------------------------------------------


def test_calls_come_out_in_order_and_once(scene: Scene) -> None:
    scene.calls(3)
    scene.calls(2, "allowed")
    scene.calls(1, "masked")
    assert [o.topic for o in scene.out()] == ["call/blocked"] * 3 + ["call/masked"]
    assert scene.out() == []
    scene.again()
    assert scene.out() == []
    scene.calls(1)
    assert [data(o)["seq"] for o in scene.out()] == [7]


def test_more_than_a_page_of_the_log(scene: Scene) -> None:
    scene.calls(60)
    scene.calls(PAGE * 2, "allowed")
    scene.calls(10, "flagged")
    assert len(scene.out()) == 70


def test_what_was_not_taken_comes_again_in_the_same_octets_also_when_the_call_is_over(scene: Scene) -> None:
    from tests.store.making import ended

    scene.calls(5)
    scene.gather()
    first = scene.gatherer.page(100)
    scene.store.ended(2, ended())
    scene.store.flush()
    scene.again()
    scene.gather()
    assert scene.gatherer.page(100) == first
    scene.gatherer.taken(first[1].place)
    assert scene.gatherer.page(100) == first[2:]


def test_the_first_start_begins_with_the_calls_from_then_on(tmp_path: Path) -> None:
    config = config_of(tmp_path, 'url = "mqtt://192.0.2.1"')
    assert config.broker is not None
    with_old = SqliteWriter(config.store_path, site="demo")
    for n in range(5):
        with_old.decided(attempt(n), decision("blocked", finding("cli.mismatch")), None)
    with_old.flush()
    gatherer = Gatherer(config, config.broker, with_old, Outbox(path_of(with_old.path)), SimpleQueue(), 5, AT)
    with_old.decided(attempt(9), decision("blocked", finding("cli.mismatch")), None)
    with_old.flush()
    gatherer.gather(AT)
    assert [data(o)["seq"] for o in gatherer.page(10)] == [6]
    gatherer.close()
    with_old.close()


@pytest.mark.parametrize("numbers", ["masked", "full"])
def test_numbers_are_masked_unless_they_may_be_told(tmp_path: Path, numbers: str) -> None:
    scene = Scene(tmp_path, f'numbers = "{numbers}"')
    scene.calls(1)
    with Books(scene.store.path, scene.config.zone) as books:
        books.open(Event(step="open", at=AT, written=AT, subject=CALLER, rule="cli.mismatch", text=f"of {CALLEE}"))
    call, incident = scene.out()
    full = numbers == "full"
    assert data(call)["caller"] == (CALLER if full else CALLER[:-4] + "****")
    assert data(incident)["subject"] == (CALLER if full else CALLER[:-4] + "****")
    for one in (call, incident):
        assert (re.search(rb"\+\d{11}", one.payload) is not None) is full
    scene.close()


def test_a_call_that_is_erased_before_it_is_told_is_not_told(scene: Scene) -> None:
    scene.calls(3)
    scene.gather()
    scene.store.erase((1, 2), "request", AT)
    scene.store.flush()
    assert [data(o)["seq"] for o in scene.out(2)] == [3]
    assert scene.out() == []


def test_a_log_that_was_put_back_is_told_from_its_beginning(scene: Scene) -> None:
    scene.calls(3)
    scene.out()
    scene.gatherer._cursor = 99
    assert len(scene.out()) == 3


def test_more_than_the_rate_is_one_summary_also_over_a_restart(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "rate = 5")
    scene.calls(600)
    assert len(scene.out()) == 5
    scene.again()
    scene.calls(400)
    assert scene.out() == []
    scene.now = AT + 2 * MINUTE
    (summary,) = scene.out()
    assert (summary.topic, summary.retain) == ("summary", False)
    found = data(summary)
    assert (found["why"], found["verdict"], found["calls"], found["first_seq"], found["last_seq"]) == (
        "rate", "blocked", 995, 6, 1000,
    )  # fmt: skip
    assert found["rules"] == {"cli.not-authorised": 995}
    assert scene.gatherer.summarised == 400
    scene.close()


# ---- incidents -------------------------------------------------------------------------------------------------------


def step(scene: Scene, number: int, how: str, **more: object) -> None:
    with Books(scene.store.path, scene.config.zone) as books:
        books.step(Event(step=how, at=scene.now, written=scene.now, incident=number, **more))  # type: ignore[arg-type]


def opened(scene: Scene, subject: str = CALLER) -> int:
    with Books(scene.store.path, scene.config.zone) as books:
        return books.open(Event(step="open", at=scene.now, written=scene.now, subject=subject)).id


def test_an_incident_is_raised_updated_and_cleared_on_one_topic_and_then_forgotten(scene: Scene) -> None:
    number = opened(scene)
    out = scene.out()
    assert scene.out() == []
    step(scene, number, "note", text="seen again")
    out += scene.out()
    scene.now += MINUTE
    step(scene, number, "resolve")
    out += scene.out()
    assert [str(event(o)["type"])[19:] for o in out] == ["raised", "updated", "cleared"]
    assert {(o.topic, o.retain) for o in out} == {(f"incident/INC-{number}", True)}
    assert len({str(event(o)["id"]) for o in out}) == 3
    assert data(out[-1])["state"] == "resolved"
    scene.again()
    assert scene.out() == []
    scene.now += CLEARED + MINUTE
    (last,) = scene.out()
    assert (last.topic, last.payload, last.retain) == (f"incident/INC-{number}", b"", True)
    scene.now += MINUTE
    assert scene.out() == []


def test_an_incident_that_is_erased_is_forgotten(scene: Scene) -> None:
    number = opened(scene)
    scene.out()
    with Books(scene.store.path, scene.config.zone) as books:
        books.erase([books.incidents()[number]], [], "request", scene.now)
    assert scene.kinds() == [f"no incident/INC-{number}"]
    assert scene.kinds() == []


def test_incidents_over_before_there_was_an_outbox_are_not_told_and_open_ones_are(scene: Scene) -> None:
    over, runs = opened(scene), opened(scene, CALLEE)
    step(scene, over, "release")
    scene.gatherer.close()
    scene.now += MINUTE
    Path(path_of(scene.store.path)).unlink()
    scene.gatherer = scene.opened()
    assert [o.topic for o in scene.out()] == [f"incident/INC-{runs}"]


def test_one_that_was_opened_and_closed_between_two_looks_is_told(scene: Scene) -> None:
    step(scene, opened(scene), "release")
    assert scene.kinds() == ["incident.cleared"]


def test_an_incident_of_many_steps_keeps_the_last_twenty(scene: Scene) -> None:
    number = opened(scene)
    for n in range(30):
        step(scene, number, "note", text=f"note {n}")
    (found,) = scene.out()
    events = data(found)["events"]
    assert isinstance(events, list)
    assert [e["text"] for e in events] == [f"note {n}" for n in range(10, 30)]


def test_a_new_broker_is_told_what_holds_in_the_same_words(scene: Scene) -> None:
    opened(scene)
    scene.said.put(())
    before = scene.out()
    scene.gatherer.renew()
    again = scene.out()
    assert sorted(o.payload for o in again) == sorted(o.payload for o in before)
    step(scene, 1, "note")
    scene.gather()
    scene.gatherer.renew()  # what waits is newer than what was told
    assert scene.kinds() == ["incident.updated", "health"]


# ---- what the guard says ---------------------------------------------------------------------------------------------


def test_a_limit_is_told_once_also_by_another_life(scene: Scene) -> None:
    scene.said.put(ALERT)
    (found,) = scene.out()
    assert (found.topic, found.retain) == ("penalty", False)
    assert data(found) == {
        "site": "demo", "span": "day", "key": "2026-11-21", "accrued_microeuros": 5_000_000,
        "limit_microeuros": 1_000_000, "enforces": False,
    }  # fmt: skip
    scene.again()
    scene.said.put(ALERT)
    assert scene.out() == []


def test_health_is_retained(scene: Scene) -> None:
    scene.said.put((Trouble(kind="trunk", of="operator", text="no next hop answers"),))
    scene.said.put(())
    found = scene.out()
    assert [(o.topic, o.retain, data(o)["state"]) for o in found] == [
        ("health", True, "degraded"),
        ("health", True, "ok"),
    ]


# ---- the bound -------------------------------------------------------------------------------------------------------


def test_beyond_what_may_wait_the_oldest_are_one_summary_and_nothing_is_unaccounted_for(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "keep = 100\nrate = 100000")
    scene.said.put(ALERT)
    opened(scene)
    for _ in range(5):
        scene.calls(150)
        scene.said.put(())
        scene.gather()
        assert scene.gatherer.full
    out = scene.out()
    assert len(out) <= 100
    totals = [data(o) for o in out if o.topic == "summary"]
    calls = [data(o) for o in out if o.topic.startswith("call/")]
    (total,) = totals
    assert out[0].topic == "summary"
    assert (total["why"], total["verdict"], total["first_seq"]) == ("full", None, 1)
    assert total["calls"] == 750 - len(calls)
    assert total["last_seq"] == calls[0]["seq"] - 1  # type: ignore[operator]
    assert total["others"] == 1 + 1  # the limit, and the incident: calls that came later pushed them out
    assert [o.topic for o in out if o.retain] == ["health"]  # the newest of its topic
    scene.gather()
    assert not scene.gatherer.full
    scene.close()


def test_what_is_on_its_way_is_not_given_up(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "keep = 100\nrate = 100000")
    scene.calls(50)
    scene.gather()
    away = scene.gatherer.page(20)
    scene.calls(500)
    scene.gather()
    assert scene.gatherer.page(20) == away
    scene.close()


def test_a_message_that_is_too_large_is_a_summary_in_its_place(scene: Scene) -> None:
    scene.calls(3)
    scene.gather()
    place = scene.gatherer.page(10)[1].place
    assert scene.gatherer.shorten(place)
    assert not scene.gatherer.shorten(place)
    assert not scene.gatherer.shorten(99)
    assert [o.topic for o in scene.out()] == ["call/blocked", "summary", "call/blocked"]


# ---- the file --------------------------------------------------------------------------------------------------------


def test_files_that_are_no_outbox_are_named(tmp_path: Path) -> None:
    import sqlite3

    text = tmp_path / "text"
    text.write_bytes(b"no database at all" * 100)
    other = tmp_path / "other"
    db = sqlite3.connect(other)
    db.execute("CREATE TABLE t(x)")
    db.commit()
    db.close()
    for path, why in (
        (text, "damaged"),
        (other, "another program's"),
        (tmp_path / "no" / "folder", "cannot be opened"),
    ):
        with pytest.raises(StoreError, match=why) as raised:
            Outbox(path)
        assert str(path) in str(raised.value)


def test_the_outbox_is_its_owners(scene: Scene) -> None:
    scene.gather()
    assert Path(path_of(scene.store.path)).stat().st_mode & 0o777 == 0o600


def test_a_newer_outbox_is_left_alone(tmp_path: Path) -> None:
    import sqlite3

    Outbox(tmp_path / "o").close()
    db = sqlite3.connect(tmp_path / "o")
    db.execute("PRAGMA user_version = 9")
    db.close()
    with pytest.raises(StoreError, match="newer guard"):
        Outbox(tmp_path / "o")


def test_a_disk_that_refuses_is_told_to_whoever_sends(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise StoreError("outbox: disk full")

    monkeypatch.setattr(Outbox, "page", refused)
    with pytest.raises(Unread, match="disk full"):
        scene.gatherer.page(1)
