"""A race for people: docs/performance-race.md and its plot."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from statistics import median
from typing import Final

from sim.race.kamailio import SHARED
from sim.race.machine import processor
from sim.race.results import Result, Row
from sim.race.rounds import HALF, LEVELS, SETTLED

PLOT: Final = "performance-race.svg"
BAR, GAP, LEFT, WIDE = 22, 10, 300, 420  # of the plot, in pixels
NONE: Final = "–"
ANOTHER: Final = "of another hour"


def page(result: Result) -> str:
    """The whole page, as Markdown."""
    parts = (_head, _calls, _awake, _large, _setups, _memory, _unwired, _log, _stamps)
    return "\n".join(line for part in parts for line in part(result)) + "\n"


def _head(result: Result) -> Iterator[str]:
    rounds, own = result.rounds, result.cores
    loads = [x for r in rounds for x in r.load]
    yield "# The guard beside other proxies\n"
    yield f"    {result.command}\n"
    most = max((len(r.rounds) for r in result.rows), default=0)
    yield (
        f"made this page on {datetime.now(UTC):%Y-%m-%d}, or a part of it (`make bench` runs it too): "
        f"{os.cpu_count()} cores of {processor()}; {result.versions}. "
        + (
            f"Proxy on core {own.proxy}, both sipps on core {own.ends}"
            if own.apart
            else "**Proxy and sipps on one core**"
        )
        + f". Calls of seven messages (INVITE, 100, 180, 200, ACK, BYE, 200) over UDP on loopback, {result.rate:g} a "
        f"second for {result.seconds:g} s after a second of others, {most} "
        "rounds of each, in turns, each with a fresh proxy; medians.\n"
    )
    if not rounds:
        return
    others = median(r.elsewhere for r in rounds)
    yield (
        f"Load (one minute) {min(loads):.1f} to {max(loads):.1f}; other work took {others:.0%} of all cores in the "
        f"median round, {max(r.elsewhere for r in rounds):.0%} in the worst.\n"
    )
    if not result.alone:
        yield "**Warning: other work was running. Compare rows of this page only, and none too closely.**\n"
    if any(row.key.startswith("guard-") for row in result.rows) and not result.compiled:
        yield "**Warning: the compiled rows ran a folder without any compiled module.**\n"
    elif result.compiled:
        yield f"Compiled: {result.compiled} modules by mypyc (`make compiled`).\n"


def _calls(result: Result) -> Iterator[str]:
    yield "## A call\n"
    yield "| proxy | processor time, × Kamailio with rules | µs a call | of its rounds | calls lost | most calls/s |"
    yield "|---|---:|---:|---|---:|---:|"
    for row in result.rows:
        proxied = row.key != "direct"
        highest = f"{row.highest:.0f}" if row.highest else NONE
        each = " · ".join(f"{r.cpu_us:.0f}" for r in sorted(row.rounds, key=lambda r: r.cpu_us))
        yield (
            f"| {row.title} | {_ratio(row, result) if proxied else NONE} "
            f"| {f'{row.cpu_us:.0f}' if proxied and row.rounds else NONE} "
            f"| {(proxied and each) or NONE} | {row.lost if row.rounds else NONE} | {highest} |"
        )
    yield ""
    yield (
        "Processor time is that of the proxy's whole tree of processes, Redis included, as the kernel counts it. "
        f"*Most calls/s*: the highest rate of a rising search at which none was lost within {result.hold:g} s; without "
        "a proxy it is what the two sipps on their core can do. *Kamailio with rules* looks at the address, caller, "
        "asserted caller and destination in trees of prefixes, shut-off lines, the rate, calls of line and trunk, and "
        "writes one record a call to SQLite (WAL, NORMAL). The guard has every rule and detector, and writes decision "
        f"and end, chained, with the same durability. Kamailio has {SHARED} MB of memory to share (64 where nobody "
        "says, which is full after some seconds at 400 calls a second), and as large a socket as the guard's.\n"
    )
    yield f"![Processor time of a call]({PLOT})\n"


def _awake(result: Result) -> Iterator[str]:
    """The same with cores that do not sleep."""
    rows = [row for row in result.rows if row.awake and row.key != "direct"]
    if not rows:
        return
    against = result.against_awake
    yield "## A call where cores do not sleep\n"
    yield "| proxy | processor time, × Kamailio with rules | µs a call | of its rounds | calls lost | ms added |"
    yield "|---|---:|---:|---|---:|---:|"
    for row in rows:
        each = " · ".join(f"{r.cpu_us:.0f}" for r in sorted(row.awake, key=lambda r: r.cpu_us))
        yield (
            f"| {row.title} | {_compared(row.awake_us, against, result.together('awake', row.key))} "
            f"| {row.awake_us:.0f} | {each} "
            f"| {sum(r.lost for r in row.awake)} | {_ms(row.added_awake)} |"
        )
    yield ""
    yield (
        "The same, at the same rate, while `/dev/cpu_dma_latency` is held at 0 µs, as tuned's profile "
        "*latency-performance* holds it. Above, the proxy's core goes to sleep after every few messages; in a virtual "
        "machine others use its caches meanwhile, and what a proxy pays for filling them again is the more, the more "
        "code and data it has.\n"
    )


def _large(result: Result) -> Iterator[str]:
    """Where many lines are known, and many calls up."""
    rows = [row for row in result.rows if row.large]
    if not rows:
        return
    yield "## A call at a large site\n"
    yield "| proxy | known lines | calls at once | time, × the first | µs a call | of its rounds | failed | MB |"
    yield "|---|---:|---:|---:|---:|---|---:|---:|"
    for row in rows:
        for one in row.large:
            each = " · ".join(f"{us:.0f}" for us in sorted(one.us))
            yield (
                f"| {row.title} | {_spaced(one.lines)} | {_spaced(one.at_once)} | **{one.ratio(row.large[0]):.2f}** "
                f"| {median(one.us):.0f} | {each} | {one.failed} | {one.memory:.0f} |"
            )
    yield ""
    yield (
        f"The same calls at the same rate, after {SETTLED:g} s more than a call is up. Each known line has called once "
        "an hour for 60 hours; whoever calls now does so once, of 20 000 some twice. The ratio is the median of those "
        "of each round. Where this was measured in another hour than the tables above (see *When*), only ratios "
        "compare.\n"
    )


def _spaced(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _ratio(row: Row, result: Result) -> str:
    return _compared(row.cpu_us, result.against, result.together("calls", row.key))


def _compared(used: float, against: float, together: bool) -> str:
    if not used or not against:
        return NONE
    return f"**{used / against:.2f}**" if together else ANOTHER


def _setups(result: Result) -> Iterator[str]:
    yield "## Time added to a set-up\n"
    if result.hindered:
        yield f"Not measured: {' '.join(result.hindered.split())}\n"
        return
    shares = " | ".join(f"{of:.0%} of its most" for of in LEVELS)
    more = f"{HALF:.0%}, settled | {HALF:.0%}, settled, cores awake"
    yield f"| proxy | {result.rate:g} calls/s | {shares} | {more} |"
    yield f"|---|---:|{'---:|' * len(LEVELS)}---:|---:|"
    for row in result.rows:
        if row.key != "direct":
            cells = [_ms(row.added), *(_ms(level) for level in row.levels), *[NONE] * (len(LEVELS) - len(row.levels))]
            cells += [_ms(row.settled), _ms(row.settled_awake)]
            yield f"| {row.title} | {' | '.join(cells)} |"
    yield ""
    yield (
        "Milliseconds, p50 · p99 · p99.9: the INVITE's and its 200's way through the proxy together, from the kernel's "
        "stamps before and behind it (dumpcap on loopback, not while processor time is measured). *Settled*: after "
        f"{SETTLED:g} s at that rate, when as many calls are forgotten as come, in place of a second. "
        + (
            "sipp places its calls one by one here, by the fine clock (sim/race/evenly.c).\n"
            if result.even
            else "sipp wakes up every 4 ms and places all calls that are due by then one upon the other: they queue.\n"
        )
    )


def _ms(added: tuple[float, ...]) -> str:
    return " · ".join(f"{ms:.2f}" for ms in added) or NONE


def _memory(result: Result) -> Iterator[str]:
    yield "## Memory and start\n"
    yield "| proxy | MB after a round | kB a call that is up | ms from start to first call |"
    yield "|---|---:|---:|---:|"
    for row in result.rows:
        if row.key != "direct":
            mb, ready = NONE, NONE
            if row.rounds:
                mb = f"{median(r.memory for r in row.rounds) / 1024:.0f}"
                ready = f"{median(r.ready_ms for r in row.rounds):.0f}"
            call = NONE if row.call_kb is None else f"{row.call_kb:.1f}"
            yield f"| {row.title} | {mb} | {call} | {ready} |"
    yield ""
    yield (
        "Memory that was written; what processes share counts once (PSS). A call that is up: by how much the tree grew "
        f"from when {result.calls} calls had been and gone to when {result.calls} more were up, with what lingers of "
        "those for 32 s. Start: until the first INVITE came out behind it.\n"
    )


def _unwired(result: Result) -> Iterator[str]:
    if not result.builds and not result.replays:
        return
    yield "## Without the wire\n"
    yield "| the guard | decisions/s, every rule and detector | kB a known line |"
    yield "|---|---:|---:|"
    for build in result.builds:
        yield f"| {build.title} | {build.decisions:.0f} | {build.line_kb:.2f} |"
    yield ""
    if result.replays:
        tshark = next((speed for title, (_, speed) in result.replays.items() if title.startswith("tshark")), 0.0)
        yield "| a capture of an office's day | × tshark | packets/s | packets |"
        yield "|---|---:|---:|---:|"
        for title, (packets, speed) in result.replays.items():
            yield f"| {title} | {f'{speed / tshark:.1f}' if tshark else NONE} | {speed:.0f} | {packets} |"
        yield ""
        yield (
            "Packets for each second of processor time, start-up included: the guard to its summary, with every rule, "
            "detector and a log; tshark to four fields of SIP a packet, without an opinion on them, for a minute at "
            "most: what it has told by then counts.\n"
        )


def _log(result: Result) -> Iterator[str]:
    if result.log:
        yield "## A page of the log\n"
        yield f"`python -m sim logbench` on a log that `python -m sim logfill` made: {result.log.strip()}\n"


def _stamps(result: Result) -> Iterator[str]:
    """When what was measured."""
    if not result.stamps:
        return
    yield "## When\n"
    yield "| part | proxies | commit | when | load before, after | command |"
    yield "|---|---|---|---|---:|---|"
    for s in result.stamps:
        who = s.who.replace(",", ", ")
        yield f"| {s.part} | {who} | {s.commit} | {s.at} | {s.load[0]:.1f}, {s.load[1]:.1f} | `{s.command}` |"


def plot(result: Result) -> str:
    """Processor time of a call as bars (SVG), the ratio beside each."""
    rows = [row for row in result.rows if row.key != "direct" and row.rounds]
    most = max((row.cpu_us for row in rows), default=1.0) or 1.0
    high = len(rows) * (BAR + GAP) + 2 * GAP
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDE + 150}" height="{high}" '
        f'font-family="sans-serif" font-size="13" role="img"><title>Processor time of a call, µs</title>'
        f'<rect width="100%" height="100%" fill="#fff"/>'
    ]
    if result.against:
        x = LEFT + round(result.against / most * WIDE)
        out.append(f'<line x1="{x}" y1="0" x2="{x}" y2="{high}" stroke="#999" stroke-dasharray="4 3"/>')
    for n, row in enumerate(rows):
        y = GAP + n * (BAR + GAP)
        ratio = _compared(row.cpu_us, result.against, result.together("calls", row.key))
        beside = {NONE: "", ANOTHER: f", {ANOTHER}"}.get(ratio, f", × {ratio.strip('*')}")
        colour = "#2f6f4f" if row.key.startswith("guard") else "#8a94a0"
        long = max(round(row.cpu_us / most * WIDE), 1)
        out.append(
            f'<text x="{LEFT - 8}" y="{y + 16}" text-anchor="end">{row.title}</text>'
            f'<rect x="{LEFT}" y="{y}" width="{long}" height="{BAR}" fill="{colour}"/>'
            f'<text x="{LEFT + WIDE + 8}" y="{y + 16}">{row.cpu_us:.0f} µs{beside}</text>'
        )
    return "\n".join([*out, "</svg>"]) + "\n"
