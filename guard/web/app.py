"""The web application: its routes, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, cast

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide

from guard.web import mishaps, openapi, pages
from guard.web.api import known_words, provide_room, provide_visitor
from guard.web.api_calls import CALLS
from guard.web.api_decide import DECIDE
from guard.web.api_health import HEALTH
from guard.web.api_incidents import INCIDENTS
from guard.web.api_lines import LINES
from guard.web.api_live import LIVE
from guard.web.api_money import MONEY
from guard.web.api_persons import PERSONS
from guard.web.door import MAX_BODY, Door
from guard.web.room import Room

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from guard.web.asgi import App

ROUTES: Final[tuple[ControllerRouterHandler, ...]] = (
    *CALLS,
    *MONEY,
    *INCIDENTS,
    *LINES,
    *DECIDE,
    *PERSONS,
    *LIVE,
    *HEALTH,
    *pages.ROUTES,
)


def make_app(room: Room) -> Door:
    """The application of a site, as ASGI."""
    return Door(cast("App", _litestar(room)), room)


def _litestar(room: Room) -> Litestar:
    @asynccontextmanager
    async def life(_: Litestar) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await room.close()

    return Litestar(
        route_handlers=[*ROUTES],
        dependencies={
            "room": Provide(provide_room, sync_to_thread=False),
            "visitor": Provide(provide_visitor, sync_to_thread=False),
        },
        guards=[known_words],
        state=State({"room": room}),
        exception_handlers={Exception: mishaps.handle},
        openapi_config=openapi.config(ROUTES),
        request_max_body_size=MAX_BODY,
        logging_config=None,
        debug=False,
        lifespan=[life],
    )
