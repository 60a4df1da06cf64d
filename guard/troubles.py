"""What is wrong with the guard or around it, in the words of its health messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Final, Protocol

from guard.messages.events import Trouble
from guard.net.say import LOG
from guard.proxy.shapes import Condition

SECOND: Final = 1_000_000  # µs
HUNG: Final = 5 * SECOND  # that entries may wait for a disk that says nothing: more than any that is only busy


class Hops(Protocol):
    """Knows the next hops: the core."""

    def conditions(self, now: int) -> tuple[Condition, ...]:
        """Every next hop, and whether it is up."""


class Log(Protocol):
    """The log that is written. `pending` entries wait for the disk, `written` are on it; `faults` times it refused, and
    `lost` were not kept. `replaces` is where damaged files, it and those beside it, were put in whose place they were
    begun."""

    path: str
    faults: int
    lost: int
    last_error: BaseException | None
    replaces: dict[str, str]

    @property
    def pending(self) -> int:
        """See above."""

    @property
    def written(self) -> int:
        """See above."""


class Troubles:
    """Looks at the next hops, at the log and at what `more` says, whenever `look` is called, and tells `tell` what is
    wrong; all of it. That the log is not written, and is again, is also said here."""

    def __init__(
        self,
        core: Hops,
        store: Log,
        now: Callable[[], int],
        tell: Callable[[tuple[Trouble, ...]], None],
        more: Callable[[], tuple[Trouble, ...]] = tuple,
    ) -> None:
        self._core, self._store, self._now, self._tell = core, store, now, tell
        self._more = more
        self._faults = store.faults
        self._written, self._at = store.written, now()  # how far it is, and since when
        self._unwritten = ""  # why nothing gets any further

    def look(self) -> None:
        """Look now."""
        self._tell((*self._hops(), *self._log(), *self._more()))

    def _hops(self) -> Iterator[Trouble]:
        conditions = sorted(self._core.conditions(self._now()), key=lambda c: c.trunk)
        for trunk, found in groupby(conditions, key=lambda c: c.trunk):
            hops = list(found)
            down = [c for c in hops if not c.up]
            for hop in down:
                transport, host, port = hop.place
                yield Trouble(kind="next-hop", of=f"{trunk}: {transport} {host} port {port}", text=hop.why)
            if down and len(down) == len(hops):
                yield Trouble(kind="trunk", of=trunk, text="no next hop answers")

    def _log(self) -> Iterator[Trouble]:
        store = self._store
        was, self._unwritten = self._unwritten, self._why()
        if self._unwritten and not was:
            LOG.error("%s is not written: %s; what it is to hold waits in memory", store.path, self._unwritten)
        elif was and not self._unwritten:
            LOG.warning("%s is written again", store.path)
        if self._unwritten:
            yield Trouble(kind="log", of=store.path, text=f"is not written: {self._unwritten}")
        for path, kept in tuple(store.replaces.items()):  # whole at once: another thread may find the outbox damaged
            yield Trouble(kind="log-lost", of=path, text=f"was damaged: kept as {kept}, and begun anew")
        if store.lost:
            yield Trouble(kind="log-lost", of=store.path, text="entries were lost; guard log --verify tells which")

    def _why(self) -> str:
        """Why the log gets no further, "" while it does: the disk refuses, or takes its time."""
        store, now = self._store, self._now()
        refused, self._faults = store.faults != self._faults, store.faults
        if not store.pending or store.written != self._written:
            self._written, self._at = store.written, now
            return str(store.last_error) if refused and store.pending else ""
        if refused:
            return str(store.last_error)
        if now - self._at > HUNG and not self._unwritten:
            return f"the disk has not answered for {HUNG // SECOND} s"
        return self._unwritten
