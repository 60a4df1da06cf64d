"""kill -9 in the middle of a load: whatever the log promised is there afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from guard.store.contract import Query
from guard.store.sqlite import SqliteWriter
from tests.store.making import attempt, decision
from tests.store.making_log import details, seqs, verified

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("promises", [1, 150, 1000])  # entries told before the process is killed
def test_every_entry_whose_commit_was_told_survives_kill_9(tmp_path: Path, promises: int) -> None:
    path = tmp_path / "guard.db"
    told: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-m", "tests.store.crash_writer", str(path)], stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            told.append(line)
            if len(told) == promises:
                os.kill(process.pid, signal.SIGKILL)
                break
        told += process.stdout.read().splitlines(keepends=True)
    assert process.returncode == -signal.SIGKILL
    whole = [line.split() for line in told if line.endswith("\n")]
    assert {ok for _, ok in whole} == {"1"}
    promised = {int(seq) for seq, _ in whole}
    kept = seqs(path, Query())
    assert promised <= set(kept)
    assert len(promised) >= promises
    found = verified(path)
    assert found.ok, found.reason
    # Once a number and month, also across the crash.
    owed = [d.body.money.number for d in details(path) if d.body.money.per_number]
    assert len(owed) == len(set(owed))
    writer = SqliteWriter(path, site="hq")  # the lock died with its holder
    assert writer.decided(attempt(), decision(), None) == found.seq + 1
    writer.close()
    assert verified(path).ok
