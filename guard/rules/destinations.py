"""What is known of numbers called, compiled from policies/destinations: risks by prefix, tariff bands of services.

Longest prefix first, one dictionary look-up for each length that a number's first characters leave possible.
"""

from __future__ import annotations

from typing import Annotated, Final, Generic, Literal, TypeVar

from msgspec import Meta, Struct

from guard.numbering.heads import Widths

Level = Literal["elevated", "high"]
Country = Annotated[str, Meta(pattern=r"\A[A-Z]{2}\Z", description="a country in two capitals, such as FR")]
E164Prefix = Annotated[
    str, Meta(pattern=r"\A\+[1-9][0-9]{0,13}\Z", description="the first digits of numbers in E.164, such as +8816")
]
MINUTE_US: Final = 60_000_000
HEAD: Final = 3  # characters by which prefixes are told apart first: no risk begins with +33, as most numbers called do


class Risk(Struct, frozen=True, kw_only=True):
    """Numbers that begin with a prefix (E.164) and that fraud is known or likely to call, from `since` (included) to
    `until` (left out), µs of Unix time. `reported`: how often, in the source's count (0: not counted)."""

    prefix: str
    kind: str
    level: Level
    name_en: str
    name_fr: str
    reported: int
    confidence: str
    since: int
    until: int


class Band(Struct, frozen=True, kw_only=True):
    """Services at most at these prices (micro-euros, VAT included), by the minute or by the call; None: no ceiling is
    known. `length` is that of a whole number with its prefix; with `varies` some cost less, or nothing."""

    id: str
    prefix: str
    length: int
    name_en: str
    name_fr: str
    per_minute: int | None
    per_call: int | None
    varies: bool
    confidence: str
    since: int
    until: int


class Caps(Struct, frozen=True, kw_only=True):
    """What one call to a service may last and cost at most, VAT included: None where nothing says so.

    The length is capped where a minute costs more than `above_per_minute` (micro-euros).
    """

    max_us: int | None = None
    above_per_minute: int = 0
    max_microeuros: int | None = None

    def talk_us(self, band: Band) -> int:
        """How long a call to a number of that band may talk, in µs; 0: as long as it likes. By the ceiling of its
        prices: nobody tells us the number's own. A call billed by the call costs no more the longer it lasts."""
        price = band.per_minute
        if not price:
            return 0
        found: list[int] = []
        if self.max_us is not None and price > self.above_per_minute:
            found.append(self.max_us)
        if self.max_microeuros is not None:
            found.append(self.max_microeuros * MINUTE_US // price)
        return max(min(found), 1) if found else 0


NO_CAPS: Final = Caps()
T = TypeVar("T", Risk, Band)


class _Table(Generic[T]):
    """Entries by prefix, of numbers of one length or of any."""

    def __init__(self, every: list[T]) -> None:
        self._found: dict[str, list[T]] = {}
        for one in every:
            self._found.setdefault(one.prefix, []).append(one)
        self._widths = Widths(self._found, HEAD)
        # What was last asked and all that is known of it: several rules look at one call. One tuple, swapped whole.
        self._last: tuple[str, list[T]] = ("", [])

    def look(self, value: str, at: int) -> T | None:
        last = self._last
        found = last[1] if last[0] == value else self._all(value)
        for one in found:
            if one.since <= at < one.until:
                return one
        return None

    def _all(self, value: str) -> list[T]:
        out: list[T] = []
        for width in self._widths.of(value):
            found = self._found.get(value[:width])
            if found is not None:
                out += found
        self._last = value, out
        return out


class Destinations:
    """All of them. `risks` and `bands` are in the order of the files."""

    def __init__(self, risks: tuple[Risk, ...] = (), bands: tuple[Band, ...] = ()) -> None:
        self.risks = risks
        self.bands = bands
        self._risks = _Table(list(risks))
        lengths = {band.length for band in bands}
        self._bands = {n: _Table([band for band in bands if band.length == n]) for n in lengths}

    def risk(self, value: str, at: int) -> Risk | None:
        """What is known of a number in E.164 at an instant (µs of Unix time)."""
        return self._risks.look(value, at)

    def band(self, value: str, at: int) -> Band | None:
        """The tariff band of a number, E.164 or short; None: no service that costs more than a call."""
        table = self._bands.get(len(value))
        return None if table is None else table.look(value, at)


NOWHERE: Final = Destinations()  # where no policy says anything
