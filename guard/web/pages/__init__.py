"""The dashboard: pages rendered on the server, in French and English, that work without a script."""

from __future__ import annotations

from typing import Final

from litestar import Router

from guard.web.pages import calls, errors, incidents, law, lines, money, now, persons, sign

PAGES: Final = Router(
    path="/",
    route_handlers=[
        now.now,
        calls.calls,
        calls.call,
        lines.lines,
        lines.line,
        incidents.incidents,
        incidents.incident,
        incidents.act,
        money.exposure,
        law.policies,
        law.decide,
        persons.subjects,
        persons.subject,
        sign.signin,
        sign.signed_in,
        sign.signout,
        sign.preferences,
        sign.static,
    ],
    exception_handlers={Exception: errors.handle},
)
ROUTES: Final = (PAGES, now.now_json, law.policies_json, law.decide_json)
