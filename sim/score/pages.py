"""The scores for people: a table and a plot of them, in docs/detection.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from sim.score.play import Played
from sim.score.sums import ClassScore, Quiet

BEGIN: Final = "<!-- scores: made by python -m sim score --write; not by hand -->"
END: Final = "<!-- end of scores -->"
PLOT: Final = "detection.svg"
HEAD: Final = (
    "| attack | strength | found | wrong | precision | recall | F1 "
    "| found on call | stopped on call | EUR before | by |"
)
BAR, GAP, LEFT, WIDE = 22, 10, 150, 420  # of the plot, in pixels


def table(
    scores: Sequence[ClassScore],
    at_once: Sequence[ClassScore],
    calm: Quiet,
    attacked: Sequence[Played],
    seeds: str,
    command: str,
) -> str:
    """The whole section, as Markdown. `at_once` are the classes in worlds where all of them attack."""
    parts = [*_classes(scores, seeds, command)]
    if at_once:
        found = ", ".join(f"{s.label} {s.found} of {s.played}" for s in at_once)
        parts += [f"All of them in one world, on the same seeds: {found}.", ""]
    return "\n".join([*parts, *_quiet(calm, attacked)]) + "\n"


def _classes(scores: Sequence[ClassScore], seeds: str, command: str) -> Iterator[str]:
    yield f"`{command}` printed this, on seeds {seeds}; thresholds were chosen on seeds below 100."
    yield ""
    yield HEAD
    yield "|---" * HEAD.count(" | ") + "|---|"
    for s in scores:
        yield (
            f"| {s.label} | {s.strength:g} | {s.found} of {s.played} | {s.false} | {s.precision:.3f} | {s.recall:.3f} "
            f"| **{s.f1:.3f}** | {_number(s.calls)} | {_number(s.stopped)} | {_euros(s.cents_before)} "
            f"| {', '.join(f'`{r}`' for r in s.rules) or 'nothing'} |"
        )
    yield ""
    yield (
        "*found on call* and *stopped on call* are medians over the attacks: on which of its calls a rule spoke that "
        "is meant to find it, and on which it was first refused. *EUR before* is what its earlier calls cost, as they "
        "are priced for detection. *wrong* counts legitimate lines, numbers and services, here and in the quiet worlds."
    )
    yield ""
    yield f"![F1 of each class of attack, and the calls until it was found]({PLOT})"
    yield ""


def _quiet(calm: Quiet, attacked: Sequence[Played]) -> Iterator[str]:
    wrong = sum(sum(w.wrong.values()) for w in attacked)
    beside, legitimate = sum(w.beside for w in attacked), sum(w.legitimate for w in attacked)
    yield (
        f"Quiet worlds: {calm.worlds} of {calm.days / max(calm.worlds, 1):g} days, {calm.lines} lines, {calm.calls} "
        f"calls out. Detection wrongly stopped {calm.wrong} (at most {calm.upper * 100_000:.2f} in 100 000, Wilson, "
        f"95 %). In the worlds with an attack it stopped {wrong} of {legitimate} calls of lines that nobody attacked, "
        f"and {beside} of people whose own line was being abused."
    )
    yield ""
    yield "| rule | alarms in quiet worlds | for a line in a month |"
    yield "|---|---|---|"
    rates = calm.per_line_and_month
    for rule, rate in rates.items():
        yield f"| `{rule}` | {calm.alarms[rule]} | {rate:.4f} |"
    if not rates:
        yield "| none | 0 | 0 |"


def _number(value: float | None) -> str:
    return "never" if value is None else f"{value:g}"


def _euros(cents: float | None) -> str:
    return "" if cents is None else f"{cents / 100:.2f}"


def plot(scores: Sequence[ClassScore]) -> str:
    """F1 as bars, with the calls until an attack was found written beside them (SVG)."""
    high = len(scores) * (BAR + GAP) + 2 * GAP
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDE + 190}" height="{high}" '
        f'font-family="sans-serif" font-size="13" role="img"><title>F1 of each class of attack</title>'
        f'<rect width="100%" height="100%" fill="#fff"/>'
    ]
    goal = LEFT + round(0.95 * WIDE)
    out.append(f'<line x1="{goal}" y1="0" x2="{goal}" y2="{high}" stroke="#999" stroke-dasharray="4 3"/>')
    for i, s in enumerate(scores):
        y = GAP + i * (BAR + GAP)
        name = s.label if s.strength == 1 else f"{s.label} × {s.strength:g}"
        colour = "#2f6f4f" if s.f1 >= 0.95 else "#b3541e"
        out.append(
            f'<text x="{LEFT - 8}" y="{y + 16}" text-anchor="end">{name}</text>'
            f'<rect x="{LEFT}" y="{y}" width="{max(round(s.f1 * WIDE), 1)}" height="{BAR}" fill="{colour}"/>'
            f'<text x="{LEFT + WIDE + 8}" y="{y + 16}">{s.f1:.3f}, call {_number(s.calls)}</text>'
        )
    return "\n".join([*out, "</svg>"]) + "\n"


def put(page: Path, section: str) -> None:
    """Put the section in its place in a page. Raises ValueError where it has none."""
    text = page.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise ValueError(f"{page}: has no place for scores: write a line {BEGIN} and a line {END}")
    head, rest = text.split(BEGIN, 1)
    _, tail = rest.split(END, 1)
    page.write_text(f"{head}{BEGIN}\n\n{section}\n{END}{tail}", encoding="utf-8")
