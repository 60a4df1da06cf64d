"""Alarms that last, and subjects that are shut off: what a finding of detection stands on."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from msgspec import Struct

from guard.detectors.words import Evidence, Pattern, Per, Price, Says, Signal

MAX_ALARMS: Final = 50_000  # subjects that alarm or are shut off: more is no fraud but a wrong pattern
FOR_GOOD: Final = 1 << 62  # µs: until a person releases it


class Alarm(Struct):
    """One that lasts `until`; one more try of the subject lets it last `again` longer."""

    evidence: Evidence
    family: str
    certain: bool
    until: int
    again: int


class Shut(Struct):
    """A subject that is shut off `until`, on this evidence."""

    evidence: Evidence
    until: int


class Alarms:
    """By subject. `fresh` are those that began since somebody last took them away."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, dict[str, Alarm]] = OrderedDict()
        self._shut: dict[str, Shut] = {}
        self.fresh: list[Evidence] = []

    def begin(self, pattern: Pattern, evidence: Evidence, now: int) -> int:
        """An alarm begins; how many others were dropped for want of room."""
        key = _key(evidence.kind, evidence.subject)
        self._of.setdefault(key, {})[pattern.rule] = Alarm(
            evidence, pattern.family, pattern.certain, now + pattern.hold, pattern.hold // 2
        )
        if pattern.quarantine:
            until = FOR_GOOD if pattern.quarantine < 0 else now + pattern.quarantine
            self.shut(evidence, until)
        if len(self.fresh) < MAX_ALARMS:
            self.fresh.append(evidence)
        if len(self._of) > MAX_ALARMS:
            self._of.popitem(last=False)
            return 1
        return 0

    def shut(self, evidence: Evidence, until: int) -> None:
        """Shut a subject off."""
        self._shut[_key(evidence.kind, evidence.subject)] = Shut(evidence, until)

    def release(self, kind: Per, subject: str) -> bool:
        """A person says that all is well: nothing alarms of it any more. Whether anything did."""
        key = _key(kind, subject)
        alarms, shut = self._of.pop(key, None), self._shut.pop(key, None)
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

    def signals(self, keys: tuple[tuple[Per, str], ...], price: Price, now: int, begun: set[str]) -> tuple[Signal, ...]:
        """What lasts of the subjects of a call, strictest first."""
        if not self._of and not self._shut:
            return ()
        out: list[Signal] = []
        lasting: list[Alarm] = []
        for _, key in keys:
            shut = self._shut.get(key)
            if shut is not None:
                if shut.until > now:
                    out.append(Signal(evidence=shut.evidence, says="shut", until=shut.until))
                else:
                    del self._shut[key]
            found = self._of.get(key)
            if found is None:
                continue
            for rule, alarm in list(found.items()):
                if alarm.until <= now:
                    del found[rule]
                    continue
                alarm.until = max(alarm.until, now + alarm.again)
                lasting.append(alarm)
            if not found:
                del self._of[key]
        families = {a.family for a in lasting}
        told: set[str] = set()
        for alarm in lasting:
            if alarm.evidence.rule in told:
                continue  # of its line and of its number: once
            told.add(alarm.evidence.rule)
            says: Says = (
                "certain" if alarm.certain else "dear" if price.dear or price.sva
                else "joined" if len(families) > 1 else "alone"
            )  # fmt: skip
            out.append(
                Signal(evidence=alarm.evidence, says=says, until=alarm.until, begun=alarm.evidence.rule in begun)
            )
        return tuple(out)


def _key(kind: Per, subject: str) -> str:
    return f"{kind[0]}:{subject}"
