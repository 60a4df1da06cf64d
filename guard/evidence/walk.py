"""Along the chain of an extract: every fault is named, and the walk goes on behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from guard.evidence.extract import CHAIN, Call, Manifest, Row
from guard.ledger.chain import Link, fault
from guard.ledger.record import DecisionBody, EndBody, ErasedBody, LostBody

_END: Final = msgspec.json.Decoder(EndBody)
_DECISION: Final = msgspec.json.Decoder(DecisionBody)
_NOTES: Final[dict[str, Callable[[bytes], object]]] = {
    "lost": msgspec.json.Decoder(LostBody).decode,
    "erased": msgspec.json.Decoder(ErasedBody).decode,
}


class Walk:
    """Takes rows in the order of the file. `calls` are the month's, by seq; `fault` hears what is wrong."""

    def __init__(self, manifest: Manifest, tell: Callable[[str], None]) -> None:
        self._manifest = manifest
        self._tell = tell
        self._next = manifest.first
        try:
            self._tip = bytes.fromhex(manifest.previous)
        except ValueError:
            self._tip = b""
        self._tips = {manifest.first - 1: self._tip}
        self._missing: set[int] = set()
        self.entries = self.erased = 0
        self.calls: dict[int, Call] = {}

    def tip(self, seq: int) -> bytes | None:
        """The hash of an entry; None of one that is missing."""
        return self._tips.get(seq)

    def take(self, row: Row) -> None:
        """The next row."""
        self.entries += 1
        link = _link(row)
        if link is None:
            self._tell(f"entry {row.seq}: its hashes cannot be read")
            return
        if link.seq < self._next or link.seq > self._manifest.last:
            again = link.seq in self._tips and link.seq >= self._manifest.first
            where = f"it stands after entry {self._next - 1}, "
            self._tell(f"entry {link.seq}: {where}" + ("a second time" if again else "where it does not belong"))
            return
        if link.seq > self._next:
            gone = f"{self._next} is" if link.seq == self._next + 1 else f"{self._next} to {link.seq - 1} are"
            self._tell(f"{'entry' if link.seq == self._next + 1 else 'entries'} {gone} missing")
            self._tip = b""  # what stood before this one is not known: only its body can be looked at
        self._look(link)
        self._next, self._tip = link.seq + 1, link.hash
        self._tips[link.seq] = link.hash
        self._read(row, link)

    def finish(self) -> None:
        """There are no more rows."""
        last = self._manifest.last
        if self._next <= last:
            gone = f"entry {last} is" if self._next == last else f"entries {self._next} to {last} are"
            self._tell(f"{gone} missing: the end of {CHAIN} was cut off")
        if len(self.calls) != self._manifest.calls:
            self._tell(f"{len(self.calls)} calls where the manifest names {self._manifest.calls}")
        if self.erased != self._manifest.erased:
            self._tell(f"{self.erased} erased entries where the manifest names {self._manifest.erased}")

    def _look(self, link: Link) -> None:
        reason = fault(self._tip, link.seq, link)
        if reason and (self._tip or "hash does not follow" not in reason):
            self._tell(f"entry {link.seq}: {reason}")

    def _read(self, row: Row, link: Link) -> None:
        if row.erased:
            self.erased += 1
        if link.body is None:
            return
        try:
            if link.kind == "decision":
                self.calls[link.seq] = Call(link.seq, link.hash, _DECISION.decode(link.body), None)
            elif link.kind == "end":
                end = _END.decode(link.body)
                call = self.calls.get(end.call)
                if call is not None and call.end is None:
                    self.calls[end.call] = Call(call.seq, call.hash, call.body, end)
            elif link.kind in _NOTES:
                _NOTES[link.kind](link.body)
        except msgspec.DecodeError as error:
            self._tell(f"entry {link.seq}: its body cannot be read: {error}")


def _link(row: Row) -> Link | None:
    try:
        return Link(
            row.seq,
            row.kind,
            bytes.fromhex(row.body_hash),
            bytes.fromhex(row.hash),
            bytes.fromhex(row.salt) if row.salt is not None else None,
            row.body.encode() if row.body is not None else None,
        )
    except ValueError:
        return None
