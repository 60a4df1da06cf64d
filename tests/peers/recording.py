"""Captures of what peers say to a guard, kept as replay cases: `GUARD_RECORD=1 pytest tests/peers` writes them anew.

Beside each capture stands what a replay needs and must find: the site, the peers' versions, the records. It is written
only when the replay decides as the live guard did.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any, Final

from guard.cli.main import main
from sim.site import GUARD, Site
from tests.live.capture import dumpcap
from tests.live.world import Record

FOLDER: Final = Path(__file__).parents[1] / "capture" / "peers"
DECIDED: Final = (
    *("call_id", "source", "trunk", "line", "direction", "caller", "presented", "callee", "usage", "verdict"),
    *("response", "outcome", "final_status"),
)
SLACK_MS: Final = 60  # the kernel stamps a packet before the guard reads it
VERSIONS: Final = {"kamailio": ["kamailio", "-v"], "baresip": ["baresip", "-h"], "sipp": ["sipp", "-v"]}
PEERS: Final = {  # who speaks in a capture, by the first word of its name
    "sipp": ("sipp",),
    "kamailio": ("kamailio", "sipp"),
    "baresip": ("baresip", "kamailio"),
    "pyvoip": ("pyVoIP", "baresip", "kamailio"),
}


def run(*words: str) -> list[Record]:
    """What a command of guard prints as JSON, without a process of its own."""
    with redirect_stdout(StringIO()) as printed:
        assert main(list(words)) == 0
    return [json.loads(line) for line in printed.getvalue().splitlines()]


def replayed(capture: Path, site: Site) -> list[Record]:
    """The records of a capture."""
    store = site.folder / f"{capture.stem}.db"
    found = run("replay", str(capture), "-c", str(site.config), "--json", "--store", str(store))
    return [r for r in found if "call_id" in r]


def essence(record: Record) -> dict[str, Any]:
    """What was decided and what became of it, without what tells one log from another."""
    rules = [(f["rule"], f["action"], f["mode"]) for f in record["findings"]]
    return {**{name: record[name] for name in DECIDED}, "findings": [list(r) for r in rules]}


def lasted(record: Record) -> tuple[int, int]:
    return record["ring_ms"] or 0, record["talk_ms"] or 0


def recorder(name: str, site: Site) -> AbstractContextManager[None]:
    """A context that records what the guard of `site` says and hears, where that is asked for."""
    return _recorded(name, site) if name and os.environ.get("GUARD_RECORD") else nullcontext()


@contextmanager
def _recorded(name: str, site: Site) -> Iterator[None]:
    FOLDER.mkdir(exist_ok=True)
    capture = FOLDER / f"{name}.pcap"
    with dumpcap(capture, [site.port, site.trunk_port], host=GUARD, form="pcap"):
        yield
    capture.chmod(0o644)
    lived = run("log", "-c", str(site.config), "--all", "--json")
    found = replayed(capture, site)
    assert [essence(r) for r in found] == [essence(r) for r in lived]
    for mine, theirs in zip(found, lived, strict=True):
        assert all(abs(a - b) <= SLACK_MS for a, b in zip(lasted(mine), lasted(theirs), strict=True))
    case = {
        "peers": {peer: _version(peer) for peer in PEERS[name.partition("-")[0]]},
        "config": site.config.read_text("utf-8"),
        "records": [{**essence(r), "ring_ms": r["ring_ms"], "talk_ms": r["talk_ms"]} for r in found],
    }
    (FOLDER / f"{name}.json").write_text(json.dumps(case, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _version(peer: str) -> str:
    if peer not in VERSIONS:
        return version(peer)
    said = subprocess.run(VERSIONS[peer], capture_output=True, text=True, check=False)
    found = re.search(r"v?\d+\.\d+(?:\.\d+)?", said.stdout + said.stderr)
    assert found is not None, said
    return found.group().lstrip("v")
