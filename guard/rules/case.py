"""A call as rules that need no counter see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mypy_extensions import mypyc_attr

from guard.model import CallAttempt, Identity
from guard.numbering.allotted import NOTHING, Allotted
from guard.numbering.number import Number
from guard.numbering.plan import Category
from guard.prospecting.lists import NO_LISTS, Lists
from guard.rules.numbers import HeldNumbers

if TYPE_CHECKING:
    from guard.rules.base import Terms

Lookup = Callable[[str, int], Category]


@mypyc_attr(acyclic=True)
class Case:
    """One call attempt with what rules keep asking of it: `at` is when it was set up, `callee` the number called.

    `presented` is From's number and the asserted ones, in that order, without those that present nothing; `lists` and
    `sector` are those of `[prospecting]`, `blocks` those that ARCEP has allotted.
    """

    __slots__ = (
        "_categories",
        "_forwarded",
        "at",
        "blocks",
        "call",
        "callee",
        "held",
        "lists",
        "lookup",
        "presented",
        "sector",
        "terms",
    )

    def __init__(
        self,
        call: CallAttempt,
        terms: Terms,
        held: HeldNumbers,
        lookup: Lookup,
        lists: Lists = NO_LISTS,
        sector: str = "",
        blocks: Allotted = NOTHING,
    ) -> None:
        self.call = call
        self.at = call.at
        self.callee = call.callee.value
        self.terms = terms
        self.held = held
        self.lookup = lookup
        self.lists = lists
        self.sector = sector
        self.blocks = blocks
        caller, asserted = call.caller, call.identities
        self.presented: tuple[Identity, ...] = (
            asserted if caller.kind == "none" else (Identity("from", caller), *asserted)
        )
        self._categories: dict[str, Category] = {}
        self._forwarded: bool | None = None

    def category(self, number: Number) -> Category:
        """The plan's category of a number at the call's instant, looked up once."""
        value = number.value
        found = self._categories.get(value)
        if found is None:
            found = self._categories[value] = self.lookup(value, self.at)
        return found

    def rightful(self, number: Number) -> bool:
        """Whether we may present this number at the call's instant: held, or with consent."""
        return self.held.right(number.value, self.at)

    @property
    def forwarded(self) -> bool:
        """Whether a Diversion or History-Info names a number that we hold (a call that was forwarded by us)."""
        if self._forwarded is None:
            self._forwarded = any(self.rightful(d.number) for d in self.call.diversions if d.number.value)
        return self._forwarded
