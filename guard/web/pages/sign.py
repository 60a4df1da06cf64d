"""Signing in and out, the choice of language and theme, and the files that pages load."""

from __future__ import annotations

from typing import Final

from litestar import Request, get, post
from litestar.datastructures import State
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Redirect, Response

from guard.web import auth
from guard.web.api import Here
from guard.web.pages.common import (
    LANG_COOKIE,
    STATIC_FILES,
    THEME_COOKIE,
    Html,
    away,
    file_of,
    form_of,
    html,
    kept,
    local,
    view_of,
)
from guard.web.pages.incidents import Said
from guard.web.pages.view import THEMES, word
from guard.web.problems import Refused
from guard.web.roles import Visitor
from guard.web.words import LANGS

KEEP: Final = "public, max-age=31536000, immutable"  # its address holds its digest
BRIEFLY: Final = "public, max-age=300"


@get("/signin", include_in_schema=False)
async def signin(request: Request[Visitor, None, State], room: Here) -> Html:
    """The form."""
    view = view_of(request, room, "signin")
    after = local(request.query_params.get("next", "/"))
    t = word(view.lang)
    said = Said(kind="", text=t("signin.need")) if "next" in request.query_params and not view.sees else None
    return html("signin.html", view, said=said, next=after)


@post("/signin", include_in_schema=False)
async def signed_in(request: Request[Visitor, None, State], room: Here) -> Html | Redirect:
    """A session for who has a token; else the form again."""
    form = await form_of(request)
    after = local(form.get("next", "/"))
    try:
        sid = auth.signed_in(room, form.get("token", ""), request.user.address)
    except Refused as refused:
        view = view_of(request, room, "signin")
        t = word(view.lang)
        wait = (refused.headers or {}).get("Retry-After", "")
        text = t("signin.often", n=wait) if refused.status_code == 429 else t("signin.wrong")
        made = html("signin.html", view, status=refused.status_code, said=Said(kind="bad", text=text), next=after)
        if wait:
            made.headers["Retry-After"] = wait
        return made
    room.sessions.end(request.user.session)  # of who signs in again as somebody else
    return away(after, auth.cookie(auth.SESSION, sid, tls=room.place.tls))


@post("/signout", include_in_schema=False)
async def signout(request: Request[Visitor, None, State], room: Here) -> Redirect:
    """The session is over."""
    if request.user.session:
        room.sessions.end(request.user.session)
    return away("/signin", auth.cookie(auth.SESSION, "", tls=room.place.tls, gone=True))


@post("/preferences", include_in_schema=False)
async def preferences(request: Request[Visitor, None, State], room: Here) -> Redirect:
    """Language and theme, remembered by the browser."""
    form = await form_of(request)
    cookies = []
    if form.get("lang") in LANGS:
        cookies.append(kept(LANG_COOKIE, form["lang"], tls=room.place.tls))
    if form.get("theme") in THEMES:
        cookies.append(kept(THEME_COOKIE, form["theme"], tls=room.place.tls))
    return away(local(form.get("next", "/")), *cookies)


@get("/static/{name:str}", include_in_schema=False, sync_to_thread=False)
def static(request: Request[Visitor, None, State], name: FromPath[str]) -> Response[bytes]:
    """A file that pages load: anybody may, there is nothing of the site in it."""
    kind = STATIC_FILES.get(name)
    if kind is None:
        raise NotFoundException
    keep = KEEP if "v" in request.query_params else BRIEFLY
    return Response(content=_FILES[name], media_type=kind, headers={"Cache-Control": keep})


_FILES: Final = {name: file_of(name) for name in STATIC_FILES}
