"""`guard run` as a process: what ends it, with which status, and the one line that says why it cannot start."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from sim.daemon import Daemon
from sim.ports import free_port
from sim.site import GUARD, Site

PATIENCE = 30  # seconds


@pytest.fixture
def site(tmp_path: Path) -> Site:
    found = Site(folder=tmp_path, port=free_port(GUARD), trunk_port=5060, pbx_port=5060)
    found.write()
    return found


def guard_run(site: Site) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "guard.cli.main", "run", "-c", str(site.config)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def refused(site: Site) -> str:
    """The one line of a guard that does not start, with status 1."""
    done = guard_run(site)
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(site: Site, number: signal.Signals) -> None:
    daemon = Daemon(site.config)
    try:
        daemon.wait_ready()
        os.kill(daemon.pid, number)
        assert daemon.process.wait(PATIENCE) == 0
        assert daemon.stop() == 0
    finally:
        daemon.kill()
    assert [line.split(" INFO ")[-1].split(":")[0] for line in daemon.lines] == ["ready", "stopped"]
    ready = daemon.lines[0]
    for told in (
        f"udp {GUARD}:{site.port}",
        f"tcp {GUARD}:{site.port}",
        "mode enforce",
        "1 trunk",
        "1 source",
        "guard.db",
    ):
        assert told in ready
    with sqlite3.connect(site.folder / "guard.db") as log:
        assert log.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    log.close()


def test_what_comes_over_the_wire_cannot_forge_its_log(site: Site) -> None:
    daemon = Daemon(site.config)
    try:
        daemon.wait_ready()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind(("127.0.0.2", 0))
            peer.settimeout(PATIENCE)
            evil = "\x1b[2Jx\r\n Jan  1 00:00:00 guard: ready"
            peer.sendto(f"OPTIONS sip:{evil} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2:{peer.getsockname()[1]}\r\n\r\n".encode(), (GUARD, site.port))  # fmt: skip  # noqa: E501
            peer.sendto(
                f"OPTIONS sip:{GUARD}:{site.port} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2;rport;branch=z9hG4bKx\r\n"
                "Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:b>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n"
                "Content-Length: 0\r\n\r\n".encode(),
                (GUARD, site.port),
            )
            while not peer.recv(65_535).startswith(b"SIP/2.0 200"):
                pass
        assert daemon.stop() == 0
    finally:
        daemon.kill()
    assert len(daemon.lines) == 2
    assert all(line.isprintable() for line in daemon.lines)


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_port_in_use(site: Site, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind((GUARD, site.port))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        assert refused(site) == f"guard: cannot listen on {GUARD}:{site.port}: Address already in use"


def test_an_address_that_is_not_ours(site: Site) -> None:
    text = site.config.read_text().replace(f'udp = ["{GUARD}', 'udp = ["192.0.2.1')
    site.config.write_text(text)
    assert refused(site).startswith(f"guard: cannot listen on 192.0.2.1:{site.port}: ")


def test_a_next_hop_without_an_address(site: Site) -> None:
    site.config.write_text(site.config.read_text().replace("sip:127.0.0.3:", "sip:no-such-host.invalid:"))
    line = refused(site)
    assert str(site.config) in line
    assert 'trunk[1].next_hop: "no-such-host.invalid" has no address' in line


@pytest.mark.parametrize(
    ("store", "why"),
    [
        ("guard.toml/guard.db", "guard.toml"),  # its folder is a file
        ("consents", "consents"),  # it is a folder
        ("consents/acme.txt", "not a log of the guard"),
        ("/proc/guard/guard.db", "/proc/guard"),  # where nobody may write, root neither
    ],
)
def test_a_log_that_cannot_be_written(site: Site, store: str, why: str) -> None:
    site.store = store
    site.write()
    assert why in refused(site)


def test_another_program_s_database_is_left_alone(site: Site) -> None:
    path = site.folder / "guard.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    before = path.read_bytes()
    assert "another program's database" in refused(site)
    assert path.read_bytes() == before


def test_a_second_guard_on_the_same_log(site: Site) -> None:
    daemon = Daemon(site.config)
    try:
        daemon.wait_ready()
        site.port = free_port(GUARD)
        site.write()
        assert "guard.db" in refused(site)
        assert daemon.stop() == 0
    finally:
        daemon.kill()


def test_every_mistake_of_a_configuration_is_told_at_once(site: Site) -> None:
    site.config.write_text(site.config.read_text().replace('mode = "enforce"', 'mode = "enforced"\nsit = "x"'))
    done = guard_run(site)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 2
    assert "Traceback" not in done.stderr
