"""guard log --follow beside a process that writes: real processes, no sleeps."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from guard.cli.follow import follow as events_of
from guard.store.contract import Query
from guard.store.reader import SqliteReader
from guard.store.sqlite import SqliteWriter
from tests.store.making import attempt, decision, ended

ROOT = Path(__file__).parents[2]


class Feeder:
    """The process that writes."""

    def __init__(self, path: Path) -> None:
        words = [sys.executable, "-m", "tests.cli.feeder", str(path)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)

    def tell(self, commands: str) -> None:
        """Have it write, and wait until that is on disk."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(commands + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"


@pytest.fixture
def feeder(tmp_path: Path) -> Iterator[Feeder]:
    started = Feeder(tmp_path / "guard.db")
    with started.process:
        yield started
        assert started.process.stdin is not None
        started.process.stdin.close()
    assert started.process.returncode == 0


def interruptible() -> None:
    """Tests may run in the background, where shells have Ctrl-C ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Follower:
    """`guard log --follow`, its output buffered as in a pipeline, or not."""

    def __init__(self, path: Path, *words: str, buffered: bool = True) -> None:
        self.process = subprocess.Popen(
            [
                sys.executable,
                *([] if buffered else ["-u"]),
                "-m",
                "guard.cli.main",
                "log",
                "--store",
                str(path),
                "--follow",
                *words,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"},
            preexec_fn=interruptible,  # noqa: PLW1509 - before Python starts, in a child without threads
        )

    def clean_up(self) -> None:
        """Whatever the test found: no process and no pipe stays behind."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def object(self) -> tuple[int, str, str | None]:
        """The next record: number, verdict, outcome."""
        record: dict[str, Any] = json.loads(self.line())
        return record["seq"], record["verdict"], record["outcome"]

    def interrupt(self) -> tuple[int, str, str]:
        """Ctrl-C: status, and what else was printed."""
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


Follow = Callable[..., Follower]


@pytest.fixture
def follow(tmp_path: Path, feeder: Feeder) -> Iterator[Follow]:
    """Starts `guard log --follow WORDS...` on the feeder's log."""
    assert feeder.process.poll() is None
    started: list[Follower] = []

    def start(*words: str, buffered: bool = True) -> Follower:
        started.append(Follower(tmp_path / "guard.db", *words, buffered=buffered))
        return started[-1]

    yield start
    for follower in started:
        follower.clean_up()


def test_records_come_when_decided_and_again_when_ended(follow: Follow, feeder: Feeder) -> None:
    feeder.tell("decide allowed; decide blocked; decide blocked 201; end 3")  # 1 to 4
    follower = follow("--json")
    assert follower.object() == (2, "blocked", None)
    assert follower.object() == (3, "blocked", "answered")
    feeder.tell("decide flagged")  # 5
    assert follower.object() == (5, "flagged", None)
    feeder.tell("end 2")
    assert follower.object() == (2, "blocked", "answered")
    feeder.tell("end 1")  # of an allowed call: not asked for
    feeder.tell("decide masked; end 8")  # its end is known when it is seen: once, complete
    assert follower.object() == (8, "masked", "answered")
    feeder.tell("end 5; end 5")  # a second end is no news
    assert follower.object() == (5, "flagged", "answered")
    feeder.tell("decide blocked")
    assert follower.object() == (12, "blocked", None)
    assert follower.interrupt() == (0, "", "")


class Racing(SqliteReader):
    """Another process commits just when the last entry's number has been read."""

    commit: list[Callable[[], None]]

    def last_seq(self) -> int:
        last = super().last_seq()
        if self.commit:
            self.commit.pop()()
        return last


def test_an_end_that_comes_while_decisions_are_read_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "guard.db"
    with closing(SqliteWriter(path, site="hq")) as writer, Racing(path) as reader:

        def decide(n: int) -> int:
            seq = writer.decided(attempt(n), decision(), None)
            writer.flush()
            return seq

        def end(seq: int) -> None:
            writer.ended(seq, ended())
            writer.flush()

        first = decide(1)
        reader.commit = [partial(end, first)]
        events = events_of(reader, Query(all=True, tail=True))
        detail, news = next(events)
        assert (detail.record.seq, detail.record.outcome, news) == (first, "answered", False)
        second = decide(2)
        reader.commit = [partial(end, second)]
        detail, news = next(events)
        assert (detail.record.seq, detail.record.outcome, news) == (second, "answered", False)
        third = decide(3)
        assert next(events)[0].record.seq == third
        end(third)
        detail, news = next(events)
        assert (detail.record.seq, news) == (third, True)


def test_filters_and_limit_hold_while_following(follow: Follow, feeder: Feeder) -> None:
    feeder.tell("decide blocked; decide blocked 201; decide blocked 201")
    follower = follow("--json", "--line", "201", "--limit", "1")
    assert follower.object() == (3, "blocked", None)
    feeder.tell("decide blocked; decide blocked 201; end 1; end 2")
    assert follower.object() == (5, "blocked", None)
    assert follower.object() == (2, "blocked", "answered")
    assert follower.interrupt() == (0, "", "")


def test_ten_records_before_the_new_ones_or_all_since_a_time(follow: Follow, feeder: Feeder) -> None:
    feeder.tell(";".join(["decide blocked"] * 15))
    follower = follow("--json")
    assert [follower.object()[0] for _ in range(10)] == list(range(6, 16))
    follower.interrupt()
    follower = follow("--json", "--since", "2026-11-21")
    assert [follower.object()[0] for _ in range(15)] == list(range(1, 16))
    follower.interrupt()
    follower = follow("--csv", "--limit", "0", buffered=False)  # a header seen too early is seen too early
    assert follower.line().startswith("seq,hash,time,")
    feeder.tell("decide blocked")
    assert follower.line().startswith("16,")
    assert follower.interrupt() == (0, "", "")


def test_people_see_lines(follow: Follow, feeder: Feeder) -> None:
    feeder.tell("decide blocked")
    follower = follow()
    assert follower.line().split()[:4] == ["#", "time", "verdict", "rule"]
    assert follower.line().split()[:5] == ["1", "2026-11-21", "10:00:00.000", "blocked", "cli.premium"]
    feeder.tell("end 1")
    assert follower.line().split() == [
        *("1", "2026-11-21", "10:01:00.000", "ended", "+33145678900", "+33612345678", "200", "operator"),
        *("answered", "30.0", "s"),
    ]
    assert follower.interrupt() == (0, "", "")


def test_a_log_that_is_still_empty_is_followed(follow: Follow, feeder: Feeder) -> None:
    feeder.tell("flush")
    follower = follow("--json")
    feeder.tell("decide blocked")
    assert follower.object() == (1, "blocked", None)
    assert follower.interrupt() == (0, "", "")


def test_a_reader_that_goes_away_is_no_error(follow: Follow, feeder: Feeder) -> None:
    feeder.tell(";".join(["decide blocked"] * 300))
    follower = follow("--json", "--since", "2026-11-21")
    assert follower.object()[0] == 1
    assert follower.process.stdout is not None
    assert follower.process.stderr is not None
    follower.process.stdout.close()
    feeder.tell("decide blocked")
    follower.process.wait(30)
    assert (follower.process.returncode, follower.process.stderr.read()) == (0, "")
