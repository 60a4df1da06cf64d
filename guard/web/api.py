"""What the routes of the API share: their parameters, what may go wrong, and who sees numbers in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from litestar import Request
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter

from guard.tomlread import nearest
from guard.web.problems import MEDIA, Problem, Refused
from guard.web.roles import Visitor
from guard.web.room import Room

if TYPE_CHECKING:
    from litestar.handlers import BaseRouteHandler

    from guard.web.roles import Connection

Here = NamedDependency[Room]
Who = NamedDependency[Visitor]
Numbers = Annotated[
    Literal["full", "masked"] | None,
    QueryParameter(name="numbers", description="numbers in full (role privacy, noted) or with 4 digits hidden"),
]
NO_WORDS: Final = frozenset({"room", "visitor", "request", "data"})  # of a handler, what is no parameter of a query
MAX_WORD: Final = 256  # characters of a filter: what records keep of a Call-ID, the longest of them
_DAY: Final = (
    r"(?:19[7-9][0-9]|2[01][0-9]{2})-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_CLOCK: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?"
_ZONE: Final = r"(?:Z|[+-](?:0[0-9]|1[0-2]):[0-5][0-9])?"
TIME: Final = rf"^(?:today|[0-9]{{1,6}}[smhd]|{_DAY}(?:T{_CLOCK}{_ZONE})?)$"  # what the document says of a time
AT: Final = rf"^(?:{_DAY}(?:T{_CLOCK}{_ZONE})?)?$"
FAULTS: Final[dict[int, str]] = {
    400: "the request cannot be read",
    401: "a token is needed, or this one is none",
    403: "this token may not",
    404: "there is none",
    409: "not in the state that it is in",
    413: "too large",
    415: "not JSON",
    422: "something in the request means nothing; `errors` says what",
    503: "it cannot be said now",
}
EVERYWHERE: Final = (400, 401, 403, 422, 503)


def worded(description: str) -> QueryParameter:
    """A filter."""
    return QueryParameter(min_length=1, max_length=MAX_WORD, description=description)


def timed(description: str) -> QueryParameter:
    """An instant. What it may look like is said, and looked at where it is read: that tells more of a mistake."""
    return QueryParameter(max_length=64, schema_extra={"pattern": TIME}, description=description)


def faults(*more: int) -> dict[int, ResponseSpec]:
    """What may go wrong with a route, for the OpenAPI document."""
    return {
        status: ResponseSpec(
            data_container=Problem, description=FAULTS[status], media_type=MEDIA, generate_examples=False
        )
        for status in sorted({*EVERYWHERE, *more})
    }


def known_words(connection: Connection, handler: BaseRouteHandler) -> None:
    """A guard of every route: of the API, a parameter that there is not is told, and the nearest there is. A filter
    that was mistyped and left out in silence would show what was not asked for."""
    if not connection.scope["path"].startswith("/api/"):
        return
    known = handler.parsed_fn_signature.parameters.keys() - NO_WORDS
    for name in connection.query_params:
        if name not in known:
            raise Refused(422, "no such parameter", (name, f"is no parameter{nearest(name, known)}"))


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
