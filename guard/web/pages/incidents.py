"""Incidents with their deadlines, and the steps that operators take."""

from __future__ import annotations

from typing import Final, cast

from litestar import Request, get, post
from litestar.datastructures import State
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Redirect
from msgspec import Struct

from guard.ledger.incidentrecord import DeadlineRecord, IncidentRecord
from guard.ledger.incidents import Letter
from guard.wanted import Mistake
from guard.web.api import Here
from guard.web.api_incidents import number_of
from guard.web.data import incidents as data
from guard.web.data.incidents import IncidentView
from guard.web.pages import shapes
from guard.web.pages.common import Html, away, form_of, html, reader, view_of
from guard.web.pages.view import View, word
from guard.web.problems import Refused
from guard.web.roles import Visitor, operators
from guard.web.steps import ACTIONS, LETTERS, MAX_TEXT, StepRefused, take
from guard.web.words.clocks import follows

MOST_PAGES: Final = 10_000
FIELD: Final = {"sva": "callee", "number": "caller", "line": "line", "trunk": "trunk"}  # a filter of the log


class Said(Struct, frozen=True, kw_only=True):
    """What is told at the top of a page: `kind` good or bad."""

    kind: str
    text: str


@get("/incidents", include_in_schema=False)
async def incidents(request: Request[Visitor, None, State], room: Here) -> Html:
    """What is open, the nearest deadline first; with `all` the closed ones too."""
    closed = request.query_params.get("all") == "true"
    view = await reader(request, room, "incidents", what="incidents", all=closed)
    word_ = request.query_params.get("start", "0")
    start = int(word_) if word_.isascii() and word_.isdigit() and len(word_) < 7 else 0
    now = room.clock()
    page = await room.read(lambda log: data.page(log, now, closed=closed, start=start, full=view.full))

    def path(at: int) -> str:
        return shapes.query("/incidents", {"all": "true" if closed else "", "start": str(at) if at > 0 else ""})

    return html(
        "incidents.html",
        view,
        page=page,
        closed=closed,
        next_of=next_of,
        json=shapes.query("/api/v1/incidents", {"all": "true" if closed else "", "start": str(start) if start else ""}),
        older=path(start + data.PAGE) if page.more else "",
        newer=path(max(0, start - data.PAGE)) if start else "",
    )


def next_of(incident: IncidentRecord) -> DeadlineRecord | None:
    """The first deadline that is not met; of a closed incident none counts any more."""
    waiting = [d for d in incident.deadlines if d.met is None] if incident.closed is None else []
    return min(waiting, key=lambda d: d.due, default=None)


@get("/incidents/{incident:str}", include_in_schema=False)
async def incident(request: Request[Visitor, None, State], room: Here, incident: FromPath[str]) -> Html:
    """One incident."""
    view = await reader(request, room, "incidents", what="incident")
    found = await _found(room, incident, view)
    done = request.query_params.get("done", "")
    t = word(view.lang)
    said = Said(kind="good", text=t("incident.done", step=t(f"step.{done}"))) if done in ACTIONS else None
    return incident_html(view, found, said, {})


@post("/incidents/{incident:str}", include_in_schema=False, guards=[operators])
async def act(request: Request[Visitor, None, State], room: Here, incident: FromPath[str]) -> Html | Redirect:
    """Take a step with it, and show it again."""
    form = await form_of(request)
    name = form.get("step", "")
    view = view_of(request, room, "incidents")
    t = word(view.lang)
    if name not in ACTIONS:
        raise Refused(400, "no such step")
    number = _number(incident)
    letter = form.get("letter", "") if name == "notify" else ""
    if name == "notify" and letter not in LETTERS:
        return await _again(room, incident, view, t("incident.wrong.letter"), form)
    try:
        await take(
            room,
            request.user,
            number,
            name,
            at=form.get("at", "").strip(),
            text=form.get("text", "").strip().replace("\r\n", "\n"),
            letter=cast("Letter", letter),
        )
    except Mistake as mistake:
        long = t("incident.wrong.long", n=MAX_TEXT)
        told = long if mistake.field == "text" else t("incident.wrong.at")
        return await _again(room, incident, view, told, form)
    except StepRefused as refused:
        return await _again(room, incident, view, why_not(refused, view), form, status=409)
    return away(f"/incidents/INC-{number}?done={name}")


def why_not(refused: StepRefused, view: View) -> str:
    """Why a step cannot be taken, in the reader's language."""
    t, wrong = word(view.lang), refused.wrong
    if wrong.why == "state":
        why = t("incident.why.state", state=t(f"state.{wrong.state}"))
    elif wrong.why == "early":
        why = t("incident.why.early")
    elif wrong.why == "unasked":
        why = t("incident.why.unasked")
    else:
        why = refused.detail
    return t("incident.wrong", why=why)


def _number(name: str) -> int:
    try:
        return number_of(name)
    except Mistake:
        raise NotFoundException from None


async def _found(room: Here, name: str, view: View) -> IncidentView:
    number, now = _number(name), room.clock()
    found = await room.read(lambda log: data.one(log, number, now, full=view.full))
    if found is None:
        raise NotFoundException
    return found


async def _again(room: Here, name: str, view: View, told: str, form: dict[str, str], status: int = 400) -> Html:
    found = await _found(room, name, view)
    return incident_html(view, found, Said(kind="bad", text=told), form, status=status)


def incident_html(
    view: View, found: IncidentView, said: Said | None, form: dict[str, str], *, status: int = 200
) -> Html:
    """The page."""
    one = found.incident
    field = FIELD.get(one.kind, "")
    subject = one.subject.rpartition("/")[2] if one.kind == "line" else one.subject
    return html(
        "incident.html",
        view,
        status=status,
        found=found,
        said=said,
        can=[step for step in ACTIONS if step in found.can],
        letters=LETTERS,
        follows=lambda says: follows(says, view.lang),
        longest=MAX_TEXT,
        form={"text": form.get("text", ""), "at": form.get("at", ""), "letter": form.get("letter", "")},
        calls=shapes.query("/calls", {field: subject, "all": "true"}) if field and "*" not in subject else "",
        json=f"/api/v1/incidents/{one.id}",
    )
