"""The process's memory in pages of 2 MB rather than 4 kB: the processor knows where some thousand pages are, and with
small ones has to look up where half of all that a call touches is.

Python takes its memory a megabyte at a time, which the kernel never lays together by itself. It does when it is asked
(`MADV_COLLAPSE`, Linux 6.1 and newer): a quarter of a millisecond a page, some where memory is in pieces, while all but
what touches new memory goes on. Nothing depends on it: what the kernel cannot do now is asked for again in an hour.
"""

from __future__ import annotations

import ctypes
import mmap
from pathlib import Path
from threading import Event
from time import monotonic, thread_time
from typing import Final

AGAIN: Final = 5.0  # s after which it is looked for more; at 1 000 calls a second 30 MB come in that time
MOST: Final = 250  # pages asked for at a look, in some five seconds: a gigabyte is laid together in twenty
HUGE: Final = 2 << 20
COLLAPSE: Final = 25  # madvise(2): MADV_COLLAPSE, which Python's `mmap` does not name
USED: Final = HUGE // mmap.PAGESIZE * 9 // 10  # small pages in use of a large one; a thread's stack has a few
PAUSE: Final = 0.02  # s after each page, at least: calls that waited for it go first
REST: Final = 40  # times as long as a page took nothing is asked for: where memory is in pieces, it takes milliseconds
FORGET: Final = 3600.0  # s after which all is asked for anew: what was laid together may have been given back


class HugePages:
    """`gather` now and then, from a thread."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._asked: set[int] = set()
        self._forgotten = monotonic()
        self._stopped = Event()

    def stop(self) -> None:
        """Whoever gathers ends at once."""
        self._stopped.set()

    def gather(self) -> int:
        """Lay together what is in use: how many pages were made, 0 where the kernel cannot."""
        if self._libc.madvise(None, ctypes.c_size_t(0), COLLAPSE):
            return 0
        try:
            text = Path("/proc/self/maps").read_bytes()
        except OSError:
            return 0
        there = {page for line in text.splitlines() for page in _pages(line.split())}
        if monotonic() - self._forgotten > FORGET:
            self._forgotten = monotonic()
            self._asked.clear()
        self._asked &= there
        made = asked = 0
        for page in sorted(there - self._asked):
            if asked == MOST or self._stopped.is_set():
                break
            if self._used(page):
                self._asked.add(page)
                asked += 1
                begun = thread_time()
                made += not self._libc.madvise(ctypes.c_void_p(page), ctypes.c_size_t(HUGE), COLLAPSE)
                self._stopped.wait(max(PAUSE, REST * (thread_time() - begun)))
        return made

    def _used(self, page: int) -> bool:
        """Whether most of it is in use; not where it is gone meanwhile."""
        used = ctypes.create_string_buffer(HUGE // mmap.PAGESIZE)
        if self._libc.mincore(ctypes.c_void_p(page), ctypes.c_size_t(HUGE), used):
            return False
        return used.raw.count(b"\x01") >= USED


def _pages(words: list[bytes]) -> range:
    """Where large pages fit into a region: a line of /proc/self/maps. None into what is no memory of our own."""
    if words[1] != b"rw-p" or words[4] != b"0" or words[5:] not in ([], [b"[heap]"]):
        return range(0)
    first, end = (int(address, 16) for address in words[0].split(b"-"))
    return range(-(first // -HUGE) * HUGE, end // HUGE * HUGE, HUGE)
