"""The file of answered calls: lines of JSON, each of a call by its number; the last line of a call counts.

It is only for the guard itself. Nobody reads it for evidence: that is the log's part.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from time import sleep
from typing import Final

import msgspec
from msgspec import Struct

from guard.proxy.call import SOS
from guard.proxy.kept import KeptCall
from guard.store.tables import PAUSE

# Bytes that are added, at least, before the file is made anew: some 4 000 calls. As many as there were, where those are
# more: with 50 000 calls up it was made anew every 8 s, which took 2 s each, and calls were refused for want of time.
GROWN: Final = 4 * 1024 * 1024
POLITE: Final = 64  # lines read before the loop is made way for, some 0.2 ms
MAX_LINE: Final = 256 * 1024  # bytes: a call has a handful of URIs and addresses
MODE: Final = 0o600
VERSION: Final = 1


class Line(Struct, frozen=True, omit_defaults=True):
    """One line: a call by its number in this file; without `call` it is over."""

    n: int
    call: KeptCall | None = None
    version: int = VERSION


class Place(Struct, frozen=True):
    """A line as far as it tells which it is; what it says of the call is well-formed, and not read."""

    n: int
    call: msgspec.Raw = msgspec.Raw()
    version: int = VERSION


class Named(Struct, frozen=True):
    """Of a call attempt, its Call-ID as the log has it."""

    call_id: str


class Limited(Struct, frozen=True):
    """Of a talk whose length is limited, when it is to end, µs of Unix time."""

    until: int


class Whose(Struct, frozen=True):
    """What is read of a kept call (`guard.proxy.kept.KeptCall`) at first: whose it is and when it is to end."""

    seq: int
    key: tuple[str, bytes, bytes]
    attempt: Named
    talks: tuple[Limited, ...] = ()

    @property
    def ends(self) -> int:
        """When the guard is to end it, µs of Unix time; 0: not at all."""
        return min((t.until for t in self.talks), default=0)

    @property
    def urgent(self) -> bool:
        """Whether it is an emergency call."""
        return self.key[0].endswith(SOS)


class Rest(Struct, frozen=True):
    """A call of the file: whose it is, and all that its line says."""

    whose: Whose
    line: bytes


_ENCODE: Final = msgspec.json.Encoder()
_PLACE: Final = msgspec.json.Decoder(Place)
_WHOSE: Final = msgspec.json.Decoder(Whose)
_CALL: Final = msgspec.json.Decoder(KeptCall)
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def path_of(store: Path) -> Path:
    """The file of a log's open calls."""
    return store.with_name(store.name + "-calls")


def read(path: Path) -> tuple[list[Rest], int]:
    """The calls of a file that are not over, oldest first, and how many lines could not be read. Raises OSError where
    there is a file and it cannot be read."""
    last: dict[int, bytes] = {}
    bad = 0
    for _, line in _lines(path):
        try:
            found = _PLACE.decode(line)
        except UNREADABLE:
            bad += 1  # torn when the guard was killed
            continue
        if found.version != VERSION:
            bad += 1
        elif found.call:
            last[found.n] = bytes(found.call)
        else:
            last.pop(found.n, None)
    calls = []
    for line in last.values():
        try:
            calls.append(Rest(_WHOSE.decode(line), line))
        except UNREADABLE:
            bad += 1
    return calls, bad


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Where each line begins, and the line; one that is too long in pieces."""
    at = 0
    try:
        with path.open("rb") as file:
            while line := file.readline(MAX_LINE):
                if line.strip():
                    yield at, line
                at += len(line)
    except FileNotFoundError:
        return


def write(path: Path, lines: Iterable[bytes]) -> int:
    """Make the file anew: whole, or as it was; how long it is now. Raises OSError."""
    fresh = path.with_name(path.name + ".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE), "wb") as file:
        file.writelines(lines)
        size = file.tell()
    fresh.replace(path)
    return size


def add(path: Path, lines: Iterable[bytes]) -> int:
    """Add lines to the file; how long it is now. A line that a kill tore apart stays alone. Raises OSError."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, MODE), "ab") as file:
        file.write(b"\n")
        file.writelines(lines)
        return file.tell()


def renew(path: Path) -> int:
    """Make the file anew without what is over; how long it is now. Raises OSError."""
    last: dict[int, int] = {}
    for at, line in _slowly(_lines(path)):
        try:
            found = _PLACE.decode(line)
        except UNREADABLE:
            continue
        if found.call:
            last[found.n] = at
        else:
            last.pop(found.n, None)
    kept = set(last.values())
    return write(path, (line for at, line in _slowly(_lines(path)) if at in kept))


def _slowly(lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """The same, with pauses for the loop."""
    for n, line in enumerate(lines, 1):
        yield line
        if not n % POLITE:
            sleep(PAUSE)


def room(size: int) -> int:
    """How long a file may grow that is so long when it is made anew: the work stays in proportion to what is added."""
    return size + max(GROWN, size)


def line_of(n: int, call: KeptCall | None) -> bytes:
    """A line: a call by its number, or None: that it is over."""
    return _ENCODE.encode(Line(n, call)) + b"\n"


def anew(n: int, rest: bytes) -> bytes:
    """The line of a call that goes on, by its number in this life of the guard."""
    return b'{"n":%d,"call":%b}\n' % (n, rest)


def call_of(rest: bytes) -> KeptCall:
    """The call of a `Rest.line`. Raises UNREADABLE."""
    return _CALL.decode(rest)
