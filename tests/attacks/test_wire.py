"""Attacks over real sockets on a running guard: injection, spoofed Via, relaying, amplification, smuggling."""

from __future__ import annotations

import asyncio
import socket
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Final

import pytest

from guard.cli.main import main
from guard.sip.message import parse
from sim.site import CUSTOMER, GUARD, IPBX
from tests.apprig import FOREIGN, Rig, guard, run
from tests.proxy.world import request

THIRD: Final = "127.0.0.77"  # somebody who never asked for anything
STRANGER: Final = "127.0.0.66"
HOSTILE: Final = "x\x1b[2J\x1b]0;owned\x07\x9b31m\u202e=cmd|'/C calc'!A0<script>alert(1)</script>"
SMUGGLED: Final = request(
    uri=f"sip:{CUSTOMER}@{GUARD}", call_id="smuggled", branch="smuggled", host=IPBX, transport="TCP"
)
CONTROLS: Final = {chr(c) for c in (*range(32), *range(0x7F, 0xA0), 0x202E)} - {"\n"}


def own(host: str) -> socket.socket:
    """A UDP socket of somebody else's."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    sock.bind((host, 0))
    return sock


def heard(sock: socket.socket) -> list[bytes]:
    """Whatever has come to it."""
    out = []
    while True:
        try:
            out.append(sock.recv(65_535))
        except BlockingIOError:
            return out


def headers(data: bytes) -> list[str]:
    """The names of a message's header lines, as another's parser splits them."""
    head = data.split(b"\r\n\r\n", 1)[0].partition(b"\r\n")[2]
    return [name.lower() for name, _ in BytesHeaderParser().parsebytes(head).items()]


async def settled(rig: Rig) -> None:
    """What was sent before this has been dealt with: the guard answers its own IPBX."""
    await rig.pbx.none_of("nothing")


# ---- injection -----------------------------------------------------------------------------------------------------


def test_what_a_caller_writes_splits_no_answer_and_reaches_no_screen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def scene() -> None:
        async with guard(tmp_path) as rig:
            data = request(
                uri=f"sip:{CUSTOMER}%0d%0aX-Injected:%20yes%0d%0a@{GUARD}", caller=f'"{HOSTILE}" {FOREIGN}',
                call_id=HOSTILE.replace(" ", ""), branch="b1", tag="t1", host=IPBX, port=rig.pbx.port,
                more=f"User-Agent: {HOSTILE}\r\nSubject: =2+3\r\n",
            )  # fmt: skip
            rig.pbx.send(data)
            answer = (await rig.pbx.next("403")).data
            names = headers(answer)
            assert "x-injected" not in names
            assert answer.count(b"\r\n\r\n") == 1
            assert answer.endswith(b"\r\n\r\n")
            assert set(names) <= {"via", "from", "to", "call-id", "cseq", "reason", "warning", "content-length"}
            assert len(names) == len(set(names)) + names.count("reason") - 1
            assert not rig.operator.heard
            await rig.stop()
            (record,) = rig.log()
            assert record.record.call_id == HOSTILE.replace(" ", "")  # it is told truly, where that harms nobody

    run(scene)
    store = str(tmp_path / "guard.db")
    for words in (
        ["log", "--all"],
        ["log", "--json"],
        ["log", "--csv"],
        ["explain", "#1"],
        ["explain", "#1", "--json"],
    ):
        capsys.readouterr()
        assert main([*words, "--store", store]) == 0
        out = capsys.readouterr().out
        assert not CONTROLS & set(out), words
        if "--csv" in words:
            cells = [cell for line in out.splitlines() for cell in line.split(",")]
            assert not [c for c in cells if c.lstrip('"')[:1] in tuple("=@")]


# ---- where messages go ---------------------------------------------------------------------------------------------


def test_nobody_is_relayed_to_and_no_answer_is_sent_where_via_says(tmp_path: Path) -> None:
    async def scene() -> None:
        async with guard(tmp_path) as rig:
            with own(THIRD) as third, own(STRANGER) as stranger:
                port = third.getsockname()[1]
                there = f"sip:{CUSTOMER}@{THIRD}:{port}"
                route = f"Route: <sip:{GUARD}:{rig.site.port};lr>,<sip:{THIRD}:{port};lr>\r\n"
                for n, (method, uri, more, to_tag) in enumerate(
                    [
                        ("OPTIONS", there, "", ""),
                        ("OPTIONS", f"sip:{GUARD}:{rig.site.port}", route, ""),
                        ("MESSAGE", there, route, ""),
                        ("REGISTER", there, route, ""),
                        ("BYE", there, route, "z9"),
                        ("INVITE", there, route, "z9"),
                        ("ACK", there, route, "z9"),
                        ("SUBSCRIBE", there, "", "z9"),
                    ]
                ):
                    # A Via that names the third party: with and without rport, with a received of its own.
                    for k, via in enumerate((";rport", "", f";received={THIRD}", f";maddr={THIRD};ttl=9")):
                        data = request(method, uri, call_id=f"r{n}-{k}", branch=f"r{n}-{k}{via}", to_tag=to_tag,
                                       host=THIRD, port=port, more=more)  # fmt: skip
                        rig.pbx.send(data)
                        stranger.sendto(data, rig.site.guard)
                for n, uri in enumerate((there, f"sip:{CUSTOMER}@{GUARD}")):
                    rig.pbx.send(request(uri=uri, call_id=f"i{n}", branch=f"i{n}", host=THIRD, port=port, more=route))
                    out = await rig.operator.next("INVITE")  # a call goes to the operator, whatever it names
                    assert out.via().host == GUARD
                await settled(rig)
                assert heard(third) == []
                assert heard(stranger) == []

    run(scene)


def test_a_strangers_messages_bring_nothing_back(tmp_path: Path) -> None:
    """No answer is no amplifier. Only a call for help from a private address is carried, and that pays no attacker."""

    async def scene() -> None:
        async with guard(tmp_path) as rig:
            with own(STRANGER) as stranger:
                for n, method in enumerate(
                    ("INVITE", "OPTIONS", "REGISTER", "BYE", "CANCEL", "ACK", "SUBSCRIBE", "NEW")
                ):
                    for to_tag in ("", "z9"):
                        name = f"s{n}{to_tag}"
                        data = request(
                            method,
                            f"sip:{CUSTOMER}@{GUARD}",
                            call_id=name,
                            branch=name,
                            to_tag=to_tag,
                            host=STRANGER,
                            port=stranger.getsockname()[1],
                        )
                        for sent in (data, data[:-20], data.replace(b"Max-Forwards: 70", b"Max-Forwards: 0"), data * 2):
                            stranger.sendto(sent, rig.site.guard)
                for garbage in (b"", b"\r\n\r\n", b"\0" * 1400, b"GET / HTTP/1.0\r\n\r\n", b"SIP/2.0 200 OK\r\n\r\n"):
                    stranger.sendto(garbage, rig.site.guard)
                await settled(rig)
                assert heard(stranger) == []

                call = request(uri=f"sip:112@{GUARD}", call_id="help", branch="help", host=STRANGER,
                               port=stranger.getsockname()[1])  # fmt: skip
                stranger.sendto(call, rig.site.guard)
                await rig.operator.next("INVITE")
                await settled(rig)
                assert sum(map(len, heard(stranger))) <= len(call)  # 100 Trying

    run(scene)


# ---- request smuggling over TCP ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "length",
    [
        b"Content-Length: 0\r\nContent-Length: %d\r\n",
        b"Content-Length: %d\r\nl: 0\r\n",
        b"l: 0\r\nCONTENT-LENGTH : %d\r\n",
        b"Content-Length: 0,%d\r\n",
        b"Content-Length: +%d\r\n",
        b"Content-Length: -%d\r\n",
        b"Content-Length: 0x%d\r\n",
        b"Content-Length: %d.0\r\n",
        b"Content-Length: 0\r\n %d\r\n",
        b"Content-Length: \xd9\xa1%d\r\n",
        b"Content-Length:\r\n",
        b"Content-Length: 99999999999%d\r\n",
        b"X: a\nContent-Length: 0\r\nContent-Length: %d\r\n",
        b"X: a\rl: 0\r\nContent-Length: %d\r\n",
        b"Content-Length\0: 0\r\nl: %d\r\nl: 0\r\n",
        b"Transfer-Encoding: chunked\r\n",
    ],
)
def test_a_length_that_two_could_read_differently_ends_the_connection(tmp_path: Path, length: bytes) -> None:
    async def scene() -> None:
        async with guard(tmp_path) as rig:
            line = length % len(SMUGGLED) if b"%" in length else length
            first = request("OPTIONS", f"sip:{GUARD}:{rig.site.port}", call_id="first", host=IPBX, transport="TCP")
            data = first.replace(b"Content-Length: 0\r\n", line) + SMUGGLED
            reader, writer = await asyncio.open_connection(*rig.site.guard, local_addr=(IPBX, 0))
            writer.write(data)
            got = await reader.read()  # until the guard closes
            writer.close()
            await writer.wait_closed()
            assert got.count(b"SIP/2.0 ") <= 2  # the status line and the Via of one answer
            assert b"smuggled" not in got
            if got:
                assert parse(got).status == 400
            await settled(rig)
            assert not rig.operator.heard
            await rig.stop()
            assert rig.log() == []

    run(scene)
