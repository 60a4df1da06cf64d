"""The words of detection. Detectors measure ten features of a subject; clauses of the policy say which values alarm.

Instants are µs of Unix time as the calls themselves carry it; spans are µs unless a name says otherwise.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

from msgspec import Meta, Struct

from guard.model import SECOND

# calls        set-ups in the span (those that the clause looks at: all, to premium numbers, to dear destinations)
# short_rings  different numbers that rang for a moment only, until the caller cancelled (180 to CANCEL, on the wire)
# called_back  of those, how many called back
# hyper_short  answered calls that were over within two seconds
# in_order     calls to the number next to the last one (at most 100 apart), or a long run of rising numbers
# regularity   how much three quarters of the spaces between calls vary, in percent of their median: a machine's is
#              small
# costly       what the calls cost, in euro cents: a minute at least each, and as long as they are up
# received     calls that came in
# refused      calls that the other side refused: no credentials, forbidden, no such number, not there
# origins      addresses, user agents and presented numbers of the line that were never seen on it before this day
Feature = Literal[
    "calls", "short_rings", "called_back", "hyper_short", "in_order", "regularity", "costly", "received", "refused",
    "origins",
]  # fmt: skip
FEATURES: Final[tuple[Feature, ...]] = get_args(Feature)
Per = Literal["line", "number", "service"]
Kind = Literal["line", "number", "service", "source"]  # what may be shut off: a person can shut a whole source
LETTERS: Final[dict[Kind, str]] = {"line": "l", "number": "n", "service": "s", "source": "o"}

DAY: Final = 86_400 * SECOND
HOUR: Final = 3_600 * SECOND
MINUTE: Final = 60 * SECOND
SHORT_RING: Final = 6 * SECOND  # one cadence of the French ring-back tone (5 s) and a second: docs/detection.md
HYPER_SHORT: Final = 2 * SECOND  # contract 003 XII-1: "Hyper Short Calls"
STEP: Final = 3 * SECOND  # a call that is passed on goes out so soon after it came in
MAX_SPAN_S: Final = 86_400  # calls older than a day are not kept one by one
RECENT: Final = 20  # calls kept one by one: as many as any pattern asks for
BACKS: Final = 8  # call-backs, and calls received, that are kept by their instants
ORIGINS: Final = 24  # addresses, user agents and presented numbers of a line that are remembered

Limit = Annotated[int, Meta(ge=0)]
Permille = Annotated[int, Meta(ge=0, le=1000)]


class Clause(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One pattern of a detector: an alarm where all that it says holds of the calls in the last `span_s` seconds.

    `to` says which calls are looked at: all, those to premium (SVA) numbers, those to dear destinations; `closed` only
    those at night and at weekends. `at_least` and `at_most` bound features, `share` the part of the calls that a
    feature counts (of the answered ones for hyper_short), in permille. `different` counts numbers called, not calls.
    With `callers`, `origins` counts the different presented numbers of these calls; with `step`, `received` counts
    calls out that began at once after a call came in. `usual` raises the bound of `costly` to so many times the cents
    of the dearest day of the last thirty. With `own`, `calls` are those of the running hour, and their bound is what is
    usual for the line at that hour of the week.
    """

    span_s: Annotated[int, Meta(ge=1, le=MAX_SPAN_S)]
    to: Literal["any", "sva", "dear"] = "any"
    closed: bool = False
    different: bool = False
    callers: bool = False
    step: bool = False
    own: bool = False
    usual: Annotated[int, Meta(ge=0)] = 0
    at_least: dict[Feature, Limit] = {}
    at_most: dict[Feature, Limit] = {}
    share: dict[Feature, Permille] = {}

    def __post_init__(self) -> None:
        """A bound that no count can reach is a mistake: the detector would never speak."""
        for feature, bound in self.at_least.items():
            most = self._most(feature)
            if most is not None and bound > most:
                raise ValueError(f"{feature} = {bound}: no more than {most} are kept of it")

    def _most(self, feature: Feature) -> int | None:
        """The most that is ever counted of a feature; None where there is no end."""
        if feature in {"regularity", "costly"} or self.own:
            return None
        if feature == "called_back" or (feature == "received" and not self.step):
            return BACKS
        return ORIGINS if feature == "origins" and not self.callers else RECENT


class Pattern(Struct, frozen=True, kw_only=True):
    """What a detector of the policy in force watches for.

    `certain` patterns are what a contract forbids: they act alone. Others act where another alarms as well that rests
    on other features (`Evidence.basis`), or the call goes to a costly destination. One on `trial` helps no other to
    act. An alarm lasts `hold`; with `quarantine` the subject is shut off for so long (-1: until a person releases it).
    """

    rule: str
    certain: bool
    trial: bool = False
    per: tuple[Per, ...]
    clauses: tuple[Clause, ...]
    hold: int
    quarantine: int = 0
    usages: tuple[str, ...] = ()  # judged only where the line is declared so; (): always
    but: tuple[str, ...] = ()  # subjects that are exempt; `*` at the end for all that begin so
    since: int = 0
    until: int = 0


Sense = Literal["", "different", "callers", "step"]


class Measure(Struct, frozen=True, gc=False):
    """One feature in the evidence: its value, the bound that it met and its share of the alarm in percent; a bound of
    None: the pattern asked nothing of it. With `most` it alarms up to its bound, elsewhere from there on. `sense` tells
    what the clause counted where that is not the plain feature: `different` numbers, `callers`, or `step`s."""

    feature: Feature
    value: int
    limit: int | None = None
    share: int = 0
    most: bool = False
    sense: Sense = ""


class Evidence(Struct, frozen=True, gc=False, kw_only=True):
    """Why an alarm began: `passes` names what would have made it pass, `kind` of which subject it speaks. What a person
    shut off has no measures."""

    rule: str
    kind: Kind
    subject: str
    trunk: str
    at: int
    span_s: int
    measures: tuple[Measure, ...]
    passes: tuple[Feature, int] = ("calls", 0)

    @property
    def basis(self) -> frozenset[Feature]:
        """What it rests on: the features that are bounded. How many calls there were is one of them only where nothing
        else is, since elsewhere it says how many the others were measured on."""
        bounded = frozenset(m.feature for m in self.measures if m.limit is not None)
        return bounded - {"calls"} or bounded


def key_of(kind: Kind, subject: str) -> str:
    """Under which a subject is kept."""
    return f"{LETTERS[kind]}:{subject}"


Says = Literal["certain", "alone", "joined", "dear", "shut"]


class Signal(Struct, frozen=True, gc=False, kw_only=True):
    """What detection says of one call: an alarm that lasts on one of its subjects. `says`: `certain` acts, `alone`
    flags, `joined` acts since `other`, a rule that rests on other features, alarms too, `dear` since the call is
    costly; `shut` is a quarantine. `begun` is set on the call with which the alarm begins."""

    evidence: Evidence
    says: Says
    until: int
    begun: bool = False
    other: str = ""


class Price(Struct, frozen=True, gc=False):
    """What is known of a number called: `dear` where fraud goes, `sva` a premium number; cents a minute and a call.
    `costly` are dear ones, and premium numbers that cost so much that a call may be stopped on one signal alone."""

    cents_per_minute: int = 0
    cents_per_call: int = 0
    sva: bool = False
    dear: bool = False
    costly: bool = False


FREE: Final = Price()
