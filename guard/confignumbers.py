"""`[[number]]`: which numbers may be presented, from when until when, by whose right."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from guard.configschema import NumberEntry
from guard.numbering.number import Dial, normalise
from guard.rules.numbers import ALWAYS, NEVER, Held

Note = Callable[[list[str], str], None]


def micros(day: date, zone: ZoneInfo) -> int:
    """Midnight at the beginning of `day` in `zone`, µs of Unix time."""
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * 1_000_000


def after(day: date, zone: ZoneInfo) -> int:
    """Midnight at the end of `day` in `zone`, µs of Unix time. The last day that there is never ends."""
    return micros(day + timedelta(days=1), zone) if day < date.max else NEVER


def numbers(
    entries: tuple[NumberEntry, ...], zone: ZoneInfo, problem: Note, must_exist: Callable[[str, list[str]], None]
) -> tuple[Held, ...]:
    """Every entry compiled; mistakes go to `problem`. Days begin at midnight in `zone`. `must_exist` checks a proof."""
    out: list[tuple[int, Held]] = []
    for i, entry in enumerate(entries, 1):
        key = ["number", f"[{i}]"]
        own = entry.holder == "self"
        if not own and not entry.proof:
            problem([*key, "proof"], f'missing: the consent of "{entry.holder}" must be proved')
        must_exist(entry.proof, [*key, "proof"])
        if entry.from_ and entry.until and entry.from_ > entry.until:
            problem([*key, "until"], f"{entry.until} is before from = {entry.from_}")
            continue
        ends = borders(entry.range)
        if isinstance(ends, str):
            problem([*key, "range"], ends)
            continue
        low, high, prefix = ends
        held = Held(
            low=low,
            high=high,
            prefix=prefix,
            own=own,
            holder=entry.holder,
            since=micros(entry.from_, zone) if entry.from_ else ALWAYS,
            until=after(entry.until, zone) if entry.until else NEVER,
        )
        for j, other in out:
            if held.meets(other) and held.since < other.until and other.since < held.until:
                problem([*key, "range"], f'"{entry.range}" overlaps number[{j}] on the same days')
        out.append((i, held))
    return tuple(h for _, h in out)


def borders(text: str) -> tuple[str, str, bool] | str:
    """Lowest and highest number of a `range`, or what is wrong with it."""
    if text.endswith("*"):
        low = text[:-1]
        if low.startswith("+") and low[1:].isascii() and low[1:].isdigit():
            return low, low, True
        return f'"{text}": a prefix is written as +331456789*'
    first, dash, last = text.partition("-")
    low, high = _number(first), _number(last) if dash else _number(first)
    for written, read in ((first, low), (last, high)):
        if written and not read:
            number = normalise(written, Dial())
            hint = f'; did you mean "{number.value}"?' if number.value else ""
            return f'"{written.strip()}" is no E.164 number{hint}'
    if not low or not high:
        return f'"{text}" is no range: write it as +33145678900-+33145678999'
    if len(low) != len(high):
        return f'"{text}": both ends must have the same length'
    return (low, high, False) if low <= high else f'"{text}": the first number is above the last'


def _number(text: str) -> str:
    """A number as `[[number]]` wants it: E.164 with its +, or a short one; "" for anything else."""
    text = text.strip()
    number = normalise(text, Dial())
    return text if number.value == text else ""
