"""The process's memory in pages of 2 MB rather than 4 kB: the processor knows where some thousand pages are, and with
small ones has to look up where half of all that a call touches is.

Python takes its memory a megabyte at a time, which the kernel never lays together by itself. It does when it is asked
(`MADV_COLLAPSE`, Linux 6.1 and newer), a page in a quarter of a millisecond, while all but what touches new memory goes
on. Nothing depends on it: what the kernel cannot do now is asked for again.
"""

from __future__ import annotations

import ctypes
import mmap
import re
from pathlib import Path
from typing import Final

AGAIN: Final = 10.0  # s after which it is asked for again; at 1 000 calls a second 60 MB come in that time
HUGE: Final = 2 << 20
COLLAPSE: Final = 25  # madvise(2): MADV_COLLAPSE, which Python's `mmap` does not name
FULL: Final = 0.9  # of a region in use: a thread's stack, 8 MB of which it uses some kB, is left as it is
_ANONYMOUS: Final = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) rw-p \S+ \S+ 0 +(?:\[heap\])?$", re.MULTILINE)


def gather() -> int:
    """Lay together what is in use, from a thread: how many octets the kernel was asked for, 0 where it cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.madvise(None, ctypes.c_size_t(0), COLLAPSE):
        return 0
    try:
        text = Path("/proc/self/maps").read_bytes()
    except OSError:
        return 0
    asked = 0
    for found in _ANONYMOUS.finditer(text):
        start, end = -(int(found[1], 16) // -HUGE) * HUGE, int(found[2], 16) // HUGE * HUGE
        if start < end and _used(libc, start, end - start) >= FULL:
            libc.madvise(
                ctypes.c_void_p(start), ctypes.c_size_t(end - start), COLLAPSE
            )  # what fails is asked for again
            asked += end - start
    return asked


def _used(libc: ctypes.CDLL, start: int, size: int) -> float:
    """The share of a region that is in memory; 0 where it is gone meanwhile."""
    pages = ctypes.create_string_buffer(size // mmap.PAGESIZE)
    if libc.mincore(ctypes.c_void_p(start), ctypes.c_size_t(size), pages):
        return 0.0
    return pages.raw.count(b"\x01") / len(pages)
