"""What goes wrong, as a page: for browsers; programs get problem details."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from litestar.enums import MediaType
from litestar.exceptions import NotAuthorizedException
from litestar.response import Response

from guard.web import problems
from guard.web.pages.common import away, here, view_of
from guard.web.pages.view import View, render, word
from guard.web.words import WORDS

if TYPE_CHECKING:
    from litestar import Request
    from litestar.datastructures import State
    from litestar.response import Redirect

    from guard.web.problems import Problem
    from guard.web.roles import Visitor
    from guard.web.room import Room

SAID: Final = {403: "error.403.role", 404: "error.404.text", 500: "error.500.text"}


def handle(request: Request[Visitor, None, State], error: Exception) -> Response[str] | Redirect:
    """Litestar's way of answering an exception of a page. Who is not signed in is asked to."""
    if isinstance(error, NotAuthorizedException):
        return away("/signin?next=" + quote(here(request), safe=""))
    told, headers = problems.of(error)
    room: Room = request.app.state.room
    content = error_html(view_of(request, room, "error"), told)
    return Response(content=content, status_code=told.status, media_type=MediaType.HTML, headers=headers)


def error_html(view: View, told: Problem) -> str:
    """The page of a problem. What is told of it in English only stands there where there are no words of ours."""
    t = word(view.lang)
    key = f"error.{told.status}"
    title = t(key) if key in WORDS else told.title
    text = SAID.get(told.status, "")
    if told.status == 403 and "form" in told.detail:
        text = "error.403.csrf"
    elif told.status == 403 and told.errors:
        text = "error.403.hidden"
    return render("error.html", view, title=title, detail=t(text) if text else told.detail, status=told.status)
