"""Limits of one's own: told once when passed, for the day and the month that run, and again for the next."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from msgspec.structs import replace

from guard.alerts import MoneyAlerts
from guard.config import Config
from guard.ledger.incidents import Event
from guard.ledger.limits import Alert, Watch
from guard.store.books import Books
from guard.store.errors import StoreError
from guard.store.sqlite import SqliteWriter
from tests.store.making import AT, SECOND, attempt, decision, finding
from tests.store.making_log import DIGITS, PARIS
from tests.store.test_books import BILL, SEEN
from tests.test_config import loaded

DAY = 86_400 * SECOND
EURO = 1_000_000
WATCHED = decision("flagged", finding("cli.premium", mode="monitor"))
BLOCKED = decision("blocked", finding("cli.premium"))


class Stopped:
    """A clock that stands still."""

    def __init__(self, at: int) -> None:
        self.at = at

    def now(self) -> int:
        return self.at

    def wall(self) -> int:
        return self.at


def test_each_limit_is_told_once_a_day_and_once_a_month() -> None:
    watch = Watch({"day": 10 * EURO, "month": 15 * EURO}, PARIS)
    watch.add(AT, 10 * EURO)
    assert watch.alerts(AT) == []  # the limit itself is not beyond it
    watch.add(AT, 1)
    assert watch.alerts(AT) == [Alert(span="day", key="2026-11-21", accrued=10 * EURO + 1, limit=10 * EURO)]
    watch.add(AT, EURO)
    assert watch.alerts(AT) == []
    watch.add(AT + DAY, 5 * EURO)
    assert [(a.span, a.key) for a in watch.alerts(AT + DAY)] == [("month", "2026-11")]
    watch.add(AT + 2 * DAY, 11 * EURO)
    assert [(a.span, a.key) for a in watch.alerts(AT + 2 * DAY)] == [("day", "2026-11-23")]
    watch.add(AT + 30 * DAY, 99 * EURO)
    assert [a.span for a in watch.alerts(AT + 30 * DAY)] == ["day", "month"]


def test_the_past_is_nobodys_alarm() -> None:
    watch = Watch({"day": EURO, "month": EURO}, PARIS)
    watch.add(AT - 40 * DAY, 99 * EURO)
    assert watch.alerts(AT) == []


def test_no_limit_no_alarm_and_a_limit_that_changes() -> None:
    watch = Watch({}, PARIS)
    watch.add(AT, 99 * EURO)
    assert watch.alerts(AT) == []
    watch.limits = {"day": EURO}
    assert [a.accrued for a in watch.alerts(AT)] == [99 * EURO]
    watch.limits = {"day": 2 * EURO}
    assert watch.alerts(AT) == []


def test_a_guard_that_runs_for_years_keeps_few_days() -> None:
    watch = Watch({"day": EURO}, PARIS)
    told = 0
    for n in range(1000):
        watch.add(AT + n * DAY, 2 * EURO)
        told += len(watch.alerts(AT + n * DAY))
    assert told == 1000
    assert len(watch._sums) <= 102


def configured(folder: Path, more: str) -> Config:
    folder.mkdir(exist_ok=True)
    return loaded(folder, f"\n[ledger]\n{more}\n")


class Scene:
    """A log that is written while it is watched."""

    def __init__(self, folder: Path, more: str) -> None:
        self.store = SqliteWriter(folder / "guard.db", site="hq", money={"operator": DIGITS})
        self.told: asyncio.Queue[Alert] = asyncio.Queue()
        self.faults: list[Exception] = []
        self.config = configured(folder, more)
        self.clock = Stopped(AT)
        self.switched: asyncio.Queue[bool] = asyncio.Queue()
        self.alerts = MoneyAlerts(
            self.store, self.config, self.clock, self.faults.append, look=0.005, passed=self.told.put_nowait,
            enforce=self.switched.put_nowait,
        )  # fmt: skip

    def write(self, n: int, *, blocked: bool = False, at: int = AT) -> None:
        self.store.decided(attempt(n, at=at), BLOCKED if blocked else WATCHED, None)
        self.store.flush()

    async def next(self) -> Alert:
        return await asyncio.wait_for(self.told.get(), 10)

    async def switch(self) -> bool:
        return await asyncio.wait_for(self.switched.get(), 10)

    async def close(self) -> None:
        await self.alerts.stop()
        self.store.close()
        assert self.faults == []


def test_what_accrues_while_the_guard_runs_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        s = Scene(tmp_path, "alert_day = 2500\nalert_month = 2500.04")
        s.write(0, blocked=True)  # avoided: it counts for nothing
        s.write(1, at=AT - 40 * DAY)  # of another month
        s.alerts.start()
        s.write(2)
        found = [await s.next(), await s.next()]
        assert [(a.span, a.accrued) for a in found] == [("day", 2_500_050_000), ("month", 2_500_050_000)]
        s.write(3)
        s.alerts.adopt(configured(tmp_path / "other", "alert_day = 1"))
        await s.close()
        assert s.told.empty()

    with caplog.at_level(logging.WARNING):
        asyncio.run(scene())
    assert (
        "2,500.05 EUR of penalties accrued in 2026-11-21: more than the 2,500.00 EUR of ledger.alert_day" in caplog.text
    )


def test_what_accrued_before_the_start_counts(tmp_path: Path) -> None:
    async def scene() -> None:
        s = Scene(tmp_path, "alert_month = 1")
        s.write(0, at=AT - 10 * DAY)
        s.alerts.start()
        assert (await s.next()).key == "2026-11"
        await s.close()

    asyncio.run(scene())


def test_a_limit_that_is_set_by_a_reload(tmp_path: Path) -> None:
    async def scene() -> None:
        s = Scene(tmp_path, "")
        s.write(0)
        s.alerts.start()
        s.alerts.adopt(configured(tmp_path / "other", "alert_day = 1"))
        assert (await s.next()).span == "day"
        await s.close()

    asyncio.run(scene())


def test_a_log_that_cannot_be_read_is_told_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        s = Scene(tmp_path, "alert_day = 1")
        s.write(0)
        reader, tried = s.store.reader, 0

        def refusing(timezone: str = "Europe/Paris") -> object:
            nonlocal tried
            tried += 1
            if tried <= 2:
                raise StoreError("guard.db: damaged") if tried == 1 else RuntimeError("ours")
            return reader(timezone)

        monkeypatch.setattr(s.store, "reader", refusing)
        s.alerts.start()
        await s.next()
        await s.alerts.stop()
        s.store.close()
        assert [str(f) for f in s.faults] == ["ours"]

    with caplog.at_level(logging.WARNING):
        asyncio.run(scene())
    assert "what accrued is not known: guard.db: damaged" in caplog.text


def test_incidents_and_entries_by_hand_count_as_things_stand(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        s = Scene(tmp_path, "alert_day = 1500\nenforce_above_day = 6000")
        s.alerts.start()
        with Books(s.store.path, PARIS) as books:
            books.enter(replace(BILL, at=AT - DAY))  # of yesterday
            books.enter(replace(BILL, at=AT, amount=1_500 * EURO))  # the limit itself
            books.seen([replace(SEEN, at=AT, subject="+33899999999", reached=False)])  # avoided
            books.enter(replace(BILL, at=AT, amount=1))
            assert (await s.next()).accrued == 1_500 * EURO + 1
            books.seen([replace(SEEN, at=AT, reached=True)])
            assert await s.switch()
            assert [a.accrued for a in s.alerts.enforcing] == [6_500 * EURO + 1]
            books.enter(replace(BILL, at=AT, amount=-600 * EURO))  # a credit note
            assert not await s.switch()
            books.close()
        Path(s.store.path + "-books").write_text("no database", encoding="utf-8")
        s.write(1)
        assert await s.switch()  # calls count all the same
        await s.close()

    asyncio.run(scene())
    assert "what incidents and entries by hand come to is not known: " in caplog.text


def test_a_deadline_that_passes_counts_though_nobody_wrote(tmp_path: Path) -> None:
    async def scene() -> None:
        s = Scene(tmp_path, "alert_month = 10000")
        s.clock.at = AT - 15 * DAY
        with Books(s.store.path, PARIS) as books:
            books.seen([replace(SEEN, at=s.clock.at, reached=True)])
            books.step(Event(step="notify", at=s.clock.at, written=s.clock.at, incident=1, letter="breach"))
        s.alerts.start()
        s.clock.at = AT
        assert (await s.next()).accrued == 15_000 * EURO
        await s.close()

    asyncio.run(scene())


# ---- rules on trial that act beyond a limit -------------------------------------------------------------------------


def test_beyond_a_limit_is_what_accrued_in_the_day_or_month_that_runs() -> None:
    watch = Watch({}, PARIS, {"day": 10 * EURO, "month": 15 * EURO})
    watch.add(AT, 10 * EURO)
    assert watch.beyond(AT) == []  # the limit itself is not beyond it
    watch.add(AT, 1)
    day = Alert(span="day", key="2026-11-21", accrued=10 * EURO + 1, limit=10 * EURO, enforces=True)
    assert watch.beyond(AT) == [day]
    assert watch.beyond(AT) == [day]  # as long as it lasts
    assert watch.beyond(AT + DAY) == []
    assert watch.beyond(AT) == [day]  # the clock was put back
    watch.add(AT + DAY, 5 * EURO)
    assert [(a.span, a.key) for a in watch.beyond(AT + DAY)] == [("month", "2026-11")]
    assert watch.beyond(AT + 30 * DAY) == []


def test_rules_on_trial_act_until_the_day_ends(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        s = Scene(tmp_path, "enforce_above_day = 2500.04\nenforce_above_month = 5000")
        s.write(0, blocked=True)  # avoided: it counts for nothing
        s.alerts.start()
        s.write(1)
        assert await s.switch()
        assert [(a.span, a.enforces) for a in s.alerts.enforcing] == [("day", True)]
        assert (await s.next()).key == "2026-11-21"
        s.write(2)
        s.write(3)
        s.clock.at = AT + DAY
        assert not await s.switch()
        assert s.alerts.enforcing == ()
        await s.close()
        assert s.told.empty()
        assert s.switched.empty()

    with caplog.at_level(logging.WARNING):
        asyncio.run(scene())
    assert caplog.text.count("more than the 2,500.04 EUR of ledger.enforce_above_day; until its end rules in mode") == 1
    assert caplog.text.count("rules in mode monitor look on again") == 1


def test_a_guard_that_starts_beyond_its_limit_acts_at_once_and_a_reload_can_end_it(tmp_path: Path) -> None:
    async def scene() -> None:
        s = Scene(tmp_path, "enforce_above_month = 1")
        s.write(0, at=AT - 10 * DAY)
        s.alerts.start()
        assert await s.switch()
        s.alerts.adopt(configured(tmp_path / "other", "enforce_above_month = 100000"))
        assert not await s.switch()
        s.alerts.adopt(configured(tmp_path / "third", "enforce_above_day = 1\nenforce_above_month = 2"))
        assert await s.switch()
        s.alerts.adopt(configured(tmp_path / "fourth", ""))
        assert not await s.switch()
        await s.close()

    asyncio.run(scene())
