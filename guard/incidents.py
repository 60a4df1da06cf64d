"""Opens incidents in a running guard: of what rules found in calls that cost money, and of what detectors see.

Detectors call `Incidents.sighted`, on the loop; it never waits. Calls are read from the log, a page at a time, in
another thread, which also writes the books. Nothing here holds up a call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from guard.beside import Beside, aside, reading
from guard.config import Config
from guard.ledger.incidents import NO_TERMS, Incident, Subject, Terms
from guard.ledger.sightings import Sighting, Topic, both
from guard.net.clock import Clock
from guard.net.say import LOG
from guard.policy.load import Policy
from guard.policy.money import abnormal_rules, incident_terms
from guard.store.books import FEED_EVERY, Books
from guard.store.money import Breach, abnormal, before, breaches
from guard.store.schema import MEMORY
from guard.store.sqlite import SqliteWriter

T = TypeVar("T")
LOOK: Final = 5.0  # s between looks: an incident is open within that time of what opened it
WAITING: Final = 1_000  # subjects that wait to be written; a flood beyond it is counted, and its calls are in the log
REMEMBERED: Final = 4_096  # subjects known to be in the books already
MAX_SUBJECT: Final = 128  # characters: longer is no number, and whoever sends it gets no more room than that
CALLED: Final = "dst."  # rules that speak of the number that was called; what detection finds, it tells itself
BACK: Final = 3_600_000_000  # µs before the start that are looked at again: what a guard that fell had not written yet


class Contracts(Struct, frozen=True):
    """What the contract of each trunk has to say of incidents, and which rules find traffic that it calls abnormal."""

    terms: Mapping[str, Terms]
    abnormal: Mapping[str, frozenset[str]]


def contracts_of(config: Config, policy: Policy) -> Contracts:
    """Those of the trunks of a configuration."""
    found = {t.name: (policy.contracts.get(t.contract), t.reading) for t in config.file.trunk}
    return Contracts(
        {name: incident_terms(contract, reading) for name, (contract, reading) in found.items()},
        {name: abnormal_rules(contract) for name, (contract, _) in found.items()},
    )


class Incidents:
    """`start` it on a running loop when the log is open, `stop` it before the log is closed.

    `opened` is called on the loop with each incident that was opened. `dropped` counts subjects for which there was no
    room: the same subject is seen again, or stands in the log.
    """

    def __init__(
        self,
        store: SqliteWriter,
        config: Config,
        contracts: Contracts,
        clock: Clock,
        fault: Callable[[Exception], None],
        look: float = LOOK,
        opened: Callable[[Incident], None] | None = None,
    ) -> None:
        self.dropped = 0
        self._store = store
        self._zone = config.zone
        self._contracts = contracts
        self._clock = clock
        self._opened = opened
        self._waiting: dict[Topic, Sighting] = {}
        self._known: dict[Topic, tuple[int, bool]] = {}  # when it was last written, and whether it reached the operator
        self._stamp = (0, 0)  # of the books, when `_known` was true: a person may have closed one since
        self._since: int | None = None  # where the calls begin that are still to be looked at; None: the place is known
        self._after = self._after_abnormal = 0
        self._beside = Beside(self._once, look, fault, "incidents are not written: ")

    def start(self) -> None:
        """Begin, with the calls of the last hour."""
        self._since = self._clock.wall() - BACK
        self._beside.start()

    async def stop(self) -> None:
        """Write what still waits, and give up."""
        if self._beside.goes:
            await self._beside.stop()
            await self._beside.once()

    def adopt(self, contracts: Contracts) -> None:
        """Other contracts from now on; an incident keeps those that it was opened under."""
        self._contracts = contracts

    def sighted(self, sighting: Sighting) -> None:
        """For detectors: something was seen of a subject. Called on the loop; waits for nothing, writes within LOOK.

        What is seen of one subject meanwhile is one sighting. Without `terms` those of the trunk's contract hold.
        """
        terms = sighting.terms
        if terms == NO_TERMS:
            terms = self._contracts.terms.get(sighting.trunk, NO_TERMS)
            if sighting.rule not in self._contracts.abnormal.get(sighting.trunk, ()):
                terms = replace(terms, subject_cost=0, repeat_cost=0)  # odd, and not what the contract forbids
        if terms is not sighting.terms or len(sighting.subject) > MAX_SUBJECT:
            sighting = replace(sighting, terms=terms, subject=sighting.subject[:MAX_SUBJECT])
        known = self._waiting.get(sighting.topic)
        if known is not None:
            self._waiting[sighting.topic] = both(known, sighting)
        elif len(self._waiting) < WAITING:
            self._waiting[sighting.topic] = sighting
        else:
            self.dropped += 1

    async def _once(self) -> None:
        if self._store.path == MEMORY:
            self._waiting.clear()  # a log that nobody keeps has no books beside it
            return
        more = True
        while more:
            more = await self._calls()
            batch, self._waiting = self._waiting, {}
            try:
                opened = await aside(self._write, tuple(batch.values()))
            except BaseException:
                for sighting in batch.values():
                    self.sighted(sighting)
                raise
            for incident in opened:
                LOG.warning(
                    "%s is open: %s on trunk %s; see guard incidents show %s",
                    incident.name, incident.rule, incident.trunk or "-", incident.name,
                )  # fmt: skip
                if self._opened is not None:
                    self._opened(incident)

    async def _calls(self) -> bool:
        """Take one page of the calls that were written since; whether there may be more."""
        rules = {r for found in self._contracts.abnormal.values() for r in found if r.startswith(CALLED)}
        async with reading(self._store) as reader:
            if self._since is not None:
                self._after = self._after_abnormal = await aside(before, reader, self._since)
                self._since = None  # from here on by place: a clock that is put back hides no call
            fined = await aside(breaches, reader, self._after)
            strange = await aside(abnormal, reader, rules, self._after_abnormal) if rules else []
        for breach in fined:
            self.sighted(_misused(breach))
        for breach in strange:
            if breach.rule in self._contracts.abnormal.get(breach.trunk, ()):
                self.sighted(_abnormal(breach))
        self._after = fined[-1].seq if fined else self._after
        self._after_abnormal = strange[-1].seq if strange else self._after_abnormal
        return bool(fined or strange)

    def _write(self, batch: Iterable[Sighting]) -> list[Incident]:
        """In a thread: what says something new goes into the books; the incidents that were opened."""
        with Books(self._store.path, self._zone) as books:
            if books.stamp() != self._stamp:
                self._known.clear()
            news = [s for s in batch if not self._told(s)]
            found = books.seen(news) if news else []
            if len(self._known) + len(news) > REMEMBERED:
                self._known.clear()
            self._known |= {s.topic: (s.at, i.reached) for s, (i, _) in zip(news, found, strict=True) if i.live}
            self._stamp = books.stamp()
        return [incident for incident, new in found if new]

    def _told(self, sighting: Sighting) -> bool:
        at, reached = self._known.get(sighting.topic, (0, False))
        if not at or sighting.quarantine is not None:
            return False
        return sighting.at - at < FEED_EVERY and (reached or not sighting.reached)


def _misused(breach: Breach) -> Sighting:
    """A call that broke a rule which the contract fines: of its calling number; where it had none, of its line."""
    kind: Subject = "number" if breach.number else "line" if breach.line else "trunk"
    subject = breach.number or breach.line or breach.trunk
    text = "a call that the contract fines " + ("reached the operator" if breach.reached else "was stopped or masked")
    return Sighting(
        subject_kind=kind, subject=subject, trunk=breach.trunk, rule=breach.rule, at=breach.at,
        reached=bool(breach.reached), text=text,
    )  # fmt: skip


def _abnormal(breach: Breach) -> Sighting:
    """Traffic that the contract calls abnormal: of the premium number that was called, whoever holds it."""
    text = "abnormal traffic to this number; release the incident if the number is not the site's own"
    return Sighting(
        subject_kind="sva", subject=breach.number, trunk=breach.trunk, rule=breach.rule, at=breach.at,
        reached=bool(breach.reached), text=text,
    )  # fmt: skip
