"""What every page's route shares: who reads it and how, what is asked for, and the answer."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import parse_qs, unquote

from litestar.datastructures import Cookie
from litestar.enums import MediaType
from litestar.exceptions import NotAuthorizedException
from litestar.response import Redirect, Response

from guard.web.api import full_of
from guard.web.pages import shapes
from guard.web.pages.view import STATIC, THEMES, Theme, View, environment, render
from guard.web.words import LANGS, Lang

if TYPE_CHECKING:
    from litestar import Request
    from litestar.datastructures import State

    from guard.web.roles import Visitor
    from guard.web.room import Room

    Asked = Request[Visitor, None, State]

Html = Response[str]
LANG_COOKIE: Final = "guard-lang"
THEME_COOKIE: Final = "guard-theme"
YEAR_S: Final = 365 * 86_400
MOST_FIELDS: Final = 64
MAX_WORD: Final = 256  # characters of a word in a form; no filter takes more
STATIC_FILES: Final = {"guard.css": "text/css", "live.js": "text/javascript", "favicon.svg": "image/svg+xml"}


def file_of(name: str) -> bytes:
    """A file that pages load."""
    return (STATIC / name).read_bytes()


def asset(name: str) -> str:
    """Where a file is, with its digest: a browser keeps it until it is another."""
    return f"/static/{name}?v={_DIGESTS[name]}"


_DIGESTS: Final = {name: blake2b(file_of(name), digest_size=6).hexdigest() for name in STATIC_FILES}
environment().globals.update(
    asset=asset,
    shapes=shapes,
    call_path=shapes.call_path,
    rules_of=shapes.rules_of,
    micros=shapes.micros,
    query=shapes.query,
)


def language(request: Asked, room: Room) -> Lang:
    """The reader's own choice, else the site's, else what the browser asks for."""
    chosen = request.cookies.get(LANG_COOKIE, "")
    if chosen in LANGS:
        return chosen
    if room.place.language != "auto":
        return room.place.language
    return preferred(request.headers.get("accept-language", ""))


def preferred(field: str) -> Lang:
    """Of our languages the first one of an Accept-Language field (RFC 9110 12.5.4) by its weights; English for none."""
    best, found = 0.0, "en"
    for part in field.split(",")[:20]:
        name, _, weight = part.strip().partition(";q=")
        try:
            value = float(weight) if weight else 1.0
        except ValueError:
            continue
        lang = name.strip().lower()[:2]
        if lang in LANGS and value > best:
            best, found = value, lang
    return cast("Lang", found)


def theme(request: Asked) -> Theme:
    """The reader's choice of light and dark."""
    chosen = request.cookies.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else "auto"


def here(request: Asked) -> str:
    """The page's own path with its query, as it was asked for."""
    raw = request.scope.get("raw_path", b"") or request.scope["path"].encode()
    asked = request.scope["query_string"]
    return (bytes(raw).partition(b"?")[0] + (b"?" + asked if asked else b"")).decode("latin-1")


def rest_of(request: Asked, prefix: str) -> str:
    """What stands behind `prefix` in the path, whatever it is: a Call-ID may hold slashes."""
    raw = bytes(request.scope.get("raw_path", b"")).partition(b"?")[0].decode("latin-1")
    return unquote(raw[len(prefix) :]) if raw.startswith(prefix) else ""


def view_of(request: Asked, room: Room, place: str, *, full: bool = False) -> View:
    """The reader of this page."""
    who = request.user
    return View(
        lang=language(request, room),
        theme=theme(request),
        zone=room.zone,
        site=room.config.site,
        place=place,
        here=here(request),
        csrf=who.csrf,
        person=who.name,
        sees=who.sees,
        operates=who.operates,
        privacy=who.full,
        full=full,
        now=room.clock(),
    )


async def reader(request: Asked, room: Room, place: str, *, what: str = "", **options: object) -> View:
    """The reader of a page that shows data: signed in, else NotAuthorizedException. Where numbers are shown in full on
    it (`what` names it), the access log notes who looked, and by which filters, not what they held."""
    if not request.user.sees:
        raise NotAuthorizedException("sign in")
    numbers = request.query_params.get("numbers")
    full = bool(what) and await full_of(room, request.user, numbers, what, dict(options))
    return view_of(request, room, place, full=full)


def words_of(request: Asked, *names: str) -> dict[str, str]:
    """What was asked for by these names, "" for what was not."""
    return {name: request.query_params.get(name, "").strip()[: MAX_WORD + 1] for name in names}


async def form_of(request: Asked) -> dict[str, str]:
    """The fields of a form that was sent, the last of each name."""
    try:
        found = parse_qs((await request.body()).decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        return {}
    return {name: values[-1] for name, values in found.items()}


def html(template: str, view: View, *, status: int = 200, **context: object) -> Html:
    """A page as an answer."""
    content = render(template, view, status=status, **context)
    return Response(content=content, media_type=MediaType.HTML, status_code=status)


def away(path: str, *cookies: Cookie) -> Redirect:
    """On to another page (303), with cookies."""
    return Redirect(path=path, status_code=303, cookies=list(cookies))


def local(path: str) -> str:
    """A path of this site as it was given, / for anything else: no form sends people to another host."""
    plain = path.isascii() and path.isprintable() and " " not in path and "\\" not in path
    return path if plain and path.startswith("/") and not path.startswith("//") and len(path) < 2_000 else "/"


def kept(name: str, value: str, *, tls: bool) -> Cookie:
    """A cookie that remembers a choice for a year."""
    return Cookie(key=name, value=value, path="/", httponly=True, samesite="lax", secure=tls, max_age=YEAR_S)
