"""What the kernel's scheduler is asked for, so that a message waits for nobody else of the guard.

On one core the loop and the log's thread take turns. A task that wakes up pushes another off its core only where its
own slice is shorter (`PREEMPT_SHORT`, Linux 6.12 and newer); otherwise it waits for the other's to end, up to 3 ms.
"""

from __future__ import annotations

import ctypes
import os
import platform
from typing import Final

SLICE: Final = 100_000  # ns: the shortest that the kernel gives
NUMBERS: Final = {"x86_64": 314, "aarch64": 274}  # sched_setattr(2), by machine: the C library has no name for it


class _Attributes(ctypes.Structure):
    """`struct sched_attr`, sched_setattr(2)."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime", ctypes.c_uint64),  # of a usual task: its slice, ns
        ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
    )


def prompt() -> bool:
    """Let the calling thread run as soon as it wakes up, on the core of whoever of its rank has a longer slice. False
    where the kernel is asked in vain; one older than 6.12 takes it, and nothing follows."""
    number = NUMBERS.get(platform.machine())
    if number is None:
        return False
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    asked = _Attributes(size=ctypes.sizeof(_Attributes), policy=os.SCHED_OTHER, nice=nice, runtime=SLICE)
    libc = ctypes.CDLL(None, use_errno=True)
    done: int = libc.syscall(ctypes.c_long(number), ctypes.c_int(0), ctypes.byref(asked), ctypes.c_uint(0))
    return done == 0
