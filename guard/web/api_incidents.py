"""`/api/v1/incidents`: what is open and how long there is, and the steps that operators take."""

from __future__ import annotations

import re
from typing import Annotated, Final

from litestar import get, post
from litestar.params import FromPath, JSONBody, PathParameter, QueryParameter
from msgspec import Meta, Struct

from guard.ledger.incidents import Letter
from guard.store.reader import SqliteReader
from guard.wanted import Mistake
from guard.web.api import AT, Here, Numbers, Who, faults, full_of
from guard.web.data import incidents as data
from guard.web.data.incidents import IncidentPage, IncidentView
from guard.web.problems import Refused
from guard.web.roles import operators, viewers
from guard.web.steps import MAX_TEXT, Action, take

NAME: Final = re.compile(r"(?:INC-)?([0-9]{1,18})\Z", re.IGNORECASE | re.ASCII)
Name = Annotated[str, PathParameter(description="as INC-12 or 12", pattern=r"^(?:INC-)?[0-9]{1,18}$")]


class Taken(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A step: when it happened (ISO 8601; now), what to remember of it, and for `notify` what the letter is."""

    at: Annotated[str, Meta(max_length=64, extra_json_schema={"pattern": AT})] = ""
    text: Annotated[str, Meta(max_length=MAX_TEXT)] = ""
    letter: Letter = ""


@get("/api/v1/incidents", guards=[viewers], responses=faults(), tags=["incidents"])
async def incidents(
    room: Here,
    visitor: Who,
    all: Annotated[bool, QueryParameter(description="the closed ones too")] = False,  # noqa: A002 - as the command has it
    start: Annotated[int, QueryParameter(gt=-1, le=1_000_000, description="how many to leave out")] = 0,
    limit: Annotated[int, QueryParameter(ge=1, le=data.MAX_PAGE, description="incidents of a page")] = data.PAGE,
    numbers: Numbers = None,
) -> IncidentPage:
    """What is open, the nearest deadline first."""
    full = await full_of(room, visitor, numbers, "incidents", {"all": all})
    now = room.clock()
    return await room.read(lambda reader: data.page(reader, now, closed=all, start=start, limit=limit, full=full))


@get("/api/v1/incidents/{incident:str}", guards=[viewers], responses=faults(404), tags=["incidents"])
async def incident(room: Here, visitor: Who, incident: Name, numbers: Numbers = None) -> IncidentView:
    """One incident: every step, every deadline, what it costs, and what can be done now."""
    number = number_of(incident)
    full = await full_of(room, visitor, numbers, "incident", {})
    return await _shown(room, number, full=full)


@post(
    "/api/v1/incidents/{incident:str}/{action:str}",
    guards=[operators],
    responses=faults(404, 409, 413),
    status_code=200,
    tags=["incidents"],
)
async def step(
    room: Here, visitor: Who, incident: Name, action: FromPath[Action], data: JSONBody[Taken]
) -> IncidentView:
    """Take a step: a letter came (`notify`), it was answered, put right (`resolve`), let go (`release`: a quarantine
    ends), or something is to be remembered (`note`)."""
    number = number_of(incident)
    await take(room, visitor, number, action, at=data.at, text=data.text, letter=data.letter)
    return await _shown(room, number, full=False)


def number_of(name: str) -> int:
    """The number of an incident's name. Mistake."""
    found = NAME.match(name)
    if found is None:
        raise Mistake("incident", "is no name of an incident: write it as INC-12 or 12")
    return int(found.group(1))


async def _shown(room: Here, number: int, *, full: bool) -> IncidentView:
    now = room.clock()

    def one(reader: SqliteReader) -> IncidentView | None:
        return data.one(reader, number, now, full=full)

    found = await room.read(one)
    if found is None:
        raise Refused(404, "no such incident")
    return found


INCIDENTS: Final = (incidents, incident, step)
