"""What `guard replay` tells people: what was read, what was decided, what it costs, and what was dropped and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import tzinfo
from typing import TYPE_CHECKING, Final

from guard.cli.show import COLUMNS, cells, console, euros, harmless, seconds, table
from guard.net.verdicts import STRANGERS_RECORDED

if TYPE_CHECKING:
    from guard.capture.replay import Replay
    from guard.capture.tally import Tally
    from guard.store.passing import SummedLog
    from guard.store.reader import Detail

VERDICTS: Final = ("allowed", "flagged", "masked", "blocked")
DAY_MS: Final = 86_400_000
SHOWN: Final = 20  # calls that are listed: a screen; --json has them all
STRANGERS: Final = 5  # addresses that are named
NOT_ENDED: Final = "not ended"
UNLISTED: Final = "addresses that no [[source]] or [[trunk]] names"

DROPPED: Final = {
    "malformed": "packets with headers that cannot be",
    "unknown_link": "frames of a link type that is not read",
    "cut": "SIP messages of which the capture kept only the beginning (tcpdump -s 0 keeps all)",
    "untimed": "packets without a believable time; they count at the time of the one before",
    "backwards": "packets earlier than the one before; they count at its time",
    "fragments_lost": "IP fragments of datagrams that were not whole, or overlapped",
    "streams_lost": "TCP directions given up to keep memory bounded",
    "stream_gaps": "holes in TCP streams: segments that the capture does not have",
    "stream_skipped": "bytes of TCP streams in which no SIP message was found",
}
UNUSED: Final = {
    "unreadable": "SIP messages that a guard would refuse as malformed",
    "full": "calls beyond the number that is followed at once",
    "refused_again": "repetitions with credentials of calls that the guard would have refused before",
    "backlog_dropped": "messages of held calls beyond the number that is kept",
}


class Sums:
    """What the records add up to, read once, and the calls that a log only counted (`counted`)."""

    def __init__(self, details: Iterable[Detail], counted: SummedLog | None = None) -> None:
        self.verdicts: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.rules: Counter[str] = Counter()
        self.watched: Counter[str] = Counter()
        self.deciding: Counter[str] = Counter()
        self.accrued = self.avoided = self.held = 0
        self.notable: list[tuple[str, ...]] = []
        for detail in details:
            self._add(detail)
        if counted is not None and counted.allowed:
            self.verdicts["allowed"] += counted.allowed
            self.held += counted.held
            for outcome, calls in counted.outcomes.items():
                self.outcomes[outcome or NOT_ENDED] += calls

    def _add(self, detail: Detail) -> None:
        record = detail.record
        self.verdicts[record.verdict] += 1
        self.outcomes[record.outcome or NOT_ENDED] += 1
        self.held += record.held_ms > 0
        money = detail.money
        self.accrued += money.accrued
        self.avoided += money.avoided
        for name in {f.rule for f in record.findings}:
            self.rules[name] += 1
        for name in {f.rule for f in record.findings if f.mode == "monitor"}:
            self.watched[name] += 1
        if detail.body.rule:
            self.deciding[detail.body.rule] += 1
        if record.verdict != "allowed" and len(self.notable) < SHOWN:
            self.notable.append(cells(detail))

    @property
    def calls(self) -> int:
        """All of them."""
        return self.verdicts.total()


def summary(sums: Sums, tally: Tally, replay: Replay, zone: tzinfo) -> None:
    """Print it on standard output."""
    out = console()
    for name, text in (*_read(tally, replay, zone), *_decided(sums)):
        out.print(f"{name:<10}{text}", soft_wrap=True)
    if sums.rules:
        out.print()
        rows = [(name, *map(_or_blank, (n, sums.deciding[name], sums.watched[name]))) for name, n in _order(sums.rules)]
        table(("rule", "spoke", "decided", "watched"), rows, right=("spoke", "decided", "watched"))
    if sums.notable:
        out.print()
        table(COLUMNS, sums.notable, right=("#", "money"), styled=2)
        rest = sums.calls - sums.verdicts["allowed"] - len(sums.notable)
        if rest:
            out.print(f"and {rest:,} more (--json has them all)")
    dropped = _dropped(tally, replay)
    if dropped:
        out.print()
        table(("dropped", "why"), dropped, right=("dropped",))


def _read(tally: Tally, replay: Replay, zone: tzinfo) -> Iterator[tuple[str, str]]:
    when = ""
    if tally.first is not None and tally.last is not None:
        lasted = _lasted((tally.last - tally.first) // 1000)
        when = f", {_clock(tally.first, zone)} to {_clock(tally.last, zone)} ({lasted})"
    yield "packets", f"{tally.frames:,}{when}"
    seen = replay.observer.counters
    parts = [f"{seen['requests']:,} requests", f"{seen['responses']:,} responses"]
    if seen["retransmissions"]:
        parts.append(f"{seen['retransmissions']:,} retransmissions")
    if seen["own"]:
        parts.append(f"{seen['own']:,} requests that the guard itself sent on")
    yield "SIP", f"{tally.sip:,} messages: {', '.join(parts)}"
    others = (("other UDP", tally.not_sip), ("neither UDP nor TCP", tally.other_transport), ("not IP", tally.not_ip))
    if any(n for _, n in others):
        yield "no SIP", ", ".join(f"{name} {n:,}" for name, n in others if n)


def _decided(sums: Sums) -> Iterator[tuple[str, str]]:
    parts = [f"{sums.verdicts[v]:,} {v}" for v in VERDICTS if sums.verdicts[v]]
    if sums.held:
        parts.append(f"{sums.held:,} held for a while")
    yield "calls", f"{sums.calls:,}{': ' if parts else ''}{', '.join(parts)}"
    if sums.calls:
        yield "outcomes", ", ".join(f"{n:,} {name}" for name, n in _order(sums.outcomes))
        yield "money", f"accrued {euros(sums.accrued)}, avoided {euros(sums.avoided)}"


def _dropped(tally: Tally, replay: Replay) -> list[tuple[str, str]]:
    seen = replay.observer.counters
    rows = [(f"{n:,}", DROPPED[name]) for name, n in tally.dropped().items()]
    rows += [(f"{seen[name]:,}", why) for name, why in UNUSED.items() if seen[name]]
    unrecorded = replay.counters["strangers_unrecorded"]
    if unrecorded:
        rows.append((f"{unrecorded:,}", f"calls to the guard from {UNLISTED}, beyond {STRANGERS_RECORDED} a second"))
    if replay.others:
        rows.append((f"{seen['foreign']:,}", f"INVITEs to others from {UNLISTED}: {_who(replay.others)}"))
    return rows


def _who(counts: Mapping[str, int]) -> str:
    most = sorted(counts.items(), key=lambda s: (-s[1], s[0]))
    named = ", ".join(f"{address} ({n:,})" for address, n in most[:STRANGERS])
    return f"{named}, and {len(most) - STRANGERS:,} more" if len(most) > STRANGERS else named


def warnings(tally: Tally, replay: Replay) -> Iterator[str]:
    """What may surprise, for standard error."""
    yield from map(harmless, tally.warnings)
    if not tally.sip:
        yield "no SIP message was found"
    elif not replay.counters["decided"] and (replay.strangers or replay.others):
        who = Counter(replay.strangers) + Counter(replay.others)
        yield f"no call: the INVITEs came from {UNLISTED}: {_who(who)}"
    for name, what in (("faults_engine", "decisions"), ("unrecorded", "records")):
        if replay.counters[name]:
            yield f"{replay.counters[name]:,} {what} failed: a fault of the guard itself"


def _lasted(milliseconds: int) -> str:
    days = milliseconds // DAY_MS
    return f"{days:,} days" if days >= 2 else seconds(milliseconds)


def _clock(at: int, zone: tzinfo) -> str:
    from guard.ledger.record import iso

    return iso(at, zone)[:23].replace("T", " ")


def _order(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda c: (-c[1], c[0]))


def _or_blank(count: int) -> str:
    return f"{count:,}" if count else ""
