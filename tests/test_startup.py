"""What a start brings in: counted, since how long it takes is the machine's affair: see `python -m sim startup`."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from guard.callsfile import call_of, path_of, read
from guard.resting import standing
from guard.store.reader import SqliteReader
from sim import startup
from sim.labelled.words import SimError
from sim.ports import free_port
from sim.site import Site
from sim.upcalls import fill_up

# Of what is used only where a configuration names it, or by another command; each takes milliseconds of every start.
UNUSED: Final = (
    "aiomqtt", "cryptography.x509", "dateutil", "dns", "email", "guard.cases", "guard.gathering", "guard.net.mqtt",
    "guard.net.redislink", "guard.web", "hiredis", "holidays", "importlib.metadata", "jinja2", "litestar", "paho",
    "phonenumbers", "redis", "rich", "tomllib", "uvicorn", "zipfile",
)  # fmt: skip
# A word on standard output is the answer; a guard that runs is ended once it takes calls.
SERVE: Final = """
import json, os, signal, sys
from guard.app import App
start = App.start
async def started(app):
    await start(app)
    app.leave()
App.start = started
from guard.cli.main import main
status = main(["run", "-c", sys.argv[1]])
print(json.dumps([status, sorted(sys.modules)]))
"""
COUNTED: Final = """
import gc, json, sys
from guard.app import App
from guard.cli.main import main
from guard.net.garbage import Garbage
start = Garbage.start
def collections():
    return sum(one["collections"] for one in gc.get_stats())
def started(garbage, now):
    seen.extend((collections(), gc.isenabled()))
    start(garbage, now)
    seen.extend((collections(), gc.isenabled()))
    app.leave()
made = App.__init__
def making(self, *args):
    global app
    app = self
    made(self, *args)
App.__init__, Garbage.start = making, started
seen = []
disable = gc.disable
def disabled():
    disable()
    seen.append(collections())
gc.disable = disabled
main(["run", "-c", sys.argv[1]])
assert gc.isenabled()
print(json.dumps([seen[0], seen[1], seen[3], seen[2], seen[4]]))
"""
HELP: Final = """
import json, sys
from guard.cli.main import main
try:
    main(["--help"])
except SystemExit as left:
    print(json.dumps([left.code, sorted(sys.modules)]))
"""


def modules(script: str, *words: str) -> set[str]:
    """Those that a process has when it is done."""
    done = subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout, done.stderr
    status, found = json.loads(done.stdout.splitlines()[-1])
    assert status == 0, done.stderr
    return set(found)


def within(found: set[str], unused: tuple[str, ...]) -> set[str]:
    return {m for m in found if any(m == u or m.startswith(f"{u}.") for u in unused)}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    site = Site(folder=tmp_path, port=free_port("127.0.0.1"), trunk_port=5062, pbx_port=5064)
    return site.write()


def test_a_start_brings_in_nothing_that_is_not_used(config: Path) -> None:
    found = modules(SERVE, str(config))
    assert {"guard.app", "uvloop", "tomli", "sqlite3"} <= found
    assert within(found, UNUSED) == set()


def test_a_start_collects_no_garbage_before_it_takes_calls(config: Path) -> None:
    """Each collection passes through everything that the start has made so far, to find next to nothing."""
    done = subprocess.run(
        [sys.executable, "-c", COUNTED, str(config)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout, done.stderr
    before, at_last, after, off, on = json.loads(done.stdout.splitlines()[-1])
    assert before == at_last == after
    assert (off, on) == (False, True)


def test_help_needs_no_more_than_the_commands_names() -> None:
    found = modules(HELP)
    assert {m for m in found if m.startswith("guard")} <= {
        "guard", "guard.cli", "guard.cli.common", "guard.cli.main", "guard.cli.show"
    }  # fmt: skip
    assert (
        within(found, (*UNUSED, "asyncio", "cryptography", "msgspec", "sqlite3", "ssl", "uvloop", "zoneinfo")) == set()
    )


def test_the_benchmark_starts_everything_in_turns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup, "COMMANDS", startup.COMMANDS[:1])
    startup.run(arguments("--rounds", "1", "--calls", "0", "--up", "20"))
    rows = capsys.readouterr().out.splitlines()
    assert [row[:54].strip() for row in rows[1:]] == [
        startup.BARE, "guard run, to its first call", "the same with 20 calls up", "guard log"
    ]  # fmt: skip
    assert rows[1].count(" 1.0") == 2  # itself, by the clock and of processor time


def test_the_calls_that_are_up_are_those_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "guard.db"
    fill_up(log, 7)
    calls, bad = read(path_of(log))
    with SqliteReader(log) as reader:
        assert standing(reader, [c.whose for c in calls]) == ["open"] * 7
    assert bad == 0
    assert [call_of(c.line).attempt.call_id for c in calls] == [c.whose.attempt.call_id for c in calls]


def test_the_benchmark_wants_a_round() -> None:
    with pytest.raises(SimError, match="--rounds 0: at least one"):
        startup.run(arguments("--rounds", "0"))


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    startup.add(parser)
    return parser.parse_args(words)
