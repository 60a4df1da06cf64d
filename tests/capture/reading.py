"""Shorthand of the tests: bytes of a capture to what comes out of it."""

from __future__ import annotations

from io import BytesIO

from guard.capture.files import CaptureError
from guard.capture.messages import Captured, Messages
from guard.capture.pcap import Frame, frames
from guard.capture.tally import Tally
from tests.capture.making import RAW, T0, pcap


def frames_of(data: bytes) -> tuple[list[Frame], Tally]:
    """The frames of one capture."""
    tally = Tally()
    return list(frames(BytesIO(data), tally, "x")), tally


def fails(data: bytes) -> CaptureError:
    """The error that one capture ends with, after what could be read."""
    try:
        frames_of(data)
    except CaptureError as error:
        return error
    raise AssertionError("it was read")


def read(data: bytes) -> tuple[list[Captured], Tally]:
    """The messages of one capture."""
    reading = Messages([BytesIO(data)])
    return list(reading), reading.tally


def of_packets(*packets: bytes, link: int = RAW, every: int = 1000) -> tuple[list[bytes], Tally]:
    """The messages in packets that came `every` µs."""
    found, tally = read(pcap([(T0 + n * every, p) for n, p in enumerate(packets)], link=link))
    return [data for data, _, _ in found], tally
