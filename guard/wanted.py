"""Which calls a person asks for, by whatever way: words to a `Query`, every mistake with the nearest valid word."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from difflib import get_close_matches
from typing import Final, Literal, cast, get_args

from msgspec import Struct

from guard.model import Verdict
from guard.numbering.number import Dial, normalise
from guard.store.contract import Query

NATIONAL: Final = 10  # digits of a French number as dialled
MAX_WORD: Final = 256  # characters of any filter: what records keep of a Call-ID, the longest of them
EARLIEST: Final = 0  # 1970-01-01
LATEST: Final = 7_258_118_400_000_000  # 2200-01-01: the law, months and zones can be told on either side of every day
_SEPARATORS: Final = re.compile(r"[ .()-]")
_AGO: Final = re.compile(r"(\d{1,6})\s*([smhd])\Z")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

Names = Callable[[Literal["rule", "trunk"]], frozenset[str]]


class Mistake(ValueError):
    """A word that means nothing: `field` is the filter (`call_id`) or parameter, "" where it is plain from the text."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(f"{field} {text}" if field else text)
        self.field = field
        self.text = text


class Wanted(Struct, frozen=True, kw_only=True):
    """The filters of `guard log`, as written; None where one was not given."""

    since: str | None = None
    until: str | None = None
    verdict: str | None = None
    rule: str | None = None
    caller: str | None = None
    callee: str | None = None
    trunk: str | None = None
    line: str | None = None
    call_id: str | None = None
    all: bool = False


def query_of(wanted: Wanted, zone: tzinfo, names: Names, trunks: Callable[[], frozenset[str]]) -> Query:
    """What is asked for. `names` are the rules and trunks that a log names, `trunks` those of a configuration, looked
    at only where need be. Raises Mistake."""
    since = None if wanted.since is None else instant(wanted.since, zone)
    until = None if wanted.until is None else instant(wanted.until, zone)
    if since is not None and until is not None and until <= since:
        raise Mistake("until", f"{wanted.until} is not after {wanted.since} (since): no call can be both")
    # A call asked for by its Call-ID is wanted whatever became of it.
    return Query(
        since=since,
        until=until,
        verdict=verdict(wanted.verdict),
        rule=rule(wanted.rule, names),
        caller=number("caller", wanted.caller),
        callee=number("callee", wanted.callee),
        trunk=_trunk(wanted.trunk, names, trunks),
        line=_text("line", wanted.line),
        call_id=_text("call_id", wanted.call_id),
        all=wanted.all or wanted.call_id is not None,
    )


def nearest(word: str, words: object) -> str:
    """`; did you mean "blocked"?` for a word that was mistyped, "" when none is near."""
    known = sorted(words) if isinstance(words, (list, tuple, set, frozenset, dict)) else []
    found = get_close_matches(word, known, n=1)
    return f'; did you mean "{found[0]}"?' if found else ""


def verdict(word: str | None) -> Verdict | None:
    """A verdict by its name."""
    known = get_args(Verdict)
    if word is None or word in known:
        return cast("Verdict | None", word)
    raise Mistake("verdict", f'"{word}" is none of {", ".join(known)}{nearest(word, known)}')


def rule(word: str | None, names: Names) -> str:
    """A rule that this guard has or that the log names (an older guard's), or a beginning of some with `*`."""
    if word is None:
        return ""
    from guard.rules import BY_ID

    if word in BY_ID or (word.endswith("*") and any(r.startswith(word[:-1]) for r in BY_ID)):
        return word
    known = names("rule") | BY_ID.keys()
    if word in known or (word.endswith("*") and any(r.startswith(word[:-1]) for r in known)):
        return word
    raise Mistake("rule", f'"{word}" is no rule{nearest(word, known)}')


def _trunk(given: str | None, names: Names, trunks: Callable[[], frozenset[str]]) -> str:
    """A trunk that the log names, or the configuration."""
    word = _text("trunk", given)
    known = names("trunk") if word else frozenset()
    if not word or word in known:
        return word
    known |= trunks()
    if known and word not in known:
        raise Mistake("trunk", f'"{word}" is no trunk of this log{nearest(word, known)}')
    return word


def number(field: str, word: str | None) -> str:
    """A number as records show it: from any form that is dialled in France to E.164, else as it is written."""
    text = _text(field, word)
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


def _text(field: str, word: str | None) -> str:
    if word == "":
        raise Mistake(field, "is empty: leave it out, or say what is wanted")
    if word is not None and len(word) > MAX_WORD:
        raise Mistake(field, f"has {len(word)} characters: {MAX_WORD} are the most that a record keeps")
    return word or ""


def instant(text: str, zone: tzinfo, now: datetime | None = None) -> int:
    """An instant (Unix time, µs) from ISO 8601 (in `zone` where it names none), `today`, or an age such as `15m`.

    Raises Mistake.
    """
    now = now or datetime.now(UTC)
    ago = _AGO.match(text.strip())
    if ago is not None:
        age = timedelta(**{_UNITS[ago.group(2)]: int(ago.group(1))})
        return micros(now) - age // timedelta(microseconds=1)  # may be before the first day that a date can name
    if text == "today":
        return micros(now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0))
    try:
        at = datetime.fromisoformat(text)
        return micros(at if at.tzinfo is not None else at.replace(tzinfo=zone))
    except (ValueError, OverflowError) as error:
        wanted = 'write a time as 2026-11-21T10:00, a date as 2026-11-21, an age as 15m, 2h or 7d, or "today"'
        raise Mistake("", f'"{text}" is no time: {wanted}') from error


def dated(text: str, zone: tzinfo) -> int:
    """An instant as `instant` reads it that a call or a letter can have. Raises Mistake."""
    at = instant(text, zone)
    if not EARLIEST <= at < LATEST:
        raise Mistake("", f'"{text}" is out of range: a time from 1970 to 2199 is wanted')
    return at


def micros(at: datetime) -> int:
    """Unix time in microseconds, exactly."""
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
