"""Incidents: what goes wrong with a number, a line or an invoice, from the first sight of it until it is put right.

An incident is the fold of its events, which are kept and never changed. Each event is one step of `STEPS`, a table;
what is not in it is refused. An operator's letter starts the clocks that the contract ties to it; what a missed clock
costs stands in the terms, which the incident takes along from the day it was opened. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import tzinfo
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from guard.ledger.days import Limit, ends
from guard.ledger.lines import Kind, LedgerLine

State = Literal["open", "repeated", "notified", "answered", "resolved", "released"]
Step = Literal["open", "feed", "notify", "answer", "resolve", "release", "note", "quarantine"]
Letter = Literal["", "question", "breach", "formal-notice", "second-notice", "guarantee", "suspension", "invoice"]
Subject = Literal["sva", "number", "line", "trunk", "invoice", "source", "guard"]

# Where each step leads from each state. `repeated` is `open` for a subject that was put right less than a year ago.
_FED: Final[dict[Step, State]] = {"feed": "open", "note": "open", "quarantine": "open", "notify": "notified",
                                  "answer": "answered", "resolve": "resolved", "release": "released"}  # fmt: skip
STEPS: Final[dict[State, dict[Step, State]]] = {
    "open": _FED,
    "repeated": {**_FED, "feed": "repeated", "note": "repeated", "quarantine": "repeated"},
    "notified": {**_FED, "feed": "notified", "note": "notified", "quarantine": "notified"},
    "answered": {**_FED, "feed": "answered", "note": "answered", "quarantine": "answered"},
    "resolved": {"note": "resolved"},
    "released": {"note": "released"},
}
CLOSED: Final[frozenset[State]] = frozenset({"resolved", "released"})
# What stops the clock of each letter: an answer, or only putting things right.
ANSWERED: Final[frozenset[Letter]] = frozenset({"question", "invoice"})


class Document(Struct, frozen=True, kw_only=True):
    """A letter kept beside the log: its name as given, where it is kept, its SHA-256 (hexadecimal) and its size."""

    name: str
    kept: str
    sha256: str
    size: int


class Clock(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A time limit that a letter starts: until when, under which article, and what it costs to miss it.

    `cost` is in micro-euros, `kind` the penalty that it is; `says` is what else follows, in our words.
    """

    letter: Letter
    value: int
    unit: Literal["hours", "days", "business-days", "months", "years"]
    article: str
    says: str = ""
    cost: int = 0
    kind: Kind | None = None


class Terms(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a contract has to say of incidents: `subject_cost` is due for each SVA number concerned, `repeat_cost` when
    that happens again within `repeat`."""

    contract: str = ""
    reading: str = ""
    country: str = "FR"
    clocks: tuple[Clock, ...] = ()
    subject_cost: int = 0
    repeat_cost: int = 0
    repeat: Limit | None = None
    article: str = ""


NO_TERMS: Final = Terms()
FOR_GOOD: Final = -1  # instead of an instant: until a person releases it


class Quarantine(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A subject is shut off `until` (Unix time, µs, or FOR_GOOD), as long as its incident is open.

    `kind` and `subject` are the words of detection (guard/detectors/words.py), so are `rule`, `at`, `span_s`,
    `measures` (feature, value, bound or None, share), `how` (feature, whether its bound is the most, sense) and
    `passes`: what a detector saw. A person needs no measures.
    """

    kind: str
    subject: str
    until: int
    rule: str = ""
    at: int = 0
    span_s: int = 0
    measures: tuple[tuple[str, int, int | None, int], ...] = ()
    how: tuple[tuple[str, bool, str], ...] = ()
    passes: tuple[str, int] = ("", 0)

    def beyond(self, other: Quarantine | None) -> bool:
        """Whether it lasts longer than another."""
        if other is None or other.until == FOR_GOOD:
            return other is None
        return self.until == FOR_GOOD or self.until > other.until


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step, as it is kept. `at` is when it happened, `written` when it was written down (Unix time, µs).

    A first step (`open`) also says what the incident is of; `repeats` is the earlier incident of the same subject.
    """

    step: Step
    at: int
    written: int
    incident: int = 0
    who: str = ""
    text: str = ""
    letter: Letter = ""
    reached: bool = False
    document: Document | None = None
    subject_kind: Subject = "number"
    subject: str = ""
    trunk: str = ""
    rule: str = ""
    repeats: int = 0
    terms: Terms = NO_TERMS
    quarantine: Quarantine | None = None


class WrongStep(ValueError):
    """A step that cannot be taken; the message says why, and what can. `why` is the same for who says it in words of
    his own: the incident's `state` does not allow it, it would come before what it follows (`early`), or no letter has
    come that it could answer (`unasked`)."""

    def __init__(self, text: str, why: Literal["state", "early", "unasked", ""] = "", state: str = "") -> None:
        super().__init__(text)
        self.why = why
        self.state = state


class Incident(Struct, frozen=True, kw_only=True):
    """One incident as its events leave it. `id` is the place of its first event in the books.

    `reached` is whether anything of it reached the operator; `letters` are his, with their instants.
    """

    id: int
    state: State
    subject_kind: Subject
    subject: str
    trunk: str
    rule: str
    opened: int
    last: int
    reached: bool
    repeats: int
    terms: Terms
    events: tuple[Event, ...]
    letters: tuple[tuple[Letter, int], ...] = ()
    answered: int | None = None
    closed: int | None = None
    quarantine: Quarantine | None = None

    @property
    def name(self) -> str:
        """What people call it."""
        return f"INC-{self.id}"

    @property
    def live(self) -> bool:
        """Whether there is still something to be done."""
        return self.state not in CLOSED

    def shut_off(self, now: int) -> Quarantine | None:
        """The quarantine that holds at an instant (Unix time, µs)."""
        found = self.quarantine
        lasts = found is not None and self.live and (found.until == FOR_GOOD or found.until > now)
        return found if lasts else None


class Deadline(Struct, frozen=True, kw_only=True):
    """A clock that runs or ran: `due` is its last instant, `met` when it was met, `missed` whether it is too late."""

    clock: Clock
    started: int
    due: int
    met: int | None
    missed: bool


def opened(seq: int, event: Event) -> Incident:
    """The incident that a first event, entry `seq` of the books, opens."""
    if event.step != "open":
        raise WrongStep(f"an incident begins by being opened, not with {event.step}")
    return Incident(
        id=seq,
        state="repeated" if event.repeats else "open",
        subject_kind=event.subject_kind,
        subject=event.subject,
        trunk=event.trunk,
        rule=event.rule,
        opened=event.at,
        last=event.at,
        reached=event.reached,
        repeats=event.repeats,
        terms=event.terms,
        events=(event,),
        quarantine=event.quarantine,
    )


def after(incident: Incident, event: Event) -> Incident:
    """The incident after one more event. Raises WrongStep."""
    state = STEPS[incident.state].get(event.step)
    if state is None:
        can = ", ".join(STEPS[incident.state])
        raise WrongStep(
            f"{incident.name} is {incident.state}: it cannot {event.step}; it can {can}", "state", incident.state
        )
    letters, answered = incident.letters, incident.answered
    if event.step == "notify":
        if not event.letter:
            raise WrongStep("a letter must be of a kind: what it starts depends on it")
        letters, answered = (*letters, (event.letter, event.at)), None
    first = letters[0][1] if letters else incident.opened
    if event.step in {"answer", "resolve", "release"} and event.at < first:
        raise WrongStep(f"{incident.name} cannot {event.step} before it was opened or notified", "early")
    if event.step == "answer":
        if not letters:
            raise WrongStep(f"{incident.name} cannot answer: no letter has come", "unasked")
        answered = event.at
    shut = event.quarantine
    if shut is None or (event.step != "quarantine" and not shut.beyond(incident.quarantine)):
        shut = incident.quarantine  # a detector only prolongs it; what a person says holds
    return replace(
        incident,
        state=state,
        last=max(incident.last, event.at),
        reached=incident.reached or event.reached or event.step == "notify",
        events=(*incident.events, event),
        letters=letters,
        answered=answered,
        closed=event.at if state in CLOSED and incident.state not in CLOSED else incident.closed,
        quarantine=shut,
    )


def fold(events: Iterable[tuple[int, Event]]) -> dict[int, Incident]:
    """All incidents, by id, from all events in the order of the books."""
    out: dict[int, Incident] = {}
    for seq, event in events:
        if event.step == "open":
            out[seq] = opened(seq, event)
        elif event.incident in out:
            out[event.incident] = after(out[event.incident], event)
        else:
            raise WrongStep(f"there is no incident INC-{event.incident}")
    return out


def earlier(
    incidents: Iterable[Incident], kind: Subject, subject: str, trunk: str, at: int, terms: Terms, zone: tzinfo
) -> Incident | None:
    """The last incident of this subject that was put right so lately that a new one repeats it; None for none.

    From when the year counts is not written (XII-13.1): here from when the earlier one was put right, the reading that
    costs more. One that was released was no breach.
    """
    if terms.repeat is None:
        return None
    before = [
        i for i in incidents
        if (i.subject_kind, i.subject, i.trunk) == (kind, subject, trunk)
        and i.state == "resolved" and i.closed is not None
        and i.closed <= at <= ends(i.closed, terms.repeat, zone, terms.country)
    ]  # fmt: skip
    return max(before, key=lambda i: (i.closed or 0, i.id), default=None)


def deadlines(incident: Incident, now: int, zone: tzinfo) -> list[Deadline]:
    """Every clock that a letter has started, by when it ends."""
    out: list[Deadline] = []
    for letter, at in incident.letters:
        for clock in incident.terms.clocks:
            if clock.letter != letter:
                continue
            due = ends(at, Limit(clock.value, clock.unit), zone, incident.terms.country)
            met = _met(incident, letter, at)
            out.append(
                Deadline(clock=clock, started=at, due=due, met=met, missed=(met if met is not None else now) > due)
            )
    return sorted(out, key=lambda d: d.due)


def _met(incident: Incident, letter: Letter, at: int) -> int | None:
    """When what a letter asks for was done: for one that asks for an answer, the first answer after it."""
    if letter in ANSWERED:
        answers = [e.at for e in incident.events if e.step in {"answer", "resolve", "release"} and e.at >= at]
        return min(answers, default=None)
    return incident.closed


def costs(incident: Incident, now: int, zone: tzinfo) -> Iterator[LedgerLine]:
    """What an incident adds to the ledger, as things stand: nothing where it was released, being no breach."""
    if incident.state == "released":
        return
    terms = incident.terms
    found: list[tuple[Kind, int, int, str]] = []
    if incident.subject_kind == "sva":
        found.append(("sva-number", incident.opened, terms.subject_cost, terms.article))
        if incident.repeats:
            found.append(("sva-repeated-in-a-year", incident.opened, terms.repeat_cost, terms.article))
    late = {d.clock: d for d in reversed(deadlines(incident, now, zone)) if d.missed}  # once, with the first letter
    found += [(d.clock.kind, d.due, d.clock.cost, d.clock.article) for d in late.values() if d.clock.kind is not None]
    for kind, at, amount, article in found:
        if amount:
            yield LedgerLine(
                at=at,
                kind=kind,
                state="accrued" if incident.reached else "avoided",
                amount=amount,
                trunk=incident.trunk,
                number=incident.subject if incident.subject_kind in {"sva", "number"} else "",
                line=incident.subject if incident.subject_kind == "line" else "",
                rule=incident.rule,
                contract=terms.contract,
                article=article,
                reading=terms.reading,
                incident=incident.name,
            )


def at_stake(incident: Incident, now: int, zone: tzinfo) -> int:
    """What the clocks that still run would add if they were missed, in micro-euros."""
    running = {d.clock: d for d in deadlines(incident, now, zone) if d.met is None and not d.missed}
    return sum(clock.cost for clock in running)
