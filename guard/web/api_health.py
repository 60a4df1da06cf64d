"""Whether it is there, and whether it can work: for a supervisor, without a token."""

from __future__ import annotations

from typing import Final, Literal

from litestar import get
from msgspec import Struct

from guard.web.api import Here, faults
from guard.web.controlclient import ControlError


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


HEALTH: Final = (healthz, readyz)
