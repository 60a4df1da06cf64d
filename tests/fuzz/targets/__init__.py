"""What is fuzzed: for each target its invariant in one sentence, where its inputs begin, and the check itself.

A check takes any bytes, and raises where the invariant does not hold; every other exception is a finding as well. The
same checks run under atheris (`make fuzz`) and, over seeds and found inputs, in the normal suite.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Final

from msgspec import Struct

TESTS: Final = Path(__file__).parent.parent.parent


class Target(Struct, frozen=True, kw_only=True):
    """One target. `longest` is the longest input, in bytes: as short as the code lets it be, since those are the fast
    ones. `words` are what means something there."""

    invariant: str
    longest: int
    seeds: Callable[[], list[bytes]]
    words: tuple[bytes, ...]
    check: Callable[[bytes], None]


# Each target, and the modules whose branches guide its fuzzing.
GUIDED: Final[dict[str, tuple[str, ...]]] = {
    "message": ("guard.sip",),
    "framing": ("guard.sip.framing",),
    "number": ("guard.sip.uri", "guard.numbering.number", "guard.numbering.overseas"),
    "hep": ("guard.hep",),
    "capture": ("guard.capture", "guard.sip.framing"),
    "configuration": ("guard.tomlread", "guard.config", "guard.policy.site"),
    "policy": ("guard.policy.read", "guard.policy.destinations", "guard.numbering.plan", "guard.prospecting.lists"),
}
NAMES: Final = tuple(GUIDED)


def target(name: str) -> Target:
    """The target of that name. Its module is imported now, so that only what is fuzzed is instrumented."""
    found = import_module(f"tests.fuzz.targets.{name}").TARGET
    assert isinstance(found, Target)
    return found


def small(seeds: list[bytes], longest: int) -> list[bytes]:
    """Those that are short enough, each once."""
    return sorted({s for s in seeds if len(s) <= longest})
