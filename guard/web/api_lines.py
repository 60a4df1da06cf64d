"""`/api/v1/lines`: who is nearest to a quota, and one line."""

from __future__ import annotations

from typing import Annotated, Final

from litestar import get
from litestar.params import PathParameter, QueryParameter

from guard.web.api import Here, Numbers, Who, faults, full_of
from guard.web.data import lines as data
from guard.web.data.lines import LineView, NearestView
from guard.web.problems import Refused
from guard.web.roles import viewers

MOST: Final = 100  # lines of one answer


@get("/api/v1/lines", guards=[viewers], responses=faults(), tags=["lines"])
async def lines(
    room: Here,
    visitor: Who,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST, description="lines at most")] = data.NEAREST,
    numbers: Numbers = None,
) -> NearestView:
    """Lines and trunks by their share of a quota, the largest first."""
    full = await full_of(room, visitor, numbers, "lines", {})
    law = await room.laws.now()
    now = room.clock()
    return await room.read(lambda reader: data.nearest(reader, law.policy, room.counter, now, limit=limit, full=full))


@get("/api/v1/lines/{line:path}", guards=[viewers], responses=faults(404), tags=["lines"])
async def line(
    room: Here,
    visitor: Who,
    line: Annotated[str, PathParameter(description="name of the line, or #123 for that of record 123")],
    numbers: Numbers = None,
) -> LineView:
    """One line: its last calls, its quotas, its incidents."""
    full = await full_of(room, visitor, numbers, "line", {})
    law = await room.laws.now()
    now = room.clock()
    name = str(line)[1:]
    found = await room.read(
        lambda reader: data.one(reader, law.policy, room.counter, name, now, full=full, privacy=visitor.full)
    )
    if found is None:
        raise Refused(404, "no call of such a line")
    return found


LINES: Final = (lines, line)
