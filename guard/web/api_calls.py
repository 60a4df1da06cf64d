"""`/api/v1/calls`: the log of calls, page by page; and one call with all that is known of it."""

from __future__ import annotations

from typing import Annotated, Final

from litestar import get
from litestar.params import PathParameter, QueryParameter

from guard.model import Verdict
from guard.store.reader import SqliteReader
from guard.wanted import Wanted
from guard.web.api import Here, Numbers, Who, faults, full_of, timed, worded
from guard.web.data import calls as data
from guard.web.data.calls import CallPage, CallView
from guard.web.problems import Refused
from guard.web.roles import viewers

Time = 'a time (2026-11-21T10:00), a date, an age (15m, 2h, 7d) or "today"'
Cursor = Annotated[
    int | None, QueryParameter(gt=-1, lt=data.NO_SEQ, description="where a page begins, as another page gave it")
]


@get("/api/v1/calls", guards=[viewers], responses=faults(), tags=["calls"])
async def calls(
    room: Here,
    visitor: Who,
    since: Annotated[str | None, timed(f"calls from then on: {Time}")] = None,
    until: Annotated[str | None, timed(f"calls before then: {Time}")] = None,
    verdict: Annotated[Verdict | None, QueryParameter(description="what became of them")] = None,
    rule: Annotated[
        str | None,
        QueryParameter(
            min_length=1, max_length=256, description="calls of which this rule spoke; cli.* for all that begin so"
        ),
    ] = None,
    caller: Annotated[
        str | None,
        QueryParameter(
            min_length=1,
            max_length=256,
            description="number received or presented; 0145* for all that begin so; #123 for that of record 123. "
            "Masked numbers are only asked for by what the mask shows",
        ),
    ] = None,
    callee: Annotated[str | None, worded("number called, in the same forms")] = None,
    trunk: Annotated[str | None, worded("name of the trunk")] = None,
    line: Annotated[str | None, worded("line; 2* for all that begin so; #123 for that of record 123")] = None,
    call_id: Annotated[str | None, worded("Call-ID of SIP, whole")] = None,
    all: Annotated[bool, QueryParameter(description="the allowed calls too")] = False,  # noqa: A002 - its name
    before: Cursor = None,
    after: Cursor = None,
    limit: Annotated[int, QueryParameter(ge=1, le=data.MAX_PAGE, description="calls of a page")] = data.PAGE,
    numbers: Numbers = None,
) -> CallPage:
    """The calls that fit, the newest first. Go on with `before` set to `older`, or `after` to `newer`."""
    wanted = Wanted(
        since=since,
        until=until,
        verdict=verdict,
        rule=rule,
        caller=caller,
        callee=callee,
        trunk=trunk,
        line=line,
        call_id=call_id,
        all=all,
    )
    full = await full_of(room, visitor, numbers, "calls", {n: getattr(wanted, n) for n in wanted.__struct_fields__})
    trunks = frozenset(t.name for t in room.config.file.trunk)

    def page(reader: SqliteReader) -> CallPage:
        query = data.wanted_query(reader, wanted, lambda: trunks, full=full, privacy=visitor.full)
        return data.page(reader, query, before=before, after=after, limit=limit, full=full)

    return await room.read(page)


@get("/api/v1/calls/{call_id:path}", guards=[viewers], responses=faults(404), tags=["calls"])
async def call(
    room: Here,
    visitor: Who,
    call_id: Annotated[str, PathParameter(description="Call-ID of SIP, whole, or the number of a record")],
    numbers: Numbers = None,
) -> CallView:
    """One call: its record, what was seen and done, the calls around it, its incident."""
    full = await full_of(room, visitor, numbers, "call", {})
    found = await room.read(lambda reader: data.one(reader, str(call_id)[1:], room.clock(), full=full))
    if found is None:
        raise Refused(404, "no such call")
    return found


CALLS: Final = (calls, call)
