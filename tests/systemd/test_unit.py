"""The Debian package on a real systemd: PID 1 of a machine of its own (tests/systemd/machine.py). `make systemd-test`
puts the package's path into GUARD_DEB and runs this there."""

from __future__ import annotations

import asyncio
import grp
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from sim.ports import free_port
from sim.site import GUARD, IPBX, OPERATOR, Site
from tests.apprig import FOREIGN, Peer
from tests.proxy.world import reply
from tests.traffic import PACE, Traffic

NAME: Final = "sip-guard"
CONFIG: Final = Path("/etc/guard/guard.toml")
STATUS: Final = re.compile(r"\d+\.\d calls/s, \d+ calls, policy (sha256:[0-9a-f]+)")
PATIENCE: Final = 90.0  # s
WATCHDOG: Final = 20  # s, WatchdogSec of the unit


def run(*command: str) -> str:
    """A command that has to succeed; what it says."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}{told()}"
    return done.stdout + done.stderr


def shown(name: str, unit: str = NAME) -> str:
    """A property of a unit, as systemd has it."""
    return run("systemctl", "show", "--property", name, "--value", unit).strip()


def journal(*matches: str) -> list[dict[str, str]]:
    """What the journal has of the guard's service, all lives of it."""
    said = subprocess.run(
        ["journalctl", "--unit", NAME, "--output", "json", "--no-pager", *matches],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [json.loads(line) for line in said.stdout.splitlines()]


def told() -> str:
    """The last of it, to read."""
    return subprocess.run(
        ["journalctl", "--unit", NAME, "--lines", "20", "--no-pager"], capture_output=True, text=True, check=True
    ).stdout


def until(found: Callable[[], bool], what: str) -> None:
    """Wait for it."""
    end = time.monotonic() + PATIENCE
    while not found():
        assert time.monotonic() < end, f"{what}: never\n{told()}"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def package() -> Path:
    assert Path("/proc/1/comm").read_text() == "systemd\n", "make systemd-test runs this where PID 1 is systemd"
    found = Path(os.environ["GUARD_DEB"])
    run("dpkg", "--force-unsafe-io", "-i", str(found))
    assert shown("ActiveState") == "inactive", "a first installation starts nothing"
    return found


class Started:
    """The service, between an IPBX and an operator."""

    def __init__(self) -> None:
        port = free_port(GUARD)
        self.pbx, self.operator = Peer(IPBX, (GUARD, port)), Peer(OPERATOR, (GUARD, port))
        self.site = Site(
            folder=CONFIG.parent, port=port, trunk_port=self.operator.port, pbx_port=self.pbx.port, channels=5000,
            cps=1000, store="/var/lib/guard/guard.db",
        )  # fmt: skip
        self.site.write()
        run("systemctl", "start", NAME)

    def carries(self, number: int = 1) -> None:
        """A call goes through to its answer."""

        async def scene() -> None:
            self.pbx.invite(number)
            await self.answered(number)

        asyncio.run(scene())

    async def answered(self, number: int) -> None:
        """The operator gets a call and takes it, and the caller hears so."""
        m = await self.operator.next("INVITE", number=number)
        self.operator.send(reply(m, 200, contact=f"<sip:{OPERATOR}:{self.operator.port}>"))
        await self.pbx.next("200", number=number)

    def close(self) -> None:
        run("systemctl", "stop", NAME)
        self.pbx.sock.close()
        self.operator.sock.close()


@pytest.fixture
def service(package: Path) -> Iterator[Started]:
    found = Started()
    yield found
    found.close()


def test_it_starts_tells_its_status_carries_a_call_and_stops(service: Started) -> None:
    assert (shown("ActiveState"), shown("SubState"), shown("NRestarts")) == ("active", "running", "0")
    assert int(shown("NFileDescriptorStore")) == 2, "its UDP socket and its TCP one are kept"
    service.carries()
    before = shown("StatusText")
    assert STATUS.fullmatch(before)
    until(lambda: ", 1 calls, " in shown("StatusText"), "the call in the status")
    said = run("systemctl", "status", "--no-pager", NAME)
    assert f'Status: "{shown("StatusText")}"' in said or ", 1 calls, policy sha256:" in said
    run("systemctl", "stop", NAME)
    assert (shown("ActiveState"), shown("Result"), shown("ExecMainStatus")) == ("inactive", "success", "0")
    assert shown("NFileDescriptorStore") == "0"


def test_its_walls_stand(service: Started) -> None:
    """What the unit says of rights is what the process has."""
    pid = shown("MainPID")
    status = dict(re.findall(r"^(\w+):\s+(.*)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE))
    assert status["Uid"].split() == [str(pwd.getpwnam(NAME).pw_uid)] * 4
    assert status["Gid"].split() == [str(grp.getgrnam(NAME).gr_gid)] * 4
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE), "memory holds keys, and who called whom"
    assert re.search(r"^Max open files +16384 +16384 ", limits, re.MULTILINE)
    inside = ["nsenter", "--target", pid, "--mount", "--", "/bin/sh", "-c"]
    for path in ("/usr", "/etc", "/var/lib", "/home", "/root", "/boot"):
        tried = subprocess.run([*inside, f"touch {path}/x"], capture_output=True, text=True, check=False)
        assert "Read-only file system" in tried.stderr, (path, tried.stderr)
    run(*inside, "touch /var/lib/guard/x && rm /var/lib/guard/x")
    own = ["setpriv", f"--reuid={NAME}", f"--regid={NAME}", "--clear-groups", "touch", "/etc/guard/x"]
    assert "Permission denied" in subprocess.run(own, capture_output=True, text=True, check=False).stderr
    assert run(*inside, "ls /home /root /tmp | wc -l").strip() == "5", "three names, two blank lines, nothing in them"


def test_a_reload_puts_the_new_configuration_in_force(service: Started) -> None:
    pid = shown("MainPID")

    def policy() -> str:
        found = STATUS.fullmatch(shown("StatusText"))
        assert found
        return found[1]

    first = policy()
    service.site.line_calls = 7
    service.site.write()
    run("systemctl", "reload", NAME)
    until(lambda: policy() != first, "another policy")
    second = policy()
    service.site.config.write_text("nonsense =")
    run("systemctl", "reload", NAME)
    until(lambda: any("guard.toml" in x["MESSAGE"] and x["PRIORITY"] < "5" for x in journal()), "a mistake told")
    assert shown("ActiveState") == "active"
    assert policy() == second
    assert shown("MainPID") == pid
    service.carries()


def test_a_restart_under_traffic_loses_no_call(service: Started) -> None:
    pid = shown("MainPID")
    traffic = asyncio.run(meanwhile(service, "systemctl", "restart", NAME))
    assert shown("MainPID") != pid
    assert len(traffic.heard) == 200
    assert traffic.statuses == {100, 200}
    run("systemctl", "stop", NAME)
    last = [x["MESSAGE"] for x in journal() if x["MESSAGE"].startswith("stopped: ")][-1]
    assert "sockets_taken 2" in last


async def meanwhile(service: Started, *command: str) -> Traffic:
    """200 calls, 50 a second; a command once 50 of them are placed."""
    traffic = Traffic(service.pbx, service.operator)
    async with traffic.flowing():
        placing = asyncio.create_task(traffic.place(1, 200))
        while traffic.placed < 50:
            await asyncio.sleep(PACE)
        await asyncio.to_thread(run, *command)
        await placing
    return traffic


def test_a_killed_guard_comes_back_and_hears_what_came_meanwhile(service: Started) -> None:
    os.kill(int(shown("MainPID")), signal.SIGKILL)
    service.pbx.invite(1)

    async def scene() -> None:
        await service.answered(1)

    asyncio.run(scene())
    assert shown("NRestarts") == "1"


def test_a_frozen_guard_is_killed_by_the_watchdog_and_comes_back(service: Started) -> None:
    pid = int(shown("MainPID"))
    frozen = time.monotonic()
    os.kill(pid, signal.SIGSTOP)
    service.pbx.invite(1)
    until(lambda: shown("NRestarts") == "1" and shown("ActiveState") == "active", "another life")
    assert time.monotonic() - frozen < 2 * WATCHDOG
    asyncio.run(service.answered(1))
    assert any("Watchdog timeout" in x["MESSAGE"] for x in journal(f"INVOCATION_ID={invocation(pid)}"))


def invocation(pid: int) -> str:
    """The life of the service whose main process that was."""
    return next(x["_SYSTEMD_INVOCATION_ID"] for x in journal(f"_PID={pid}") if "_SYSTEMD_INVOCATION_ID" in x)


def test_the_journal_leads_to_the_record_of_a_refused_call(service: Started) -> None:
    service.pbx.invite(7, caller=FOREIGN)

    async def scene() -> int:
        return (await service.pbx.final(7)).status

    assert asyncio.run(scene()) == 403
    until(lambda: bool(journal("GUARD_CALL_ID=call7")), "the line")
    (line,) = journal("GUARD_CALL_ID=call7")
    assert (line["GUARD_SOURCE"], line["GUARD_TRUNK"], line["SYSLOG_IDENTIFIER"]) == ("pbx", "operator", "guard")
    assert line["GUARD_KIND"] == f"refused by {line['GUARD_RULE']}"
    assert line["_SYSTEMD_UNIT"] == f"{NAME}.service"
    assert line["GUARD_RULE"] in run("guard", "explain", "-c", str(CONFIG), f"#{line['GUARD_RECORD']}")


def test_the_page_is_a_service_of_its_own(service: Started) -> None:
    run("systemctl", "start", f"{NAME}-web")

    def served() -> bool:
        try:
            with urllib.request.urlopen("http://127.0.0.1:8080/", timeout=5) as answer:
                return bool(answer.status == 200)
        except (TimeoutError, urllib.error.URLError):
            return False

    until(served, "the page")
    assert shown("ActiveState", f"{NAME}-web") == "active"
    run("systemctl", "stop", f"{NAME}-web")
    assert shown("Result", f"{NAME}-web") == "success"
    service.carries()


def test_an_upgrade_under_traffic_loses_no_call(service: Started, package: Path) -> None:
    pid = shown("MainPID")
    mine = CONFIG.read_bytes()
    traffic = asyncio.run(meanwhile(service, "dpkg", "--force-unsafe-io", "-i", str(package)))
    assert shown("MainPID") != pid
    assert CONFIG.read_bytes() == mine
    assert traffic.statuses == {100, 200}


def test_it_leaves(package: Path) -> None:
    """The last one: stopped, and no unit of it is left; the log stays."""
    site = Site(folder=CONFIG.parent, port=free_port(GUARD), trunk_port=9, pbx_port=9, store="/var/lib/guard/guard.db")
    site.write()
    run("systemctl", "enable", "--now", NAME)
    assert shown("ActiveState") == "active"
    run("dpkg", "-P", NAME)
    assert (shown("ActiveState"), shown("LoadState")) == ("inactive", "not-found")
    assert not list(Path("/etc/systemd/system").rglob("*sip-guard*"))
    assert shutil.which("guard", path="/usr/bin") is None
    assert Path("/var/lib/guard/guard.db").exists()
