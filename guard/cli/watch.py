"""guard watch: traffic that a Kamailio, FreeSWITCH, Asterisk or heplify mirrors, judged without standing in its way."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Literal, cast

from guard.cli.common import CommandError, config_option, json_lines, load_config
from guard.cli.replay import load_policy_of, log_for, replay_of
from guard.cli.show import harmless

if TYPE_CHECKING:
    from guard.capture.watch import Watch
    from guard.cli.follow import News
    from guard.net.clock import Clock
    from guard.net.say import Voice

Transport = Literal["udp", "tcp"]
Place = tuple[Transport, str, int]

LOOK: Final = 0.1  # seconds between looks at the clock and at the log: a person sees no delay
UNJUDGED: Final = {
    "hep_unreadable": "packets that are no HEPv3",
    "hep_unauthorised": "packets without the password of [hep]",
    "hep_skewed": "messages of agents with a wrong clock: they counted when they came",
    "hep_late": "messages that came later than others that were after them: they counted when they came",
    "hep_crowded": "messages judged before all that may have been before them had come: too many waited",
}


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments of `guard watch`."""
    config_option(parser)
    parser.add_argument(
        "--listen",
        action="append",
        required=True,
        metavar="udp:HOST:PORT",
        help="where agents send HEPv3 to, such as udp:192.0.2.10:9060 or tcp:[2001:db8::a]:9060; several may be given",
    )
    parser.add_argument("--json", action="store_true", help="records, as `guard log --follow --json` has them")
    parser.add_argument("--store", metavar="DB", help="keep the records in this log (it goes on where it ended)")


def run(args: argparse.Namespace) -> int:
    """Watch until SIGINT or SIGTERM; then a summary. 1 where an address or a log cannot be had."""
    import uvloop

    from guard.capture.watch import Watch
    from guard.cli.follow import News
    from guard.cli.summary import Sums, summary, warnings
    from guard.store.contract import Query
    from guard.store.errors import StoreError
    from guard.store.reader import SqliteReader

    places = [place(text) for text in args.listen]
    config = load_config(args.config)
    policy = load_policy_of(config)
    key = config.file.hep.password.encode() if config.file.hep is not None else b""
    try:
        with log_for(args.store, config, policy) as (writer, start):
            replay = replay_of(config, policy, writer)
            watch = Watch(replay, key)
            with SqliteReader(writer.path, timezone=config.timezone) as reader:
                post = Post(watch, News(reader, Query(all=True)), json=args.json)
                uvloop.run(post.serve(places, policy.digest))
                watch.finish()
                writer.close()
                post.tell()
                if not args.json:
                    print()
                    sums = Sums(reader.details(Query(all=True, after=start)))
                    summary(sums, watch.tally, replay, reader.zone)
            said = set(post.said)
            for line in (*(w for w in warnings(watch.tally, replay) if w not in said), *unjudged(watch.counters)):
                print(f"guard: {line}", file=sys.stderr)
    except StoreError as error:
        raise CommandError(str(error)) from error
    return 0


def place(text: str) -> Place:
    """Where to listen. Raises CommandError (status 2)."""
    from guard.config import host_port

    transport, _, address = text.partition(":")
    found = host_port(address)
    if transport not in {"udp", "tcp"} or found is None:
        raise CommandError(f'"{text}" is no address to listen on: write it as udp:192.0.2.10:9060', status=2)
    return cast("Transport", transport), *found


def unjudged(counters: dict[str, int]) -> Iterator[str]:
    """What did not count as it came, and how often."""
    for name, what in UNJUDGED.items():
        if counters[name]:
            yield f"{counters[name]:,} {what}"


class Post:
    """Hears agents, and tells what comes of it as it comes. `said` are the warnings that were printed."""

    def __init__(self, watch: Watch, news: News, *, json: bool, clock: Clock | None = None) -> None:
        from guard.net.clock import SystemClock
        from guard.net.say import Voice

        self.said: list[str] = []
        self._watch = watch
        self._news = news
        self._json = json
        self._clock = clock or SystemClock()
        self._voice: Voice = Voice(self._clock.now)
        self._heading = True

    async def serve(self, places: list[Place], policy: str) -> None:
        """Until a signal. Raises CommandError for an address that cannot be had."""
        from guard.net.collector import Collector

        loop = asyncio.get_running_loop()
        leave = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, leave.set)
        collector = Collector(self.heard, self._watch.unreadable)
        try:
            for transport, host, port in places:
                try:
                    await collector.listen(transport, host, port)
                except OSError as error:
                    raise CommandError(f"{transport}:{host}:{port}: {error.strerror or error}") from error
            listening = ", ".join(f"{t} {h} port {p}" for t, h, p in places)
            print(f"guard: watching on {listening}; policy {policy}", file=sys.stderr, flush=True)
            while not leave.is_set():
                self.look()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(leave.wait(), LOOK)
        finally:
            collector.close()

    def heard(self, data: bytes, sender: str) -> None:
        """A packet of an agent."""
        try:
            self._watch.packet(data, self._clock.wall(), sender)
        except Exception as error:  # noqa: BLE001 - a fault of ours costs this packet: told, and the watch goes on
            self._voice.warn("exception", f"packet from {sender}", error)

    def look(self) -> None:
        """Let the clock run, and tell what came of it."""
        try:
            self._watch.until(self._clock.wall())
        except Exception as error:  # noqa: BLE001 - as in `heard`
            self._voice.warn("exception", "internal", error)
        self.tell()
        for line in self._watch.tally.warnings[len(self.said) :]:
            self.said.append(line)
            print(f"guard: {harmless(line)}", file=sys.stderr, flush=True)

    def tell(self) -> None:
        """Print what came into the log."""
        from guard.cli.follow import lines

        if not self._news.any():
            return
        if self._json:
            json_lines(detail.record for detail, _ in self._news.take())
        else:
            lines(self._news.take(), heading=self._heading)
            self._heading = False
        sys.stdout.flush()
