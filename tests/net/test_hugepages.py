"""What is in use is laid together in pages of 2 MB, what is not stays as it is, and a kernel that cannot is let be."""

from __future__ import annotations

import ctypes
import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from guard.net import hugepages
from guard.net.hugepages import COLLAPSE, HUGE, HugePages

SIZE = 16 * HUGE


def able() -> bool:
    """Whether this kernel knows how."""
    return not ctypes.CDLL(None).madvise(None, ctypes.c_size_t(0), COLLAPSE)


@contextmanager
def mapping() -> Iterator[tuple[mmap.mmap, int]]:
    """Private memory, and where it is."""
    with mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        first = ctypes.c_char.from_buffer(memory)
        address = ctypes.addressof(first)
        del first
        yield memory, address


def taken(address: int) -> tuple[int, int]:
    """Octets in memory, and of them in huge pages, of the region with an address."""
    text = Path("/proc/self/smaps").read_text(encoding="utf-8")
    for part in re.split(r"^(?=[0-9a-f]+-)", text, flags=re.MULTILINE)[1:]:
        start, end = (int(n, 16) for n in part.split(" ", 1)[0].split("-"))
        if start <= address < end:
            found = [re.search(rf"^{word}: +(\d+) kB$", part, re.MULTILINE) for word in ("Rss", "AnonHugePages")]
            return int(found[0][1]) << 10 if found[0] else 0, int(found[1][1]) << 10 if found[1] else 0
    raise AssertionError("no such region")


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits: who tests may have hundreds of such pages."""
    monkeypatch.setattr(hugepages, "PAUSE", 0)
    monkeypatch.setattr(hugepages, "REST", 0)


@pytest.mark.usefixtures("unhurried")
def test_memory_in_use_is_laid_together() -> None:
    with mapping() as (memory, address):
        memory.write(b"x" * SIZE)
        pages, made = HugePages(), 0
        while now := pages.gather():
            made += now
        if able():
            assert made >= SIZE // HUGE // 2  # what the kernel has no room for just now is asked for again
            assert taken(address)[1] >= SIZE // 2
        else:
            assert made == 0
        assert memory[:] == b"x" * SIZE


@pytest.mark.usefixtures("unhurried")
def test_memory_that_is_hardly_used_takes_no_more() -> None:
    with mapping() as (memory, address):
        memory[SIZE // 2 : SIZE // 2 + 1] = b"x"
        before, _ = taken(address)
        HugePages().gather()
        assert taken(address)[0] < before + HUGE


def test_where_memory_is_in_pieces_it_is_asked_for_the_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that takes long takes that from calls: a fortieth of the time at most goes into them."""
    clock = count(0, 0.01)  # s: each page takes so long
    rests: list[float | None] = []
    monkeypatch.setattr(hugepages, "thread_time", lambda: next(clock))
    monkeypatch.setattr(hugepages, "MOST", 5)
    with mapping() as (memory, _):
        memory.write(b"x" * SIZE)
        pages = HugePages()
        monkeypatch.setattr(pages._stopped, "wait", rests.append)
        pages.gather()
    if able():
        assert rests == pytest.approx([0.4] * 5)
    else:
        assert rests == []


def test_what_was_laid_together_is_asked_for_again_in_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may have taken it apart; by the hours of the machine, however often it was looked at."""
    now = [0.0]
    monkeypatch.setattr(hugepages, "monotonic", lambda: now[0])
    monkeypatch.setattr(hugepages, "PAUSE", 0)
    monkeypatch.setattr(hugepages, "REST", 0)
    monkeypatch.setattr(hugepages, "MOST", 10_000)
    looked: list[int] = []

    def used(page: int) -> bool:
        looked.append(page)
        return True

    with mapping() as (memory, address):
        memory.write(b"x" * SIZE)
        here = range(address, address + SIZE)
        pages = HugePages()
        monkeypatch.setattr(pages, "_used", used)
        asked = []
        for now[0] in (0.0, 1.0, 2.0, hugepages.FORGET + 1):
            looked.clear()
            pages.gather()
            asked.append(sum(page in here for page in looked))
    many = SIZE // HUGE - 1 if able() else 0
    assert asked[0] in {many, many + 1 if able() else 0}
    assert asked == [asked[0], 0, 0, asked[0]]


def test_who_stops_waits_for_no_page() -> None:
    with mapping() as (memory, address):
        memory.write(b"x" * SIZE)
        before = taken(address)[1]  # the kernel may have joined it to a region that has some
        pages = HugePages()
        pages.stop()
        assert pages.gather() == 0
        assert taken(address)[1] == before


def test_a_kernel_that_knows_no_such_advice_is_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hugepages, "COLLAPSE", 9_999)
    with mapping() as (memory, address):
        memory.write(b"x" * SIZE)
        before = taken(address)[1]
        assert HugePages().gather() == 0
        assert taken(address)[1] == before
