"""Alarms that last, and subjects that are shut off: what a finding of detection stands on."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from msgspec import Struct

from guard.detectors.words import Evidence, Kind, Pattern, Per, Price, Says, Signal, key_of

MAX_ALARMS: Final = 50_000  # subjects that alarm or are shut off: more is no fraud but a wrong pattern
FOR_GOOD: Final = 1 << 62  # µs: until a person releases it


class Alarm(Struct):
    """One that lasts `until`."""

    evidence: Evidence
    certain: bool
    trial: bool
    until: int


class Shut(Struct):
    """A subject that is shut off `until`, on this evidence."""

    evidence: Evidence
    until: int


class Alarms:
    """By subject. `fresh` are those that began since somebody last took them away."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, dict[str, Alarm]] = OrderedDict()
        self.closed: dict[str, Shut] = {}  # who is shut off, by key
        self.fresh: list[Evidence] = []

    def begin(self, pattern: Pattern, evidence: Evidence, now: int) -> int:
        """An alarm begins; how many others were dropped for want of room."""
        key = key_of(evidence.kind, evidence.subject)
        alarm = Alarm(evidence, pattern.certain, pattern.trial, now + pattern.hold)
        self._of.setdefault(key, {})[pattern.rule] = alarm
        dropped = 0
        if pattern.quarantine:
            until = FOR_GOOD if pattern.quarantine < 0 else now + pattern.quarantine
            dropped += self.shut(evidence, until)
        if len(self.fresh) < MAX_ALARMS:
            self.fresh.append(evidence)
        if len(self._of) > MAX_ALARMS:
            self._of.popitem(last=False)
            dropped += 1
        return dropped

    def shut(self, evidence: Evidence, until: int) -> int:
        """Shut a subject off; how many others are let go for want of room."""
        key = key_of(evidence.kind, evidence.subject)
        known = self.closed.pop(key, None)  # so that it is the last again
        self.closed[key] = Shut(evidence, until if known is None else max(until, known.until))
        if len(self.closed) <= MAX_ALARMS:
            return 0
        oldest = self.closed.pop(next(iter(self.closed)))
        return 1 if oldest.until > evidence.at else 0

    def release(self, kind: Kind, subject: str) -> bool:
        """A person says that all is well: nothing alarms of it any more. Whether anything did."""
        key = key_of(kind, subject)
        alarms, shut = self._of.pop(key, None), self.closed.pop(key, None)
        return alarms is not None or shut is not None

    def lasts(self, rule: str, key: str, now: int) -> bool:
        """Whether this subject's alarm by this rule goes on."""
        found = self._of.get(key)
        alarm = found.get(rule) if found else None
        return alarm is not None and alarm.until > now

    def any_of(self, key: str, now: int) -> bool:
        """Whether anything alarms of this subject."""
        found = self._of.get(key)
        return found is not None and any(a.until > now for a in found.values())

    def shut_off(self, keys: tuple[str, ...], now: int) -> tuple[Signal, ...]:
        """Which of these are shut off."""
        out = []
        for key in keys:
            shut = self.closed.get(key)
            if shut is None:
                continue
            if shut.until > now:
                out.append(Signal(evidence=shut.evidence, says="shut", until=shut.until))
            else:
                del self.closed[key]
        return tuple(out)

    def signals(self, keys: tuple[tuple[Per, str], ...], price: Price, now: int, begun: set[str]) -> tuple[Signal, ...]:
        """What alarms of the subjects of a call."""
        if not self._of:
            return ()
        out: list[Signal] = []
        lasting: list[Alarm] = []
        for _, key in keys:
            found = self._of.get(key)
            if found is None:
                continue
            for rule, alarm in list(found.items()):
                if alarm.until <= now:
                    del found[rule]
                    continue
                lasting.append(alarm)
            if not found:
                del self._of[key]
        bases = [(a.evidence.rule, a.evidence.basis) for a in lasting if not a.trial]
        told: set[str] = set()
        for alarm in lasting:
            if alarm.evidence.rule in told:
                continue  # of its line and of its number: once
            told.add(alarm.evidence.rule)
            rule, basis = alarm.evidence.rule, alarm.evidence.basis
            other = next((r for r, features in bases if r != rule and basis.isdisjoint(features)), "")
            says: Says = "certain" if alarm.certain else "dear" if price.costly else "joined" if other else "alone"
            out.append(Signal(evidence=alarm.evidence, says=says, until=alarm.until, begun=rule in begun, other=other))
        return tuple(out)
