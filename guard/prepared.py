"""What the engine hands the desk: a call as far as it can be judged without counters."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from guard.model import CallAttempt, Finding
from guard.policy.load import CountRule
from guard.rules.base import Terms
from guard.state.contract import Touch

NO_CAP: Final = (0, "")  # talk as long as you like


class Prepared(Struct, frozen=True):
    """A call as far as it can be judged without counters. `mask` is what its masking findings name; `touches` is what
    to count, with the rules that want it, and empty when the call is refused already; `talk` is how long it may talk
    (µs, 0 for as long as it likes), and by which rule."""

    call: CallAttempt
    terms: Terms
    findings: tuple[Finding, ...]
    mask: tuple[str, ...]
    touches: tuple[Touch, ...]
    counts: tuple[CountRule, ...]
    talk: tuple[int, str] = NO_CAP
