"""Captured traffic through the same decisions as the daemon's, on the capture's own clock.

The observer finds the calls, the desk decides them, and what settles a decision for the daemon (`net.verdicts`) settles
it here: the same words reach the log. Nothing waits: between two messages the clock runs from one thing that is due to
the next, so a held call leaves at the microsecond at which it has a place.

What differs from a live guard: a set-up has left the moment its decision lets it go, and what the guard itself
answered when the capture was made says nothing to the decisions (it only ends calls that the replay let pass).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from guard.capture.messages import Captured
from guard.model import CallAttempt, CallEnded, Decision
from guard.net.faults import FaultPolicy
from guard.net.verdicts import COUNTERS, Desk, Verdicts
from guard.proxy.calls import REPEAT_WAIT
from guard.proxy.effects import Decide, Ended, Flow, Stranger, Withdraw
from guard.proxy.observer import Observer
from guard.proxy.routing import Trunks
from guard.proxy.shapes import CoreSettings
from guard.sources import Sources
from guard.store.contract import Writer

RUN_ON: Final = REPEAT_WAIT  # µs after the last message in which what was under way may still end
MAX_STRANGERS: Final = 1_000  # addresses that nothing names whose INVITEs are counted apart


class _Core:
    """The observer as `Verdicts` wants its core: it has no use for a record's number."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def decided(self, ticket: int, decision: Decision, seq: int, now: int) -> None:
        """The decision on a `Decide`."""
        del seq
        self._observer.decided(ticket, decision, now)


class _Log:
    """A log whose entries are taken for committed at once: no message waits for them."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def decided(
        self, call: CallAttempt, decision: Decision, done: Callable[[BaseException | None], None] | None
    ) -> int:
        """See `store.contract.Writer`."""
        seq = self._writer.decided(call, decision, None)
        if done is not None:
            done(None)
        return seq

    def ended(self, seq: int, ended: CallEnded) -> None:
        """See `store.contract.Writer`."""
        self._writer.ended(seq, ended)

    def close(self) -> None:
        """See `store.contract.Writer`."""
        self._writer.close()


class Replay:
    """One run of captured messages through a desk into a log.

    `settings` tell the guard's own addresses: where it is in the capture itself, what it sent on is no attempt.
    `counters` count as the daemon's do, `observer.counters` what was seen. `strangers` are the addresses that neither a
    source nor a trunk has, with the INVITEs that came from there to the guard (recorded, as the daemon does, up to its
    limit); `others` those with INVITEs to somebody else, which the daemon would never have seen.
    """

    def __init__(
        self,
        settings: CoreSettings,
        sources: Sources,
        trunks: Trunks,
        desk: Desk,
        log: Writer,
        *,
        faults: FaultPolicy | None = None,
    ) -> None:
        self.observer = Observer(settings, sources, trunks)
        self.counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)
        self.strangers: dict[str, int] = {}
        self.others: dict[str, int] = {}
        self.now = 0
        self._verdicts = Verdicts(
            _Core(self.observer), desk, _Log(log), faults or FaultPolicy(), self.counters, lambda: None
        )

    def run(self, messages: Iterable[Captured]) -> None:
        """All of `messages`, and then the clock on until nothing is due any more."""
        self.take(messages)
        self.finish()

    def take(self, messages: Iterable[Captured]) -> None:
        """Some messages, and nothing beyond the last of them."""
        for data, flow, instant in messages:
            self.feed(data, flow, instant)

    def feed(self, data: bytes, flow: Flow, instant: int) -> None:
        """One message that `flow.peer` sent to `flow.local` at `instant` (µs of Unix time, never going back)."""
        self.until(instant)
        observer = self.observer
        observer.receive(data, flow, instant)
        if observer.effects:  # of most messages nothing follows
            self._settle(instant)

    def until(self, instant: int) -> None:
        """Let the clock run: everything that is due up to and at `instant` happens, each at its own time."""
        observer, verdicts = self.observer, self._verdicts
        while (due := self._next()) <= instant:
            self.now = max(self.now, due)
            observer.wake(self.now)
            if observer.effects:
                self._settle(self.now)
            if (held := verdicts.next_wake()) is not None and held <= self.now:
                verdicts.wake(self.now)
                self._settle(self.now)
        self.now = max(self.now, instant)

    def finish(self) -> None:
        """The capture is over. Held calls get their decision; a failed call is not repeated any more; a call that is
        still up has no end."""
        self.until(self.now + RUN_ON)
        while (due := self._verdicts.next_wake()) is not None:
            self.until(due)

    def _next(self) -> int:
        """The instant of what is due next; NEVER (proxy/timers.py) where nothing is."""
        timer, wake = self.observer.soonest(), self._verdicts.next_wake()
        return timer if wake is None or timer <= wake else wake

    def _settle(self, now: int) -> None:
        """Perform what the observer wants until it wants nothing more."""
        effects, verdicts = self.observer.effects, self._verdicts
        while True:
            batch = effects[:]
            effects.clear()
            for effect in batch:
                if isinstance(effect, Decide):
                    self._decide(effect, now)
                elif isinstance(effect, Withdraw):
                    verdicts.withdraw(effect, now)
                elif isinstance(effect, Ended):
                    verdicts.ended(effect, now)
                elif isinstance(effect, Stranger):
                    self._stranger(effect, now)
            verdicts.land(now)
            verdicts.depart(lambda: now)
            if not effects:
                return

    def _decide(self, effect: Decide, now: int) -> None:
        try:
            self._verdicts.decide(effect, now)
        except Exception as error:
            # As the daemon does: the configured verdict stands in for a decision that failed, and it is counted.
            if not self._verdicts.failed(error, now):
                raise

    def _stranger(self, effect: Stranger, now: int) -> None:
        counts = self.strangers if effect.call is not None else self.others
        peer = effect.flow.peer[0]
        if peer in counts or len(counts) < MAX_STRANGERS:
            counts[peer] = counts.get(peer, 0) + 1
        self._verdicts.stranger(effect, now)
