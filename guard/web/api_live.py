"""`/api/v1/live`: what comes into the log and the running guard's figures, as Server-Sent Events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, cast

from litestar import Request, get
from litestar.datastructures import State
from litestar.params import HeaderParameter
from litestar.response import Stream

from guard.web import auth
from guard.web.api import Here, Numbers, Who, faults, full_of
from guard.web.live import Viewer
from guard.web.problems import Refused
from guard.web.roles import Visitor, viewers
from guard.web.room import Room
from guard.web.server import ABORT

LAST: Final = (1 << 63) - 1  # SQLite's largest integer
EVENTS: Final = "text/event-stream"


@get("/api/v1/live", guards=[viewers], responses=faults(), media_type=EVENTS, tags=["calls"])
async def live(
    request: Request[Visitor, None, State],
    room: Here,
    visitor: Who,
    last_event_id: Annotated[
        int | None,
        HeaderParameter(name="Last-Event-ID", gt=-1, le=LAST, description="the last event that was seen"),
    ] = None,
    numbers: Numbers = None,
) -> Stream:
    """Events: `call` and `ended` (a call's record), `figures` (the guard's, each second) or `away` (it does not
    answer), and `gap` (some calls are not here: ask for them)."""
    who = visitor.name or visitor.address
    room.live.room(who)
    full = await full_of(room, visitor, numbers, "live", {})
    extensions = cast("dict[str, Callable[[], None]]", request.scope.get("extensions") or {})
    viewer = Viewer(full=full, abort=extensions.get(ABORT, _nothing), who=who)
    headers = dict(request.scope["headers"])
    stream = room.live.watch(viewer, last_event_id, lambda: _still(room, headers, visitor))
    return Stream(stream, media_type=EVENTS, headers={"X-Accel-Buffering": "no"})


def _still(room: Room, headers: auth.Headers, visitor: Visitor) -> bool:
    """Whether who watches may go on: a token may have been revoked, a session ended."""
    try:
        found, _ = auth.visitor_of(room, headers, visitor.address)
    except Refused:
        return False
    return found.roles == visitor.roles


def _nothing() -> None:
    """There is no connection to end (under another server than ours): the queue's bound stays."""


LIVE: Final = (live,)
