"""The month's exposure: accrued against avoided."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import get_args

from litestar import Request, get
from litestar.datastructures import State
from markupsafe import Markup

from guard.ledger.penalties import By
from guard.report.chart import bars
from guard.store.reader import SqliteReader
from guard.wanted import Mistake
from guard.web.api import Here
from guard.web.data import exposure as data
from guard.web.data.exposure import MonthView
from guard.web.pages import shapes
from guard.web.pages.calls import said
from guard.web.pages.common import Html, html, reader, words_of
from guard.web.pages.view import View, word
from guard.web.roles import Visitor


@get("/exposure", include_in_schema=False)
async def exposure(request: Request[Visitor, None, State], room: Here) -> Html:
    """One month by one grouping."""
    asked = words_of(request, "month", "by")
    by = asked["by"] if asked["by"] in get_args(By) else "rule"
    view = await reader(request, room, "exposure", what="penalties" if by in {"number", "line"} else "", **asked)
    now = room.clock()

    def read(log: SqliteReader) -> tuple[MonthView, MonthView]:
        month = data.month_of(asked["month"] or None, now, log)
        grouping = data.by_of(by)
        days = data.month(log, room.config, now, month=month, by="day", full=view.full)
        if grouping == "day":
            return days, days
        return data.month(log, room.config, now, month=month, by=grouping, full=view.full), days

    try:
        found, days = await room.read(read)
    except Mistake as mistake:
        told = said(mistake, view.lang, "month")
        return html(
            "error.html", view, status=400, title=word(view.lang)("error.400"), detail=next(iter(told.values()))
        )
    return exposure_html(view, found, days)


def exposure_html(view: View, found: MonthView, days: MonthView) -> Html:
    """The page."""
    t = word(view.lang)
    first = date.fromisoformat(f"{found.month}-01")
    before = (first - timedelta(days=1)).strftime("%Y-%m")
    after = (first + timedelta(days=32)).strftime("%Y-%m")
    begun = after <= datetime.fromtimestamp(view.now // 1_000_000, view.zone).strftime("%Y-%m")
    by = "" if found.by == "rule" else found.by
    return html(
        "exposure.html",
        view,
        m=found,
        month_name=named(found.month, view),
        previous=shapes.query("/exposure", {"month": before, "by": by}),
        previous_name=named(before, view),
        following=shapes.query("/exposure", {"month": after, "by": by}) if begun else "",
        following_name=named(after, view),
        by_path=lambda name: shapes.query("/exposure", {"month": found.month, "by": name}),
        chart=Markup(bars(days_of(days), view.lang, t("exposure.chart"))),
        json=shapes.query("/api/v1/penalties", {"month": found.month, "by": found.by}),
    )


def named(month: str, view: View) -> str:
    """A month as people call it: `November 2026`, `novembre 2026`."""
    year, _, number = month.partition("-")
    return f"{word(view.lang)(f'month.{int(number)}')} {year}"


def days_of(found: MonthView) -> list[tuple[str, int, int]]:
    """Every day of the month with its sums, also those without any."""
    by = {g.key: g for g in found.groups}
    at = date.fromisoformat(f"{found.month}-01")
    out: list[tuple[str, int, int]] = []
    while at.isoformat().startswith(found.month):
        group = by.get(at.isoformat())
        out.append((str(at.day), group.accrued_microeuros, group.avoided_microeuros) if group else (str(at.day), 0, 0))
        at += timedelta(days=1)
    return out
