"""Between a guard's shared counters and the server that keeps them: one connection, one round trip at a time.

What comes while a round trip is under way goes with the next one, so a burst costs few of them. Whatever goes wrong,
the guard is alone at once (`Shared.lost`), says so, and looks for the server again; nobody waits for it here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hashlib import sha256
from importlib.resources import files
from typing import Final, Protocol, cast

import msgspec
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from guard.configstate import Place
from guard.model import SECOND
from guard.net.clock import Clock
from guard.net.redisopen import opened
from guard.net.say import LOG, harmless
from guard.state.contract import Reading, StateError
from guard.state.shared import AloneError, Shared
from guard.state.wire import Ask, Op

BEAT: Final = 0.15  # s; four of them fit into the time after which a guard counts as silent
PROBE: Final = 0.25  # s between looks for a server that is away
MAX_PROBE: Final = 5.0  # s, where it comes and goes
STEADY: Final = 10 * SECOND  # µs that it has to serve before it counts as back for good
SKEW: Final = 2 * SECOND  # µs between our wall clock and the server's that are worth a warning
AGAIN: Final = 60 * SECOND  # µs between warnings of one kind
NEEDED: Final = "needs Redis 7.0 or Valkey 7.2 or newer, with its commands FUNCTION and FCALL"

COUNTERS: Final = ("state_lost", "state_late", "state_greeted", "state_round_trips", "state_asked", "state_wrong")

_TEXT: Final = (files("guard.state") / "redis" / "guard.lua").read_text("utf-8")
LIBRARY: Final = "guard_" + sha256(_TEXT.encode()).hexdigest()[:12]
CODE: Final = f"#!lua name={LIBRARY}\n{_TEXT.replace('NAME_', LIBRARY + '_')}"


class Desk(Protocol):
    """Who hears what became of asks (guard/shareddesk.py)."""

    def heard(self, ticket: int, answer: tuple[Reading, ...] | StateError) -> None:
        """What became of one."""

    def wants(self, ask: Ask) -> bool:
        """Whether it is still waited for."""


class RedisLink:
    """`start` it on a running loop, `stop` it at the end. `turn` is called when the desk has something to `wake` for.

    `lease` is how long, µs, this guard's channels are kept for it when it is not heard of.
    """

    def __init__(
        self, place: Place, shared: Shared, lease: int, clock: Clock, desk: Desk, turn: Callable[[], None]
    ) -> None:
        self.counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)
        self._place = place
        self._shared = shared
        self._lease = lease
        self._clock = clock
        self._desk = desk
        self._turn = turn
        self._client: Redis | None = None
        self._task: asyncio.Task[None] | None = None
        self._work = asyncio.Event()
        self._epoch = 0
        self._offset = 0  # the server's clock minus our timeline, µs, never too small
        self._since = 0  # when it was greeted
        self._pause = PROBE
        self._serving = False
        self._trouble: str | None = None
        self._stopping = asyncio.Event()
        self._warned: dict[str, int] = {}
        shared.hurry = self._work.set

    @property
    def trouble(self) -> str | None:
        """What is wrong, in a word and in words; "" for nothing, None where that is not known yet. It is over when the
        server has served for STEADY: one that comes and goes is one trouble."""
        if self._serving and self._clock.now() - self._since >= STEADY:
            self._trouble = ""
        return self._trouble

    @property
    def place(self) -> str:
        """Where the server is, without a password."""
        return str(self._place)

    def start(self) -> None:
        """Look for the server, and serve."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Say good-bye, unless calls go on: their channels are kept until the lease is over."""
        self._stopping.set()  # redis-py may swallow a cancellation that comes with an answer: then this ends the task
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._client is not None and not self._shared.alone and not self._shared.mirror.counts():
            try:
                told = [op for op in self._shared.collect() if op.ask is None]
                await self._calls([*told, Op("bye", self._shared.heads, [])])
            except (RedisError, OSError, TimeoutError) as error:
                LOG.info("shared counters: no good-bye: %s", harmless(str(error)))
        await self._close()

    # ---- the task --------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._greet()
                await self._serve()
                if self._stopping.is_set():
                    return
                self._late()
            except asyncio.CancelledError:
                raise
            except TimeoutError:
                self._late()
            except ResponseError as error:
                self._lose(_word(error), _plain(error))
            except (RedisError, OSError) as error:
                self._lose(_trouble(error), str(error))
            except Exception as error:  # noqa: BLE001 - a fault of ours beside the calls is told: the guard goes on alone
                self._lose("fault", f"{type(error).__name__}: {error}")
            self._turn()
            await self._close()
            await asyncio.sleep(self._pause)

    def _late(self) -> None:
        self.counters["state_late"] += 1
        self._lose("late", f"no answer within {self._shared.deadline // 1000} ms")

    def _lose(self, why: str, told: str) -> None:
        now = self._clock.now()
        if self._serving:
            self._serving = False
            self.counters["state_lost"] += 1
            steady = now - self._since >= STEADY
            self._pause = PROBE if steady else min(self._pause * 2, MAX_PROBE)
        self._shared.lost(now, why)
        self._trouble = f"{why}: {harmless(told)}"
        self._warn(f"{why}{told}", f"not to be had ({self._place}): {told}: this guard goes on alone")

    def _warn(self, kind: str, text: str) -> None:
        now = self._clock.now()
        if now - self._warned.get(kind, now - AGAIN) < AGAIN:
            return
        if len(self._warned) > 100:
            self._warned.clear()
        self._warned[kind] = now
        LOG.warning("shared counters: %s", harmless(text))

    async def _close(self) -> None:
        client = self._client
        if client is not None:
            try:
                await client.aclose()  # cancelled, it leaves the connection open: then `stop` comes here again
            except (RedisError, OSError) as error:
                LOG.info("shared counters: %s", harmless(str(error)))
            self._client = None

    # ---- hello -----------------------------------------------------------------------------------------------------

    async def _greet(self) -> None:
        """Make this guard known, and have what it holds told. Raises what the server or the way to it says."""
        shared = self._shared
        if self._client is None:
            self._client = await opened(self._place, shared.heads[0])
            await self._client.ping()
        op = shared.hello(self._lease)
        try:
            reply = await self._hello(op, self._client)
        except ResponseError as error:
            if "unknown command" not in str(error):
                raise
            version = (await self._client.info("server")).get("redis_version", "of no known version")
            raise ResponseError(f"the server is {version}: {NEEDED}") from error
        at, epoch, lost, of, rank, sole = cast("list[int]", reply)
        now = self._clock.now()
        self._epoch = epoch
        self._since = now
        self._trouble = self._trouble or ""
        was_alone, self._serving = not self._serving, True
        shared.greeted(now, lost=bool(lost), of=of, rank=rank, sole=bool(sole))
        self.counters["state_greeted"] += 1
        if was_alone:
            self._warned.clear()
            LOG.info("shared counters: %s, one guard of %d%s", self._place, of, ", which had none yet" if lost else "")
        skew = self._clock.wall() - at
        shared.shuts.clock(skew)
        if abs(skew) > SKEW:
            self._warn("clock", f"this machine's clock is {skew / SECOND:+.0f} s from the server's: set one of them")

    async def _hello(self, op: Op, client: Redis) -> object:
        """Its answer. The first guard of a version that a server meets brings the functions."""
        try:
            (reply,) = await self._calls([op])
        except ResponseError as error:
            if "Function not found" not in str(error):
                raise
            try:
                await client.function_load(CODE)
            except ResponseError as missing:
                if "already exists" not in str(missing):  # another guard was faster: loaded twice, it would forget us
                    raise
            (reply,) = await self._calls([op])
        return reply

    # ---- serving ---------------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        """Round trips, until something goes wrong (raises) or the guard gave up."""
        shared = self._shared
        beat_at = self._clock.now()
        while not shared.alone and not self._stopping.is_set():
            if shared.overrun:
                await self._greet()
            now = self._clock.now()
            ops = shared.collect()
            if now >= beat_at or shared.hasty:
                beat_at = now + int(BEAT * SECOND)
                ops.append(shared.beat())
            if not ops:
                await self._idle((beat_at - now) / SECOND)
                continue
            replies = await self._calls(ops)
            if self._take(ops, replies):
                await self._greet()

    async def _idle(self, seconds: float) -> None:
        self._work.clear()
        if self._shared.waiting:
            return
        loop = asyncio.get_running_loop()
        timer = loop.call_later(seconds, self._work.set)
        try:
            await self._work.wait()
        finally:
            timer.cancel()

    async def _calls(self, ops: list[Op]) -> list[object]:
        """One round trip. A lone call's error is raised; of several each answer may be one."""
        shared = self._shared
        client = self._client
        if client is None:
            raise OSError("not connected")
        sent = self._clock.now()
        pipe = client.pipeline(transaction=False)
        pack = msgspec.msgpack.encode
        for op in ops:
            late = 0 if op.function == "hello" or not self._offset else sent + self._offset + shared.deadline
            who = pack([shared.guard, self._epoch, late])
            pipe.execute_command("FCALL", f"{LIBRARY}_{op.function}", len(op.keys), *op.keys, who, pack(op.body))
        self.counters["state_round_trips"] += 1
        async with asyncio.timeout(shared.deadline / SECOND):
            replies = await pipe.execute(raise_on_error=False)
        good = next((r for r in replies if isinstance(r, list)), None)
        if good is not None:
            self._offset = int(good[0]) - sent
        if ops[0].function == "hello" and isinstance(replies[0], ResponseError):
            raise replies[0]
        return list(replies)

    def _take(self, ops: list[Op], replies: list[object]) -> bool:
        """What came of a round trip; whether the guard has to say hello. Raises what no call alone can cause."""
        shared, now = self._shared, self._clock.now()
        if shared.alone:
            return False  # given up meanwhile: the answers are nobody's
        stale: list[Ask] = []
        any_stale = heard = False
        for op, reply in zip(ops, replies, strict=True):
            if isinstance(reply, ResponseError) and _stale(reply):
                any_stale = True
                if op.ask is not None and self._desk.wants(op.ask):
                    stale.append(op.ask)
            elif op.ask is not None:
                heard = True
                self._answer(op.ask, reply, now)
            elif isinstance(reply, ResponseError):
                raise reply
            elif op.function == "beat":
                self._beaten(reply, now)
            elif op.function == "note":
                wrong = cast("list[bytes]", reply)[1]
                if wrong:
                    self.counters["state_wrong"] += 1
                    self._warn("wrong", wrong.decode(errors="replace"))
        if any_stale:
            shared.again(stale)
        if heard:
            self._turn()
        return any_stale

    def _beaten(self, reply: object, now: int) -> None:
        at, of, rank, sole, seen = cast("list[int]", reply)[:5]
        self._shared.own.beaten(now, of, rank, sole=bool(sole))
        self._shared.shuts.clock(self._clock.wall() - at)
        self._shared.shuts.merge(seen, cast("list[bytes]", reply)[5:])

    def _answer(self, ask: Ask, reply: object, now: int) -> None:
        self.counters["state_asked"] += 1
        wanted = self._desk.wants(ask)
        answer: tuple[Reading, ...] | StateError
        if isinstance(reply, ResponseError):
            if not str(reply).startswith("GUARDKEY"):
                raise reply  # it is of the server's making, not of one counter's
            self.counters["state_wrong"] += 1
            self._warn("wrong", _plain(reply))
            answer = AloneError("foreign key")
            self._shared.dismissed(ask)
        else:
            try:
                answer = self._shared.answered(ask, cast("list[int]", reply), now, wanted=wanted)
            except StateError as error:
                answer = error
        if wanted:
            self._desk.heard(int(ask.ident), answer)


def _stale(error: ResponseError) -> bool:
    """Whether the server does not know this guard (any more), or got what it said too late: it has to say hello."""
    text = str(error)
    return text.startswith(("GUARDSTALE", "GUARDLATE")) or "Function not found" in text


def _trouble(error: RedisError | OSError) -> str:
    """What is wrong with the way there. What takes too long while a connection is made is an error of that."""
    if isinstance(error, AuthenticationError):
        return "no access"
    return "late" if "imeout" in str(error) else "gone"


def _word(error: ResponseError) -> str:
    """What is wrong, in a word for the record."""
    text = str(error)
    known = {
        "OOM": "full", "used memory": "full", "READONLY": "read only", "LOADING": "starting", "MOVED": "moved",
        "CLUSTERDOWN": "cluster down", "NOAUTH": "no access", "WRONGPASS": "no access", "NOPERM": "no access",
        NEEDED: "too old", "GUARDVERSION": "another version", "GUARDKEY": "foreign key", "WRONGTYPE": "foreign key",
        "MISCONF": "cannot write", "GUARDTWICE": "name taken",
    }  # fmt: skip
    return next((word for sign, word in known.items() if sign in text), "refuses")


def _plain(error: ResponseError) -> str:
    """Its text without the place in our library."""
    return str(error).partition(" script: ")[0]
