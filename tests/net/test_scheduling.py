"""The loop is asked to be let run at once: what the kernel says of its thread."""

from __future__ import annotations

import ctypes
import platform
from concurrent.futures import ThreadPoolExecutor

import pytest

from guard.net import scheduling

GETTER = {"x86_64": 315, "aarch64": 275}  # sched_getattr(2)


def slice_of_this_thread() -> int:
    """ns; 0 where the kernel has no slices of one's own."""
    told = scheduling._Attributes()
    size = ctypes.sizeof(told)
    got = ctypes.CDLL(None).syscall(GETTER[platform.machine()], 0, ctypes.byref(told), size, 0)
    assert got == 0
    assert told.policy == 0
    return int(told.runtime)


def test_a_prompt_thread_has_the_shortest_slice_and_others_keep_theirs() -> None:
    with ThreadPoolExecutor(1) as thread:
        before = thread.submit(slice_of_this_thread).result()
        assert thread.submit(scheduling.prompt).result()
        after = thread.submit(slice_of_this_thread).result()
    known = tuple(int(part) for part in platform.release().split(".")[:2]) >= (6, 12)
    assert after == (scheduling.SLICE if known else 0)
    assert slice_of_this_thread() == before


def test_a_machine_of_unknown_numbers_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "vax")
    assert not scheduling.prompt()
