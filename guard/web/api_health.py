"""Whether it is there, and whether it can work: for a supervisor, without a token."""

from __future__ import annotations

from typing import Final, Literal

from litestar import get
from litestar.datastructures import State
from msgspec import Struct

from guard.store.errors import StoreError
from guard.web.problems import Refused
from guard.web.room import Room


class Health(Struct, frozen=True, kw_only=True):
    """It works."""

    status: Literal["ok"] = "ok"


@get("/healthz", sync_to_thread=False, security=[{}], tags=["health"])
def healthz() -> Health:
    """The process is there and answers."""
    return Health()


@get("/readyz", sync_to_thread=True, security=[{}], tags=["health"])
def readyz(state: State) -> Health:
    """It can read the log."""
    room: Room = state.room
    try:
        with room.reader() as reader:
            reader.last_seq()
    except StoreError as error:
        raise Refused(503, "the log cannot be read") from error
    return Health()


HEALTH: Final = (healthz, readyz)
