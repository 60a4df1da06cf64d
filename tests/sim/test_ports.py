"""Ports for programs yet to start: never one port for two askers, whichever process they ask from."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sim import ports
from sim.ports import free_port

ASKS = "from sim.ports import free_port; print(*[free_port('127.0.0.1') for _ in range(200)])"


@pytest.fixture(autouse=True)
def own_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


def test_processes_that_ask_at_once_are_given_different_ports() -> None:
    asking = [subprocess.Popen([sys.executable, "-c", ASKS], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    given = [port for process in asking for port in process.communicate(timeout=60)[0].split()]
    assert len(given) == len(set(given)) == 800


def test_they_are_none_that_the_kernel_gives_to_others() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    given = [free_port("127.0.0.1") for _ in range(100)]
    assert all(ports.LOW <= port < min(ports.LOW + ports.SPAN, lowest) for port in given)


@pytest.mark.parametrize(
    ("host", "kind"),
    [("127.0.0.1", socket.SOCK_STREAM), ("127.0.0.1", socket.SOCK_DGRAM), ("::1", socket.SOCK_DGRAM)],
)
def test_one_in_use_is_passed_over(monkeypatch: pytest.MonkeyPatch, host: str, kind: int) -> None:
    monkeypatch.setattr(ports, "_turn", iter((7, 7, 8)).__next__)
    first = free_port(host)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as taken:
        taken.bind((host, first))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        assert free_port(host) == ports.LOW + 8 * ports.STEP % ports.SPAN != first


def test_an_address_that_is_not_here_is_told_at_once() -> None:
    with pytest.raises(OSError, match="assign requested address"):
        free_port("192.0.2.1")


def test_the_round_begins_again_and_survives_what_its_file_holds() -> None:
    ports.round_file().write_bytes(b"\xff" * 30)
    assert len({free_port("127.0.0.1") for _ in range(3)}) == 3
    ports.round_file().write_bytes((ports.SPAN - 1).to_bytes(ports.WIDTH, "little"))
    free_port("127.0.0.1")
    assert int.from_bytes(ports.round_file().read_bytes()[: ports.WIDTH], "little") < ports.SPAN - 1
