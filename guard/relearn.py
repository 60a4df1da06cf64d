"""What detection knew, learned again from the log when the guard starts, beside the calls that come meanwhile.

Live calls go to a watch that knows nothing of the past, and into a journal. A second watch is fed the calls of the log
in the order of time, then the journal, and takes the first one's place. Pure: who feeds it reads the disk.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from typing import Final, Literal, cast

from msgspec import Struct

from guard.detectors.alarms import FOR_GOOD
from guard.detectors.watch import Watch
from guard.detectors.words import DAY, HOUR, Evidence, Kind, Price, Signal
from guard.engine import Engine
from guard.ledger.past import attempt_of_body
from guard.ledger.record import DecisionBody, EndBody
from guard.model import CallAttempt, CallEnded
from guard.shut import Name

SPAN: Final = 30 * DAY  # what is kept of a subject by the day
STEP: Final = 100  # calls between which others may work: about four milliseconds
MAX_JOURNAL: Final = 50_000  # things that happen to live calls meanwhile: some 60 MB; ten calls a second for 40 minutes
AGAIN: Final = HOUR  # alarms so lately that a guard which fell may not have written them into the books

JOURNAL_DROPPED: Final = "detectors_journal_dropped"

By = Literal["caller", "callee", "guard", "silence", ""]
Past = tuple[int, DecisionBody, EndBody | None]  # the decision's place in the log, itself, and its end


class Note(Struct, frozen=True):
    """One thing that happened to a live call or subject; which of them is told by what is there."""

    ident: str
    call: CallAttempt | None = None
    price: Price | None = None
    closed: bool = False
    ended: CallEnded | None = None
    released: Name | None = None


class Journaled(Watch):
    """A watch that also keeps what it is shown, for the one that comes after it."""

    def __init__(self, most: int = MAX_JOURNAL) -> None:
        super().__init__()
        self.journal: deque[Note] = deque()
        self.counters[JOURNAL_DROPPED] = 0
        self._most = most
        self._on = True

    def attempt(self, ident: str, call: CallAttempt, price: Price, *, closed: bool = False) -> tuple[Signal, ...]:
        """See `Watch`."""
        self._note(Note(ident, call=call, price=price, closed=closed))
        return super().attempt(ident, call, price, closed=closed)

    def stopped(self, ident: str) -> None:
        """See `Watch`."""
        self._note(Note(ident))
        super().stopped(ident)

    def ended(self, ident: str, ended: CallEnded) -> tuple[Evidence, ...]:
        """See `Watch`."""
        self._note(Note(ident, ended=ended))
        return super().ended(ident, ended)

    def release(self, kind: Kind, subject: str) -> bool:
        """See `Watch`."""
        self._note(Note("", released=(kind, subject)))
        return super().release(kind, subject)

    def give_up(self) -> None:
        """Nobody comes after it."""
        self.journal.clear()
        self._on = False

    def _note(self, note: Note) -> None:
        if not self._on:
            return
        if len(self.journal) < self._most:
            self.journal.append(note)
        else:
            self.counters[JOURNAL_DROPPED] += 1


class Relearning:
    """One new watch. `now` is the instant of the start (Unix time, µs); `upto` the log's last entry then.

    `releases` are when which subjects were let go by a person; `revived` the tickets of calls that go on, by their
    entries in the log.
    """

    def __init__(
        self,
        engine: Engine,
        now: int,
        upto: int,
        releases: Iterable[tuple[int, Name]] = (),
        revived: dict[int, int] | None = None,
    ) -> None:
        self.watch = Watch(engine.patterns())
        self._engine = engine
        self._now = now
        self._upto = upto
        self._releases = sorted(releases, reverse=True)
        self._revived = revived or {}
        self._ends: list[tuple[int, int, str, CallEnded]] = []  # a heap, by the instant of the end
        self._up: dict[tuple[str, str, str], int] = {}  # attempts that are not over yet, with when they are

    def feed(self, past: Iterable[tuple[Past, int]]) -> Iterator[None]:
        """Calls of the log, by rising place, each with the place of its end; pauses now and then."""
        for n, ((seq, body, end), end_seq) in enumerate(past, 1):
            known = end if end is not None and end_seq <= self._upto else None
            if seq <= self._upto and body.at >= self._now - SPAN:
                self._take(seq, body, known)
            if n % STEP == 0:
                yield

    def catch_up(self, journal: deque[Note], *, whole: bool) -> None:
        """Some of what happened meanwhile; with `whole` all of it."""
        self._until(FOR_GOOD)
        for _ in range(len(journal) if whole else min(STEP, len(journal))):
            self._repeat(journal.popleft())

    def finish(self, live: Watch) -> Watch:
        """The new watch, once the journal is empty, with what holds of the old one: who is shut off.

        Old alarms are in the books already; those of the last hour are told again, lest a guard fell before it wrote.
        """
        watch = self.watch
        lately = self._now - AGAIN
        watch.alarms.fresh = [e for e in watch.alarms.fresh if e.at >= lately] + live.alarms.fresh
        for key, shut in list(watch.alarms.closed.items()):
            if shut.evidence.at < lately:
                del watch.alarms.closed[key]  # the books know better
        watch.alarms.closed |= live.alarms.closed
        for name, count in live.counters.items():
            watch.counters[name] = watch.counters.get(name, 0) + count
        return watch

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _take(self, seq: int, body: DecisionBody, end: EndBody | None) -> None:
        if body.emergency or not body.source:
            return  # never shown to detection
        attempt = body.source, body.call_id, body.from_tag
        if self._up.get(attempt, 0) > body.at:
            return  # another target of a call that is up: judged again, and not a call of its own
        self._until(body.at)
        call = attempt_of_body(body)
        ticket = self._revived.get(seq)
        ident = f"#{seq}" if ticket is None else str(ticket)
        self.watch.attempt(ident, call, self._engine.price(call), closed=self._engine.closed(call))
        if body.verdict == "blocked" or body.withdrawn:
            self.watch.stopped(ident)
            return
        if end is None and ticket is not None:
            return  # it goes on, and its end comes by itself
        ended = _ended(end) if end is not None else CallEnded(at=body.at, outcome="failed")  # nobody knows how
        heappush(self._ends, (ended.at, seq, ident, ended))
        self._up[attempt] = ended.at
        if len(self._up) > 2 * len(self._ends) + STEP:
            self._up = {a: until for a, until in self._up.items() if until > body.at}

    def _until(self, at: int) -> None:
        """What happened before an instant, and was not a set-up."""
        while self._ends and self._ends[0][0] <= at:
            when, _, ident, ended = heappop(self._ends)
            self._let_go(when)
            self.watch.ended(ident, ended)
        self._let_go(at)

    def _let_go(self, at: int) -> None:
        while self._releases and self._releases[-1][0] <= at:
            self.watch.release(*self._releases.pop()[1])

    def _repeat(self, note: Note) -> None:
        watch = self.watch
        if note.call is not None and note.price is not None:
            watch.attempt(note.ident, note.call, note.price, closed=note.closed)
        elif note.ended is not None:
            watch.ended(note.ident, note.ended)
        elif note.released is not None:
            watch.release(*note.released)
        else:
            watch.stopped(note.ident)


def _ended(end: EndBody) -> CallEnded:
    return CallEnded(
        at=end.at,
        outcome=end.outcome,
        ring_us=end.ring_us,
        talk_us=end.talk_us,
        final_status=end.final_status,
        by=cast("By", end.by),
    )
