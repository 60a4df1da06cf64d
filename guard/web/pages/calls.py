"""The log of calls, and one call."""

from __future__ import annotations

import re
from typing import Final

from litestar import Request, get
from litestar.datastructures import State
from litestar.exceptions import NotFoundException

from guard.report.html import Lang
from guard.rules import BY_ID
from guard.store.reader import SqliteReader
from guard.wanted import Mistake, Wanted
from guard.web.api import Here
from guard.web.data import calls as data
from guard.web.data.calls import CallPage, CallView
from guard.web.pages import shapes
from guard.web.pages.common import Html, html, reader, rest_of, words_of
from guard.web.pages.drawings import ladder
from guard.web.pages.view import View, word
from guard.web.problems import Refused
from guard.web.roles import Visitor
from guard.web.words import WORDS

FIELDS: Final = ("since", "until", "rule", "caller", "callee", "line", "trunk", "call_id")
HINTS: Final = {"rule": "cli.*", "caller": "0145*", "callee": "0899*", "line": "2*"}
MEANT: Final = re.compile(r'did you mean "([^"]{1,80})"')
HEADERS: Final = {
    "from": "From",
    "pai": "P-Asserted-Identity",
    "ppi": "P-Preferred-Identity",
    "rpid": "Remote-Party-ID",
    "diversion": "Diversion",
    "history-info": "History-Info",
}
EMPTY: Final = CallPage(calls=(), older=None, newer=None)


def said(mistake: Mistake, lang: Lang, field: str = "") -> dict[str, str]:
    """A mistake in a form, by the field it is in, in the reader's language."""
    name = mistake.field or field or "other"
    t = word(lang)
    key = f"wrong.{name}"
    text = t(key if key in WORDS else "wrong.other")
    meant = MEANT.search(mistake.text)
    return {name: t("wrong.meant", wrong=text, word=meant[1]) if meant else text}


@get("/calls", include_in_schema=False)
async def calls(request: Request[Visitor, None, State], room: Here) -> Html:
    """Blocked, masked and flagged calls by every filter of `guard log`; with `all` the allowed ones too."""
    form = words_of(request, *FIELDS, "verdict", "all")
    before, after = (request.query_params.get(n) or None for n in ("before", "after"))
    asked = {k: v for k, v in form.items() if v}
    view = await reader(request, room, "calls", what="calls", **asked)
    wanted = Wanted(**{n: form[n] or None for n in (*FIELDS, "verdict")}, all=form["all"] in {"true", "on", "1"})
    trunks = frozenset(t.name for t in room.config.file.trunk)
    privacy = request.user.full

    def page(log: SqliteReader) -> CallPage:
        query = data.wanted_query(log, wanted, lambda: trunks, full=view.full, privacy=privacy)
        back, on = data.cursor_of("before", before), data.cursor_of("after", after)
        return data.page(log, query, before=back, after=on, full=view.full)

    wrong: dict[str, str] = {}
    may_not = False
    found = EMPTY
    try:
        found = await room.read(page)
    except Mistake as mistake:
        wrong = said(mistake, view.lang, "since")
    except Refused as refused:
        if refused.status_code != 403:
            raise
        may_not = True
        text = word(view.lang)("wrong.masked" if privacy else "wrong.hidden")
        wrong = {error.field: text for error in refused.errors}
    numbers = request.query_params.get("numbers", "")
    form["numbers"] = numbers if numbers in {"full", "masked"} else ""
    page_ = calls_html(view, found, form, wrong, sorted(trunks), beyond=bool(before or after))
    if may_not:
        page_.status_code = 403
    return page_


def calls_html(
    view: View, found: CallPage, form: dict[str, str], wrong: dict[str, str], trunks: list[str], *, beyond: bool = False
) -> Html:
    """The page. `beyond` tells that it is not the first one."""
    t = word(view.lang)
    hints = {**HINTS, "since": t("filter.hint.time"), "until": t("filter.hint.time")}

    def path(**cursor: str) -> str:
        return shapes.query("/calls", {**form, **cursor})

    return html(
        "calls.html",
        view,
        status=400 if wrong else 200,
        calls=found.calls,
        form=form,
        wrong=wrong,
        asked=sum(bool(v) for name, v in form.items() if name != "numbers"),
        fields=[(name, hints.get(name, "")) for name in FIELDS],
        rules=sorted(BY_ID),
        trunks=trunks,
        json=shapes.query("/api/v1/calls", form),
        older=path(before=str(found.older)) if found.older is not None else "",
        newer=path(after=str(found.newer)) if beyond and found.newer is not None else "",
        newest=shapes.query("/calls", form) if beyond else "",
    )


@get("/calls/{call_id:path}", include_in_schema=False)
async def call(request: Request[Visitor, None, State], room: Here) -> Html:
    """One call: by its Call-ID, or by the number of its record."""
    wanted = rest_of(request, "/calls/")
    view = await reader(request, room, "calls", what="call")
    now = room.clock()
    found = await room.read(lambda log: data.one(log, wanted, now, full=view.full))
    if found is None:
        raise NotFoundException
    return call_html(view, found)


def call_html(view: View, found: CallView) -> Html:
    """The page."""
    who = shapes.whom(found.call)
    steps = shapes.steps(found.call, found.steps, view)
    t = word(view.lang)
    title = t("ladder.title", caller=who[0], guard=who[1], called=who[2])
    return html(
        "call.html",
        view,
        call=found,
        who=who,
        steps=steps,
        drawing=ladder(who, steps, title),
        headers=HEADERS,
        json=f"/api/v1/calls/{shapes.segment(f'#{found.call.record.seq}')}",
    )
