"""Whether it is there and can work, for a supervisor without a token; and what the running guard counts."""

from __future__ import annotations

from typing import Final, Literal

from litestar import get
from msgspec import Struct

from guard.web.api import Here, faults
from guard.web.controlclient import ControlError
from guard.web.metrics import CONTENT_TYPE, exposition
from guard.web.roles import viewers

TEXT: Final = CONTENT_TYPE.removesuffix("; charset=utf-8")  # which Litestar says itself


class Health(Struct, frozen=True, kw_only=True):
    """It works."""

    status: Literal["ok"] = "ok"


class Ready(Struct, frozen=True, kw_only=True):
    """It can read the log; `guard` tells whether the daemon answers."""

    status: Literal["ok"] = "ok"
    guard: bool


@get("/healthz", sync_to_thread=False, security=[{}], tags=["health"])
def healthz() -> Health:
    """The process is there and answers."""
    return Health()


@get("/readyz", responses=faults(), security=[{}], tags=["health"])
async def readyz(room: Here) -> Ready:
    """The log can be read."""
    await room.read(lambda reader: reader.last_seq())
    try:
        await room.control.figures()
    except ControlError:
        return Ready(guard=False)
    return Ready(guard=True)


@get("/metrics", guards=[viewers], media_type=TEXT, responses=faults(), tags=["health"])
async def metrics(room: Here) -> str:
    """What the running guard counts, as Prometheus reads it; `guard_up` alone where it does not answer."""
    try:
        return exposition(await room.control.figures())
    except ControlError:
        return exposition(None)


HEALTH: Final = (healthz, readyz, metrics)
