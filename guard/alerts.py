"""Watches what accrues in a running guard: warns when a limit of the site's own is passed, and has rules on trial act.

It reads the log beside the calls, a page at a time and in another thread; the calls do not wait for it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from typing import Final, TypeVar

from guard.beside import Beside, aside, reading
from guard.config import Config
from guard.configschema import Ledger, micro_euros
from guard.ledger.limits import Alert, Span, Watch
from guard.ledger.penalties import month_bounds, month_of
from guard.net.clock import Clock
from guard.net.say import LOG
from guard.store.bookfile import tip_of
from guard.store.books import Books
from guard.store.errors import StoreError
from guard.store.money import accrued_since
from guard.store.schema import MEMORY
from guard.store.sqlite import SqliteWriter

T = TypeVar("T")
LOOK: Final = 10.0  # s between looks: a limit is told within that time of the call that passes it
# µs between two looks into books that nobody wrote: only a deadline that passes changes what they come to.
UNCHANGED: Final = 600_000_000
CENT: Final = 10_000  # micro-euros


class MoneyAlerts:
    """`start` it on a running loop when the log is open, `stop` it before the log is closed.

    `passed` hears of each limit that is passed. `enforce` is called when rules on trial are to act (True), and when
    they are to look on again; `enforcing` are the limits that have them act now.
    """

    def __init__(
        self,
        store: SqliteWriter,
        config: Config,
        clock: Clock,
        fault: Callable[[Exception], None],
        look: float = LOOK,
        passed: Callable[[Alert], None] | None = None,
        enforce: Callable[[bool], None] | None = None,
    ) -> None:
        self.enforcing: tuple[Alert, ...] = ()
        self._store = store
        self._clock = clock
        self._passed = passed
        self._enforce = enforce
        self._zone = config.zone
        self._after = 0
        self._watch = Watch({}, config.zone)
        self._books: tuple[tuple[int, bytes] | None, str] | None = (
            None  # the tip of the books, and the month that were counted
        )
        self._counted = 0
        self.adopt(config)
        self._beside = Beside(self._once, look, fault, "what accrued is not known: ")

    def start(self) -> None:
        """Begin, with what has accrued this month already."""
        self._beside.start()

    async def stop(self) -> None:
        """Give up."""
        await self._beside.stop()

    def adopt(self, config: Config) -> None:
        """Other limits from now on; what was told is not told again."""
        self._watch.limits = limits_of(config.file.ledger)
        self._watch.enforce = enforced_above(config.file.ledger)

    async def _once(self) -> None:
        if not self._watch.limits and not self._watch.enforce:
            self._switch(())  # the first look with a limit begins at the month's first call all the same
            return
        now = self._clock.wall()
        month = month_of(now, self._zone)
        since, until = month_bounds(month, self._zone)
        async with reading(self._store) as reader:
            while page := await aside(accrued_since, reader, since, self._after):
                for seq, at, accrued in page:
                    self._watch.add(at, accrued)
                    self._after = seq
        if self._store.path != MEMORY:
            await self._by_hand(month, since, until, now)
        for alert in self._watch.alerts(now):
            LOG.warning(
                "%s EUR of penalties accrued in %s: more than the %s EUR of ledger.alert_%s; see guard penalties",
                _euros(alert.accrued), alert.key, _euros(alert.limit), alert.span,
            )  # fmt: skip
            if self._passed is not None:
                self._passed(alert)
        self._switch(tuple(self._watch.beyond(now)))

    async def _by_hand(self, month: str, since: int, until: int, now: int) -> None:
        """Count what incidents and entries by hand accrue. Where books cannot be read, calls count all the same."""
        books = (await aside(tip_of, self._store.path), month)
        if books == self._books and 0 <= now - self._counted < UNCHANGED:
            return
        self._books, self._counted = books, now
        try:
            self._watch.beside(await aside(_of_books, self._store.path, self._zone, since, until, now))
        except StoreError as error:
            LOG.warning("what incidents and entries by hand come to is not known: %s", error)

    def _switch(self, beyond: tuple[Alert, ...]) -> None:
        """Have rules on trial act, or look on again; told when that changes, and for each limit once."""
        told = {(a.span, a.key) for a in self.enforcing}
        was, self.enforcing = bool(self.enforcing), beyond
        if bool(beyond) != was and self._enforce is not None:
            self._enforce(bool(beyond))
        for alert in beyond:
            if (alert.span, alert.key) in told:
                continue
            LOG.warning(
                "%s EUR of penalties accrued in %s: more than the %s EUR of ledger.enforce_above_%s; until its end"
                " rules in mode monitor that a contract fines stop and mask calls",
                _euros(alert.accrued), alert.key, _euros(alert.limit), alert.span,
            )  # fmt: skip
            if self._passed is not None:
                self._passed(alert)
        if was and not beyond:
            LOG.warning(
                "no limit of ledger.enforce_above_day and _month is passed: rules in mode monitor look on again"
            )


def limits_of(ledger: Ledger) -> dict[Span, int]:
    """The limits of alerts that are set, in micro-euros."""
    return _set({"day": ledger.alert_day, "month": ledger.alert_month})


def enforced_above(ledger: Ledger) -> dict[Span, int]:
    """The limits beyond which rules on trial act, in micro-euros."""
    return _set({"day": ledger.enforce_above_day, "month": ledger.enforce_above_month})


def _set(written: dict[Span, float | None]) -> dict[Span, int]:
    return {span: micro_euros(limit) for span, limit in written.items() if limit is not None}


def _of_books(log: str, zone: tzinfo, since: int, until: int, now: int) -> list[tuple[int, int]]:
    with Books(log, zone) as books:
        return [(line.at, line.amount) for line in books.lines(since, until, now) if line.state == "accrued"]


def _euros(micros: int) -> str:
    return f"{micros // (100 * CENT):,}.{micros // CENT % 100:02d}"
