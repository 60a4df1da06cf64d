"""The guard as systemd sees it: what it is told, and that a restart loses no packet. The test plays systemd, the guard
is a real process."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sim.ports import free_port
from sim.site import GUARD, IPBX, OPERATOR, Site
from tests.apprig import Peer
from tests.supervisor import Supervisor
from tests.traffic import PACE, TALK, Traffic


class Service:
    """A guard under systemd, between an IPBX and an operator that answers every call."""

    def __init__(self, folder: Path) -> None:
        port = free_port(GUARD)
        self.pbx = Peer(IPBX, (GUARD, port))
        self.operator = Peer(OPERATOR, (GUARD, port))
        self.site = Site(
            folder=folder, port=port, trunk_port=self.operator.port, pbx_port=self.pbx.port, channels=5000, cps=1000
        )
        self.systemd = Supervisor(folder, self.site.write())

    def close(self) -> None:
        self.systemd.close()
        self.pbx.sock.close()
        self.operator.sock.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    found = Service(tmp_path)
    yield found
    found.close()


def test_what_systemd_hears_from_start_to_stop(service: Service) -> None:
    systemd = service.systemd
    systemd.start(watchdog_s=2)
    ready = systemd.ready()
    assert re.fullmatch(r"0\.0 calls/s, 0 calls, policy sha256:[0-9a-f]+", ready["STATUS"])
    sign = systemd.until(lambda notice: "WATCHDOG" in notice)
    assert sign["WATCHDOG"] == "1"
    assert "calls/s" in sign["STATUS"]
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert systemd.process is not None
    systemd.process.send_signal(signal.SIGHUP)
    reloading = systemd.until(lambda notice: notice.get("RELOADING") == "1")
    assert before <= int(reloading["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    systemd.ready()
    assert systemd.end(signal.SIGTERM) == 0
    stopping = systemd.until(lambda notice: notice.get("STOPPING") == "1")
    assert int(stopping["EXTEND_TIMEOUT_USEC"]) > 0
    while systemd.hear():
        assert "READY" not in systemd.said[-1]


def test_a_mistake_at_reload_ends_the_reload(service: Service) -> None:
    """Else systemd would wait for its end, and then end the service."""
    systemd = service.systemd
    systemd.start()
    status = systemd.ready()["STATUS"]
    service.site.config.write_text("nonsense =")
    assert systemd.process is not None
    systemd.process.send_signal(signal.SIGHUP)
    systemd.until(lambda notice: notice.get("RELOADING") == "1")
    assert systemd.ready()["STATUS"].rpartition(" ")[2] == status.rpartition(" ")[2]
    assert systemd.end(signal.SIGTERM) == 0


def test_a_policy_that_was_just_put_in_force_is_not_said_to_fail(service: Service) -> None:
    systemd = service.systemd
    systemd.start()
    before = systemd.ready()["STATUS"]
    service.site.line_calls = 7
    service.site.write()
    assert systemd.process is not None
    systemd.process.send_signal(signal.SIGHUP)
    systemd.until(lambda notice: notice.get("RELOADING") == "1")
    after = systemd.until(lambda notice: notice.get("READY") == "1")["STATUS"]
    assert re.fullmatch(r"\d+\.\d calls/s, 0 calls, policy sha256:[0-9a-f]+", after)
    assert after.rpartition(" ")[2] != before.rpartition(" ")[2]
    assert systemd.end(signal.SIGTERM) == 0


def test_a_guard_that_hangs_gives_no_sign_of_life(service: Service) -> None:
    systemd = service.systemd
    pid = systemd.start(watchdog_s=2)
    systemd.until(lambda notice: "WATCHDOG" in notice)
    os.kill(pid, signal.SIGSTOP)
    while systemd.hear():  # what was on its way
        pass
    count = len(systemd.said)
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        systemd.hear()
    assert systemd.said[count:] == []
    os.kill(pid, signal.SIGCONT)
    late = systemd.until(lambda notice: "STATUS" in notice)
    assert "WATCHDOG" not in late, "decided too late"
    systemd.until(lambda notice: "WATCHDOG" in notice)
    assert systemd.end(signal.SIGTERM) == 0


def test_the_sockets_of_every_listener_are_kept(service: Service) -> None:
    systemd = service.systemd
    systemd.start()
    systemd.ready()
    port = service.site.port
    assert sorted(systemd.kept) == [f"tcp-{GUARD}-{port}", f"udp-{GUARD}-{port}"]
    kept = [n for n in systemd.said if n.get("FDSTORE") == "1"]
    assert [n["FDPOLL"] for n in kept] == ["0", "0"], "an ICMP error would end the keeping"
    assert systemd.end(signal.SIGTERM) == 0


def test_what_comes_between_two_lives_waits_for_the_next_one(service: Service) -> None:
    """Killed, not even stopped: datagrams and a connection that come while nobody runs."""
    systemd, pbx = service.systemd, service.pbx
    systemd.start()
    systemd.ready()
    systemd.end(signal.SIGKILL)
    sent = pbx.invite(1)
    with socket.create_connection((GUARD, service.site.port), timeout=TALK) as waiting:
        waiting.sendall(
            f"OPTIONS sip:{GUARD}:{service.site.port} SIP/2.0\r\nVia: SIP/2.0/TCP {IPBX};branch=z9hG4bKx\r\n"
            "Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:b>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n"
            "Content-Length: 0\r\n\r\n".encode()
        )
        systemd.start()
        systemd.ready()
        invited = asyncio.run(service.operator.next("INVITE"))
        assert invited.call_id() == b"call1"
        assert b"call1" in sent
    names = list(systemd.kept)
    assert len(names) == 2, "kept once, not anew"
    assert systemd.end(signal.SIGTERM) == 0
    assert "sockets_taken 2" in systemd.told()


def test_a_socket_that_nobody_wants_any_more_is_let_go(service: Service) -> None:
    systemd, site = service.systemd, service.site
    systemd.start()
    systemd.ready()
    assert systemd.end(signal.SIGTERM) == 0
    site.port = free_port(GUARD)
    site.write()
    systemd.start()
    systemd.ready()
    assert sorted(systemd.kept) == [f"tcp-{GUARD}-{site.port}", f"udp-{GUARD}-{site.port}"]
    assert systemd.end(signal.SIGTERM) == 0


def test_a_restart_under_traffic_loses_no_call(service: Service) -> None:
    """`systemctl restart`: the signal of RestartKillSignal, then the next life with the same sockets. Every call that
    was begun before, meanwhile and after is answered, and nobody hears that the guard is away."""
    systemd = service.systemd
    systemd.start()
    systemd.ready()

    async def scene() -> Traffic:
        traffic = Traffic(service.pbx, service.operator)
        async with traffic.flowing():
            placing = asyncio.create_task(traffic.place(1, 200))
            while traffic.placed < 50:
                await asyncio.sleep(PACE)
            assert await asyncio.to_thread(systemd.end, signal.SIGUSR2) == 0
            left = traffic.placed
            await asyncio.to_thread(systemd.start)
            await asyncio.to_thread(systemd.ready)
            assert traffic.placed > left, "calls came while nobody ran"
            await placing
        return traffic

    traffic = asyncio.run(scene())
    assert len(traffic.heard) == 200
    assert traffic.statuses == {100, 200}
    assert systemd.end(signal.SIGTERM) == 0
    told = systemd.told()
    assert re.search(r"\bleft [1-9]", told), "some were left to the next life"
    assert "sockets_taken 2" in told
