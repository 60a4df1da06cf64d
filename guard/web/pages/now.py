"""What is happening now: figures and verdicts, live where scripts run."""

from __future__ import annotations

from typing import Final

import msgspec
from litestar import Request, get
from litestar.datastructures import State

from guard.ledger.record import CallRecord
from guard.store.contract import Query
from guard.web.api import Here, Who, faults
from guard.web.data import calls as log
from guard.web.data.now import Board, NowView
from guard.web.data.now import now as look
from guard.web.pages.common import Html, html, reader
from guard.web.pages.view import View, word
from guard.web.roles import Visitor, viewers

LATEST: Final = 20  # verdicts on the page
SAID: Final = (
    *("verdict.allowed", "verdict.flagged", "verdict.masked", "verdict.blocked", "none", "anonymous"),
    *("outcome.answered", "outcome.cancelled", "outcome.failed", "outcome.blocked", "outcome.open", "now.say"),
)  # what the script needs


def board_of(state: State) -> Board:
    """The board of this application."""
    found: Board | None = state.get("board")
    if found is None:
        found = state["board"] = Board()
    return found


@get("/", include_in_schema=False)
async def now(request: Request[Visitor, None, State], room: Here) -> Html:
    """The page."""
    view = await reader(request, room, "now", what="live")
    found = await look(room, board_of(request.app.state))
    query = Query(all=True)
    page = await room.read(lambda reader_: log.page(reader_, query, limit=LATEST, full=view.full))
    return now_html(view, found, page.calls)


@get("/api/v1/now", guards=[viewers], responses=faults(), tags=["health"])
async def now_json(request: Request[Visitor, None, State], room: Here, visitor: Who) -> NowView:
    """The running guard's figures, how incidents stand, and the running month's money."""
    return await look(room, board_of(request.app.state))


def now_html(view: View, found: NowView, calls: tuple[CallRecord, ...]) -> Html:
    """The page."""
    t = word(view.lang)
    return html(
        "now.html",
        view,
        figures=found.figures,
        standing=found.standing,
        calls=calls,
        most=LATEST,
        words=msgspec.json.encode({key: t(key) for key in SAID}).decode(),
        json="/api/v1/now",
    )
