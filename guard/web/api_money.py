"""`/api/v1/penalties`: what a month's calls cost under the contracts, accrued against avoided."""

from __future__ import annotations

from typing import Annotated, Final

from litestar import get
from litestar.params import QueryParameter
from msgspec import Struct

from guard.ledger.penalties import By
from guard.ledger.record import MICROS_PER_CENT
from guard.store.reader import SqliteReader
from guard.web.api import Here, Numbers, Who, faults, full_of
from guard.web.data import exposure as data
from guard.web.data.exposure import Group, Limit, MonthView, Terms
from guard.web.roles import viewers

MONTH: Final = f"^{data.MONTH.pattern.removesuffix(chr(92) + 'Z')}$"  # as JSON Schema has it


class Sum(Struct, frozen=True, kw_only=True):
    """One group's sums: in euro cents, rounded down, and exactly in micro-euros. `numbers` counts the per-number
    penalties that are in them."""

    key: str
    calls: int
    numbers: int
    accrued_cents: int
    avoided_cents: int
    accrued_microeuros: int
    avoided_microeuros: int


class Penalties(Struct, frozen=True, kw_only=True):
    """One month by one grouping: the largest groups by money (by day all of them, in order), the sums of the `others`,
    the `total`; the contracts that they rest on, and the site's own limits."""

    month: str
    by: By
    groups: tuple[Sum, ...]
    others: Sum
    total: Sum
    terms: tuple[Terms, ...]
    limits: tuple[Limit, ...]


@get("/api/v1/penalties", guards=[viewers], responses=faults(), tags=["money"])
async def penalties(
    room: Here,
    visitor: Who,
    month: Annotated[
        str | None,
        QueryParameter(
            pattern=f"^{data.MONTH.pattern[:-2]}$",
            description="billing month as 2026-11, of the site's time zone (now)",
        ),
    ] = None,
    by: Annotated[By, QueryParameter(description="what is summed up")] = "rule",
    numbers: Numbers = None,
) -> Penalties:
    """The sums of one month."""
    full = by in {"number", "line"} and await full_of(room, visitor, numbers, "penalties", {"month": month, "by": by})
    now = room.clock()

    def view(reader: SqliteReader) -> MonthView:
        return data.month(reader, room.config, now, month=data.month_of(month, now, reader), by=by, full=full)

    return _penalties(await room.read(view))


def _penalties(view: MonthView) -> Penalties:
    return Penalties(
        month=view.month,
        by=view.by,
        groups=tuple(map(_sum, view.groups)),
        others=_sum(view.others),
        total=_sum(view.total),
        terms=view.terms,
        limits=view.limits,
    )


def _sum(group: Group) -> Sum:
    return Sum(
        key=group.key,
        calls=group.calls,
        numbers=group.numbers,
        accrued_cents=group.accrued_microeuros // MICROS_PER_CENT,
        avoided_cents=group.avoided_microeuros // MICROS_PER_CENT,
        accrued_microeuros=group.accrued_microeuros,
        avoided_microeuros=group.avoided_microeuros,
    )


MONEY: Final = (penalties,)
