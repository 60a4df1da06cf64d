"""What the routes of the API share: their parameters, what may go wrong, and who sees numbers in full."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from litestar import Request
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter

from guard.web.problems import MEDIA, Problem, Refused
from guard.web.roles import Visitor
from guard.web.room import Room

Here = NamedDependency[Room]
Who = NamedDependency[Visitor]
Numbers = Annotated[
    Literal["full", "masked"] | None,
    QueryParameter(name="numbers", description="numbers in full (role privacy, noted) or with 4 digits hidden"),
]
_FAULTS: Final[dict[int, str]] = {
    400: "the request cannot be read",
    401: "a token is needed, or this one is none",
    403: "this token may not",
    404: "there is none",
    409: "not in the state that it is in",
    413: "too large",
    415: "not JSON",
    422: "something in the request means nothing; `errors` says what",
    429: "too many wrong tokens",
    503: "it cannot be said now",
}
EVERYWHERE: Final = (400, 401, 403, 422, 429, 503)


def faults(*more: int) -> dict[int, ResponseSpec]:
    """What may go wrong with a route, for the OpenAPI document."""
    return {
        status: ResponseSpec(
            data_container=Problem, description=_FAULTS[status], media_type=MEDIA, generate_examples=False
        )
        for status in sorted({*EVERYWHERE, *more})
    }


def provide_room(state: State) -> Room:
    """The operations room."""
    room: Room = state.room
    return room


def provide_visitor(request: Request[Visitor, None, State]) -> Visitor:
    """Who asks."""
    return request.user


async def full_of(room: Room, who: Visitor, numbers: str | None, what: str, options: dict[str, object]) -> bool:
    """Whether numbers are shown in full: to who has the role privacy and did not ask for masks; where the configuration
    hides them by default, only if asked for. It is noted. Refused (403, 503)."""
    if numbers == "full" and not who.full:
        raise Refused(403, "this token lacks the role privacy")
    asked = numbers == "full" or room.config.file.privacy.show_numbers != "masked"
    if not who.full or numbers == "masked" or not asked:
        return False
    await room.note(who, what, (name for name, value in options.items() if value not in {None, False}))
    return True
