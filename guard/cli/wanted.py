"""Which records a person asks `guard log` for: options to a Query, every mistake with the nearest valid word."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final, Literal

from msgspec.structs import replace

from guard import wanted
from guard.cli.common import CommandError, reading_config, words_meant

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from guard.store.contract import Query
    from guard.store.reader import SqliteReader

PEOPLE_LIMIT: Final = 50  # records that a person is shown unasked: a screen or two
FOLLOW_LIMIT: Final = 10  # records before the new ones, as `tail -f` shows lines
MAX_LIMIT_DIGITS: Final = 12  # more records than any log holds; SQLite takes 63 bits


def filter_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that choose records."""
    add = parser.add_argument
    times = 'a time (2026-11-21T10:00), a date, an age (15m, 2h, 7d) or "today"'
    add("--since", metavar="T", help=f"calls from then on: {times}")
    add("--until", metavar="T", help="calls before then")
    add("--verdict", metavar="V", help="blocked, flagged, masked or allowed")
    add("--rule", metavar="R", help="calls of which this rule spoke; cli.* for all whose names begin so")
    add(
        "--caller",
        metavar="N",
        help="number received or presented, as dialled or as +33...; 0145* for all that begin so",
    )
    add("--callee", metavar="N", help="number called, in the same forms")
    add("--trunk", metavar="T", help="name of the trunk")
    add("--line", metavar="L", help="line; 2* for all that begin so")
    add("--call-id", metavar="ID", help="Call-ID of SIP, whole")
    add("--all", action="store_true", help="the allowed calls too")
    add(
        "--limit",
        metavar="N",
        help=f"only the newest N, or all ({PEOPLE_LIMIT} in the table, {FOLLOW_LIMIT} before those followed; else all)",
    )


def filters_given(args: argparse.Namespace) -> list[str]:
    """Names of the filters that were given."""
    names = ("since", "until", "verdict", "rule", "caller", "callee", "trunk", "line", "call_id", "all", "limit")
    return ["--" + n.replace("_", "-") for n in names if getattr(args, n) not in {None, False}]


def query_of(args: argparse.Namespace, zone: ZoneInfo, reader: SqliteReader | None) -> Query:
    """What `args` ask for. CommandError (status 2) names the option, what was written and the nearest valid word.
    Without a log (`reader` None) only the names count that this guard and its configuration know."""
    asked = wanted.Wanted(**{name: getattr(args, name) for name in wanted.Wanted.__struct_fields__})

    def named(what: Literal["rule", "trunk"]) -> frozenset[str]:
        return reader.names(what) if reader is not None else frozenset()

    def trunks() -> frozenset[str]:
        if args.store is not None:
            return frozenset()
        return frozenset(t.name for t in reading_config(args.config).file.trunk)

    with words_meant():
        found = wanted.query_of(asked, zone, named, trunks)
    return replace(found, limit=limit(args.limit), tail=True)


def limit(word: str | None, *, unasked: int | None = None) -> int | None:
    """How many records: `unasked` when nothing was said, None for all."""
    if word is None:
        return unasked
    if word == "all":
        return None
    if not (word.isascii() and word.isdigit()) or len(word) > MAX_LIMIT_DIGITS:
        raise CommandError(f'--limit "{word}" is no number of records: write one, such as 100, or all', status=2)
    return int(word)
