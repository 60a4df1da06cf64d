"""sipp as IPBX and operator: many calls, all complete, over UDP and TCP, and no storm of retransmissions."""

from __future__ import annotations

import csv
import subprocess
import time
from pathlib import Path

import pytest

from sim.daemon import Daemon
from sim.ports import free_port
from sim.site import CUSTOMER, GUARD, IPBX, OPERATOR, Site
from tests.live.world import need, read_log

pytestmark = pytest.mark.live

SCENARIOS = Path(__file__).parent / "scenarios"
CALLS = 400
RATE = 80  # calls a second
PATIENCE = 60  # seconds for all of them


def start(sipp: str, name: str, folder: Path, host: str, port: int, *more: str) -> subprocess.Popen[str]:
    """One sipp with its scenario; its figures go to `<name>.csv`."""
    stats = folder / f"{name}.csv"
    words = [sipp, *more, "-sf", str(SCENARIOS / f"{name}.xml"), "-i", host, "-p", str(port), "-m", str(CALLS)]
    words += ["-nostdin", "-trace_stat", "-stf", str(stats), "-fd", "1", "-timeout", str(PATIENCE), "-timeout_error"]
    return subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def figures(folder: Path, name: str) -> dict[str, str]:
    """The last line of sipp's figures."""
    with (folder / f"{name}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter=";"))[-1]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_every_call_of_sipp_completes(tmp_path: Path, transport: str) -> None:
    sipp = need("sipp", "sip-tester")
    site = Site(
        folder=tmp_path,
        port=free_port(GUARD),
        trunk_port=free_port(OPERATOR),
        pbx_port=free_port(IPBX),
        trunk_transport=transport,
        channels=CALLS,
        cps=CALLS,
    )
    site.write()
    daemon = Daemon(site.config)
    running: list[subprocess.Popen[str]] = []
    try:
        daemon.wait_ready()
        mode = ("-t", "u1" if transport == "udp" else "t1")
        operator = start(sipp, "operator", tmp_path, OPERATOR, site.trunk_port, *mode)
        running.append(operator)
        _listening(transport, OPERATOR, site.trunk_port, operator)
        guard = f"{GUARD}:{site.port}"
        ipbx = start(sipp, "ipbx", tmp_path, IPBX, site.pbx_port, guard, *mode, "-s", CUSTOMER, "-r", str(RATE))
        running.append(ipbx)
        said = [p.communicate(timeout=PATIENCE + 10)[0] for p in (ipbx, operator)]
        assert (ipbx.returncode, operator.returncode) == (0, 0), "\n".join(said)[-2000:]
    finally:
        for process in running:
            process.kill()
            process.communicate()
        status = daemon.stop()
    assert status == 0
    for name in ("ipbx", "operator"):
        found = figures(tmp_path, name)
        assert int(found["SuccessfulCall(C)"]) == CALLS
        assert int(found["FailedCall(C)"]) == 0
        assert int(found["Retransmissions(C)"]) < CALLS // 2  # a machine that stalls for a second is late for a tenth
    log = read_log(site)
    assert len(log) == CALLS
    assert {(r["verdict"], r["outcome"], r["final_status"], r["presented"]) for r in log} == {
        ("allowed", "answered", 200, "+33145678901")
    }


def _listening(transport: str, host: str, port: int, process: subprocess.Popen[str]) -> None:
    """Wait until the kernel has the socket."""
    table = Path(f"/proc/net/{transport}")
    octets = "".join(f"{int(o):02X}" for o in reversed(host.split(".")))
    until = time.monotonic() + 10
    while f"{octets}:{port:04X}" not in table.read_text(encoding="ascii"):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until, "sipp does not listen"
        time.sleep(0.05)
