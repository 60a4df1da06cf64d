"""The way to a real Redis: full, emptied, refused, too old, replaced, failed over, in a cluster, over TLS."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import redis
import uvloop
from redis.exceptions import ResponseError

from guard.configstate import place
from guard.net.clock import SystemClock
from guard.net.redislink import LIBRARY, NEEDED, RedisLink
from guard.state.contract import Reading, StateError, Touch
from guard.state.shared import Shared
from guard.state.wire import Ask, Op
from sim.ports import free_port
from tests.state.server import PROGRAM, Server, serving
from tests.state.touches import gauge, tally, total

PATIENCE: Final = 10.0
LEASE: Final = 30_000_000
DEADLINE: Final = 500_000  # µs; not what is tested here, and the machine is shared


class Guard:
    """A link, and in place of a desk what keeps the answers."""

    def __init__(self, url: str, name: str = "a", site: str = "s", clock: SystemClock | None = None) -> None:
        self.shared = Shared(site, name, "1", deadline=DEADLINE)
        self.answers: dict[int, tuple[Reading, ...] | StateError] = {}
        self.turns = 0
        self.link = RedisLink(place(url), self.shared, LEASE, clock or SystemClock(), self, self._turn)
        self._ticket = 0

    def _turn(self) -> None:
        self.turns += 1

    def heard(self, ticket: int, answer: tuple[Reading, ...] | StateError) -> None:
        self.answers[ticket] = answer

    def wants(self, ask: Ask) -> bool:
        return True

    async def ask(self, touch: Touch) -> tuple[Reading, ...] | StateError:
        """One call asks, and hears."""
        self._ticket += 1
        ticket = self._ticket
        self.shared.ask(str(ticket), (touch,), SystemClock.now())
        await until(lambda: ticket in self.answers)
        return self.answers[ticket]

    async def served(self) -> None:
        await until(lambda: not self.shared.alone)

    async def lost(self, why: str) -> None:
        await until(lambda: self.shared.alone and self.shared.why == why)


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not what():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def at_work(guard: Guard) -> AsyncIterator[Guard]:
    guard.link.start()
    try:
        yield guard
    finally:
        await guard.link.stop()


def run(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    uvloop.run(scene())


def value(answer: tuple[Reading, ...] | StateError) -> int:
    assert isinstance(answer, tuple), answer
    return answer[0].value


def test_several_asks_are_one_round_trip() -> None:
    async def scene() -> None:
        async with at_work(Guard(server.url)) as guard:
            await guard.served()
            before = guard.link.counters["state_round_trips"]
            asked = [guard.ask(gauge(str(n), None)) for n in range(50)]
            values = sorted([value(a) for a in await asyncio.gather(*asked)])
            assert values == list(range(50))
            assert guard.link.counters["state_round_trips"] - before <= 3

    with serving() as server:
        run(scene)


def test_a_guard_that_stops_says_good_bye_unless_calls_go_on() -> None:
    async def scene() -> None:
        idle, busy = Guard(server.url, "idle"), Guard(server.url, "busy")
        async with at_work(idle), at_work(busy):
            await idle.served()
            await busy.served()
            await busy.ask(gauge("1"))
        with server.client() as client:
            assert client.hkeys(busy.shared.heads[2]) == [b"busy"]

    with serving() as server:
        run(scene)


def test_functions_that_another_guard_was_faster_to_bring_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loaded a second time they would have forgotten whom they served, and all windows stood shut for 1.5 s."""

    async def scene() -> None:
        first, second = Guard(server.url, "a"), Guard(server.url, "b")
        calls = second.link._calls

        async def missed(ops: list[Op]) -> list[object]:
            monkeypatch.setattr(second.link, "_calls", calls)
            raise ResponseError("Function not found")

        monkeypatch.setattr(second.link, "_calls", missed)
        async with at_work(first):
            await first.served()
            quiet = client.hget(first.shared.heads[0], "quiet")
            async with at_work(second):
                await second.served()
                assert client.hget(first.shared.heads[0], "quiet") == quiet

    with serving() as server, server.client() as client:
        run(scene)


@pytest.mark.parametrize("after", range(12))
def test_it_stops_whatever_it_is_doing(after: int) -> None:
    """A cancellation that comes together with an answer is not the last word."""

    async def scene() -> None:
        async with at_work(Guard(server.url)) as guard:
            await guard.served()
            for n in range(20):
                guard.shared.ask(str(n), (gauge(str(n), None),), SystemClock.now())
            for _ in range(after):
                await asyncio.sleep(0)

    with serving() as server:
        run(lambda: asyncio.wait_for(scene(), PATIENCE))


def test_a_full_redis_is_told_and_left_alone_until_there_is_room(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async with at_work(Guard(server.url)) as guard:
            await guard.served()
            with server.client() as client:
                client.config_set("maxmemory", 1)
                await guard.lost("full")
                assert guard.shared.touch((gauge("9"),), 0)[0].taken, "it goes on alone"
                client.config_set("maxmemory", 0)
            await guard.served()
            assert value(await guard.ask(gauge("x", None))) == 1, "and brings back what it did"

    with serving("--maxmemory-policy", "noeviction") as server:
        run(scene)
    assert "this guard goes on alone" in caplog.text


@pytest.mark.parametrize("command", ["FLUSHALL", "FUNCTION FLUSH"])
def test_what_is_emptied_is_filled_again(command: str) -> None:
    async def scene() -> None:
        async with at_work(Guard(server.url)) as guard:
            await guard.served()
            for n in range(3):
                assert value(await guard.ask(gauge(f"g{n}", None))) == n
                await guard.ask(tally(f"t{n}", f"m{n}", None))
            guard.shared.used("talk:t", tally("").at, 7)
            with server.client() as client:
                client.execute_command(*command.split())
            assert value(await guard.ask(gauge("x", None))) == 3
            while value(await guard.ask(tally("y", "m0", None))) < 3:
                pass
            while value(await guard.ask(total("z"))) < 7:
                pass
            assert guard.link.counters["state_lost"] == 0, "nobody decided alone"

    with serving() as server:
        run(scene)


def test_a_restarted_redis_hears_of_everything_again() -> None:
    async def scene() -> None:
        async with at_work(Guard(server.url)) as guard:
            await guard.served()
            await guard.ask(gauge("1", None))
            server.kill()
            await guard.lost("gone")
            server.start()
            await guard.served()
            assert value(await guard.ask(gauge("2", None))) == 1

    with serving() as server:
        run(scene)


def test_one_foreign_key_costs_one_counter(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async with at_work(Guard(server.url)) as guard:
            await guard.served()
            with server.client() as client:
                client.set("{guard:s}:g:channels:t", "theirs")
            assert str(await guard.ask(gauge("1"))) == "foreign key"
            assert value(await guard.ask(gauge("2", key="line:x"))) == 0
            assert not guard.shared.alone
            with server.client() as client:
                assert client.get("{guard:s}:g:channels:t") == b"theirs"

    with serving() as server:
        run(scene)
    assert "{guard:s}:g:channels:t: WRONGTYPE" in caplog.text


@pytest.mark.parametrize("head", range(5))
def test_a_foreign_key_where_guards_meet_is_told(head: int, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        guard = Guard(server.url)
        with server.client() as client:
            client.set(guard.shared.beat().keys[head], "theirs")
            async with at_work(guard):
                guard.shared.shuts.say("l:x", -1, "", SystemClock.wall())
                await guard.lost("foreign key")
                client.delete(guard.shared.beat().keys[head])
                await guard.served()

    with serving() as server:
        run(scene)
    assert f"GUARDKEY {Guard('redis://h').shared.beat().keys[head]}" in caplog.text


def test_no_access_is_told_without_the_password(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async with at_work(Guard(f"redis://:wrong@127.0.0.1:{server.port}")) as guard:
            await guard.lost("no access")
        async with at_work(Guard(f"redis://:right@127.0.0.1:{server.port}")) as guard:
            await guard.served()

    with serving(
        "--user", "default", "on", ">right", "~*", "+@all", port=free_port("127.0.0.1"), password="right"
    ) as server:
        run(scene)
    assert "127.0.0.1 port" in caplog.text
    assert "wrong" not in caplog.text.replace("WRONGPASS", "")


async def old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server of version 6, which has no functions: as it answers what the guard says first."""
    while line := await reader.readline():
        words = []
        for _ in range(int(line[1:])):
            size = int((await reader.readline())[1:])
            words.append((await reader.readexactly(size + 2))[:-2].upper())
        if words[0] in {b"FCALL", b"FUNCTION"}:
            writer.write(b"-ERR unknown command `" + words[0] + b"`\r\n")
        elif words[0] == b"INFO":
            text = b"# Server\r\nredis_version:6.2.14\r\n"
            writer.write(b"$%d\r\n%s\r\n" % (len(text), text))
        else:
            writer.write(b"+OK\r\n")
    writer.close()


def test_a_redis_without_functions_is_told_with_its_version(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        server = await asyncio.start_server(old, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            async with at_work(Guard(f"redis://127.0.0.1:{port}")) as guard:
                await guard.lost("too old")
        finally:
            server.close()

    run(scene)
    assert f"the server is 6.2.14: {NEEDED}" in caplog.text


@pytest.mark.parametrize("command", ["FUNCTION", "FCALL", "EVAL"])
def test_a_redis_whose_commands_were_taken_away(command: str, caplog: pytest.LogCaptureFixture) -> None:
    """As hosted ones do. EVAL is not needed."""

    async def scene() -> None:
        async with at_work(Guard(server.url)) as guard:
            await (guard.served() if command == "EVAL" else guard.lost("too old"))

    with serving("--rename-command", command, "") as server:
        run(scene)
    assert (NEEDED in caplog.text) is (command != "EVAL")


@pytest.mark.parametrize("why", ["not reached yet", "too old"])
def test_a_stop_leaves_no_connection_open_whenever_it_comes(why: str) -> None:
    """Also while one is made, or that to a server that is of no use is closed."""

    async def stopped(after: int) -> None:
        guard = Guard(server.url)
        async with at_work(guard):
            while guard.shared.why != why:
                await asyncio.sleep(0)
            for _ in range(after):
                await asyncio.sleep(0)

    with serving("--rename-command", "FUNCTION", "") as server, server.client() as client:
        for after in range(40):
            asyncio.run(stopped(after))  # not uvloop's, which does not end while a connection is open
            until = time.monotonic() + PATIENCE
            while len(client.client_list()) > 1:
                assert time.monotonic() < until, after


class Ahead(SystemClock):
    """A machine whose wall clock is an hour ahead."""

    @staticmethod
    def wall() -> int:
        return SystemClock.wall() + 3_600_000_000


def test_a_clock_an_hour_off_is_told_and_counts_no_less(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async with at_work(Guard(server.url, "a")) as one, at_work(Guard(server.url, "b", clock=Ahead())) as other:
            await one.served()
            await other.served()
            await one.ask(gauge("1", None))
            assert value(await other.ask(gauge("1", None))) == 1

    with serving() as server:
        run(scene)
    assert "this machine's clock is +3600 s from the server's" in caplog.text


def test_a_server_that_hangs_and_one_that_is_not_there() -> None:
    async def scene() -> None:
        async with at_work(Guard(server.url)) as guard:
            await guard.served()
            server.pause()
            guard.shared.ask("1", (gauge("1"),), SystemClock.now())
            await guard.lost("late")
            server.go_on()
            await guard.served()
        async with at_work(Guard("unix:///nowhere/redis.sock")) as guard:
            await guard.lost("gone")

    with serving() as server:
        run(scene)


# ---- more than one server ------------------------------------------------------------------------------------------


def sentinel(folder: Path, port: int, master: int) -> subprocess.Popen[bytes]:
    config = folder / f"sentinel{port}.conf"
    config.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\nsentinel monitor fleet 127.0.0.1 {master} 1\n"
        "sentinel down-after-milliseconds fleet 60000\nsentinel failover-timeout fleet 2000\n"
    )
    return subprocess.Popen(
        [PROGRAM, str(config), "--sentinel", "--logfile", str(folder / "sentinel.log")],
    )


def test_a_failover_by_sentinel_loses_no_channel(tmp_path: Path) -> None:
    """The master is taken for lost in no time only when it is: a busy machine must not have it changed before."""

    async def scene() -> None:
        await until(replica.replicated)
        process = sentinel(tmp_path, watch, first)
        stack.callback(process.wait)
        stack.callback(process.kill)
        async with at_work(Guard(f"redis+sentinel://127.0.0.1:{watch}/fleet")) as guard:
            await guard.served()
            assert value(await guard.ask(gauge("1", None))) == 0
            with redis.Redis("127.0.0.1", watch, protocol=2, decode_responses=True) as client:
                await until(lambda: len(client.sentinel_slaves("fleet")) == 1)
                await until(lambda: replica.offset() == master.offset())
                master.kill()
                await guard.lost("gone")
                client.sentinel_set("fleet", "down-after-milliseconds", 300)
            await guard.served()
            assert value(await guard.ask(gauge("2", None))) == 1
            with replica.client() as client:
                assert client.info("replication")["role"] == "master"

    first, second, watch = (free_port("127.0.0.1") for _ in range(3))
    with ExitStack() as stack:
        master = stack.enter_context(serving(port=first))
        replica = stack.enter_context(serving("--replicaof", "127.0.0.1", str(first), port=second))
        run(scene)


def test_a_cluster_of_three(tmp_path: Path) -> None:
    async def scene() -> None:
        url = f"redis+cluster://127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}"
        sites = [Guard(url, site=f"site{n}") for n in range(4)]
        for guard in sites:
            async with at_work(guard):
                await guard.served()
                assert value(await guard.ask(gauge("1", None))) == 0
                await guard.ask(tally("1", "m"))
        libraries = [client.function_list(library=LIBRARY) for client in clients]
        assert all(not found or b"library_name" in found[0] for found in libraries)
        assert sum(bool(client.dbsize()) for client in clients) >= 2, "sites are spread"

    ports = [free_port("127.0.0.1") for _ in range(3)]
    with ExitStack() as stack:
        servers: list[Server] = []
        for port in ports:
            options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port("127.0.0.1")))
            servers.append(stack.enter_context(serving(*options, port=port)))
        clients = [stack.enter_context(s.client()) for s in servers]
        subprocess.run(
            ["redis-cli", "--cluster", "create", *(f"127.0.0.1:{p}" for p in ports), "--cluster-yes"],
            check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE * 3,
        )  # fmt: skip
        run(scene)
