"""A log that goes away again: what `guard replay` writes where nobody asked to keep it.

The same entries under the same hashes, but nobody waits for one and nobody reads beside: so there is no thread of its
own, which would take turns with the caller's at the interpreter, and no index. Whoever hands an entry over writes all
that wait once they are `BATCH`. It is read in its order, as the records of a whole replay are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from guard.ledger.penalties import Figures
from guard.ledger.record import MS
from guard.model import CallAttempt, CallEnded, Decision, Outcome
from guard.store.entries import Decided, Done, Entry
from guard.store.errors import StoreError
from guard.store.sqlite import BATCH, FLUSH_PATIENCE, SqliteWriter


class PassingLog(SqliteWriter):
    """Writes the log at `path`, a file of no other use, on the thread that hands over. Salts are all alike, so that the
    same calls make the same hashes. StoreError when the disk refuses: what it refused is tried again with the next."""

    def __init__(self, path: str | os.PathLike[str], *, site: str, money: Mapping[str, Figures] | None = None) -> None:
        super().__init__(path, site=site, money=money, queue_limit=BATCH, overflow="wait", salts=bytes)

    def flush(self, timeout: float = FLUSH_PATIENCE) -> None:
        """Write all that was taken, now. StoreError when the disk refuses it."""
        del timeout  # nobody else is waited for
        while self._backlog:
            if not self._commit():
                raise StoreError(f"{self.path}: {self.last_error}")

    def _begin(self) -> None:
        self._db.execute("PRAGMA synchronous = OFF")
        indexes = self._db.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").fetchall()
        for (name,) in indexes:
            self._db.execute(f"DROP INDEX {name}")

    def _finish(self) -> None:
        while self._backlog:
            if not self._commit():
                return

    def _hand_over(self, entry: Entry, *, urgent: bool) -> None:
        if self._closed:
            raise StoreError(f"{self.path}: the log is closed")
        self._taken += 1
        self._backlog.append(entry)
        if urgent:
            self.flush()


class SummedLog(PassingLog):
    """The same where only the sums are asked for: an allowed call of which no rule said anything is counted, and not
    written. Its entries have their numbers all the same.

    `allowed` are those calls, `held` how many of them waited for a place, for as long as a record tells, and `outcomes`
    how they ended (None: they did not).
    """

    def __init__(self, path: str | os.PathLike[str], *, site: str, money: Mapping[str, Figures] | None = None) -> None:
        super().__init__(path, site=site, money=money)
        self.allowed = self.held = 0
        self.outcomes: dict[Outcome | None, int] = {}
        self._open: dict[int, Decided] = {}  # until they end: as many as the observer follows

    def decided(self, call: CallAttempt, decision: Decision, done: Done | None) -> int:
        """See `contract.Writer`."""
        if decision.verdict != "allowed" or decision.findings or done is not None:
            return super().decided(call, decision, done)
        self._seq = seq = self._seq + 1
        self._open[seq] = Decided(seq=seq, call=call, decision=decision, done=None)
        return seq

    def ended(self, seq: int, ended: CallEnded) -> None:
        """See `contract.Writer`."""
        silent = self._open.pop(seq, None)
        if silent is not None and ended.findings:
            self._hand_over(silent, urgent=False)
        elif silent is not None:
            self._seq += 1
            self._count(silent, ended.outcome)
            return
        super().ended(seq, ended)

    def _finish(self) -> None:
        for silent in self._open.values():
            self._count(silent, None)
        self._open.clear()
        super()._finish()

    def _count(self, silent: Decided, outcome: Outcome | None) -> None:
        self.allowed += 1
        self.held += silent.decision.held_us >= MS
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
