"""Rules that contracts already cite and that no code judges yet.

A contract is written down once and whole, rules come one by one. Whoever registers a rule in `guard.rules` takes its
name from here, or renames it in policies/contracts; a name that is in neither place is a mistake.
"""

from __future__ import annotations

from typing import Final

ANNOUNCED: Final = frozenset(
    {
        "traffic.automated",
        "traffic.ping-call",
        "traffic.short-calls",
    }
)
