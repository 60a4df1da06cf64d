"""What the engine hands the desk: a call as far as it can be judged without counters."""

from __future__ import annotations

from typing import Final

from mypy_extensions import mypyc_attr

from guard.model import CallAttempt, Finding
from guard.rules.base import Terms
from guard.state.contract import Touch
from guard.ways import Counting, Way

NO_CAP: Final = (0, "")  # talk as long as you like


@mypyc_attr(acyclic=True)
class Prepared:
    """A call as far as it can be judged without counters. `way` is of its kind; `mask` is what its masking findings
    name; `touches` is what to count, with the rules that want it, and empty when the call is refused already; `talk` is
    how long it may talk (µs, 0 for as long as it likes), and by which rule. Never changed."""

    __slots__ = ("call", "counts", "findings", "mask", "talk", "touches", "way")

    def __init__(
        self,
        call: CallAttempt,
        way: Way,
        findings: tuple[Finding, ...],
        mask: tuple[str, ...],
        touches: tuple[Touch, ...],
        counts: tuple[Counting, ...],
        talk: tuple[int, str] = NO_CAP,
    ) -> None:
        self.call = call
        self.way = way
        self.findings = findings
        self.mask = mask
        self.touches = touches
        self.counts = counts
        self.talk = talk

    def saying(self, findings: tuple[Finding, ...]) -> Prepared:
        """The same call, with other findings."""
        return Prepared(self.call, self.way, findings, self.mask, self.touches, self.counts, self.talk)

    @property
    def terms(self) -> Terms:
        """What binds calls of its trunk."""
        return self.way.terms
