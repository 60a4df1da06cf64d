"""A guard with a broker beside it: alerts of real calls, over kill -9 of the guard and a broker that goes meanwhile."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import jsonschema
import pytest

from guard.messages.events import KINDS
from guard.messages.schema import schema_of
from guard.store.contract import Query
from guard.store.reader import SqliteReader
from sim import site as s
from sim.ipbx import How
from sim.site import Site
from tests.live.world import World, live, run
from tests.messages.broker import Broker, Heard, Listener, first_ids

pytestmark = pytest.mark.live

BURST = 60
LOST = 1.0  # s after which a caller has sent its INVITE again (RFC 3261, T1) and gives up


def with_broker(broker: Broker, more: str = "rate = 10000") -> Callable[[Site], None]:
    def setup(site: Site) -> None:
        site.more = f'[mqtt]\nurl = "{broker.url}"\n{more}\n[ledger]\nalert_day = 1\n'
        site.cps = 1_000

    return setup


async def refused(world: World, count: int, *, killed: bool = False) -> None:
    """Calls with a number that is somebody else's; where the guard is killed meanwhile, some have no answer."""
    done = await asyncio.gather(*(world.pbx.call(s.FOREIGN, s.CUSTOMER, How(line="200")) for _ in range(count)))
    assert {d.status for d in done} <= ({403, 0} if killed else {403})


def in_the_log(site: Site) -> list[str]:
    """The messages that there must be of calls, in order."""
    with SqliteReader(site.folder / site.store) as reader:
        return [f"demo/{r.seq}-{r.hash[:16]}" for r in reader.records(Query())]


def statuses(heard: list[Heard]) -> list[bytes]:
    return [h.payload for h in heard if h.topic.endswith("/status")]


@cache
def schema(kind: str) -> jsonschema.Draft202012Validator:
    """Of a kind of message, made once: it costs more than five messages' checks."""
    return jsonschema.Draft202012Validator(schema_of(kind))


def checked(heard: list[Heard]) -> None:
    """Every message is of its schema; no topic holds a number, nor does any message in full; what is retained is."""
    for one in heard:
        assert not re.search(r"\d{7}", one.topic), one.topic
        if one.payload[:1] != b"{":
            assert one.topic == "guard/demo/status"
            continue
        event = json.loads(one.payload)
        (kind,) = [k for k, (types, _, _) in KINDS.items() if event["type"] in types]
        schema(kind).validate(event)
        assert not re.search(rb"\+33\d{9}", one.payload), one.payload


def test_calls_incidents_and_health_arrive_and_the_last_word_is_offline(
    tmp_path: Path, broker: Broker, listener: Listener
) -> None:
    async def scene() -> None:
        async with live(tmp_path / "site", setup=with_broker(broker)) as world:
            await refused(world, 3)
            await world.pbx.call(s.PREMIUM, s.CUSTOMER, How(line="200", talk=0.1))
            await world.pbx.call(s.ALICE, s.CUSTOMER, How(line="200", talk=0.1))
            await asyncio.to_thread(
                listener.until,
                lambda heard: (
                    len([h for h in heard if "/call/" in h.topic]) >= 4
                    and any("/incident/" in h.topic for h in heard)
                    and any("/health" in h.topic for h in heard)
                ),
            )
            wanted = in_the_log(world.site)
            late = Listener(broker, "late")  # who comes later hears what holds, and nothing that has passed
            heard = await asyncio.to_thread(
                late.until, lambda heard: {"status", "health", "incident"} <= {h.topic.split("/")[2] for h in heard}
            )
            late.close()
            assert {h.topic.split("/")[2] for h in heard} == {"status", "health", "incident"}
            assert all(h.retained for h in {h.topic: h for h in reversed(heard)}.values())  # the first of each topic
        assert first_ids(listener.events("call")) == wanted
        assert [h.topic for h in listener.events("call")].count("guard/demo/call/masked") == 1

    run(scene)
    checked(listener.heard)
    assert statuses(listener.heard) == [b"online", b"offline"]


def test_a_guard_that_is_killed_amid_a_burst_loses_nothing(tmp_path: Path, broker: Broker, listener: Listener) -> None:
    async def scene() -> None:
        async with live(tmp_path / "site", setup=with_broker(broker)) as world:
            for n in range(3):
                await refused(world, BURST)
                await asyncio.to_thread(listener.until, lambda heard: any("/call/" in h.topic for h in heard))
                burst = [asyncio.ensure_future(refused(world, 1, killed=True)) for _ in range(BURST)]
                # all have sent, one is refused: the others are on disk, in the guard, or on their way
                await asyncio.wait(burst, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.to_thread(world.daemon.kill)
                await asyncio.to_thread(
                    listener.until,
                    lambda heard, n=n: statuses(heard).count(b"offline") == n + 1,  # the last will
                )
                await world.restart()
                await hung_up(burst)
            wanted = in_the_log(world.site)
            assert len(wanted) > 3 * BURST
            await asyncio.to_thread(listener.until, lambda heard: len(ids(heard)) >= len(wanted), 40)
            assert ids(listener.heard) == wanted

    run(scene)
    checked(listener.heard)
    assert statuses(listener.heard) == [b"online", b"offline"] * 4


async def hung_up(calls: Sequence[asyncio.Future[None]]) -> None:
    """A call that had its 100 when the guard was killed is never answered; its caller does not wait half a minute."""
    over, _ = await asyncio.wait(calls, timeout=LOST)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    for call in over:
        call.result()


def ids(heard: list[Heard]) -> list[str]:
    return first_ids([h for h in heard if "/call/" in h.topic])


def test_calls_do_not_wait_for_a_broker_that_stands_still_and_are_told_when_it_goes_on(
    tmp_path: Path, broker: Broker, listener: Listener
) -> None:
    async def scene() -> None:
        async with live(tmp_path / "site", setup=with_broker(broker)) as world:
            await refused(world, 1)
            await asyncio.to_thread(listener.until, lambda heard: len(ids(heard)) == 1)
            broker.pause()
            await refused(world, BURST)  # answered all the same
            broker.go_on()
            await refused(world, 1)
            await asyncio.to_thread(listener.until, lambda heard: len(ids(heard)) == BURST + 2, 40)
            assert ids(listener.heard) == in_the_log(world.site)

    run(scene)


def test_the_commands_show_and_try(tmp_path: Path, broker: Broker) -> None:
    def command(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "guard.cli.main", "alerts", *words], capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip

    async def scene() -> None:
        async with live(tmp_path / "site", setup=with_broker(broker)) as world:
            config = str(world.site.config)
            tail = asyncio.create_task(asyncio.to_thread(command, "tail", "-c", config, "--json", "--limit", "4"))
            while b"guard-demo-" not in broker.said().encode():
                await asyncio.sleep(0.05)
            tried = await asyncio.to_thread(command, "test", "-c", config, "--text", "hello")
            assert (tried.returncode, tried.stderr) == (0, "")
            assert tried.stdout == f"the broker {broker.url} took a message on guard/demo/test\n"
            await refused(world, 4)
            seen = await tail
            lines = [json.loads(line) for line in seen.stdout.splitlines()]
            assert seen.returncode == 0
            assert len(lines) == 4
            assert lines[0]["topic"] in {"guard/demo/status", "guard/demo/health"}
            await asyncio.to_thread(broker.stop)
            await refused(world, 2)
            while len(waits := (await asyncio.to_thread(command, "tail", "-c", config, "--waiting")).stdout) < 100:
                await asyncio.sleep(0.1)
            assert "waits  " in waits
            assert "cli.not-authorised" in waits
            away = await asyncio.to_thread(command, "tail", "-c", config, "--limit", "2")
            assert away.returncode == 0
            assert f"the broker {broker.url}: [Errno 111] Connection refused" in away.stderr
            assert away.stdout.count("waits  ") == 2
            failed = await asyncio.to_thread(command, "test", "-c", config)
            assert (failed.returncode, failed.stdout) == (1, "")
            assert failed.stderr == f"guard: the broker {broker.url}: [Errno 111] Connection refused\n"

    run(scene)
