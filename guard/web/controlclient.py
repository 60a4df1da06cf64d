"""Asks the running guard over its control socket. Nobody waits for longer than a deadline, and whoever finds no guard
there hears so in one sentence.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from guard.control import (
    MAX_ANSWER,
    Answer,
    Ask,
    DecideAsk,
    Decided,
    EndedAsk,
    Fault,
    FiguresAsk,
    read_answer,
    written,
)
from guard.figures import Figures

DEADLINE: Final = 2.0  # s that figures may take: they take a millisecond
# s that a decision may take: longer than any call waits for its place (rate.cps hold_ms) and its record for the disk.
DECISION: Final = 15.0
CONNECT: Final = 1.0  # s


class ControlError(Exception):
    """No answer. `fault` is what the guard said, None where nothing was heard of it."""

    def __init__(self, text: str, fault: Fault | None = None) -> None:
        super().__init__(text)
        self.fault = fault


class ControlClient:
    """One connection to the guard's socket at `path`, opened when it is needed and again when it was lost. For one
    loop, which may ask many things at once."""

    def __init__(self, path: Path | None, *, deadline: float = DEADLINE, decision: float = DECISION) -> None:
        self._path = path
        self._deadline = deadline
        self._decision = decision
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._number = 0

    async def figures(self) -> Figures:
        """The live figures. Raises ControlError."""
        answer = await self._ask(FiguresAsk(), self._deadline)
        if answer.figures is None:
            raise ControlError("the guard answered something else than its figures")
        return answer.figures

    async def decide(self, ask: DecideAsk) -> Decided:
        """A decision of the running guard. Raises ControlError. See `DecideAsk`; an ask that is given up is withdrawn
        only when its connection closes, so it counts as a call that was set up."""
        answer = await self._ask(ask, self._decision)
        if answer.decided is None:
            raise ControlError("the guard answered something else than a decision")
        return answer.decided

    async def ended(self, ask: EndedAsk) -> None:
        """Tell that a call is over. Raises ControlError, with fault "unknown-ticket" where nothing is open of it."""
        await self._ask(ask, self._deadline)

    async def close(self) -> None:
        """Hang up."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _ask(self, ask: Ask, deadline: float) -> Answer:
        try:
            async with asyncio.timeout(deadline):
                answer = await self._exchange(ask)
        except TimeoutError:
            raise ControlError(f"the guard has not answered within {deadline:g} s") from None
        if answer.error is not None:
            raise ControlError(answer.error.text, answer.error)
        return answer

    async def _exchange(self, ask: Ask) -> Answer:
        writer = await self._opened()
        self._number += 1
        ident = self._number
        future = asyncio.get_running_loop().create_future()
        self._waiting[ident] = future
        try:
            writer.write(written(replace(ask, id=ident)))
            await writer.drain()
            answer: Answer = await future
        except OSError as error:
            raise ControlError(self._lost(error)) from error
        finally:
            self._waiting.pop(ident, None)
        return answer

    async def _opened(self) -> asyncio.StreamWriter:
        if self._path is None:
            raise ControlError("the guard has no control socket: [web] control names none, and its log is in memory")
        async with self._opening:
            if self._writer is not None and not self._writer.is_closing():
                return self._writer
            try:
                async with asyncio.timeout(CONNECT):
                    reader, writer = await asyncio.open_unix_connection(self._path, limit=MAX_ANSWER)
            except OSError as error:  # TimeoutError is one
                raise ControlError(self._lost(error)) from error
            self._writer = writer
            self._reading = asyncio.get_running_loop().create_task(self._read(reader, writer))
            return writer

    def _lost(self, error: OSError) -> str:
        return f"the guard is not running, or cannot be asked: {self._path}: {error.strerror or type(error).__name__}"

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        why = "the guard hung up"
        try:
            while line := await reader.readline():
                answer = read_answer(line)
                future = self._waiting.pop(answer.id, None)
                if future is not None and not future.done():
                    future.set_result(answer)
                elif answer.error is not None and not answer.id:
                    why = answer.error.text  # of an ask that it could not even read, or of the connection
                    break
        except (OSError, ValueError) as error:
            why = f"what the guard said cannot be read: {error}"
        finally:
            if self._writer is writer:
                self._writer = None
            writer.close()
            for future in tuple(self._waiting.values()):
                if not future.done():
                    future.set_exception(ControlError(why))
            with contextlib.suppress(OSError):
                await writer.wait_closed()
