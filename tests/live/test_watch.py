"""`guard watch` as a process: what agents send over UDP and TCP, and a Kamailio that mirrors real calls."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from guard.sip.message import Message, parse
from guard.store.contract import Query
from guard.store.reader import SqliteReader
from sim.ports import free_port
from tests.capture.making import GUARD, OPERATOR, PBX
from tests.capture.telephony import MINE, THEIRS, Dialog, Tape, config
from tests.hep.kamailio import kamailio
from tests.hep.other import mirrored
from tests.live.world import need
from tests.proxy.world import reply, request

pytestmark = pytest.mark.live

HERE = "127.0.0.1"
CALLER, CALLEE = "127.0.0.2", "127.0.0.3"
PATIENCE = 30.0  # seconds
PASSWORD = '[hep]\npassword = "secret"\n'


class Watcher:
    """A `guard watch` on a free port of both transports."""

    def __init__(self, conf: Path, *words: str) -> None:
        self.port = free_port(HERE)
        places = [f"--listen={t}:{HERE}:{self.port}" for t in ("udp", "tcp")]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "guard.cli.main", "watch", "-c", str(conf), *places, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"},
        )
        assert self.process.stderr is not None
        self.ready = self.process.stderr.readline()
        assert "watching on" in self.ready, self.ready

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def object(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.line())
        return found

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """Its status, and what else it said."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err

    def clean_up(self) -> None:
        """No process and no pipe stays behind."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


Start = Callable[..., Watcher]


@pytest.fixture
def watcher() -> Iterator[Start]:
    started: list[Watcher] = []

    def start(conf: Path, *words: str) -> Watcher:
        started.append(Watcher(conf, *words))
        return started[-1]

    yield start
    for one in started:
        one.clean_up()


def packets(*calls: tuple[str, str], key: bytes | None = None) -> list[bytes]:
    """The packets of answered calls (Call-ID, caller), of now and the next instants."""
    tape = Tape()
    for call_id, caller in calls:
        Dialog(tape, call_id, caller=caller).answered(0, ring=0.05, pick_up=0.1, end=0.15)
    now = time.time_ns() // 1000
    first = min(at for at, _ in tape.packets)
    ends = {PBX: (PBX, 5060), GUARD: (GUARD, 5060), OPERATOR: (OPERATOR, 5060)}
    out = []
    for at, packet in sorted(tape.packets):
        src, dst = (ends[".".join(map(str, packet[n : n + 4]))] for n in (12, 16))
        out.append(mirrored(packet[28:], src, dst, now + at - first, key=key))
    return out


def test_packets_over_udp_and_tcp(watcher: Start, tmp_path: Path) -> None:
    watch = watcher(config(tmp_path), "--json")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as agent:
        for data in packets(("one", MINE)):
            agent.sendto(data, (HERE, watch.port))
        found = watch.object()
        assert (found["call_id"], found["verdict"]) == ("one", "allowed")
        if found["outcome"] is None:
            found = watch.object()
        assert (found["call_id"], found["outcome"]) == ("one", "answered")
    with socket.create_connection((HERE, watch.port)) as agent:
        stream = b"".join(packets(("two", THEIRS)))
        agent.sendall(stream[:700])
        agent.sendall(stream[700:])
        found = watch.object()
        assert (found["call_id"], found["verdict"], found["response"]) == ("two", "blocked", 403)
        status, out, err = watch.stop()
    assert (status, err) == (0, "")
    assert all(json.loads(line)["call_id"] == "two" for line in out.splitlines())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_lines_for_people_and_a_summary(watcher: Start, tmp_path: Path, number: signal.Signals) -> None:
    store = tmp_path / "kept.db"
    watch = watcher(config(tmp_path), "--store", str(store))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as agent:
        for data in (*packets(("bad", THEIRS)), b"\2\x10 of HEP 2"):
            agent.sendto(data, (HERE, watch.port))
        assert watch.line().split()[:3] == ["#", "time", "verdict"]
        assert "blocked" in watch.line()
        status, out, err = watch.stop(number)
    assert status == 0
    text = [" ".join(line.split()) for line in out.splitlines()]
    assert any(line.startswith("packets 8, ") for line in text)
    assert "calls 1: 1 blocked" in text
    assert err.splitlines() == [
        f"guard: agent {HERE}: HEP version 2: only version 3 is read",
        "guard: 1 packets that are no HEPv3",
    ]
    with SqliteReader(str(store)) as reader:
        assert [r.call_id for r in reader.records(Query(all=True))] == ["bad"]


def test_a_stream_of_something_else_is_closed(watcher: Start, tmp_path: Path) -> None:
    watch = watcher(config(tmp_path), "--json")
    with socket.create_connection((HERE, watch.port)) as agent:
        agent.settimeout(PATIENCE)
        agent.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert agent.recv(1) == b""
    status, out, err = watch.stop()
    assert (status, out) == (0, "")
    assert f"guard: agent {HERE}: no HEP3 at the beginning" in err


@pytest.mark.parametrize(
    ("words", "status", "what"),
    [
        (["--listen=udp:nowhere:9060"], 2, '"udp:nowhere:9060" is no address to listen on'),
        (["--listen=sctp:127.0.0.1:9060"], 2, '"sctp:127.0.0.1:9060" is no address to listen on'),
        (["--listen=udp:192.0.2.77:9060"], 1, "udp:192.0.2.77:9060: Cannot assign requested address"),
    ],
)
def test_an_address_that_cannot_be_had(words: list[str], status: int, what: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "guard.cli.main", "watch", "-c", str(config(tmp_path)), *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (status, "")
    assert ran.stderr.startswith(f"guard: {what}")


class Phone:
    """One end of a call, a plain UDP socket."""

    def __init__(self, host: str) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((host, 0))
        self.host, self.port = host, int(self.sock.getsockname()[1])

    @property
    def contact(self) -> str:
        return f"<sip:{self.host}:{self.port}>"

    def next(self, what: bytes, patience: float = PATIENCE) -> Message:
        """The next message that begins so; others are passed over."""
        self.sock.settimeout(patience)
        while True:
            data = self.sock.recv(65_535)
            if data.startswith(what):
                return parse(data)

    def call(self, proxy: tuple[str, int], call_id: str, caller: str) -> None:
        """INVITE, until the proxy says that it has it."""
        data = request(
            uri=f"sip:0612345678@{proxy[0]}:{proxy[1]}", caller=f"<sip:{caller}@{self.host}>", call_id=call_id,
            branch=call_id, host=self.host, port=self.port, contact=self.contact,
        )  # fmt: skip
        for _ in range(40):
            self.sock.sendto(data, proxy)
            try:
                self.next(b"SIP/2.0 100", 0.25)
            except (TimeoutError, ConnectionRefusedError):
                continue
            return
        raise TimeoutError("the proxy says nothing")

    def says(self, method: str, m: Message, proxy: tuple[str, int], cseq: int) -> None:
        """A request within the dialog of a 2xx."""
        route = "".join(f"Route: <{r.uri.decode()}>\r\n" for r in reversed(m.routes(b"record-route")))
        call_id = m.call_id().decode()
        data = request(
            method, m.routes(b"contact")[0].uri.decode(), caller=f"<{m.from_().uri.decode()}>", call_id=call_id,
            to=f"<{m.to().uri.decode()}>", to_tag=(m.to().tag or b"").decode(), branch=f"{call_id}{method}",
            host=self.host, port=self.port, cseq=cseq, more=route,
        )  # fmt: skip
        self.sock.sendto(data, proxy)

    def answers(self, m: Message, status: int, proxy: tuple[str, int]) -> None:
        self.sock.sendto(reply(m, status, contact=self.contact), proxy)


def real(folder: Path, port: int) -> Path:
    """The configuration for a Kamailio in the guard's place."""
    conf = config(folder)
    text = conf.read_text("utf-8")
    for old, new in ((PBX, CALLER), (f"{GUARD}:5060", f"{HERE}:{port}"), (OPERATOR, CALLEE)):
        text = text.replace(old, new)
    conf.write_text(text + PASSWORD, encoding="utf-8")
    return conf


def test_calls_through_a_kamailio_that_mirrors_them(watcher: Start, tmp_path: Path) -> None:
    program = need("kamailio", "kamailio")
    port = free_port(HERE)
    watch, proxy = watcher(real(tmp_path, port), "--json"), (HERE, port)
    caller, callee = Phone(CALLER), Phone(CALLEE)
    with (
        caller.sock,
        callee.sock,
        kamailio(
            program, tmp_path, here=f"{HERE}:{port}", there=f"{CALLEE}:{callee.port}", collector=f"{HERE}:{watch.port}"
        ),
    ):
        for call_id, number in (("good", MINE), ("bad", THEIRS)):
            caller.call(proxy, call_id, number)
            invite = callee.next(b"INVITE")
            callee.answers(invite, 180, proxy)
            callee.answers(invite, 200, proxy)
            answer = caller.next(b"SIP/2.0 200")
            caller.says("ACK", answer, proxy, 1)
            callee.next(b"ACK")
            caller.says("BYE", answer, proxy, 2)
            callee.answers(callee.next(b"BYE"), 200, proxy)
            caller.next(b"SIP/2.0 200")
        seen: dict[str, dict[str, Any]] = {}
        while len(seen) < 2 or seen["good"]["outcome"] is None:
            found = watch.object()
            seen[found["call_id"]] = found
        status, _, err = watch.stop()
    # The second call went through all the same: nothing that watches stands in anybody's way.
    assert (seen["good"]["verdict"], seen["good"]["outcome"], seen["good"]["final_status"]) == (
        "allowed",
        "answered",
        200,
    )
    assert (seen["bad"]["verdict"], seen["bad"]["findings"][0]["rule"]) == ("blocked", "cli.not-authorised")
    assert (seen["good"]["source"], seen["good"]["caller"], seen["good"]["callee"]) == ("pbx", MINE, "+33612345678")
    assert (status, err) == (0, "")
