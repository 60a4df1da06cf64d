"""HTML that stands alone and prints well: escaping, sums of money, dates, tables, the frame of a page.

Everything that callers or operators chose is escaped here and nowhere else. A page loads nothing and runs nothing: its
policy forbids it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo
from html import escape
from typing import Final, Literal

from msgspec import Struct

Lang = Literal["en", "fr"]
MICROS_PER_CENT: Final = 10_000
NARROW_SPACE: Final = "\u202f"  # between thousands, and before the sign, in French print
SPACE: Final = "\u00a0"
SPACES: Final = NARROW_SPACE + SPACE  # of our own making: they hide nothing
WORD: Final = 24  # characters: a number, a sum, an article; longer words may break, or strangers would widen a page
WIDE: Final = 7  # columns: from here on small print, so that a row of an A4 page has room for whole words

STYLE: Final = """
@page { size: A4; margin: 16mm 14mm 18mm; }
* { box-sizing: border-box; }
body { font: 10.5pt/1.45 system-ui, "Liberation Sans", Arial, sans-serif; color: #1b1f24; background: #fff;
  max-width: 190mm; margin: 0 auto; padding: 8mm 4mm; }
h1 { font-size: 19pt; margin: 0 0 1mm; } h2 { font-size: 12.5pt; margin: 9mm 0 2mm; break-after: avoid; }
p { margin: 0 0 2mm; } .quiet { color: #57606a; } .sums { display: flex; gap: 6mm; margin: 6mm 0; flex-wrap: wrap; }
.sum { border: 1px solid #d0d7de; border-radius: 2mm; padding: 3mm 5mm; flex: 1 1 52mm; }
.sum b { display: block; font-size: 17pt; font-variant-numeric: tabular-nums; } .accrued { color: #b42318; }
.avoided { color: #1a7f37; } table { border-collapse: collapse; width: 100%; font-size: 9pt; }
thead { display: table-header-group; } tr { break-inside: avoid; }
th, td { text-align: left; padding: 1.1mm 2mm; border-bottom: 1px solid #d8dee4; vertical-align: top; }
th { border-bottom: 1.5px solid #57606a; font-weight: 600; } td { overflow-wrap: anywhere; }
td.w { overflow-wrap: normal; } .wide { font-size: 8pt; } .wide td, .wide th { padding: 1mm 1.4mm; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.total td { border-top: 1.5px solid #1b1f24; border-bottom: none; font-weight: 700; }
svg { width: 100%; height: auto; display: block; } svg text { font: 9px system-ui, Arial, sans-serif; fill: #57606a; }
.key i { display: inline-block; width: 3mm; height: 3mm; margin: 0 1mm 0 4mm; }
.box { border: 1px solid #d0d7de; border-left: 1.2mm solid #b42318; padding: 3mm 5mm; margin: 5mm 0; }
@media print { body { padding: 0; max-width: none; } * { print-color-adjust: exact; } }
"""


class Cell(Struct, frozen=True):
    """A number in a table: what is shown, and its exact value for whoever adds it up again."""

    text: str
    value: int


def safe(text: str) -> str:
    """`text` for HTML: escaped, and what hides or turns other characters written as its code."""
    shown = text if text.isprintable() else "".join(c if c.isprintable() or c in SPACES else _code(c) for c in text)
    return escape(shown, quote=True)


def _code(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def euros(micros: int, lang: Lang) -> str:
    """Micro-euros as people of that language print them: exact, with more decimals only where there are any."""
    sign = "\u2212" if micros < 0 else ""
    whole, rest = divmod(abs(micros), 100 * MICROS_PER_CENT)
    cents, fraction = divmod(rest, MICROS_PER_CENT)
    more = f"{fraction:04d}".rstrip("0")
    if lang == "fr":
        grouped = f"{whole:,}".replace(",", NARROW_SPACE)
        return f"{sign}{grouped},{cents:02d}{more}{SPACE}€"
    return f"{sign}€{whole:,}.{cents:02d}{more}"


def count(number: int, lang: Lang) -> str:
    """A whole number with its thousands apart."""
    return f"{number:,}".replace(",", NARROW_SPACE) if lang == "fr" else f"{number:,}"


def day(at: int, zone: tzinfo, lang: Lang, *, clock: bool = False) -> str:
    """A day, or an instant (Unix time, µs) to the second."""
    moment = datetime.fromtimestamp(at // 1_000_000, zone)
    shape = "%d/%m/%Y" if lang == "fr" else "%Y-%m-%d"
    return moment.strftime(f"{shape} %H:%M:%S" if clock else shape)


def money(micros: int, lang: Lang) -> Cell:
    """A sum as a cell."""
    return Cell(euros(micros, lang), micros)


def number(value: int, lang: Lang) -> Cell:
    """A count as a cell."""
    return Cell(count(value, lang), value)


def table(
    name: str, heads: Sequence[str], rows: Iterable[Sequence[str | Cell]], total: Sequence[str | Cell] | None = None
) -> str:
    """A table. `name` is its id; cells with numbers carry their value; `total` is the last row."""
    wide = " class=wide" if len(heads) >= WIDE else ""
    out = [f'<table id="{safe(name)}"{wide}><thead><tr>']
    lines = [_row(row) for row in rows]
    right = [isinstance(cell, Cell) for cell in total] if total is not None else []
    for n, head in enumerate(heads):
        out.append(f"<th{' class=n' if n < len(right) and right[n] else ''}>{safe(head)}</th>")
    out.append("</tr></thead><tbody>")
    out += lines
    if total is not None:
        out.append(_row(total, "total"))
    out.append("</tbody></table>")
    return "".join(out)


def _row(cells: Sequence[str | Cell], kind: str = "") -> str:
    made = [
        f'<td class="n" data-value="{cell.value}">{safe(cell.text)}</td>'
        if isinstance(cell, Cell)
        else f"<td{' class=w' if _whole(cell) else ''}>{safe(cell)}</td>"
        for cell in cells
    ]
    return f"<tr{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{''.join(made)}</tr>\n"


def _whole(text: str) -> bool:
    """Whether no word is so long that it has to break: a number or a sum cut in two is misread. (A hyphen ends a word
    for browsers; only plain spaces do here.)"""
    return all(len(word) <= WORD for word in text.replace("-", "- ").split(" "))


def page(title: str, lang: Lang, parts: Iterable[str]) -> str:
    """A whole page; `parts` are HTML already."""
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        f'<!doctype html>\n<html lang="{lang}"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{safe(title)}</title>\n<style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )
