"""The live figures of a running guard: what its control socket answers, and what pages and metrics are made of.

Only shapes are here; `guard.instruments` reads them off the daemon. Counts are since its start and never go down;
everything else is of the instant `at`. No number, line or Call-ID stands in any of them.
"""

from __future__ import annotations

from msgspec import Struct

from guard.model import Mode, Verdict


class TrunkFigures(Struct, frozen=True, kw_only=True):
    """One trunk now. `departures` left in the last second (and its margin) of at most `cps`; `channels_used` of
    `channels` are in use. A limit of None: there is none, and then nothing is counted against it. Where guards share
    their counters, both are this guard's own part of them. `held` calls wait for a place."""

    name: str
    departures: int
    cps: int | None
    channels_used: int
    channels: int | None
    held: int


class VerdictCount(Struct, frozen=True, kw_only=True):
    """How many calls of a trunk got a verdict, by the rule that decided ("" where none spoke)."""

    trunk: str
    verdict: Verdict
    rule: str
    calls: int


class HopFigures(Struct, frozen=True, kw_only=True):
    """One next hop. `why` is what last took it out, "" while it is up."""

    trunk: str
    transport: str
    host: str
    port: int
    up: bool
    why: str


class TransportFigures(Struct, frozen=True, kw_only=True):
    """SIP messages of one transport (udp, tcp, tls) since the start."""

    transport: str
    received: int
    sent: int


class StoreFigures(Struct, frozen=True, kw_only=True):
    """The log. `pending` entries wait for the disk, `lost` were not kept, `faults` times the disk refused; `error` is
    its last refusal, "" where there was none."""

    path: str
    pending: int
    lost: int
    faults: int
    error: str


class StateFigures(Struct, frozen=True, kw_only=True):
    """The counters. `shared`: with other guards, by a server. `alone`: it is not to be had, for `why`, so that this
    guard decides by its own part (`part_percent`) of every limit. `places` are held in windows and by calls."""

    shared: bool
    alone: bool
    why: str
    part_percent: int
    places: int


class AlertFigures(Struct, frozen=True, kw_only=True):
    """Alerts to the broker: how many messages `wait`, and whether some had to be given up."""

    connected: bool
    wait: int
    lost: bool


class RateFigures(Struct, frozen=True, kw_only=True):
    """What happened in each of the last seconds, oldest first: calls decided, calls refused, SIP messages received."""

    calls: tuple[int, ...]
    blocked: tuple[int, ...]
    messages: tuple[int, ...]


class Latency(Struct, frozen=True, kw_only=True):
    """How long the guard added to set-ups that it let go: from the INVITE read to the INVITE sent on, holding included.
    `counts[i]` took at most `bounds_us[i]`; the last count is of those beyond. `sum_us` is of all."""

    bounds_us: tuple[int, ...]
    counts: tuple[int, ...]
    sum_us: int


class Figures(Struct, frozen=True, kw_only=True):
    """Everything at one instant. Instants are µs of Unix time. `policy` is the digest in force, `enforcing`: a limit of
    [ledger] is passed, so that rules on trial act. `calls` are up or being set up over SIP, `asked` are those that were
    decided for others and whose end is awaited, `held` wait for a place; detection knows so many `subjects` (lines,
    numbers, services). `tasks` of the loop are under way: near constant.
    `counters` are all that the daemon counts, by name."""

    at: int
    started: int
    site: str
    version: str
    mode: Mode
    policy: str
    enforcing: bool
    calls: int
    transactions: int
    held: int
    asked: int
    trunks: tuple[TrunkFigures, ...]
    verdicts: tuple[VerdictCount, ...]
    hops: tuple[HopFigures, ...]
    transports: tuple[TransportFigures, ...]
    store: StoreFigures
    state: StateFigures
    alerts: AlertFigures | None
    rates: RateFigures
    latency: Latency
    subjects: int
    tasks: int
    counters: dict[str, int]

    def verdict(self, verdict: Verdict) -> int:
        """How many calls got a verdict, over all trunks and rules."""
        return sum(v.calls for v in self.verdicts if v.verdict == verdict)
