"""Housekeeping of a running guard: what it signs, erases and keeps, on a clock of the test's own."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from guard import housekeeping
from guard.config import Config, load
from guard.evidence.policies import kept
from guard.housekeeping import DAY, FIRST_PURGE, HOUR, SOON, Housekeeper
from guard.ledger import checkpoint
from guard.policy.digest import digest, parts
from guard.store import requests
from guard.store.books import Books
from guard.store.reader import SqliteReader
from guard.store.sqlite import SqliteWriter
from guard.store.verify import signatures
from sim.site import Site
from tests.evidence.making import KEY, change, verified
from tests.store.making import AT, attempt, decision
from tests.store.making_log import PARIS, details
from tests.store.test_books import BILL

SECOND = 1_000_000
PATIENCE = 20.0


class Hands:
    """Both clocks, set by hand."""

    def __init__(self) -> None:
        self.timeline = 5 * SECOND
        self.offset = AT

    def now(self) -> int:
        return self.timeline

    def wall(self) -> int:
        return self.offset + self.timeline

    def forward(self, step: int) -> None:
        self.timeline += step


class House:
    """A housekeeper with its log."""

    def __init__(self, folder: Path) -> None:
        self.config: Config = load(Site(folder=folder, port=5060, trunk_port=5062, pbx_port=5064).write())
        self.path = folder / "guard.db"
        self.clock = Hands()
        self.faults: list[Exception] = []
        self.store = SqliteWriter(self.path, site="hq", signer=KEY)
        self.keeper = Housekeeper(self.store, self.config, self.clock, self.faults.append)

    def signed(self) -> list[checkpoint.Checkpoint]:
        with SqliteReader(self.path) as reader:
            return [checkpoint.decode(row[1]) for row in signatures(reader)]  # type: ignore[arg-type]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.005)

    def write(self, *ages: int) -> None:
        """Calls that are so many days old, on disk."""
        for n, age in enumerate(ages):
            self.store.decided(attempt(n, at=self.clock.wall() - age * DAY), decision(), None)
        self.store.flush()

    def erased(self) -> int:
        with closing(sqlite3.connect(self.path)) as db:
            return int(db.execute("SELECT count(*) FROM entries WHERE body IS NULL").fetchone()[0])


def run(folder: Path, scene: Callable[[House], Awaitable[None]], before: Callable[[House], None] | None = None) -> None:
    """One scene, with the housekeeper started before it and stopped after it."""

    async def whole() -> None:
        house = House(folder)
        if before is not None:
            before(house)
        house.keeper.start()
        try:
            await scene(house)
        finally:
            await house.keeper.stop()
            house.store.close()
        assert house.faults == []

    asyncio.run(whole())
    assert verified(folder / "guard.db").ok


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "LOOK", 0.005)
    monkeypatch.setattr(housekeeping, "BREATH", 0.0)


def test_a_checkpoint_at_the_start_each_hour_and_at_the_end(tmp_path: Path) -> None:
    async def scene(house: House) -> None:
        await house.until(lambda: len(house.signed()) == 1)
        house.clock.forward(HOUR - SECOND)
        house.write(0)
        assert len(house.signed()) == 1
        house.clock.forward(SECOND)
        await house.until(lambda: len(house.signed()) == 2)
        house.clock.forward(HOUR)
        await house.until(lambda: len(house.signed()) == 3)
        assert [c.seq for c in house.signed()] == [0, 1, 1]
        assert house.signed()[2].at - house.signed()[1].at == HOUR

    run(tmp_path, scene)
    with SqliteReader(tmp_path / "guard.db") as reader:
        assert len(signatures(reader)) == 4


def test_the_policy_in_force_is_kept_once(tmp_path: Path) -> None:
    async def scene(house: House) -> None:
        found = parts(house.config)
        for _ in range(2):
            house.keeper.adopt(house.config, digest(found))
            await house.until(lambda: house.keeper._unkept == [])
        with SqliteReader(house.path) as reader:
            await house.until(lambda: kept(reader, digest(found)) == found)
            assert kept(reader, "sha256:0") is None

    run(tmp_path, scene)


@pytest.mark.parametrize("where", ["", "_last", "parts", "keep"])
def test_a_guard_that_stops_at_once_has_kept_the_policy_that_calls_were_decided_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Before its first turn, and while a thread does any part of that for it."""
    reached, stopping = threading.Event(), threading.Event()
    if where:
        real = getattr(housekeeping, where)

        def slow(*args: object) -> object:
            reached.set()
            assert stopping.wait(PATIENCE)
            return real(*args)

        monkeypatch.setattr(housekeeping, where, slow)
    named: list[str] = []

    async def scene(house: House) -> None:
        named.append(digest(parts(house.config)))
        house.keeper.adopt(house.config, named[0])
        await house.until(lambda: not where or reached.is_set())
        asyncio.get_running_loop().call_soon(stopping.set)  # once what is under way is given up

    run(tmp_path, scene)
    with SqliteReader(tmp_path / "guard.db") as reader:
        found = kept(reader, named[0])
    assert found is not None
    assert digest(found) == named[0]


def test_a_log_that_takes_nothing_keeps_no_guard_from_stopping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(housekeeping, "LAST", 0.05)

    async def scene(house: House) -> None:
        await house.until(lambda: len(house.signed()) == 1)
        monkeypatch.setattr(house.store, "errand", lambda work, done: None)
        house.keeper.adopt(house.config, digest(parts(house.config)))

    run(tmp_path, scene)
    assert "a policy is not kept with the log: no answer for 0.05 s" in caplog.messages


def test_a_policy_whose_files_have_changed_since_is_not_kept_under_its_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(house: House) -> None:
        house.keeper.adopt(house.config, "sha256:of-before")
        await house.until(lambda: "its files have changed meanwhile" in caplog.text)
        with SqliteReader(house.path) as reader:
            assert kept(reader, "sha256:of-before") is None

    run(tmp_path, scene)


def test_what_is_too_old_is_erased_every_day(tmp_path: Path) -> None:
    async def scene(house: House) -> None:
        house.write(200, 190, 179, 1)
        house.clock.forward(FIRST_PURGE)
        await house.until(lambda: house.erased() == 2)
        house.clock.forward(2 * DAY)  # the third is old enough a day later, and the purge is not due before
        await house.until(lambda: house.erased() == 3)

    run(tmp_path, scene)
    assert [d.record.seq for d in details(tmp_path / "guard.db")] == [4]


@pytest.mark.parametrize("jump", [200 * DAY, -200 * DAY, 2 * HOUR])
def test_a_clock_that_is_set_while_the_guard_runs_erases_nothing_for_a_day(
    tmp_path: Path, jump: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(house: House) -> None:
        house.write(179, 1)
        house.clock.offset += jump
        house.clock.forward(FIRST_PURGE)
        await house.until(lambda: f"the clock was set by {jump // HOUR} h: nothing is purged today" in caplog.text)
        assert house.erased() == 0
        house.clock.offset -= jump  # somebody has put it right: that is a jump too
        house.clock.forward(DAY)
        await house.until(lambda: f"the clock was set by {-jump // HOUR} h" in caplog.text)
        assert house.erased() == 0
        house.clock.forward(DAY)
        await house.until(lambda: house.erased() == 1)

    run(tmp_path, scene)


@pytest.mark.parametrize("gap", [3 * DAY, -2 * HOUR])
def test_a_clock_that_is_far_from_the_last_checkpoint_erases_nothing_for_a_day(
    tmp_path: Path, gap: int, caplog: pytest.LogCaptureFixture
) -> None:
    def before(house: House) -> None:
        house.write(200, 1)
        house.store.sign(house.clock.wall() - gap)
        house.store.flush()

    async def scene(house: House) -> None:
        await house.until(lambda: "from the last checkpoint: nothing is purged today" in caplog.text)
        house.clock.forward(FIRST_PURGE)
        house.write(0)
        await asyncio.sleep(0.05)
        assert house.erased() == 0
        house.clock.forward(DAY)
        await house.until(lambda: house.erased() == 1)

    run(tmp_path, scene, before)


def test_a_log_that_is_not_what_was_signed_is_told_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def before(house: House) -> None:
        house.write(1)
        house.store.sign(house.clock.wall())
        house.store.flush()
        change(house.path, "UPDATE entries SET hash = zeroblob(32)")

    async def whole() -> None:
        house = House(tmp_path)
        before(house)
        house.keeper.start()
        await house.until(lambda: "the log is not what was signed: checkpoint 1 names entry 1" in caplog.text)
        await house.keeper.stop()
        house.store.close()

    asyncio.run(whole())


def test_what_a_command_asks_for_is_done_and_the_number_goes_from_the_request(tmp_path: Path) -> None:
    async def ask(house: House, kind: requests.Kind, argument: str) -> requests.Answer:
        return await asyncio.to_thread(requests.ask, str(house.path), kind, argument, AT, PATIENCE)

    async def scene(house: House) -> None:
        house.write(200, 1)
        house.store.decided(attempt(9, callee="+33145678111"), decision(), None)  # still in the queue
        assert await ask(house, "erase", "+33145678111") == requests.Answer(calls=1, entries=1)
        assert await ask(house, "erase", "+33145678111") == requests.Answer()
        assert await ask(house, "purge", "180") == requests.Answer(calls=1, entries=1)
        answer = await ask(house, "dance", "")  # type: ignore[arg-type]
        assert answer.error == 'this guard cannot "dance": it is older than the command'

    run(tmp_path, scene)
    with closing(sqlite3.connect(tmp_path / "guard.db")) as db:
        assert db.execute("SELECT count(*) FROM requests").fetchone() == (0,)
    assert b"+33145678111" not in (tmp_path / "guard.db").read_bytes()


def test_the_number_goes_with_the_answer_whether_or_not_it_is_fetched(tmp_path: Path) -> None:
    async def scene(house: House) -> None:
        change(house.path, "INSERT INTO requests(kind, argument, at) VALUES ('erase', '+33145678111', 0)")

        def answered() -> bool:
            with closing(sqlite3.connect(house.path)) as db:
                return bool(
                    db.execute("SELECT 1 FROM requests WHERE answer LIKE '%calls%' AND argument = ''").fetchall()
                )

        await house.until(answered)

    run(tmp_path, scene)


def test_a_request_that_nobody_answers_is_taken_back(tmp_path: Path) -> None:
    house = House(tmp_path)
    with pytest.raises(Exception, match="did not answer in time"):
        requests.ask(str(house.path), "erase", "+33145678111", AT, 0.0)
    house.store.close()
    with SqliteReader(tmp_path / "guard.db") as reader:
        assert requests.waiting(reader) == []


def test_a_fault_of_ours_is_told_and_housekeeping_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: SqliteReader) -> list[requests.Request]:
        raise ZeroDivisionError

    async def scene(house: House) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(requests, "waiting", broken)
            await house.until(lambda: len(house.faults) > 2)
        house.faults.clear()
        house.clock.forward(HOUR)
        await house.until(lambda: len(house.signed()) == 2)
        house.faults.clear()

    run(tmp_path, scene)


def test_days_come_from_the_configuration(tmp_path: Path) -> None:
    async def scene(house: House) -> None:
        file = house.config.file
        shorter = replace(house.config, file=replace(file, store=replace(file.store, retention_days=7)))
        house.keeper.adopt(shorter, "")
        house.write(10, 5)
        house.clock.forward(FIRST_PURGE)
        await house.until(lambda: house.erased() == 1)

    run(tmp_path, scene)


def test_what_is_written_into_the_books_is_signed_within_a_minute(tmp_path: Path) -> None:
    async def scene(house: House) -> None:
        await house.until(lambda: len(house.signed()) == 1)
        with Books(house.path, PARIS) as books:
            books.enter(BILL)
        for _ in range(3):
            house.clock.forward(SECOND)
            await asyncio.sleep(0.02)
        assert [c.books for c in house.signed()] == [0]  # not at once: no checkpoint for each of many steps
        house.clock.forward(SOON)
        await house.until(lambda: len(house.signed()) == 2)
        house.clock.forward(2 * SOON)
        await asyncio.sleep(0.02)
        assert [c.books for c in house.signed()] == [0, 1]

    run(tmp_path, scene)


def test_closed_incidents_and_penalties_are_purged_with_their_own_age(tmp_path: Path) -> None:
    async def scene(house: House) -> None:
        old = house.clock.wall() - 731 * DAY
        with Books(house.path, PARIS) as books:
            books.enter(replace(BILL, at=old, written=old))
            books.enter(BILL)
            house.clock.forward(FIRST_PURGE)
            await house.until(lambda: len(books.links()) == 3)
            assert [seq for seq, _ in books.passed_on(0, 1 << 62)] == [2]
            assert [line.amount for line in books.erased_lines(0, 1 << 62)] == [BILL.amount]

    run(tmp_path, scene)


def test_letters_that_a_crash_left_are_deleted_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def before(house: House) -> None:
        letter = tmp_path / "letter.pdf"
        letter.write_text("of Mrs Martin", encoding="utf-8")
        await house.until(lambda: len(house.signed()) == 1)
        with Books(house.path, PARIS) as books, monkeypatch.context() as patch:
            seq = books.enter(replace(BILL, document=books.keep(letter)))
            patch.setattr(Books, "_drop", lambda _self, _letters: 0)  # the crash comes here
            books.erase([], books.passed_on(0, 1 << 62), "request", 1 << 62)
            assert seq == 1
            assert len(list(books.folder.iterdir())) == 1

    async def after(house: House) -> None:
        folder = Books(house.path, PARIS).folder
        await house.until(lambda: not list(folder.iterdir()))

    run(tmp_path, before)
    run(tmp_path, after)
