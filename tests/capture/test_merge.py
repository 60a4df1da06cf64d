"""Several captures as one story: in the order of time, whatever the order of the files."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from guard.capture import merge
from guard.capture.files import CaptureError
from guard.capture.messages import Messages
from tests.capture.making import GUARD, PBX, T0, ipv4, options, pcap, tcp, udp, written


def capture(folder: Path, name: str, *instants: int) -> Path:
    """A capture of requests numbered by their instants."""
    return written(folder, pcap([(T0 + at, ipv4(udp(options(at)))) for at in instants]), name)


def order(*sources: Path | BytesIO) -> list[int]:
    found = [at for _, _, at in Messages(sources)]
    return [at - T0 for at in found]


def test_rotated_files_in_any_order(tmp_path: Path) -> None:
    files = [capture(tmp_path, f"{n}.pcap", n * 10, n * 10 + 5) for n in range(4)]
    assert order(files[2], files[0], files[3], files[1]) == [0, 5, 10, 15, 20, 25, 30, 35]


def test_captures_of_the_same_time_are_interleaved(tmp_path: Path) -> None:
    one = capture(tmp_path, "a", 1, 4, 6)
    two = capture(tmp_path, "b", 2, 4, 9)
    three = capture(tmp_path, "c", 3)
    empty = written(tmp_path, pcap([]), "d")
    assert order(one, two, empty, three) == [1, 2, 3, 4, 4, 6, 9]
    assert [m for m, _, _ in Messages([one, two])] == [options(n) for n in (1, 2, 4, 4, 6, 9)]


def test_standard_input_and_files(tmp_path: Path) -> None:
    pipe = BytesIO(pcap([(T0 + n, ipv4(udp(options(n)))) for n in (2, 5)]))
    assert order(capture(tmp_path, "a", 1, 3), pipe, capture(tmp_path, "b", 4, 6)) == [1, 2, 3, 4, 5, 6]


def test_time_never_goes_back_within_a_capture(tmp_path: Path) -> None:
    reading = Messages([capture(tmp_path, "a", 5, 3, 4, 8), capture(tmp_path, "b", 6, 2)])
    assert [(data, at - T0) for data, _, at in reading] == [
        (options(5), 5),
        (options(3), 5),
        (options(4), 5),
        (options(6), 6),
        (options(2), 6),
        (options(8), 8),
    ]
    assert reading.tally.dropped() == {"backwards": 3}


def test_a_stream_goes_on_in_the_next_file(tmp_path: Path) -> None:
    whole = options(1, b"x" * 500)
    parts = [
        written(
            tmp_path, pcap([(T0 + n, ipv4(tcp(whole[n * 300 :][:300], 1 + n * 300), PBX, GUARD, protocol=6))]), str(n)
        )
        for n in range(3)
    ]
    assert [m for m, _, _ in Messages(parts)] == [whole]


def test_open_captures_are_bounded_and_rotated_ones_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "MAX_OPEN", 3)
    rotated = [capture(tmp_path, f"r{n}", n * 10, n * 10 + 9) for n in range(20)]
    assert len(order(*rotated)) == 40
    same = [capture(tmp_path, f"s{n}", n, 100) for n in range(4)]
    assert len(order(*same[:3])) == 6
    with pytest.raises(CaptureError, match=r"s3: more than 3 captures of the same time"):
        order(*same)


def test_progress_ends_where_the_files_do(tmp_path: Path) -> None:
    files = [capture(tmp_path, "a", *range(100)), capture(tmp_path, "b", *range(50, 90))]
    reading = Messages(files)
    assert reading.progress.size == sum(f.stat().st_size for f in files)
    assert reading.progress.done == 0
    assert len(list(reading)) == 140
    assert reading.progress.done == reading.progress.size


def test_an_error_in_the_second_file_names_it(tmp_path: Path) -> None:
    good = pcap([(T0, ipv4(udp(options(1))))])
    bad = written(tmp_path, good + b"\xff" * 16, "bad")
    reading = Messages([capture(tmp_path, "a", 0, 1), bad])
    with pytest.raises(CaptureError) as caught:
        list(reading)
    assert (caught.value.name, caught.value.offset) == (str(bad), len(good))
    assert reading.tally.sip >= 1
