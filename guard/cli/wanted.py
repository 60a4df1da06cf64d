"""Which records a person asks `guard log` for: options to a Query, every mistake with the nearest valid word."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Final, Literal, cast, get_args

from guard.cli.common import CommandError, instant, reading_config
from guard.cli.show import nearest
from guard.model import Verdict
from guard.numbering.number import Dial, normalise
from guard.store.contract import Query

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from guard.store.reader import SqliteReader

PEOPLE_LIMIT: Final = 50  # records that a person is shown unasked: a screen or two
FOLLOW_LIMIT: Final = 10  # records before the new ones, as `tail -f` shows lines
MAX_LIMIT_DIGITS: Final = 12  # more records than any log holds; SQLite takes 63 bits
NATIONAL: Final = 10  # digits of a French number as dialled
_SEPARATORS: Final = re.compile(r"[ .()-]")


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
    since = None if args.since is None else instant(args.since, zone)
    until = None if args.until is None else instant(args.until, zone)
    if since is not None and until is not None and until <= since:
        raise CommandError(f"--until {args.until} is not after --since {args.since}: no call can be both", status=2)
    # A call asked for by its Call-ID is wanted whatever became of it.
    return Query(
        since=since,
        until=until,
        verdict=verdict(args.verdict),
        rule=rule(args.rule, reader),
        caller=number("--caller", args.caller),
        callee=number("--callee", args.callee),
        trunk=trunk(args, reader),
        line=_text("--line", args.line),
        call_id=_text("--call-id", args.call_id),
        all=args.all or args.call_id is not None,
        limit=limit(args.limit),
        tail=True,
    )


def verdict(word: str | None) -> Verdict | None:
    """A verdict by its name."""
    known = get_args(Verdict)
    if word is None or word in known:
        return cast("Verdict | None", word)
    raise CommandError(f'--verdict "{word}" is none of {", ".join(known)}{nearest(word, known)}', status=2)


def rule(word: str | None, reader: SqliteReader | None) -> str:
    """A rule that this guard has or that the log names (an older guard's), or a beginning of some with `*`."""
    if word is None:
        return ""
    from guard.rules import BY_ID

    if word in BY_ID or (word.endswith("*") and any(r.startswith(word[:-1]) for r in BY_ID)):
        return word
    known = _names(reader, "rule") | BY_ID.keys()
    if word in known or (word.endswith("*") and any(r.startswith(word[:-1]) for r in known)):
        return word
    raise CommandError(f'--rule "{word}" is no rule{nearest(word, known)}', status=2)


def trunk(args: argparse.Namespace, reader: SqliteReader | None) -> str:
    """A trunk that the log names, or the configuration where there is one to read."""
    word = _text("--trunk", args.trunk)
    known = _names(reader, "trunk")
    if not word or word in known:
        return word
    if args.store is None:
        known |= {t.name for t in reading_config(args.config).file.trunk}
    if known and word not in known:
        raise CommandError(f'--trunk "{word}" is no trunk of this log{nearest(word, known)}', status=2)
    return word


def _names(reader: SqliteReader | None, of: Literal["rule", "trunk"]) -> frozenset[str]:
    return reader.names(of) if reader is not None else frozenset()


def number(option: str, word: str | None) -> str:
    """A number as records show it: from any form that is dialled in France to E.164, else as it is written."""
    text = _text(option, word)
    if not text.endswith("*"):
        return normalise(text, Dial()).value or text
    return beginning(text[:-1]) + "*"


def beginning(text: str) -> str:
    """The first digits of a number, from a national or international form to E.164."""
    digits = _SEPARATORS.sub("", text)
    if digits.startswith("00"):
        return "+" + digits[2:]
    if not (digits.isascii() and digits.isdigit() and digits.startswith("0")):
        return digits
    # Filled up with zeros it is a whole number, whose country code the numbering plan knows (0590: +590).
    filling = NATIONAL - len(digits)
    whole = normalise(digits + "0" * filling, Dial()).value if filling >= 0 and len(digits) > 1 else ""
    return whole[: len(whole) - filling] if whole else "+33" + digits[1:]


def limit(word: str | None, *, unasked: int | None = None) -> int | None:
    """How many records: `unasked` when nothing was said, None for all."""
    if word is None:
        return unasked
    if word == "all":
        return None
    if not (word.isascii() and word.isdigit()) or len(word) > MAX_LIMIT_DIGITS:
        raise CommandError(f'--limit "{word}" is no number of records: write one, such as 100, or all', status=2)
    return int(word)


def _text(option: str, word: str | None) -> str:
    if word == "":
        raise CommandError(f"{option} is empty: leave it out, or say what is wanted", status=2)
    return word or ""
