"""The monthly statement: what accrued and what was avoided, as one page that stands alone, prints and adds up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from guard.ledger.lines import LedgerLine
from guard.ledger.penalties import Line
from guard.ledger.tally import Position, Tally
from guard.report.chart import ACCRUED, AVOIDED, bars
from guard.report.html import Cell, Lang, day, money, number, page, safe, table
from guard.report.words import WORDS

LONGEST: Final = 1_000  # rows of one table on paper: twenty pages; what is beyond is one row, and still in the sum


class Head(Struct, frozen=True, kw_only=True):
    """What a statement is of: `month` as `2026-11`, `made` when it was made (Unix time, µs)."""

    site: str
    month: str
    made: int
    zone: ZoneInfo
    log: str = ""


def statement(head: Head, tally: Tally, lang: Lang) -> str:
    """The page."""
    return page(f"{WORDS[lang]['statement']} {head.month}", lang, _parts(head, tally, lang))


def _parts(head: Head, tally: Tally, lang: Lang) -> Iterator[str]:
    words = WORDS[lang]
    total = tally.total
    yield f"<h1>{safe(words['statement'])}</h1>"
    yield (
        f'<p class="quiet">{safe(words["month"])} {safe(head.month)} · {safe(words["site"])} {safe(head.site)} · '
        f"{safe(words['made'])} {safe(day(head.made, head.zone, lang, clock=True))} ({safe(head.zone.key)})</p>"
    )
    yield '<div class="sums">'
    for name, amount in (("accrued", total.accrued), ("avoided", total.avoided)):
        cell = money(amount, lang)
        yield (
            f'<div class="sum"><b class="{name}" id="{name}" data-value="{cell.value}">{safe(cell.text)}</b>'
            f"{safe(words[name])}<br><span class=quiet>{safe(words[name + '_note'])}</span></div>"
        )
    yield "</div>"
    positions = [*tally.positions("accrued"), *tally.positions("avoided")]
    if positions:
        yield from _sums(head, tally, lang)
        for state in ("accrued", "avoided"):
            yield from _positions(tally, state, head, lang)
    else:
        yield f"<p>{safe(words['none'])}</p>"
    yield f"<h2>{safe(words['terms'])}</h2>"
    counted = {(p.first.contract, p.first.reading) for p in positions if p.first.kind != "passed-on"}
    for contract, reading in sorted(counted):
        said = f", {words[reading]}" if reading in words else ""
        yield f"<p>{safe(words['contract'])} {safe(contract)}{safe(said)}</p>"
    yield f"<p>{safe(words['period'])}</p><p>{safe(words['evidence'])}</p>"


def _sums(head: Head, tally: Tally, lang: Lang) -> Iterator[str]:
    words = WORDS[lang]
    yield f"<h2>{safe(words['chart'])}</h2>"
    yield (
        f'<p class="key quiet"><i style="background:{ACCRUED}"></i>{safe(words["accrued"])}'
        f'<i style="background:{AVOIDED}"></i>{safe(words["avoided"])}</p>'
    )
    yield bars(days_of(head.month, tally.by("day")), lang, words["chart"])
    for by in ("rule", "trunk", "number", "day"):
        yield f"<h2>{safe(words['by_' + by])}</h2>"
        heads = (words[by], words["calls"], words["numbers"], words["accrued"], words["avoided"])
        rows = [_cells(line, lang, words) for line in shortened(tally.by(by), words["others"])]
        yield table(f"by-{by}", heads, rows, _cells(tally.total, lang, words, words["total"]))


def days_of(month: str, lines: Sequence[Line]) -> list[tuple[str, int, int]]:
    """Every day of a month with its sums, also those without any."""
    by = {line.key: line for line in lines}
    out: list[tuple[str, int, int]] = []
    at = date.fromisoformat(f"{month}-01")
    while at.isoformat().startswith(month):
        line = by.get(at.isoformat(), Line(key=""))
        out.append((str(at.day), line.accrued, line.avoided))
        at += timedelta(days=1)
    return out


def shortened(lines: Sequence[Line], others: str) -> list[Line]:
    """The largest, in their order, and all that is beyond them as one line."""
    if len(lines) <= LONGEST:
        return list(lines)
    ranked = sorted(lines, key=lambda one: -(one.accrued + one.avoided))
    kept = {id(one) for one in ranked[:LONGEST]}
    rest = Line(key=others)
    for one in ranked[LONGEST:]:
        rest.add(one.calls, one.numbers, one.accrued, one.avoided)
    return [*(one for one in lines if id(one) in kept), rest]


def _cells(line: Line, lang: Lang, words: dict[str, str], name: str | None = None) -> tuple[str | Cell, ...]:
    shown = name if name is not None else line.key or words["no_key"]
    return (
        words.get(shown, shown) if shown in KINDS else shown,
        number(line.calls, lang),
        number(line.numbers, lang),
        money(line.accrued, lang),
        money(line.avoided, lang),
    )


KINDS: Final = frozenset(
    {"undetermined-origin", "sva-number", "sva-not-put-right", "sva-repeated-in-a-year", "passed-on"}
)


def _positions(tally: Tally, state: str, head: Head, lang: Lang) -> Iterator[str]:
    words = WORDS[lang]
    positions = tally.positions("accrued" if state == "accrued" else "avoided")
    if not positions:
        return
    rows = [_position(p, head, lang) for p in positions[:LONGEST]]
    rest = positions[LONGEST:]
    if rest:
        rest_sum, rest_count = sum(p.amount for p in rest), sum(p.quantity for p in rest)
        rows.append((words["others"], "", "", "", number(rest_count, lang), "", money(rest_sum, lang), ""))
    amount, quantity = sum(p.amount for p in positions), sum(p.quantity for p in positions)
    heads = ("kind", "number", "rule", "article", "quantity", "unit", "amount", "ground")
    total = (words["total"], "", "", "", number(quantity, lang), "", money(amount, lang), "")
    yield f"<h2>{safe(words['lines_' + state])}</h2>"
    yield table(f"lines-{state}", [words[h] for h in heads], rows, total)


def _position(p: Position, head: Head, lang: Lang) -> tuple[str | Cell, ...]:
    first = p.first
    words = WORDS[lang]
    kind = words[first.kind] + (f" ({first.reason})" if first.reason else "")
    unit = money(first.amount, lang).text
    rule = f"{first.rule} · {first.trunk}" if first.rule else first.trunk
    ground = _ground(first, words)
    when = day(first.at, head.zone, lang)
    return (
        kind, first.number, rule, first.article, number(p.quantity, lang), unit, money(p.amount, lang),
        f"{when} {ground}".strip(),
    )  # fmt: skip


def _ground(line: LedgerLine, words: dict[str, str]) -> str:
    if line.seq:
        return f"{words['record']} {line.seq}"
    return " ".join(t for t in (line.incident, line.document) if t)
