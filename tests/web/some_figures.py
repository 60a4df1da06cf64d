"""Figures of no guard: one of everything that they may hold."""

from __future__ import annotations

from typing import Final

from guard.figures import (
    AlertFigures,
    Figures,
    HopFigures,
    Latency,
    RateFigures,
    StateFigures,
    StoreFigures,
    TransportFigures,
    TrunkFigures,
    VerdictCount,
)

SOME: Final = Figures(
    at=1_795_251_660_250_000,
    started=1_795_251_600_000_000,
    site="hq",
    version="0.1.0",
    mode="enforce",
    policy="5eed5eed",
    enforcing=False,
    calls=7,
    transactions=3,
    held=2,
    asked=1,
    trunks=(
        TrunkFigures(name="operator", departures=4, cps=10, channels_used=5, channels=30, held=2),
        TrunkFigures(name="spare", departures=0, cps=None, channels_used=0, channels=None, held=0),
    ),
    verdicts=(
        VerdictCount(trunk="operator", verdict="allowed", rule="", calls=40),
        VerdictCount(trunk="operator", verdict="blocked", rule="cli.not-authorised", calls=2),
    ),
    hops=(
        HopFigures(trunk="operator", transport="udp", host="198.51.100.10", port=5060, up=True, why=""),
        HopFigures(trunk="operator", transport="tls", host="2001:db8::7", port=5061, up=False, why="timeout"),
    ),
    transports=(TransportFigures(transport="udp", received=100, sent=90),),
    store=StoreFigures(path="/var/lib/guard/guard.db", pending=3, lost=0, faults=1, error="disk full"),
    state=StateFigures(shared=True, alone=True, why="late", part_percent=50, places=9),
    alerts=AlertFigures(connected=False, wait=12, lost=False),
    rates=RateFigures(calls=(3, 4), blocked=(0, 1), messages=(30, 40)),
    latency=Latency(bounds_us=(250, 500), counts=(30, 9, 1), sum_us=1_234_567),
    subjects=11,
    tasks=14,
    counters={"decided": 42, "udp_full": 0},
)
