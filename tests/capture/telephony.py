"""Calls for captures: what an IPBX, a guard and an operator say to each other, at which time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guard.cli.main import main
from tests.capture.making import GUARD, OPERATOR, PBX, SECOND, T0, ipv4, pcap, udp, written

MINE = "+33145678901"  # a number that the site holds
THEIRS = "+33145679900"  # one that it does not
MOBILE = "+33612345678"


def config(
    folder: Path,
    *,
    mode: str = "enforce",
    cps: int | None = None,
    channels: int = 30,
    hold_ms: int = 2000,
    sources: str = PBX,
) -> Path:
    """A guard.toml for these calls."""
    rate = f"cps = {cps}" if cps is not None else ""
    path = folder / "guard.toml"
    path.write_text(
        f"""
site = "lab"
mode = "{mode}"
[listen]
udp = ["{GUARD}:5060"]
[[trunk]]
name = "operator"
next_hop = ["sip:{OPERATOR}"]
contract = "technicophone-sip-trunk"
channels = {channels}
{rate}
mask_caller = "+33145678900"
[[source]]
name = "pbx"
address = ["{sources}"]
trunk = "operator"
[[number]]
range = "+33145678900-+33145678999"
[[number]]
range = "+33892681234"
[rules."rate.cps"]
hold_ms = {hold_ms}
""",
        encoding="utf-8",
    )
    return path


class Tape:
    """A capture in the making: `at` is in seconds from T0."""

    def __init__(self) -> None:
        self.packets: list[tuple[int, bytes]] = []

    def say(self, at: float, data: bytes, src: str, dst: str) -> None:
        """One message in one datagram."""
        self.packets.append((T0 + round(at * SECOND), ipv4(udp(data), src, dst)))

    def data(self) -> bytes:
        """The file, its packets in order of time."""
        return pcap(sorted(self.packets, key=lambda p: p[0]))

    def written(self, folder: Path, name: str = "c.pcap") -> Path:
        """The file in a folder."""
        return written(folder, self.data(), name)


class Dialog:
    """One call from the IPBX to the guard, by its Call-ID."""

    def __init__(
        self, tape: Tape, call_id: str, *, caller: str = MINE, callee: str = MOBILE, src: str = PBX, dst: str = GUARD
    ) -> None:
        self.tape = tape
        self.call_id = call_id
        self.caller, self.callee = caller, callee
        self.src, self.dst = src, dst
        self.cseq = 1

    def request(
        self,
        at: float,
        method: str = "INVITE",
        *,
        to_tag: str = "",
        branch: str = "",
        uri: str = "",
        cseq: int = 0,
        from_callee: bool = False,
        via: str = "",
        src: str = "",
        dst: str = "",
    ) -> None:
        """A request; from the callee's side the guard sends it on to the IPBX."""
        ours, theirs = f"<sip:{self.caller}@{PBX}>;tag=a-{self.call_id}", f"<sip:{self.callee}@{GUARD}>"
        theirs += f";tag={to_tag}" if to_tag else ""
        sender, target = (self.dst, self.src) if from_callee else (self.src, self.dst)
        number = cseq or self.cseq
        data = (
            f"{method} {uri or f'sip:{self.callee}@{GUARD}'} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {via or sender};branch=z9hG4bK{branch or f'{self.call_id}{method}{number}'}\r\n"
            f"Max-Forwards: 70\r\nFrom: {theirs if from_callee else ours}\r\nTo: {ours if from_callee else theirs}\r\n"
            f"Call-ID: {self.call_id}\r\nCSeq: {number} {method}\r\nContact: <sip:{sender}>\r\n"
            "Content-Length: 0\r\n\r\n"
        )
        self.tape.say(at, data.encode(), src or sender, dst or target)

    def answer(
        self, at: float, status: int, method: str = "INVITE", *, to_tag: str = "b", branch: str = "", cseq: int = 0
    ) -> None:
        """An answer to one of the caller's requests."""
        number = cseq or self.cseq
        tag = f";tag={to_tag}" if status > 100 else ""
        mark = branch or f"{self.call_id}{method}{number}"
        data = (
            f"SIP/2.0 {status} X\r\nVia: SIP/2.0/UDP {self.src};branch=z9hG4bK{mark}\r\n"
            f"From: <sip:{self.caller}@{PBX}>;tag=a-{self.call_id}\r\nTo: <sip:{self.callee}@{GUARD}>{tag}\r\n"
            f"Call-ID: {self.call_id}\r\nCSeq: {number} {method}\r\nContact: <sip:{self.dst}>\r\n"
            "Content-Length: 0\r\n\r\n"
        )
        self.tape.say(at, data.encode(), self.dst, self.src)

    def answered(self, at: float, *, ring: float = 1, pick_up: float = 3, end: float = 10) -> None:
        """A whole call: 180, 200, and BYE from the caller, so many seconds after its beginning."""
        self.request(at)
        self.answer(at + 0.01, 100)
        self.answer(at + ring, 180)
        self.answer(at + pick_up, 200)
        self.request(at + pick_up + 0.01, "ACK", to_tag="b")
        self.request(at + end, "BYE", to_tag="b", cseq=2)
        self.answer(at + end + 0.05, 200, "BYE", cseq=2)


Record = dict[str, object]


def replayed(
    capsys: pytest.CaptureFixture[str], conf: Path, *captures: Path | str, more: tuple[str, ...] = ()
) -> list[Record]:
    """The records of captures, as `guard replay --json` gives them."""
    capsys.readouterr()
    assert main(["replay", *map(str, captures), "-c", str(conf), "--json", *more]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def brief(records: list[Record], *fields: str) -> list[tuple[object, ...]]:
    """Some fields of each record."""
    return [tuple(r[f] for f in fields) for r in records]
