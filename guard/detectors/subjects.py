"""All subjects that are known, within bounds: those at work as objects, those at rest as octets.

A subject that has hardly called is young. A flood of new callers pushes out the young only, the oldest first: what was
learned of the others stays.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from guard.detectors.subject import Subject, unpack

AT_WORK: Final = 24_000  # subjects kept as objects, 2 kB each: on a busy site, whose calls of minutes ago still go on
MAX_SUBJECTS: Final = 1_000_000  # at rest: about 900 octets each after a month of ten calls a day
SETTLED: Final = 8  # calls from which on a subject is not young any more
YOUNG_PART: Final = 4  # a quarter of all places is for the young


class Subjects:
    """Subjects by their key. `dropped` counts those forgotten for want of room."""

    def __init__(self, most: int = MAX_SUBJECTS, at_work: int = AT_WORK) -> None:
        self._work: OrderedDict[str, Subject] = OrderedDict()
        # Ordered: to take the first of a plain dict over and over, as a flood does, is to walk over all that are gone.
        self._young: OrderedDict[str, bytes] = OrderedDict()
        # Two plain dicts, since an ordered one takes 70 octets more for each: those at rest for longer, and the others.
        self._longest: dict[str, bytes] = {}
        self._settled: dict[str, bytes] = {}
        self._at_work = at_work
        self._most_young = max(most // YOUNG_PART, 1)
        self._most_settled = max(most - self._most_young, 1)
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._work) + len(self._young) + len(self._settled) + len(self._longest)

    def find(self, key: str) -> Subject | None:
        """A subject that is known already."""
        found = self._work.get(key)
        if found is not None:
            self._work.move_to_end(key)
            return found
        data = self._settled.pop(key, None) or self._longest.pop(key, None) or self._young.pop(key, None)
        if data is None:
            return None
        found = unpack(data)
        self._enter(key, found)
        return found

    def of(self, key: str, at: int) -> Subject:
        """A subject, known or new."""
        found = self.find(key)
        if found is None:
            found = Subject(at)
            self._enter(key, found)
        return found

    def _enter(self, key: str, subject: Subject) -> None:
        self._work[key] = subject
        if len(self._work) > self._at_work:
            old, resting = self._work.popitem(last=False)
            self.rest(old, resting)

    def rest(self, key: str, subject: Subject) -> None:
        """Keep a subject as octets until it calls again."""
        if subject.calls < SETTLED:
            if len(self._young) >= self._most_young:
                self._young.popitem(last=False)
                self.dropped += 1
            self._young[key] = subject.packed()
            return
        if len(self._settled) + len(self._longest) >= self._most_settled:
            if not self._longest:
                self._longest, self._settled = self._settled, {}
            self._longest.popitem()  # not the very oldest, but of the half that has rested longest
            self.dropped += 1
        self._settled[key] = subject.packed()
