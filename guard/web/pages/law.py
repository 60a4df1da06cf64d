"""The policies in force with their sources, and a form that decides a call without placing it."""

from __future__ import annotations

from typing import Annotated, Final

from litestar import Request, get
from litestar.datastructures import State
from litestar.exceptions import NotAuthorizedException

from guard.questions import USAGES, Asked
from guard.store.whole import Whole
from guard.wanted import Mistake, dated
from guard.web.api import Here, faults, full_of, timed
from guard.web.data import decide as deciding
from guard.web.data import policies as data
from guard.web.data.policies import PoliciesView
from guard.web.pages import shapes
from guard.web.pages.calls import said
from guard.web.pages.common import Html, html, reader, words_of
from guard.web.problems import Refused
from guard.web.roles import Visitor, viewers

FIELDS: Final = ("caller", "callee", "line", "pai", "diversion", "at")
HINTS: Final = {"caller": "+33145678901", "callee": "0892…", "at": "2026-11-21T10:00"}


@get("/policies", include_in_schema=False)
async def policies(request: Request[Visitor, None, State], room: Here) -> Html:
    """What decides today, or on another day."""
    view = await reader(request, room, "policies")
    law = await room.laws.now()
    asked = words_of(request, "at")["at"]
    now = room.clock()
    wrong = ""
    try:
        at = dated(asked, room.zone) if asked else now
    except Mistake as mistake:
        at, wrong = now, said(mistake, view.lang, "at").get("at", "") or str(mistake)
    found = await room.read(lambda _: data.inforce(law.config, law.policy, at))
    json = shapes.query("/api/v1/policies", {"at": asked})
    return html("policies.html", view, status=400 if wrong else 200, p=found, at=asked, wrong=wrong, json=json)


@get("/api/v1/policies", guards=[viewers], responses=faults(), tags=["policies"])
async def policies_json(
    room: Here,
    at: Annotated[str | None, timed("an instant (now)")] = None,
) -> PoliciesView:
    """The rules in force at an instant (now), in the order in which they speak, with what they rest on; the contracts
    of the trunks, and the destination data."""
    law = await room.laws.now()
    when = dated(at, room.zone) if at is not None else room.clock()
    return await room.read(lambda _: data.inforce(law.config, law.policy, when))


async def _decided(room: Here, form: dict[str, str], who: Visitor) -> Whole:
    """The decision on what a form asks. Raises Mistake."""
    law = await room.laws.now()
    asked = Asked(
        caller=form["caller"],
        callee=form["callee"],
        source=form["source"] or None,
        line=form["line"],
        usage=form["usage"] or None,
        pai=(form["pai"],) if form["pai"] else (),
        diversion=(form["diversion"],) if form["diversion"] else (),
        privacy=bool(form["privacy"]),
        inbound=bool(form["inbound"]),
        at=form["at"] or None,
    )
    now = room.clock()
    full = await full_of(room, who, None, "decide", {})
    return await room.read(lambda _: deciding.decide(law.config, law.policy, asked, now, full=full))


def _form(request: Request[Visitor, None, State]) -> dict[str, str]:
    return words_of(request, *FIELDS, "source", "usage", "inbound", "privacy")


@get("/decide", include_in_schema=False)
async def decide(request: Request[Visitor, None, State], room: Here) -> Html:
    """The form, and the decision on what it holds: nothing is placed, counted or recorded."""
    view = await reader(request, room, "decide")
    form = _form(request)
    wrong: dict[str, str] = {}
    answer: Whole | None = None
    if form["callee"]:
        try:
            answer = await _decided(room, form, request.user)
        except Mistake as mistake:
            wrong = said(mistake, view.lang, "at")
    return html(
        "decide.html",
        view,
        status=400 if wrong else 200,
        form=form,
        fields=[(name, HINTS.get(name, "")) for name in FIELDS],
        wrong=wrong,
        sources=[s.name for s in room.config.sources],
        usages=USAGES,
        answer=answer,
        json=shapes.query("/decide.json", form) if answer is not None else "",
    )


@get("/decide.json", include_in_schema=False)
async def decide_json(request: Request[Visitor, None, State], room: Here) -> Whole:
    """The same as JSON; `POST /api/v1/decide` asks the running guard."""
    if not request.user.sees:
        raise NotAuthorizedException("sign in")
    form = _form(request)
    if not form["callee"]:
        raise Refused(422, "callee is needed", ("callee", "is needed"))
    return await _decided(room, form, request.user)
