"""The unit file: accepted by systemd itself, and still saying what operations rest on."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from guard.config import load
from guard.configschema import Store
from guard.net.stream import MAX_CONNECTIONS

FOLDER = Path(__file__).parent.parent / "systemd"
UNIT = FOLDER / "sip-guard.service"
WEB = FOLDER / "sip-guard-web.service"
UNITS = (UNIT, WEB)
EXPOSURE = 15  # tenths
PROGRAM = "/opt/sip-guard/bin/guard"

Unit = dict[str, dict[str, list[str]]]


def read(file: Path) -> Unit:
    """Sections, keys and all values of each key (configparser knows no repeated keys)."""
    found: Unit = {}
    section = ""
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            assert line.endswith("]"), number
            section = line[1:-1]
            found[section] = {}
            continue
        key, equals, value = line.partition("=")
        assert equals, f"line {number}: {line}"
        assert key.isalnum(), f"line {number}: {line}"
        found[section].setdefault(key, []).append(value)
    return found


@pytest.fixture(scope="module")
def unit() -> Unit:
    """The daemon's."""
    return read(UNIT)


def analyzed(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What systemd itself says of units."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.fail("systemd-analyze is missing: sudo apt-get install systemd", pytrace=False)
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_accepts_the_units(tmp_path: Path, path: Path) -> None:
    """`systemd-analyze verify`, with a program that is there."""
    assert list(read(path)) == ["Unit", "Service", "Install"]
    text = path.read_text(encoding="utf-8")
    assert text.count(PROGRAM) == 1
    copy = tmp_path / path.name
    copy.write_text(text.replace(PROGRAM, sys.executable), encoding="utf-8")
    done = analyzed("verify", "--man=no", str(copy))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_what_an_intruder_could_do_from_inside(path: Path) -> None:
    """`systemd-analyze security`: 10 is a root shell, 0 is nothing at all."""
    done = analyzed("security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", str(path))
    assert done.returncode == 0, done.stdout


def test_a_restart_keeps_the_sockets(unit: Unit) -> None:
    service = unit["Service"]
    assert int(service["FileDescriptorStoreMax"][0]) >= 16
    assert service["RestartKillSignal"] == [signal.SIGUSR2.name]
    assert service["KillMode"] == ["mixed"], "`guard web` beside it would get that signal too"


def test_it_comes_back_whatever_happens(unit: Unit) -> None:
    service = unit["Service"]
    assert service["Type"] == ["notify"]
    assert service["Restart"] == ["always"]
    assert unit["Unit"]["StartLimitIntervalSec"] == ["0"]
    assert int(service["WatchdogSec"][0]) > 0
    assert int(service["OOMScoreAdjust"][0]) < 0


def test_it_may_do_what_the_guard_does_and_no_more(unit: Unit) -> None:
    service = unit["Service"]
    assert service["CapabilityBoundingSet"] == service["AmbientCapabilities"] == [""]
    assert service["ProtectSystem"] == ["strict"]
    assert service["RestrictAddressFamilies"] == ["AF_INET AF_INET6 AF_UNIX"]
    # what asks for less, and for a shorter turn (realtime stays forbidden), and what tells which memory is in use
    own = "sched_setscheduler sched_setattr mincore"
    assert service["SystemCallFilter"] == ["@system-service", "~@privileged @resources", own]
    assert Path(Store().path).parent == Path("/var/lib") / service["StateDirectory"][0]
    assert int(service["LimitNOFILE"][0]) > MAX_CONNECTIONS * 2


def test_the_page_is_shut_in_as_the_guard_is_and_calls_come_before_it(unit: Unit) -> None:
    guard, web = unit["Service"], read(WEB)["Service"]
    own = {"Type", "ExecStart", "ExecReload", "RestartSec", "WatchdogSec", "TimeoutStartSec", "TimeoutStopSec",
           "OOMScoreAdjust", "LimitNOFILE", "Nice", "MemoryMax", "TasksMax",
               "FileDescriptorStoreMax", "RestartKillSignal", "KillMode"}  # fmt: skip
    assert guard["SystemCallFilter"][:2] == web["SystemCallFilter"]
    own.add("SystemCallFilter")
    assert {k: v for k, v in web.items() if k not in own} == {k: v for k, v in guard.items() if k not in own}
    assert int(web["OOMScoreAdjust"][0]) > 0 > int(guard["OOMScoreAdjust"][0])
    assert int(web["Nice"][0]) > 0


def test_its_user_is_made(unit: Unit) -> None:
    lines = [
        line.split() for line in (FOLDER / "sip-guard.sysusers").read_text().splitlines() if not line.startswith("#")
    ]
    assert [line[:2] for line in lines] == [["u", unit["Service"]["User"][0]]]


def test_its_folders_are_made(unit: Unit) -> None:
    lines = [
        line.split() for line in (FOLDER / "sip-guard.tmpfiles").read_text().splitlines() if not line.startswith("#")
    ]
    service = unit["Service"]
    mode, user = service["StateDirectoryMode"][0], service["User"][0]
    assert [line[:5] for line in lines] == [
        ["d", f"/etc/{service['ConfigurationDirectory'][0]}", mode, "root", user],
        ["z", "/etc/guard/guard.toml", "0640", "root", user],
        ["d", f"/var/lib/{service['StateDirectory'][0]}", mode, user, user],
    ]


def test_the_package_has_what_the_units_need() -> None:
    """`make deb-test` tries it for real."""
    package = FOLDER / "deb"
    for script in ("postinst", "prerm", "postrm"):
        subprocess.run(["sh", "-n", str(package / script)], check=True)
    assert load(package / "guard.toml").sources


def test_the_manual_names_what_is_there() -> None:
    text = (FOLDER.parent / "docs" / "operations.md").read_text(encoding="utf-8")
    for name in (
        "systemd/sip-guard.service",
        "systemd/sip-guard-web.service",
        "systemd/sip-guard.sysusers",
        "systemd/sip-guard.tmpfiles",
        PROGRAM,
        "/etc/guard/guard.toml",
    ):
        assert name in text
