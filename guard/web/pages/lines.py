"""Lines nearest to their quotas, and one line."""

from __future__ import annotations

from litestar import Request, get
from litestar.datastructures import State
from litestar.exceptions import NotFoundException
from litestar.response import Redirect

from guard.web.api import Here
from guard.web.data import lines as data
from guard.web.pages import shapes
from guard.web.pages.common import Html, away, html, reader, rest_of, words_of
from guard.web.roles import Visitor


@get("/lines", include_in_schema=False)
async def lines(request: Request[Visitor, None, State], room: Here) -> Html | Redirect:
    """Who is nearest to a quota this month; a line that is asked for by its name is opened."""
    asked = words_of(request, "line")["line"]
    if asked and request.user.sees:
        return away(f"/lines/{shapes.segment(asked)}")
    view = await reader(request, room, "lines", what="lines")
    policy = (await room.laws.now()).policy
    now = room.clock()
    found = await room.read(lambda log: data.nearest(log, policy, room.counter, now, full=view.full))
    return html("lines.html", view, found=found, json="/api/v1/lines")


@get("/lines/{line:path}", include_in_schema=False)
async def line(request: Request[Visitor, None, State], room: Here) -> Html:
    """One line: its quotas, its incidents, its last calls."""
    name = rest_of(request, "/lines/")
    view = await reader(request, room, "lines", what="line")
    policy = (await room.laws.now()).policy
    now = room.clock()
    privacy = request.user.full
    found = await room.read(lambda log: data.one(log, policy, room.counter, name, now, full=view.full, privacy=privacy))
    if found is None:
        raise NotFoundException
    return html("line.html", view, found=found, json=f"/api/v1{shapes.line_path(found.line, found.record)}")
