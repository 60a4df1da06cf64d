"""What goes wrong outside any route: problem details for programs, a page for people whose browser asked for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import msgspec
from litestar import Request
from litestar.enums import MediaType
from litestar.response import Response
from msgspec import Struct

from guard.net.say import LOG
from guard.web import problems
from guard.web.pages.common import view_of
from guard.web.pages.errors import error_html

if TYPE_CHECKING:
    from litestar.datastructures import State
    from litestar.types import HTTPScope

    from guard.web.asgi import Scope
    from guard.web.problems import Problem
    from guard.web.roles import Visitor
    from guard.web.room import Room

API: Final = ("/api/", "/schema", "/metrics", "/healthz", "/readyz", "/static/")


class Mishap(Struct, frozen=True):
    """An answer to an exception, as it goes out."""

    status: int
    media: str
    headers: dict[str, str]
    body: bytes


def of(room: Room, scope: Scope, error: Exception) -> Mishap:
    """What is answered."""
    told, headers = problems.of(error)
    html = _page(room, scope, told) if _browses(scope) else None
    if html is not None:
        return Mishap(told.status, MediaType.HTML, headers, html)
    return Mishap(told.status, problems.MEDIA, headers, msgspec.json.encode(told))


def handle(request: Request[Visitor, None, State], error: Exception) -> Response[bytes]:
    """Litestar's way of answering an exception where no route's own does."""
    found = of(request.app.state.room, cast("Scope", request.scope), error)
    return Response(content=found.body, status_code=found.status, media_type=found.media, headers=found.headers)


def _browses(scope: Scope) -> bool:
    accept = next((value for name, value in scope["headers"] if name == b"accept"), b"")
    return "user" in scope and b"text/html" in accept and not scope["path"].startswith(API)


def _page(room: Room, scope: Scope, told: Problem) -> bytes | None:
    try:
        return error_html(view_of(Request(cast("HTTPScope", scope)), room, "error"), told).encode()
    except Exception as fault:  # noqa: BLE001 - a fault in the page of a fault: problem details are left
        LOG.error("web: a fault of ours", exc_info=fault)
        return None
