"""What the first calls need is there before they come: an import on the loop stops every call, also one for help."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.daemon import Daemon
from sim.ports import free_port
from sim.pressure import Pressure
from sim.site import GUARD, Site

pytestmark = [pytest.mark.live]

RATE = 40.0  # calls a second: of many lines, canvassers and diallers among them
SECONDS = 2.0


def test_nothing_is_imported_once_calls_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    address = (GUARD, free_port(GUARD))
    pressure = Pressure(address)
    try:
        pbx, operator = pressure.ports
        site = Site(folder=tmp_path, port=address[1], trunk_port=operator, pbx_port=pbx, channels=1_000, cps=1_000)
        site.write()
        daemon = Daemon(site.config)
        try:
            daemon.wait_ready()
            placed = pressure.run(RATE, SECONDS)
            said = list(daemon.lines)
        finally:
            daemon.stop()
    finally:
        pressure.close()
    assert {c.status for c in placed} >= {200, 403}  # on a busy machine some hear 480
    ready = next(i for i, line in enumerate(said) if " ready: " in line)
    assert any("import time:" in line for line in said[:ready])
    assert [line for line in said[ready:] if "import time:" in line] == []
