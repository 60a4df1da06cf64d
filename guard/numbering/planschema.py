"""The numbering plan as people write it: policies/numbering/*.toml. What is looked up is made of it by `plan`."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field

Line = Annotated[str, Meta(min_length=1)]
Id = Annotated[str, Meta(pattern=r"\A[a-z0-9]+(-[a-z0-9]+)*\Z")]
Root = Annotated[str, Meta(pattern=r"\A[0-9]{1,10}(-[0-9]{1,10})?\Z")]  # first digits, or a span of them
Confidence = Literal["sure", "probable", "unverified"]
Territory = Literal["", "FR", "GP", "GF", "MQ", "RE", "YT", "PM"]

# The territories of each French country code; "" for numbers of services, which belong to none.
TERRITORIES: Final[dict[str, tuple[str, ...]]] = {
    "33": ("FR", ""),
    "262": ("RE", "YT"),
    "508": ("PM",),
    "590": ("GP",),
    "594": ("GF",),
    "596": ("MQ",),
}


class _Strict(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything that stands in a numbering file."""


class Words(_Strict, frozen=True, kw_only=True):
    """A short text in both languages."""

    en: Line
    fr: Line


class SourceEntry(_Strict, frozen=True, kw_only=True):
    """[[source]]: a text that ranges were read in."""

    id: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9-]+\Z")]
    title: Line


class CategoryEntry(_Strict, frozen=True, kw_only=True):
    """[[category]]: what numbers may be, by the name that rules use."""

    id: Id
    name: Words


class RangeEntry(_Strict, frozen=True, kw_only=True):
    """[[range]]: numbers of one category, territory and length.

    `national` are their first digits as dialled in France (`0162`), or spans of them of equal length
    (`09390-09394`); `digits` is the length of a whole number so written. With a country code `code` they are numbers in
    E.164: `code` takes the place of `trunk`. Without one they are short numbers, which are only ever dialled as they
    are. `opened` says whether anybody was allotted such numbers: all, none, or those with the first digits (or spans)
    that it names. `from` and `until` are both included, in French time: outside of them the next shorter prefix speaks.
    Each `source` is the id of one, and what it says where ("PNN 2.3.2").
    """

    national: Annotated[tuple[Root, ...], Meta(min_length=1)]
    digits: Annotated[int, Meta(ge=1, le=14)]
    category: str
    confidence: Confidence
    source: Annotated[tuple[Line, ...], Meta(min_length=1)]
    code: Literal["", "33", "262", "508", "590", "594", "596"] = ""
    trunk: Annotated[str, Meta(pattern=r"\A[0-9]{1,4}\Z")] = "0"
    territory: Territory = ""
    area: Words | None = None
    opened: bool | tuple[Root, ...] = True
    from_: date | None = field(name="from", default=None)
    until: date | None = None
    note: str = ""


class NumberingFile(_Strict, frozen=True, kw_only=True):
    """One file of policies/numbering."""

    source: tuple[SourceEntry, ...] = ()
    category: tuple[CategoryEntry, ...] = ()
    range: tuple[RangeEntry, ...] = ()


MAX_SPAN: Final = 1000  # roots in a span: a longer one is a slip of the pen, and would fill the memory


class BadRoot(ValueError):
    """First digits that cannot be: the message says why."""


def roots(written: str) -> list[str]:
    """Each of the first digits that one root or span names. Raises BadRoot."""
    low, _, high = written.partition("-")
    high = high or low
    if len(low) != len(high):
        raise BadRoot(f'"{written}": both ends of a span must have as many digits')
    if low > high:
        raise BadRoot(f'"{written}" ends before it begins')
    if int(high) - int(low) >= MAX_SPAN:
        raise BadRoot(f'"{written}" names more than {MAX_SPAN} roots: write a shorter prefix')
    return [str(n).zfill(len(low)) for n in range(int(low), int(high) + 1)]
