"""Attacks by machines on numbers: war dialling, hyper short calls, spoofed callers, gateways for others' traffic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from guard.model import SECOND
from guard.numbering.number import Number
from sim.labelled.actor import Attack
from sim.labelled.going import DEAR, FRANCE, MOBILES, MS, NEIGHBOURS, Going, Prefixes, refused, rung, spoken
from sim.labelled.rhythm import ALWAYS, SHOP, Later, mixed, opening
from sim.labelled.words import DAY, HOUR, Placed

SCANS_A_MINUTE: Final = 20.0  # assumed: one every three seconds
SCAN_SPAN: Final = HOUR
NOBODY: Final = 0.55  # of a block's numbers belong to nobody: 404 or 484 (assumed)
SCAN_UNANSWERED: Final = 0.25  # rung for a while (assumed); the rest is answered and dropped


class WarDialler(Attack):
    """Walks through a block of numbers, one after the other, to find out who answers."""

    kind: ClassVar[str] = "war-dialler"

    def calls(self, seed: int, start: int, end: int) -> Iterator[Placed]:
        """See `Actor`."""
        rng = self.rng(seed)
        line, ids, at = self.line(rng), self.idents(), self.begins(rng, start, end)
        number = 10**6 + rng.randrange(7 * 10**6)
        for now in self.paced(rng, at, min(at + SCAN_SPAN, end), SCANS_A_MINUTE):
            number += 1
            value = f"+3347{number}"
            callee = Number(value, "e164", value)
            what = rng.random()
            if what < NOBODY:
                went = refused(404 if rng.random() < 0.8 else 484)
            elif what < NOBODY + SCAN_UNANSWERED:
                went = rung(8 * SECOND + int(6 * SECOND * rng.random()))
            else:
                went = spoken(2 * SECOND + int(8 * SECOND * rng.random()), 2 * SECOND + int(3 * SECOND * rng.random()))
            yield line.out(now, next(ids), callee, went, self.kind)


HSC_A_MINUTE: Final = 15.0  # assumed
HSC_SPAN: Final = 2 * HOUR
HSC_ANSWERED: Final = 0.6  # assumed
HSC_TALK: Final = (200 * MS, 1_700 * MS)  # contract 003 XII-1: less than two seconds


class HscPumping(Attack):
    """Calls that are answered and over in less than two seconds (Hyper Short Calls), to more and more numbers."""

    kind: ClassVar[str] = "hsc-pumping"

    def calls(self, seed: int, start: int, end: int) -> Iterator[Placed]:
        """See `Actor`."""
        rng = self.rng(seed)
        line, ids, callees = self.line(rng), self.idents(), Prefixes(rng, FRANCE)
        at = self.begins(rng, start, end)
        low, high = HSC_TALK
        for now in self.paced(rng, at, min(at + HSC_SPAN, end), HSC_A_MINUTE):
            if rng.random() < HSC_ANSWERED:
                went = spoken(3 * SECOND + int(9 * SECOND * rng.random()), low + int((high - low) * rng.random()))
            elif rng.random() < 0.6:
                went = rung(15 * SECOND + int(15 * SECOND * rng.random()))
            else:
                went = refused(486 if rng.random() < 0.6 else 480)
            yield line.out(now, next(ids), callees.draw(), went, self.kind)


SPOOFS_A_MINUTE: Final = 10.0  # assumed
SPOOF_SPAN: Final = 2 * HOUR
SPOOF_FOREIGN: Final = 0.5  # of the numbers presented (assumed); the rest are French ones of others
SPOOF_EACH: Final = 3  # calls before the number presented changes (assumed)


class CliSpoofing(Attack):
    """Presents numbers that are not his, foreign ones and others' French ones, a new one every few calls."""

    kind: ClassVar[str] = "cli-spoofing"

    def calls(self, seed: int, start: int, end: int) -> Iterator[Placed]:
        """See `Actor`."""
        rng = self.rng(seed)
        line, ids, going = self.line(rng), self.idents(), Going(rng)
        callees, foreign, french = Prefixes(rng, FRANCE), Prefixes(rng, NEIGHBOURS), Prefixes(rng, MOBILES)
        at = self.begins(rng, start, end)
        shown = foreign.draw()
        for i, now in enumerate(self.paced(rng, at, min(at + SPOOF_SPAN, end), SPOOFS_A_MINUTE)):
            if not i % SPOOF_EACH:
                shown = (foreign if rng.random() < SPOOF_FOREIGN else french).draw()
            yield line.out(now, next(ids), callees.draw(), going.call(), self.kind, caller=shown)


PASSED_A_MINUTE: Final = 6.0  # assumed: some ten calls at once
PASSED_IN: Final = (150 * MS, 900 * MS)  # from the call that comes in to the one that goes out
GATEWAY_SPAN: Final = DAY


class Gateway(Attack):
    """Passes others' calls on (SIM box): a call comes in from abroad, and within a second one goes out to a mobile, as
    a local call of this line."""

    kind: ClassVar[str] = "gateway"

    def calls(self, seed: int, start: int, end: int) -> Iterator[Placed]:
        """See `Actor`."""
        later = Later()
        return mixed(later, self._passed(seed, start, end, later), end)

    def _passed(self, seed: int, start: int, end: int, later: Later) -> Iterator[Placed]:
        rng = self.rng(seed)
        line, ids, going = self.line(rng), self.idents(), Going(rng)
        abroad, dear, callees = Prefixes(rng, NEIGHBOURS), Prefixes(rng, DEAR), Prefixes(rng, MOBILES)
        begin = self.begins(rng, start, end)
        opened = opening(begin, SHOP)
        week, begin = (SHOP, opened) if opened < end else (ALWAYS, begin)
        low, high = PASSED_IN
        for now in self.paced(rng, begin, min(begin + GATEWAY_SPAN, end), PASSED_A_MINUTE):
            if not week.share(now):
                continue
            after = low + int((high - low) * rng.random())
            delay, ring, talk, outcome, status, by = going.call()
            caller = (dear if rng.random() < 0.3 else abroad).draw()
            yield line.received(now, next(ids), caller, (delay + after, ring, talk, outcome, status, by), self.kind)
            out = line.out(now + after, next(ids), callees.draw(), (delay, ring, talk, outcome, status, by), self.kind)
            later.put(out)
