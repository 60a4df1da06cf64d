"""More messages than can be served, with a clock that the test moves: who is served first, who is refused, what is
dropped."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import pytest

from guard.net import intake
from guard.net.intake import CATCHING_UP, COUNTERS, FEW, LONGEST, PATIENCE, SLICE, Intake
from guard.proxy.effects import Flow
from guard.proxy.triage import Lot

HERE = ("127.0.0.1", 5060)
UDP = Flow("udp", HERE, ("127.0.0.2", 5060))
TCP = Flow("tcp", HERE, ("127.0.0.2", 5061), 7)
COST = 200  # µs that one message takes here
LOTS: dict[bytes, Lot] = {b"u": "urgent", b"g": "going", b"n": "new", b"s": "stranger", b"o": "over"}


class Bench:
    """An intake, and a loop that turns when it is told to. Messages are named by their lot: b"n1" is a new call."""

    def __init__(self) -> None:
        self.now = 0
        self.status = 0
        self.served: list[str] = []
        self.refused: list[str] = []
        self.told: list[tuple[int, int]] = []
        self.turns: deque[Callable[[], None]] = deque()
        self.counters = dict.fromkeys(COUNTERS, 0)
        self.breaks = b""
        self.intake = Intake(
            self,
            self.serve,
            lambda: self.now,
            self.turns.append,
            self.counters,
            lambda: len(self.refused),
            lambda refused, took: self.told.append((refused, took)),
        )

    def lot(self, data: bytes, flow: Flow) -> Lot:
        del flow
        return LOTS[data[:1]]

    def shed(self, status: int) -> None:
        self.status = status

    def serve(self, data: bytes, flow: Flow) -> None:
        del flow
        if data == self.breaks:
            raise ValueError(data)
        refused = self.status and LOTS[data[:1]] == "new"
        self.now += COST // 10 if refused else COST
        (self.refused if refused else self.served).append(data.decode())

    def put(self, *names: str, flow: Flow = UDP) -> None:
        for name in names:
            self.intake.put(name.encode(), flow)

    def turn(self) -> None:
        self.turns.popleft()()

    def finish(self) -> None:
        while self.turns:
            self.turn()
        assert not self.intake.busy
        assert len(self.intake) == 0


def test_the_order_in_which_those_who_wait_are_served() -> None:
    b = Bench()
    b.intake.crowded()
    b.put("s1", "n1", "g1", "n2", "u1", "g2", "s2", "u2")
    b.finish()
    assert b.served == ["u1", "u2", "g1", "g2", "n1", "n2", "s1", "s2"]
    assert b.told == []  # nobody was refused: it was a busy moment


def test_an_emergency_call_is_the_next_whatever_waits() -> None:
    """It waits for one slice at most, and for the sockets to be read: then it is served before the next is looked at
    (test_help_first.py)."""
    b = Bench()
    b.intake.crowded()
    b.put(*(f"g{n}" for n in range(1_000)), *(f"n{n}" for n in range(1_000)))
    b.turn()
    assert b.now <= SLICE + COST
    assert not b.intake.put(b"u1", UDP)
    assert b.served[-1] == "u1"
    b.finish()


def test_a_new_call_that_waited_too_long_is_refused_and_the_next_in_time_is_served() -> None:
    b = Bench()
    b.intake.crowded()
    b.put("n1")
    b.now += PATIENCE
    others = [f"n{n}" for n in range(2, FEW + 2)]
    b.put(*others)
    b.now += 1
    b.finish()
    assert (b.refused, b.served) == (["n1"], others)
    assert b.status == 0  # what comes next is not refused for what waited before
    ((refused, took),) = b.told
    assert refused == 1
    assert took >= PATIENCE
    assert b.counters["overloads"] == 1


def test_a_few_calls_are_no_queue_and_rather_wait() -> None:
    """Where the guard was held up, by another program or a disk, it has served them sooner than they go another way."""
    b = Bench()
    b.intake.crowded()
    few = [f"n{n}" for n in range(FEW)]
    b.put(*few)
    b.now += LONGEST - FEW * COST
    b.finish()
    assert (b.refused, b.served) == ([], few)
    b.intake.crowded()
    b.put("n100")
    b.now += LONGEST + 1
    b.finish()
    assert b.refused == ["n100"], "but not for ever"


def test_what_waited_for_a_guard_that_was_started_again_is_not_refused() -> None:
    b = Bench()
    b.intake.catch_up()
    b.intake.crowded()
    b.put("n1")
    b.now += CATCHING_UP - SLICE
    b.turn()
    assert (b.refused, b.served) == ([], ["n1"])
    b.put("n2")
    b.now += LONGEST + SLICE
    b.finish()
    assert b.refused == ["n2"], "and then as ever"


def test_at_twice_what_can_be_served_useful_work_goes_on_and_every_call_has_its_answer_in_time() -> None:
    """Calls of an INVITE and six other messages, 14 of them in the time in which seven calls can be served."""
    b = Bench()
    b.intake.crowded()
    call_costs = 7 * COST
    waited: dict[str, int] = {}
    came: dict[str, int] = {}
    number = following = 0
    while number < 2_000:
        while number * call_costs // 2 <= b.now and number < 2_000:
            came[f"n{number}"] = b.now
            b.put(f"n{number}")
            number += 1
        done, gone = len(b.served), len(b.refused)
        b.turn() if b.turns else b.intake.crowded()
        for name in b.served[done:]:
            if name.startswith("n"):  # what follows a call that was served: its own messages
                b.put(*(f"g{following + n}" for n in range(6)))
                following += 6
        waited |= {name: b.now - came[name] for name in (*b.served[done:], *b.refused[gone:]) if name in came}
    lasted = b.now
    b.finish()
    carried = sum(name.startswith("n") for name in b.served)
    assert carried + len(b.refused) == 2_000
    assert carried >= 0.9 * lasted / call_costs  # of what it could have carried without refusing anybody
    assert max(waited.values()) <= PATIENCE + 3 * SLICE + FEW * call_costs
    assert b.counters["intake_dropped"] == 0


@pytest.mark.parametrize(("lot", "bound"), [("g", "MAX_GOING"), ("n", "MAX_NEW"), ("s", "MAX_STRANGERS")])
def test_each_kind_has_room_for_so_many(lot: str, bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, bound, 3)
    b = Bench()
    b.intake.crowded()
    b.put(*(f"{lot}{n}" for n in range(5)))
    assert len(b.intake) == 3
    assert b.counters["intake_dropped"] == 2
    b.finish()
    # Of new calls the oldest went: its caller is the next to send it again.
    assert b.served == [f"{lot}{n}" for n in ((2, 3, 4) if lot == "n" else (0, 1, 2))]


def test_what_came_over_a_stream_is_never_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "MAX_GOING", 1)
    b = Bench()
    b.intake.crowded()
    b.put("g1", "g2", flow=TCP)
    assert b.served == ["g2"]  # at once: its sender is slowed down by not being read
    b.finish()
    assert b.served == ["g2", "g1"]
    assert b.counters["intake_dropped"] == 0


def test_strangers_that_waited_too_long_are_dropped_unread() -> None:
    b = Bench()
    b.intake.crowded()
    b.put("s1", "s2")
    b.now += PATIENCE + 1
    b.put("s3")
    b.finish()
    assert b.served == ["s3"]
    assert b.counters["intake_strangers"] == 2


def test_what_nothing_waits_for_is_counted_and_let_go() -> None:
    b = Bench()
    b.intake.crowded()
    b.put("o1", "g1", "o2")
    b.finish()
    assert b.served == ["g1"]
    assert b.counters["intake_over"] == 2


def test_one_that_raises_costs_itself() -> None:
    b = Bench()
    b.breaks = b"n1"
    b.intake.crowded()
    b.put("n1", "n2")
    b.now += LONGEST + 1
    with pytest.raises(ValueError, match="n1"):
        b.turn()
    assert b.status == 0
    b.finish()
    assert b.refused == ["n2"]


def test_after_a_stop_nothing_is_served() -> None:
    b = Bench()
    b.intake.crowded()
    b.put("g1")
    b.intake.stop()
    b.turn()
    b.intake.crowded()
    assert not b.turns
    assert (b.served, b.intake.busy) == ([], False)
