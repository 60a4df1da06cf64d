"""The promise of the second over a restart: what left in the life before counts in this one, also what nobody wrote."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from guard import callsfile, keeping
from guard.keeping import Keeper
from guard.model import SECOND
from guard.ratekeeping import MAX_LIMIT, UNKNOWN_TIME, Kept, Rates, path_of
from guard.state.contract import Touch
from guard.state.memory import MemoryState, Places
from tests.apprig import guard, run
from tests.proxy.world import World
from tests.turner import Turner, nothing

WALL = 1_780_000_000 * SECOND  # wall clock minus timeline
SPAN = SECOND + 20_000
LIMIT = 5


class Life:
    """One life of a guard: its counters, and their file. The timeline of each begins elsewhere."""

    def __init__(self, folder: Path, begun: int) -> None:
        self.begun = begun  # on the wall
        self.state = MemoryState()
        self.rates = Rates(path_of(folder / "guard.db"), self.state)
        self.n = 0
        self.load()

    def now(self, at: int) -> int:
        return at - self.begun + 7 * SECOND

    @property
    def offset(self) -> int:
        return self.begun - 7 * SECOND

    def load(self) -> None:
        left = self.rates.load(self.now(self.begun), self.offset)
        if left is not None:
            self.rates.path.write_bytes(left.line())

    def leave(self, at: int) -> bool:
        """One more set-up leaves at that instant of the wall clock, if it may."""
        self.n += 1
        touch = Touch(kind="window", key="cps:t", ident=str(self.n), limit=LIMIT, span_us=SPAN)
        (reading,) = self.state.touch((touch,), self.now(at))
        if reading.taken:
            self.state.departed(str(self.n), self.now(at))
        return reading.taken

    def write(self, at: int, *, last: bool = False) -> bytes:
        left = (self.rates.last if last else self.rates.changed)(self.now(at), self.offset)
        line = left.line() if left is not None else b""
        if line:
            self.rates.path.write_bytes(line)
        return line


def test_what_left_before_a_stop_counts_after_the_start(tmp_path: Path) -> None:
    one = Life(tmp_path, WALL)
    assert [one.leave(WALL + SECOND + i) for i in range(3)] == [True] * 3
    one.write(WALL + SECOND + 100, last=True)
    two = Life(tmp_path, WALL + SECOND + 200_000)
    at = WALL + SECOND + 300_000
    assert [two.leave(at + i) for i in range(3)] == [True, True, False]
    assert two.leave(WALL + SECOND + SPAN)  # the first of the life before is over
    assert not two.leave(WALL + SECOND + SPAN)


def test_no_window_of_two_lives_holds_more_than_the_limit(tmp_path: Path) -> None:
    left: list[int] = []
    at = WALL
    for _ in range(6):
        life = Life(tmp_path, at)
        for _ in range(40):
            at += 11_000
            if life.leave(at):
                left.append(at)
        life.write(at, last=True)
        at += 50_000
    assert len(left) > 2 * LIMIT
    assert all(later - left[i] >= SPAN for i, later in enumerate(left[LIMIT:]))


def test_a_killed_guard_may_have_let_others_leave_unseen(tmp_path: Path) -> None:
    one = Life(tmp_path, WALL)
    one.leave(WALL + SECOND)
    one.write(WALL + SECOND + 10)
    one.leave(WALL + SECOND + 20)  # and then it is killed
    begun = WALL + SECOND + 400_000
    two = Life(tmp_path, begun)
    assert not two.leave(begun)
    assert two.leave(WALL + SECOND + SPAN)  # of the one that was seen
    assert not two.leave(begun + SPAN - 1)
    assert two.leave(begun + SPAN)  # of those that were not: they left before this life began


def test_what_was_killed_long_ago_holds_nobody_up(tmp_path: Path) -> None:
    one = Life(tmp_path, WALL)
    one.leave(WALL + SECOND)
    one.write(WALL + SECOND + 10)
    begun = WALL + SECOND + 10 + UNKNOWN_TIME + SPAN
    two = Life(tmp_path, begun)
    assert [two.leave(begun + i) for i in range(LIMIT + 1)] == [True] * LIMIT + [False]


def test_a_life_that_is_killed_at_once_leaves_what_the_one_before_left(tmp_path: Path) -> None:
    one = Life(tmp_path, WALL)
    one.leave(WALL + SECOND)
    one.write(WALL + SECOND + 10, last=True)
    two = Life(tmp_path, WALL + SECOND + 100_000)
    two.leave(WALL + SECOND + 100_010)  # killed before its first second was written
    begun = WALL + SECOND + 200_000
    assert not Life(tmp_path, begun).leave(begun)


def test_nothing_is_written_while_nothing_leaves(tmp_path: Path) -> None:
    one = Life(tmp_path, WALL)
    assert one.write(WALL + 1) == b""
    one.leave(WALL + 2)
    assert one.write(WALL + 3)
    assert one.write(WALL + 4) == b""


def test_a_wall_clock_that_was_set_back_costs_a_second_at_most(tmp_path: Path) -> None:
    one = Life(tmp_path, WALL + 3600 * SECOND)
    for i in range(LIMIT):
        one.leave(WALL + 3600 * SECOND + i)
    one.write(WALL + 3600 * SECOND + 10)
    two = Life(tmp_path, WALL)
    assert not two.leave(WALL)
    assert two.leave(WALL + SPAN)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"at":1,"clean":true,"windows":[],"version":9}', b"\xff" * 40])
def test_a_file_that_is_none_is_told(tmp_path: Path, data: bytes) -> None:
    path_of(tmp_path / "guard.db").write_bytes(data)
    with pytest.raises(ValueError, match=r"not a file of departures|of version 9"):
        Life(tmp_path, WALL)


def test_a_limit_that_somebody_wrote_does_not_fill_the_memory(tmp_path: Path) -> None:
    kept = Kept(WALL, clean=False, windows=(Places("cps:t", SPAN, 1 << 60, ()),))
    path_of(tmp_path / "guard.db").write_bytes(msgspec.json.encode(kept))
    assert Life(tmp_path, WALL).state.places == MAX_LIMIT


# ---- by the keeper, and the whole guard ------------------------------------------------------------------------------


def test_the_keeper_writes_and_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keeping, "EVERY", 0.01)
    path = path_of(tmp_path / "guard.db")

    async def life(leave: int, last: bool) -> tuple[int, Keeper]:
        w = World()
        w.core.wall_offset = WALL
        state = MemoryState()
        driver = Turner(w)
        keeper = Keeper(callsfile.path_of(tmp_path / "guard.db"), w.core, driver, lambda t: t, Rates(path, state))
        keeper.load(lambda calls: ["open"] * len(calls), nothing, nothing)
        found = state.value("cps:t", w.now)
        keeper.start()
        for n in range(leave):
            state.touch((Touch(kind="window", key="cps:t", ident=str(n), limit=LIMIT, span_us=SPAN),), w.now)
            state.departed(str(n), w.now)
        if leave:
            before = path.read_bytes() if path.exists() else b""
            async with asyncio.timeout(5):
                while not path.exists() or path.read_bytes() == before:
                    await asyncio.sleep(0.005)
        if last:
            await keeper.stop()
        else:
            for task in keeper._tasks:
                task.cancel()
            await asyncio.gather(*keeper._tasks, return_exceptions=True)
            keeper._thread.shutdown()
        assert driver.faults == []
        return found, keeper

    assert asyncio.run(life(2, last=True))[0] == 0
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    assert asyncio.run(life(1, last=False))[0] == 2
    assert asyncio.run(life(0, last=True))[0] == LIMIT  # the one before was killed
    path.write_bytes(b"{")
    _, keeper = asyncio.run(life(0, last=True))
    assert keeper.counters["kept_unreadable"] == 1
    assert "not a file of departures" in caplog.text


def test_a_guard_that_stops_leaves_the_departures_of_its_calls(tmp_path: Path) -> None:
    async def scene() -> None:
        async with guard(tmp_path, cps=7) as rig:
            begun = rig.app.driver.now() + rig.app.core.wall_offset
            await rig.carried()
            await rig.stop()
            kept = msgspec.json.decode(path_of(rig.site.folder / rig.site.store).read_bytes(), type=Kept)
            ((at,),) = (w.left for w in kept.windows)
            assert begun <= at <= kept.at
            assert (kept.clean, kept.windows[0].limit) == (True, 7)

    run(scene)
