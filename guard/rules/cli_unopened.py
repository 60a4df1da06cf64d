"""cli.unopened-range: a French number of a block that ARCEP has allotted to nobody belongs to nobody."""

from __future__ import annotations

from typing import Final

from guard.rules import base
from guard.rules.case import Case

ID: Final = "cli.unopened-range"
DAY: Final = 24 * 3600 * 1_000_000  # microseconds
_FACTS: Final = frozenset({"number", "header", "file"})
SAYS: Final = {"fresh": _FACTS, "old": _FACTS}


class Settings(base.Settings, frozen=True):
    """`block_younger_than_days`: how old ARCEP's file may be at the call's instant for its silence to refuse a number
    (0: never). `except_categories` of numbers that rules of their own speak of, and `short_categories` of short numbers
    that this one does."""

    block_younger_than_days: int = 0
    except_categories: tuple[str, ...] = ()
    short_categories: tuple[str, ...] = ()


def judge(case: Case, settings: Settings) -> tuple[base.Hit, ...]:
    """Each presented number of no allotted block, once. Nothing without a file: then nobody can tell."""
    hits: dict[str, base.Hit] = {}
    blocks = case.blocks
    for identity in case.presented:
        number = identity.number
        value = number.value
        if not value or value in hits or blocks.has(value) is not False:
            continue
        category = case.category(number).id
        if category in settings.except_categories:
            continue
        if number.kind == "short" and category not in settings.short_categories:
            continue
        # A file of a later day than the call is no proof either: a block may have been given back since.
        young = 0 <= case.at - blocks.at < settings.block_younger_than_days * DAY
        facts: dict[str, str | int | bool] = {"number": value, "header": identity.header, "file": str(blocks.on)}
        hits[value] = base.Hit("fresh" if young else "old", facts)
    return tuple(hits.values()) if hits else ()


RULE = base.Judge(ID, SAYS, Settings, judge)
