"""What the reading of captures came across, counted: so that nothing is dropped in silence."""

from __future__ import annotations

from typing import Final

MAX_WARNINGS: Final = 100  # sentences kept; a file with more to say is broken in one way, many times


class Tally:
    """Counters of one reading. `dropped()` names those that tell of something lost or odd."""

    __slots__ = (
        "backwards",
        "bytes",
        "cut",
        "first",
        "fragments",
        "fragments_lost",
        "frames",
        "last",
        "malformed",
        "not_ip",
        "not_sip",
        "other_transport",
        "sip",
        "stream_gaps",
        "stream_skipped",
        "streams",
        "streams_lost",
        "unknown_link",
        "untimed",
        "warnings",
    )  # fmt: skip

    def __init__(self) -> None:
        self.frames = 0  # link-layer frames read
        self.bytes = 0  # their captured bytes
        self.first: int | None = None  # instants (µs) of the first and the last frame
        self.last: int | None = None
        self.sip = 0  # SIP messages
        self.not_sip = 0  # UDP datagrams with something else in them (media, DNS, keep-alives)
        self.other_transport = 0  # IP packets with neither UDP nor TCP (ICMP, SCTP)
        self.not_ip = 0  # frames with neither IPv4 nor IPv6 (ARP, LLDP)
        self.malformed = 0  # headers that cannot be: lengths that do not fit
        self.unknown_link = 0  # frames of a link type that is not read
        self.cut = 0  # SIP messages of which the capture kept only the beginning
        self.untimed = 0  # packets without a (believable) time: they count at the time of the one before
        self.backwards = 0  # packets earlier than the one before: they count at its time
        self.fragments = 0  # IP fragments seen
        self.fragments_lost = 0  # fragments thrown away: incomplete, too many, or overlapping
        self.streams = 0  # TCP connections
        self.streams_lost = 0  # TCP directions given up to keep memory bounded
        self.stream_gaps = 0  # holes in TCP streams: segments that the capture does not have
        self.stream_skipped = 0  # bytes of TCP streams passed over on the way to the next message
        self.warnings: list[str] = []

    def warn(self, *sentences: str) -> None:
        """Keep a sentence for people; the same one only once."""
        for sentence in sentences:
            if len(self.warnings) < MAX_WARNINGS and sentence not in self.warnings:
                self.warnings.append(sentence)

    def dropped(self) -> dict[str, int]:
        """The counters other than zero of what was lost or odd, by name."""
        names = (
            "malformed", "unknown_link", "cut", "untimed", "backwards", "fragments_lost", "streams_lost",
            "stream_gaps", "stream_skipped",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names if getattr(self, name)}
