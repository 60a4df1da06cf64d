"""A guard without the wire that knows so many lines and carries so many calls, and what a call more costs it.

`python -P sim/flat/world.py LINES CALLS CALLERS`, as a process of its own, measures the guard that it finds on its
path: core, desk and engine with every rule and detector, the memory state, and the collector and large pages as the
daemon has them. It prints a line of JSON (`Grown`) once it is ready, then for each line `N` on its input the
microseconds of processor time of a call, over N of them: INVITE, 100, 180, 200, ACK, and BYE and 200 of the call that
has been up for longest. Each of CALLERS lines (0: all that are known) calls once an hour, in virtual time. Detection
hears of each call's end that it talked for three minutes, however long it was up, lest short calls alarm.
"""

from __future__ import annotations

import gc
import re
import sys
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from guard.asked import Question, attempt_of
from guard.config import load
from guard.desk import Desk
from guard.detectors.origins import Origins
from guard.detectors.recent import ANSWERED, Past, Recent
from guard.detectors.subject import Subject, mark
from guard.detectors.subjects import AT_WORK
from guard.detectors.words import DAY, HOUR
from guard.engine import Engine
from guard.model import SECOND, CallAttempt
from guard.net.garbage import Garbage
from guard.net.hugepages import HugePages
from guard.numbering.number import Dial, normalise
from guard.policy.load import Policy, load_policy
from guard.proxy.effects import Ended
from guard.sources import Sources
from sim.bench import AT, BODY, Calls, answer, request
from sim.flat.lines import RANGE, caller_of, number_of
from sim.site import ALICE, IPBX, Site

PAST_CALLS: Final = 60  # of each known line, one an hour: it is settled
PLENTY: Final = 200_000  # calls at once, and a second: nothing is refused
SDP: Final = "Content-Type: application/sdp\r\n"
BEFORE: Final = 2_000  # calls before anything is measured: what is remembered of the last ones is as it will be
LINGERS: Final = 35 * SECOND  # what is over is kept for 32 s (RFC 3261 17.2.2): so long calls begin and end before
ADDRESS, AGENT = mark(IPBX), mark("bench")  # that every line shows, beside its number
TALK: Final = 180 * SECOND


class Grown(Struct, frozen=True):
    """What there is now: subjects that detection knows; kB a known line and a call that is up; ms that one collection
    of all garbage takes."""

    known: int
    line_kb: float
    call_kb: float
    collection_ms: float


class World(Calls):
    """A guard that knows `lines` and carries `calls`; `callers` of them call."""

    def __init__(self, policy: Policy, sources: Sources, lines: int, calls: int, callers: int) -> None:
        super().__init__(policy, sources, rules=True)
        self.lines, self.callers = lines, callers or lines
        self.gap = max(1, HOUR // self.callers)
        self.up_now: deque[tuple[int, bytes, bytes]] = deque()  # number and BYE of each call, and what it went out as
        self._engine = Engine(policy)
        self.calls = calls

    def grow(self, attempt: CallAttempt) -> Grown:
        """Know the lines, then carry the calls."""
        start = resident()
        if self.desk is not None:
            last = (self.caller(number) for number in range(-AT_WORK, 0))
            know(self.desk, self._engine, self.lines, attempt, last)
        lines = resident()
        for _ in range(BEFORE):
            self.begin(self.number)
            self.end()
        before = resident()
        for _ in range(self.calls):
            self.begin(self.number)
        after = resident()
        for _ in range(LINGERS // self.gap):
            self.begin(self.number)
            self.end()
        begun = time.thread_time()
        gc.collect()
        took = time.thread_time() - begun
        watch = self.desk.watch if self.desk is not None else None
        return Grown(
            known=len(watch.subjects) if watch is not None else 0,
            line_kb=(lines - start) / self.lines,
            call_kb=(after - before) / self.calls,
            collection_ms=took * 1000,
        )

    def caller(self, number: int) -> str:
        """Who places call `number`."""
        return caller_of(number, self.callers)

    def begin(self, number: int) -> float:
        """A call to where it is answered; seconds that it took."""
        caller = self.caller(number)
        self.number = number + 1
        self.now += self.gap
        invite = request("INVITE", number, 1, caller=caller, more=SDP, body=BODY)
        ack = request("ACK", number, 1, caller=caller, to_tag="z")
        bye = request("BYE", number, 2, caller=caller, to_tag="z")
        begun = time.thread_time()
        out = self.feed(invite, self.up)
        took = time.thread_time() - begun
        if not out.startswith(b"INVITE"):
            raise RuntimeError(f"a call was refused: {out[:80]!r}")
        for status in (100, 180, 200):
            took += self.took(answer(out, status), self.down)
        took += self.took(ack, self.up)
        self.up_now.append((number, bye, out))
        return took

    def end(self) -> float:
        """The call that has been up for longest ends, and timers fire; seconds that it took."""
        _, bye, _ = self.up_now.popleft()
        begun = time.thread_time()
        out = self.feed(bye, self.up)
        took = time.thread_time() - begun
        took += self.took(answer(out, 200), self.down)
        begun = time.thread_time()
        while (due := self.core.next_timer()) is not None and due <= self.now:
            self.core.wake(self.now)
        return took + time.thread_time() - begun

    def over(self, effect: Ended) -> None:
        """A call is over."""
        if self.desk is not None:
            self.desk.ended(effect.ticket, self.now, replace(effect.ended, talk_us=TALK))

    def took(self, data: bytes, flow: object) -> float:
        """Seconds of processor time for one message."""
        begun = time.thread_time()
        self.feed(data, flow)  # type: ignore[arg-type]  # one of ours
        return time.thread_time() - begun

    def measure(self, count: int) -> float:
        """Microseconds a call, over `count` of them."""
        return sum(self.begin(self.number) + self.end() for _ in range(count)) / count * 1e6


def know(desk: Desk, engine: Engine, lines: int, attempt: CallAttempt, last: Iterable[str]) -> None:
    """So many lines have called before `attempt`: what detection keeps of them, at rest, and of the `last` ones at
    work, and for each a number that it called."""
    if desk.watch is None:
        return
    subjects, state, dial = desk.watch.subjects, desk._state, Dial()
    usual = settled(attempt.at)
    calls = usual.recent.all()
    for n in range(lines):
        caller = number_of(n)
        callee = f"+33199{n * 7919 % 1_000_000:06d}"
        shown = mark(caller)
        usual.recent, usual.origins = Recent(), Origins()
        for past in calls:
            past.caller = shown & 0xFFFF
            usual.recent.add(past, 0)
        usual.origins.seen((ADDRESS, AGENT, shown), attempt.at - DAY)
        subjects.rest(f"n:{caller}", usual)
        call = replace(
            attempt, at=attempt.at - DAY, line=caller, caller=normalise(caller, dial), callee=normalise(callee, dial)
        )
        for touch in engine.counted(call):
            state.restore(replace(touch, ident=f"past{n}"))
    for caller in last:
        subjects.find(f"n:{caller}")


def settled(at: int) -> Subject:
    """A line as detection knows it after so many hours."""
    first = at - PAST_CALLS * HOUR
    found = Subject(first)
    for n in range(PAST_CALLS):
        then = first + n * HOUR
        callee = 33_199_000_000 + n * 7919
        found.origins.seen((ADDRESS, AGENT, mark(number_of(0))), then)
        found.usual.one_more(then // HOUR, frozen=False)
        past = Past(then, callee, 1, 0, ANSWERED)
        found.called(past)
    return found


def resident() -> int:
    """kB of memory."""
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
    return int(found[1]) if found else 0


def main() -> None:
    """See the module."""
    lines, calls, callers = map(int, sys.argv[1:4])
    with TemporaryDirectory() as folder:
        site = Site(folder=Path(folder), port=5060, trunk_port=5060, pbx_port=5060, cps=PLENTY, channels=PLENTY)
        site.more = f'\n[[number]]\nrange = "{RANGE}"\n'
        config = load(site.write())
        policy = load_policy(config)
        attempt = attempt_of(Question(source=config.sources[0], caller=ALICE, callee="0199001234", at=AT))
        world = World(policy, Sources(config.sources), lines, calls, callers)
    garbage = Garbage()
    garbage.start(world.now)
    grown = world.grow(attempt)
    pages = HugePages()
    while pages.gather():
        pass
    print(msgspec.json.encode(grown).decode(), flush=True)
    for line in sys.stdin:
        print(f"{world.measure(int(line)):.3f}", flush=True)


if __name__ == "__main__":
    main()
