"""guard replay: what the guard would have decided on captured traffic, on the capture's own clock."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, BinaryIO, Final

from guard.cli.common import CommandError, config_option, json_lines, load_config
from guard.proxy.shapes import CoreSettings

if TYPE_CHECKING:
    from guard.capture.messages import Messages
    from guard.capture.replay import Replay
    from guard.config import Config
    from guard.policy.load import Policy
    from guard.proxy.routing import Trunks
    from guard.store.contract import Writer
    from guard.store.passing import PassingLog
    from guard.store.sqlite import SqliteWriter

STDIN: Final = "-"
INTERRUPTED: Final = 130  # exit status after Ctrl-C, as shells have it
QUEUE: Final = 10_000  # entries that wait for the disk: some 20 MB; the reading waits for it then
YOUNG: Final = 1_000_000  # objects, some 120 MB, between two collections: a call leaves no cycle to collect


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments of `guard replay`."""
    parser.add_argument(
        "capture",
        nargs="+",
        metavar="CAPTURE",
        help="pcap or pcapng, gzipped or not; - for standard input. Several are merged by time",
    )
    config_option(parser)
    parser.add_argument("--json", action="store_true", help="one record a call, as `guard log --json` has them")
    parser.add_argument("--store", metavar="DB", help="keep the records in this log (it goes on where it ended)")


def run(args: argparse.Namespace) -> int:
    """Print the records or a summary. 1 when a capture cannot be read to its end: what came before counts."""
    with seldom_collected():
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    from guard.store.errors import StoreError
    from guard.store.passing import PassingLog, SummedLog

    config = load_config(args.config)
    policy = load_policy_of(config)
    sources = sources_of(args.capture)
    passing = PassingLog if args.json else SummedLog
    try:
        with log_for(args.store, config, policy, passing) as (writer, start):
            with bar(args.capture) as tick:
                replay, messages = prepared(config, policy, writer, sources, tick)
                problem = play(replay, messages)
            writer.close()
            if messages.tally.frames or problem is None:
                tell(args, config, writer, start, messages, replay)
    except StoreError as error:
        raise CommandError(str(error)) from error
    if problem is not None:
        raise problem
    return 0


def play(replay: Replay, messages: Messages) -> CommandError | None:
    """Read all that can be read, and let the calls come to their end. What hindered it, if anything."""
    from guard.capture.files import CaptureError

    problem = None
    gc.freeze()
    try:
        for found in messages.runs():
            replay.take(found)
    except CaptureError as error:
        problem = CommandError(str(error))
    except KeyboardInterrupt:  # the way in which a live capture ends
        problem = CommandError("interrupted: what was read until then counts", status=INTERRUPTED)
    replay.finish()
    return problem


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Cyclic garbage is looked for more seldom, and never among what is there before messages come (code, policies,
    plans)."""
    young, middle, old = gc.get_threshold()
    gc.set_threshold(YOUNG, middle, old)
    try:
        yield
    finally:
        gc.set_threshold(young, middle, old)
        gc.unfreeze()


def load_policy_of(config: Config) -> Policy:
    """The policies of a configuration; CommandError with a line for each mistake in them."""
    from guard.config import ConfigError
    from guard.policy.load import load_policy

    try:
        return load_policy(config)
    except ConfigError as error:
        raise CommandError(*(str(p) for p in error.problems)) from error


def sources_of(names: list[str]) -> list[Path | BinaryIO]:
    """Paths, and standard input. CommandError (status 2) where that cannot be."""
    if names.count(STDIN) > 1:
        raise CommandError("standard input (-) can be read only once", status=2)
    if STDIN in names and sys.stdin.isatty():
        raise CommandError("standard input (-) is a terminal: pipe a capture into it (tcpdump -w - ...)", status=2)
    return [sys.stdin.buffer if name == STDIN else Path(name) for name in names]


@contextmanager
def log_for(
    path: str | None, config: Config, policy: Policy, passing: type[PassingLog] | None = None
) -> Iterator[tuple[SqliteWriter, int]]:
    """The log that the records go to, and its last entry so far: the one asked for, or one that goes away again:
    `passing`, or where it is read meanwhile (None) one with a thread of its own."""
    from guard.store.reader import SqliteReader
    from guard.store.sqlite import SqliteWriter

    with ExitStack() as stack:
        if path is not None:
            writer = SqliteWriter(path, site=config.site, money=policy.figures, overflow="wait", queue_limit=QUEUE)
        else:
            away = Path(stack.enter_context(TemporaryDirectory(prefix="guard-replay-"))) / "replay.db"
            if passing is None:
                writer = SqliteWriter(
                    away, site=config.site, money=policy.figures, overflow="wait", queue_limit=QUEUE, salts=bytes
                )
            else:
                writer = passing(away, site=config.site, money=policy.figures)
        stack.callback(writer.close)
        with SqliteReader(writer.path) as reader:
            start = reader.last_seq()
        yield writer, start


def prepared(
    config: Config,
    policy: Policy,
    writer: SqliteWriter,
    sources: list[Path | BinaryIO],
    tick: Callable[[Messages], None],
) -> tuple[Replay, Messages]:
    """A replay by this configuration, and the messages to feed it."""
    from guard.capture.messages import Messages

    replay = replay_of(config, policy, writer)
    messages = Messages(sources, lambda: tick(messages))
    return replay, messages


def replay_of(config: Config, policy: Policy, writer: Writer) -> Replay:
    """A replay by this configuration."""
    from guard.capture.replay import Replay
    from guard.desk import Desk
    from guard.detectors.watch import Watch
    from guard.engine import Engine
    from guard.net.faults import FaultPolicy
    from guard.sources import Sources
    from guard.state.memory import MemoryState

    faults = config.file.faults
    return Replay(
        settings_of(config),
        Sources(config.sources),
        trunks_of(config),
        Desk(Engine(policy), MemoryState(), faults.state, Watch()),
        writer,
        faults=FaultPolicy(engine=faults.engine, store=faults.store),
    )


def settings_of(config: Config) -> CoreSettings:
    """What a replay has to know of the guard's own addresses."""
    from guard.app_parts import listens

    return CoreSettings(
        listens=listens(config),
        token="",
        site=config.site,
        advertise=config.file.listen.advertise,
        emergency_from_unknown=config.file.emergency_from_unknown,
        screens_inbound=config.screens_inbound,
    )


def trunks_of(config: Config) -> Trunks:
    """The trunks with the addresses of their hops. A name that has none here costs inbound calls only: it is told."""
    from guard import nexthops

    looked = nexthops.look_up(config, nexthops.names(config), nexthops.resolver(config))
    for why in looked.failed.values():
        print(f"guard: {why}: calls that come in from there are not followed", file=sys.stderr)
    return nexthops.trunks_of(config, looked.located)


@contextmanager
def bar(names: list[str]) -> Iterator[Callable[[Messages], None]]:
    """A progress bar on a terminal's standard error; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _messages: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    label = names[0] if len(names) == 1 else f"{len(names)} captures"
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True, markup=False), transient=True) as shown:
        task = shown.add_task(label if label != STDIN else "standard input", total=None)

        def tick(messages: Messages) -> None:
            done, size = messages.progress.done, messages.progress.size
            shown.update(task, completed=done or messages.tally.bytes, total=size or None)

        yield tick


def tell(
    args: argparse.Namespace, config: Config, writer: SqliteWriter, start: int, messages: Messages, replay: Replay
) -> None:
    """The records on standard output with --json, else the summary; warnings beside them."""
    from guard.cli.summary import Sums, summary, warnings
    from guard.store.contract import Query
    from guard.store.passing import SummedLog
    from guard.store.reader import SqliteReader

    with SqliteReader(writer.path, timezone=config.timezone) as reader:
        query = Query(all=True, after=start)
        if args.json:
            json_lines(reader.records(query))
        else:
            sums = Sums(reader.details(query), writer if isinstance(writer, SummedLog) else None)
            summary(sums, messages.tally, replay, reader.zone)
    for line in warnings(messages.tally, replay):
        print(f"guard: {line}", file=sys.stderr)
