"""How people see records: texts made harmless to a terminal, money, and the columns of one call."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console

    from guard.ledger.record import CallRecord, Money
    from guard.store.reader import Detail

MICROS_PER_CENT: Final = 10_000
PIPE_WIDTH: Final = 4_000  # columns of output that no terminal shows: one record stays one line, for grep and less -S
STYLES: Final = {"blocked": "red", "masked": "magenta", "flagged": "yellow", "allowed": "green"}


def harmless(text: str) -> str:
    """`text` with every character that a terminal could obey, or that hides others, written as an escape.

    The network chose these texts: a Call-ID may hold escape sequences, line feeds or marks that turn the direction
    of writing.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(ord(c)) for c in text)


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def counted(number: int, what: str) -> str:
    """`1 trunk`, `2 trunks`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def euros(micros: int) -> str:
    """Micro-euros as `2,500.05 EUR`: exact, with as many decimals as a fraction of a cent needs."""
    sign = "-" if micros < 0 else ""
    whole, rest = divmod(abs(micros), 100 * MICROS_PER_CENT)
    cents, fraction = divmod(rest, MICROS_PER_CENT)
    more = f"{fraction:04d}".rstrip("0")
    return f"{sign}{whole:,}.{cents:02d}{more} EUR"


def money(stake: Money) -> str:
    """What one call costs, in a few words; "" when nothing."""
    if stake.accrued:
        return euros(stake.accrued)
    return f"avoided {euros(stake.avoided)}" if stake.avoided else ""


def short(text: str) -> str:
    """`text`, cut to what a table has room for; the whole of it is in `guard explain` and in machine output."""
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def seconds(milliseconds: int) -> str:
    """`30.0 s`, or `2 h 05 min` for what lasts long."""
    if milliseconds < 600_000:
        return f"{milliseconds // 1000}.{milliseconds % 1000 // 100} s"
    minutes = milliseconds // 60_000
    return f"{minutes // 60} h {minutes % 60:02d} min"


def outcome(record: CallRecord) -> str:
    """How a call ended, in a few words; "" while it has not."""
    if record.outcome is None:
        return ""
    if record.outcome == "answered":
        return f"answered {seconds(record.talk_ms or 0)}"
    return f"{record.outcome} {record.final_status or ''}".rstrip()


def clock(record: CallRecord) -> str:
    """When the set-up was seen, to the millisecond, as people read it."""
    return record.time[:23].replace("T", " ")


def rule(detail: Detail) -> str:
    """The rule that decided (else the first that spoke), how many others spoke, and whether it was only watched."""
    findings = detail.record.findings
    name = detail.body.rule or (findings[0].rule if findings else "")
    watched = any(f.rule == name and f.mode == "monitor" for f in findings)
    more = f" +{len(findings) - 1}" if len(findings) > 1 else ""
    return f"{name}{more}{' (monitor)' if watched else ''}"


def caller(record: CallRecord) -> str:
    """The number received, and the one sent on where it differs."""
    if record.verdict == "masked":
        return f"{short(record.caller)} -> {short(record.presented) or 'anonymous'}"
    if record.presented and record.presented != record.caller:
        return f"{short(record.caller)} -> {short(record.presented)}"
    return short(record.caller)


COLUMNS: Final = ("#", "time", "verdict", "rule", "caller -> presented", "callee", "line", "trunk", "outcome", "money")
WHOLE: Final = frozenset({"#", "verdict", "callee"})  # a narrow terminal breaks the other columns first
NARROW: Final = 110  # columns of a terminal that has no room for them all, even on two lines a call
LEFT_OUT: Final = frozenset({"line", "trunk"})  # there
LONGEST: Final = 17  # characters of one cell: what an attacker sent must not push the other columns off the screen
WIDTHS: Final = (7, 23, 7, 22, 28, 13, 8, 10, 15, 0)  # of a line that is printed while others are still to come


def cells(detail: Detail) -> tuple[str, ...]:
    """One call in the order of COLUMNS, harmless."""
    r = detail.record
    texts = (
        str(r.seq),
        clock(r),
        r.verdict,
        rule(detail),
        caller(r),
        short(r.callee),
        short(r.line),
        short(r.trunk),
        outcome(r),
        money(detail.body.money),
    )
    return tuple(harmless(t) for t in texts)


def ended_cells(detail: Detail) -> tuple[str, ...]:
    """The end of one call in the order of COLUMNS, harmless; the time is the end's."""
    from datetime import datetime

    from guard.ledger.record import iso

    r = detail.record
    zone = datetime.fromisoformat(r.time).tzinfo
    at = iso(detail.end.at, zone)[:23].replace("T", " ") if detail.end and zone else ""
    texts = (str(r.seq), at, "ended", "", caller(r), short(r.callee), short(r.line), short(r.trunk), outcome(r), "")
    return tuple(harmless(t) for t in texts)


def console() -> Console:
    """Standard output for people: colours and width of the terminal, or plain lines of any length into a pipe."""
    from rich.console import Console

    wide = None if sys.stdout.isatty() else PIPE_WIDTH
    return Console(width=wide, highlight=False, markup=False, emoji=False)


def table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = (), styled: int = -1
) -> None:
    """Print a table. `right` names columns set to the right; the column `styled` holds verdicts to colour."""
    from rich.table import Table
    from rich.text import Text

    out = console()
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    kept = [n for n, name in enumerate(headers) if out.width >= NARROW or name not in LEFT_OUT or n == 0]
    for name in (headers[n] for n in kept):
        made.add_column(name, justify="right" if name in right else "left", overflow="fold", no_wrap=name in WHOLE)
    for row in rows:
        made.add_row(*(Text(row[n], style=STYLES.get(row[n], "") if n == styled else "") for n in kept))
    out.print(made)


def nearest(word: str, words: Iterable[str]) -> str:
    """`; did you mean "blocked"?` for a word that was mistyped, "" when none is near."""
    found = get_close_matches(word, sorted(words), n=1)
    return f'; did you mean "{found[0]}"?' if found else ""
