"""What `python -m sim flat` found, for people: docs/performance-flat.md and its plot."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import log10
from statistics import median
from typing import Final

from msgspec import Struct

from guard.detectors.subjects import AT_WORK
from sim.flat.world import Grown
from sim.race.machine import processor

PAGE: Final = "docs/performance-flat.md"
PLOT: Final = "performance-flat.svg"
WIDE, HIGH, LEFT, TOP = 560, 300, 60, 30  # of the plot, in pixels
LEAST, MOST = 0.7, 1.3  # ratios that it shows
AIM: Final = 0.1
COLOURS: Final = ("#2f6f4f", "#8a5a00", "#30507a", "#7a3050")
TITLES: Final = {
    "lines, all calling": "known lines, all of which call in turn",
    "lines, the same calling": "known lines, of which the same 1000 call",
    "calls, the same callers": "calls at once, of the same callers, as many an hour: they last so long",
    "calls and callers": "calls at once, of three minutes, of twenty times as many callers",
}


class Point(Struct, frozen=True):
    """What one worker had, and its microseconds a call in each round."""

    axis: str
    size: int
    grown: Grown
    times: list[float]


class Found(Struct, frozen=True):
    """All points of one build of the guard."""

    build: str
    points: list[Point]

    def ratio(self, point: Point) -> float:
        """To the smallest of its axis: the median of the ratios of each round."""
        first = next(p for p in self.points if p.axis == point.axis)
        return median(a / b for a, b in zip(point.times, first.times, strict=True))


def page(
    found: Sequence[Found], command: str, versions: str, load: float, compiled: int, rounds: int, count: int
) -> str:
    """The whole page, as Markdown."""
    lines = [*_head(command, versions, load, rounds, count)]
    for one in found:
        lines += _table(one, compiled)
    return "\n".join([*lines, *_words()]) + "\n"


def _head(command: str, versions: str, load: float, rounds: int, count: int) -> Iterator[str]:
    yield "# Whether a call costs the same in a large site\n"
    yield f"    {command}\n"
    yield (
        f"made this page on {datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores of {processor()}; {versions}; load "
        f"{load:.1f}. Guards without the wire, in virtual time: core, desk and engine with every rule and detector, "
        "counters in memory, the collector and large pages as the daemon has them. All run at once and are measured in "
        f"turns, {rounds} rounds of {count} whole calls each: processor time of the thread, as a ratio to the smallest "
        "guard's in the same round, medians. Each calling line calls once an hour.\n"
    )
    yield f"![Cost of a call, ratio to the smallest guard's]({PLOT})\n"


def _table(found: Found, compiled: int) -> Iterator[str]:
    more = f", {compiled} modules by mypyc" if found.build == "compiled" else ""
    yield f"## The guard, {found.build}{more}\n"
    for axis, title in TITLES.items():
        points = [p for p in found.points if p.axis == axis]
        if not points:
            continue
        memory = "kB a call that is up" if axis.startswith("calls") else "kB a known line"
        yield f"| {title} | × the smallest | µs a call | of its rounds | {memory} | ms of a full collection |"
        yield "|---:|---:|---:|---|---:|---:|"
        for p in points:
            times = sorted(p.times)
            kb = p.grown.call_kb if axis.startswith("calls") else p.grown.line_kb
            yield (
                f"| {p.size:_} | **{found.ratio(p):.2f}** | {median(times):.0f} | {times[0]:.0f} to {times[-1]:.0f} | "
                f"{kb:.1f} | {p.grown.collection_ms:.0f} |".replace("_", " ")
            )
        yield ""


def _words() -> Iterator[str]:
    yield (
        "**Calls at once, twice.** In the last table callers grow with calls, since each calls once an hour for three "
        "minutes: what it tells of many calls is also what the first table tells of many lines. So in the one before "
        "it the same lines call as often in each guard, and only how long a call is up differs: 36 ms where 10 calls "
        "of a million callers are up at once, three minutes where 50 000 are. What is up for minutes is looked at each "
        "minute, and that is a call's own cost. Until 2026-11-21 there was the last table only, and detection heard of "
        "set-ups, not of ends (b55cedc, compiled: 1.66 from 10 to 50 000 calls at once, 1.23 from 1 000 to 1 000 000 "
        "lines that all call).\n"
    )
    yield (
        "**How many lines it knows.** Detection keeps a million subjects (`MAX_SUBJECTS`, guard/detectors/subjects.py; "
        "a line that is known by its number is one, a line with a name and a number is two): 750 000 that have called "
        "eight times or more, and 250 000 that are young, so that no flood of new callers pushes the others out. Of a "
        "million lines here 750 000 are known; one that was forgotten is young again when it calls. "
        f"{AT_WORK:_} are objects, about 2 kB each; the others are octets, of which a few slices make a subject when "
        "the line calls: where all call in turn, every call pays for that, for a memory that no cache of the processor "
        "holds, and for fields and numbers that nobody remembers: those of 1 000 callers are (guard/sip/fields.py).\n"
    ).replace("_000 are objects", " 000 are objects")
    yield (
        "**Collections.** Full ones happen in the daemon when it is quiet only (guard/net/garbage.py), at most once a "
        "minute, and once an hour where no cycles were found; their time is that of the calls that linger and of the "
        "lines at work, not of all that are known, and in the daemon of what was there at its start, 15 ms."
    )


def plot(found: Sequence[Found]) -> str:
    """Ratios over sizes (SVG): one line for each axis and build, the aim of ± 10 % shaded."""
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDE + 300}" height="{HIGH + 2 * TOP + 20}" '
        'font-family="sans-serif" font-size="12" role="img"><title>Cost of a call, ratio to the smallest guard'
        '</title><rect width="100%" height="100%" fill="#fff"/>',
        f'<rect x="{LEFT}" y="{_y(1 + AIM):.0f}" width="{WIDE}" height="{_y(1 - AIM) - _y(1 + AIM):.0f}" '
        'fill="#e4f0e8"/>',
    ]
    for share in (LEAST, 0.9, 1.0, 1.1, MOST):
        out.append(f'<text x="{LEFT - 8}" y="{_y(share) + 4:.0f}" text-anchor="end">{share:.1f}</text>')
        out.append(f'<line x1="{LEFT}" y1="{_y(share):.0f}" x2="{LEFT + WIDE}" y2="{_y(share):.0f}" stroke="#ccc"/>')
    for power in range(1, 7):
        x = _x(10**power)
        out.append(
            f'<text x="{x:.0f}" y="{HIGH + TOP + 18}" text-anchor="middle">{f"{10**power:_}".replace("_", " ")}</text>'
        )
    row = 0
    for one in found:
        dash = "" if one.build == "interpreted" else ' stroke-dasharray="6 4"'
        for colour, (axis, title) in zip(COLOURS, TITLES.items(), strict=True):
            places = [(_x(p.size), _y(one.ratio(p))) for p in one.points if p.axis == axis]
            if not places:
                continue
            path = " ".join(f"{x:.0f},{y:.0f}" for x, y in places)
            out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
            out += [f'<circle cx="{x:.0f}" cy="{y:.0f}" r="3" fill="{colour}"/>' for x, y in places]
            y = TOP + 16 * row
            out.append(
                f'<line x1="{LEFT + WIDE + 12}" y1="{y}" x2="{LEFT + WIDE + 36}" y2="{y}" stroke="{colour}" '
                f'stroke-width="2"{dash}/><text x="{LEFT + WIDE + 42}" y="{y + 4}">{one.build}: {title.split(",")[0]}'
                f"{', all calling' if axis == 'lines, all calling' else ''}</text>"
            )
            row += 1
    return "\n".join([*out, "</svg>"]) + "\n"


def _x(size: float) -> float:
    return LEFT + (log10(max(size, 10)) - 1) / 5 * WIDE


def _y(ratio: float) -> float:
    return TOP + (MOST - min(max(ratio, LEAST), MOST)) / (MOST - LEAST) * HIGH
