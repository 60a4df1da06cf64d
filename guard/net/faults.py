"""What becomes of calls when a part of the guard fails."""

from __future__ import annotations

from msgspec import Struct

from guard.configschema import FaultVerdict


class FaultPolicy(Struct, frozen=True, kw_only=True):
    """`[faults]`: what becomes of a call when the engine or the log fails; `wait` is how long a commit is waited for,
    µs."""

    engine: FaultVerdict = "pass"
    store: FaultVerdict = "pass"
    wait: int = 50_000
