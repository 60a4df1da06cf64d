"""Small drawings as inline SVG, made on the server: no script, no inline style; colours come from the style sheet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup
from msgspec import Struct
from msgspec.structs import replace

from guard.web.pages.harmless import shown

WARM: Final = 0.75  # of a limit: from here on it is worth a look
HOT: Final = 0.9
SPAN: Final = 1_000  # units of a gauge's own width
LADDER_WIDE: Final = 820
LADDER_LEFT: Final = 170  # the first column: left of it is room for the times
LADDER_TOP: Final = 44
ROW: Final = 40


def heat(value: float, limit: float) -> str:
    """How near a value is to its limit: "", warm or hot."""
    share = value / limit if limit > 0 else 0.0
    return "hot" if share >= HOT else "warm" if share >= WARM else ""


def gauge(value: float, limit: float) -> Markup:
    """A bar that fills towards a limit; a limit of 0 is none, and the bar stays empty. The figures stand beside it as
    text, so it is hidden from those who listen."""
    share = min(1.0, max(0.0, value / limit)) if limit > 0 else 0.0
    kind = f"gauge {heat(value, limit)}".strip()
    return Markup(
        '<svg class="{}" viewBox="0 0 {} 10" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<rect class="g-back" width="{}" height="10"/><rect class="g-full" width="{}" height="10"/></svg>'
    ).format(kind, SPAN, SPAN, round(SPAN * share))


class Arrow(Struct, frozen=True, kw_only=True):
    """One step of a ladder: from one column to another (the same one: a note in a box at it). `when` stands at the
    side; `kind` is "", good or bad for an arrow, a verdict for a box."""

    frm: int
    to: int
    label: str
    when: str = ""
    note: str = ""
    kind: str = ""


def ladder(who: Sequence[str], arrows: Sequence[Arrow], title: str) -> Markup:
    """Who said what to whom, from above to below. A list of the same stands beside it for those who listen."""
    tall = LADDER_TOP + ROW * len(arrows) + 14
    columns = [LADDER_LEFT + (LADDER_WIDE - LADDER_LEFT - 90) * n // max(1, len(who) - 1) for n in range(len(who))]
    out = [
        Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(LADDER_WIDE, tall, shown(title)),
    ]
    for x, name in zip(columns, who, strict=True):
        out.append(
            Markup(
                '<line class="l-life" x1="{0}" y1="36" x2="{0}" y2="{1}"/>'
                '<rect class="l-head" x="{2}" y="8" width="150" height="28" rx="4"/>'
                '<text class="l-who" x="{0}" y="27" text-anchor="middle">{3}</text>'
            ).format(x, tall - 4, x - 75, shown(short(name, 20)))
        )
    for n, arrow in enumerate(arrows):
        y = LADDER_TOP + ROW * n + ROW // 2
        out.append(Markup('<text class="l-note" x="4" y="{}">{}</text>').format(y + 4, shown(arrow.when)))
        out.append(_box(columns[arrow.frm], y, arrow) if arrow.frm == arrow.to else _arrow(columns, y, arrow))
    out.append(Markup("</svg>"))
    return Markup("").join(out)


def _arrow(columns: Sequence[int], y: int, arrow: Arrow) -> Markup:
    if abs(arrow.to - arrow.frm) > 1:  # past the one in the middle, who passes it on
        middle = (arrow.frm + arrow.to) // 2
        first, second = replace(arrow, to=middle), replace(arrow, frm=middle)
        return _arrow(columns, y, first) + _arrow(columns, y, second)
    start, end = columns[arrow.frm], columns[arrow.to]
    way = 1 if end > start else -1
    tip = f"{end},{y} {end - 9 * way},{y - 4} {end - 9 * way},{y + 4}"
    middle = (start + end) // 2
    room = max(12, abs(end - start) // 8)  # characters that fit between the two
    note = Markup('<text class="l-note" x="{}" y="{}" text-anchor="middle">{}</text>').format(
        middle, y + 14, shown(short(arrow.note, room))
    )
    return Markup(
        '<line class="l-arrow {0}" x1="{1}" y1="{2}" x2="{3}" y2="{2}"/><polygon class="l-tip {0}" points="{4}"/>'
        '<text class="l-say" x="{5}" y="{6}" text-anchor="middle">{7}</text>{8}'
    ).format(
        arrow.kind, start, y, end - 6 * way, tip, middle, y - 6, shown(short(arrow.label, room)),
        note if arrow.note else "",
    )  # fmt: skip


def _box(x: int, y: int, arrow: Arrow) -> Markup:
    text = short(arrow.label, 34)
    wide = 24 + 7 * len(text)
    return Markup(
        '<rect class="l-box {}" x="{}" y="{}" width="{}" height="22" rx="4"/>'
        '<text class="l-in" x="{}" y="{}" text-anchor="middle">{}</text>'
    ).format(arrow.kind, x - wide // 2, y - 11, wide, x, y + 4, shown(text))


def short(text: str, room: int) -> str:
    """A text that fits: cut with a sign of it where it is longer."""
    return text if len(text) <= room else text[: room - 1] + "…"


def spark(points: Sequence[int], limit: int) -> Markup:
    """A line of values in time, oldest first, with the limit above it as a dashed line (0: none)."""
    top = max([1, limit, *points]) * 1.1
    step = SPAN / max(1, len(points) - 1)
    places = [f"{n * step:.0f},{100 - 100 * value / top:.1f}" for n, value in enumerate(points)]
    line = " ".join(places)
    bound = Markup('<line class="s-limit" x1="0" y1="{0}" x2="{1}" y2="{0}"/>').format(
        f"{100 - 100 * limit / top:.1f}", SPAN
    )
    return Markup(
        '<svg class="spark" viewBox="0 0 {} 100" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<polygon class="s-area" points="0,100 {} {},100"/><polyline class="s-line" points="{}"/>{}</svg>'
    ).format(SPAN, line, SPAN, line, bound if limit else "")
