"""What a rule sees and says. Rules are pure: a case in, hits out; no counter, no clock, no SIP.

A rule names no number of the law: ranges, limits and texts come from policies through its settings and the terms.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, tzinfo
from typing import Any, Generic, Literal, TypeVar

from msgspec import Struct

from guard.model import CallAttempt, CallEnded, Direction, Usage
from guard.prospecting.lists import NO_LISTS, Lists
from guard.rules.case import Case
from guard.rules.destinations import NO_CAPS, NOWHERE, Caps, Destinations
from guard.rules.numbers import NO_NUMBERS, HeldNumbers
from guard.state.contract import Reading, Touch


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of a rule's own parameters."""


Per = Literal["trunk", "line"]


class Terms(Struct, frozen=True, kw_only=True):
    """What binds calls of one trunk: figures and roots of its contract, overridden by its configuration.

    None and () where neither says anything. `country` is the contract's; `automated_banned`: it bans robots;
    `automated_exception`: the site claims ARCEP's for systems that call few numbers;
    `undetermined_origin`: it bills calls from another country than the presented number's at a tariff of their own.
    `callees` and `talk_hours` are quotas a month in `zone`, 0 for none, and what they are counted by; `held` and
    `lists` are the site's, for rules that count. `countries` are those that may be called, `sva` what a call to a
    premium number may last and cost; `destinations` is what the policies know of numbers called.
    """

    trunk: str = ""
    contract: str = ""
    cps: int | None = None
    channels: int | None = None
    line_calls: int | None = None
    automated_roots: tuple[str, ...] = ()
    platform_roots: tuple[str, ...] = ()
    mask_caller: str = ""
    country: str = "FR"
    automated_banned: bool = False
    automated_exception: bool = False
    undetermined_origin: bool = False
    user_calls: int = 0
    call_minutes: int = 0
    callees: tuple[Per, int] = ("trunk", 0)
    talk_hours: tuple[Per, int] = ("trunk", 0)
    forwarded_excluded: bool = False
    zone: tzinfo = UTC
    held: HeldNumbers = NO_NUMBERS
    lists: Lists = NO_LISTS
    countries: tuple[str, ...] = ()
    sva: Caps = NO_CAPS
    destinations: Destinations = NOWHERE


class Hit(Struct, frozen=True, gc=False):
    """What a rule found. `say` names one of the rule's texts; `mask` the numbers (E.164 or short) to be masked;
    `max_talk_us` how long the call may talk before the guard ends it (0: as long as it likes)."""

    say: str
    facts: dict[str, str | int | bool]
    mask: tuple[str, ...] = ()
    max_talk_us: int = 0


class Kind(Struct, frozen=True, kw_only=True):
    """What many calls have in common: enough for some rules to know that they have nothing to say of any of them.
    `source` is "" where nobody knows where they come from."""

    terms: Terms
    source: str
    usage: tuple[Usage, ...]
    forwarded: str
    direction: Direction


S = TypeVar("S", bound=Settings)


class Judge(Struct, Generic[S], frozen=True):
    """A rule that needs no counter. `says` names each of its texts, and the facts that it may use.

    What spares calls the rule, and changes nothing that is said: `idle` tells that it says nothing of any call of a
    kind; `heads`, that it says nothing of calls that present only numbers of E.164 that begin with none of these.
    """

    id: str
    says: dict[str, frozenset[str]]
    settings: type[S]
    judge: Callable[[Case, S], tuple[Hit, ...]]
    idle: Callable[[Kind, S], bool] | None = None
    heads: Callable[[S], tuple[str, ...]] | None = None


class Count(Struct, Generic[S], frozen=True):
    """A rule that counts. Each touch of it has a key that begins with `key` and a colon.

    `touch` gives what to count for a call, with the limit that would be enforced; `judge` says what a reading means.
    `ended` gives what a call counts by the way it ended: a member of a tally. `idle` tells that `touch` gives nothing
    for any call of a kind.
    """

    id: str
    key: str
    says: dict[str, frozenset[str]]
    settings: type[S]
    touch: Callable[[CallAttempt, Terms, str, S], Touch | None]
    judge: Callable[[CallAttempt, Terms, Reading, S], Hit | None]
    ended: Callable[[CallAttempt, Terms, CallEnded, S], Touch | None] | None = None
    idle: Callable[[Kind, S], bool] | None = None


AnyJudge = Judge[Any]
AnyCount = Count[Any]
