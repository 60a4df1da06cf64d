"""A chart of two sums a day, as inline SVG: no script, no font, nothing to load; it prints as it looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from guard.report.html import Lang, euros, safe

WIDTH: Final = 720
HEIGHT: Final = 190
LEFT: Final = 78  # room for the amounts at the side
BOTTOM: Final = 22
TOP: Final = 8
STEPS: Final = 4
ACCRUED: Final = "#d92d20"
AVOIDED: Final = "#2da44e"


def scale(highest: int) -> int:
    """The top of the axis, micro-euros: four steps of 1, 2 or 5 times a power of ten, the least that hold `highest`."""
    unit = STEPS
    while True:
        for factor in (1, 2, 5):
            if unit * factor >= highest:
                return unit * factor
        unit *= 10


def bars(days: Sequence[tuple[str, int, int]], lang: Lang, title: str) -> str:
    """Bars side by side for each `(label, accrued, avoided)`; negative sums (credit notes) are drawn as nothing."""
    top = scale(max([1, *(max(a, b) for _, a, b in days)]))
    plot = HEIGHT - TOP - BOTTOM
    out = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{safe(title)}">',
        f"<title>{safe(title)}</title>",
    ]
    for n in range(STEPS + 1):
        y = TOP + plot - plot * n // STEPS
        out.append(f'<line x1="{LEFT}" y1="{y}" x2="{WIDTH}" y2="{y}" stroke="#d8dee4"/>')
        out.append(f'<text x="{LEFT - 6}" y="{y + 3}" text-anchor="end">{safe(euros(top * n // STEPS, lang))}</text>')
    wide = (WIDTH - LEFT) / max(1, len(days))
    for n, (label, accrued, avoided) in enumerate(days):
        x = LEFT + wide * n
        for place, (amount, colour) in enumerate(((accrued, ACCRUED), (avoided, AVOIDED))):
            tall = plot * max(0, amount) / top
            if tall > 0:
                shown = max(tall, 0.8)  # a cent beside thousands is still seen
                out.append(
                    f'<rect x="{x + wide * (0.12 + 0.38 * place):.1f}" y="{TOP + plot - shown:.1f}"'
                    f' width="{wide * 0.36:.1f}" height="{shown:.1f}" fill="{colour}"/>'
                )
        if len(days) <= 16 or n % 2 == 0:
            out.append(f'<text x="{x + wide / 2:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{safe(label)}</text>')
    out.append("</svg>")
    return "".join(out)
