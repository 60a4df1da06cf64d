"""`/api/v1/subjects`: what is held about one number, and its erasure."""

from __future__ import annotations

from typing import Annotated, Final

from litestar import get, post
from litestar.params import JSONBody, PathParameter
from msgspec import Meta, Struct

from guard.web import persons
from guard.web.api import Here, Who, faults
from guard.web.persons import MAX_REASON, Erasure, Export
from guard.web.roles import privacies

DIALLED: Final = r"^\+?[0-9]{2,15}$"  # said, and looked at where it is read: that tells more of a mistake
Number = Annotated[str, PathParameter(description="as dialled, or as +33145678900", schema_extra={"pattern": DIALLED})]


class Wish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An erasure: `reason` for the access log (who asked, how he showed that the number is his). Without `confirm` it
    is only told what would be erased; `with_open` erases open incidents too, which are claims under way."""

    reason: Annotated[str, Meta(min_length=1, max_length=MAX_REASON, extra_json_schema={"pattern": r"\S"})]
    confirm: bool = False
    with_open: bool = False


@get("/api/v1/subjects/{number:str}", guards=[privacies], responses=faults(413), tags=["subjects"])
async def export(room: Here, visitor: Who, number: Number) -> Export:
    """All that is held about a number: to be handed to the person whose it is."""
    return await persons.export(room, visitor, number)


@post(
    "/api/v1/subjects/{number:str}/erase",
    guards=[privacies],
    responses=faults(413),
    status_code=200,
    tags=["subjects"],
)
async def erase(room: Here, visitor: Who, number: Number, data: JSONBody[Wish]) -> Erasure:
    """Erase what calls, incidents and penalties of a number said, for good; that they were there stays, without a
    number, and so do the amounts."""
    if not data.confirm:
        return await persons.look(room, visitor, number, with_open=data.with_open)
    return await persons.erase(room, visitor, number, data.reason, with_open=data.with_open)


PERSONS: Final = (export, erase)
