"""What every page knows of its reader, and how a template becomes HTML.

Everything that callers or operators chose goes through `shown`, at each place of a template, before the escaping of
HTML: what hides or turns other characters comes out as its code.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Final, Literal
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from msgspec import Struct

from guard.ledger.incidentrecord import DeadlineRecord
from guard.report.html import count, euros
from guard.web.pages import drawings
from guard.web.pages.harmless import shown
from guard.web.words import WORDS, Lang

Theme = Literal["auto", "light", "dark"]
THEMES: Final[tuple[Theme, ...]] = ("auto", "light", "dark")
TEMPLATES: Final = Path(__file__).parent.parent / "templates"
STATIC: Final = Path(__file__).parent.parent / "static"
PLACES: Final = (
    ("now", "/"),
    ("calls", "/calls"),
    ("lines", "/lines"),
    ("incidents", "/incidents"),
    ("exposure", "/exposure"),
    ("policies", "/policies"),
    ("decide", "/decide"),
)
SHAPES: Final = (  # half a disc, a sun, a moon
    ("auto", "M8 1.5a6.5 6.5 0 1 0 0 13zM8 0a8 8 0 1 1 0 16A8 8 0 0 1 8 0z"),
    (
        "light",
        "M8 4.5a3.5 3.5 0 1 1 0 7 3.5 3.5 0 0 1 0-7zM7.2 0h1.6v3H7.2zM7.2 13h1.6v3H7.2zM0 7.2h3v1.6H0zM13 7.2h3v1.6h-3z"
        "M2.2 3.3l1.1-1.1 2.1 2.1-1.1 1.1zM10.6 11.7l1.1-1.1 2.1 2.1-1.1 1.1zM12.7 2.2l1.1 1.1-2.1 2.1-1.1-1.1z"
        "M4.3 10.6l1.1 1.1-2.1 2.1-1.1-1.1z",
    ),
    ("dark", "M6 .6A7.5 7.5 0 1 0 15.4 10 6.2 6.2 0 0 1 6 .6z"),
)
MINUTE_MS: Final = 60_000
DAY: Final = 86_400_000_000  # µs


class View(Struct, frozen=True, kw_only=True):
    """The reader of one page: language, theme, what may be seen and done, and where the page stands.

    `here` is the page's own path with its query; `person` the name of the token that signed in ("" for nobody); `sees`
    whether anything may be seen at all; `privacy` whether numbers may be seen in full, `full` whether they are here.
    """

    lang: Lang = "en"
    theme: Theme = "auto"
    zone: ZoneInfo
    site: str = ""
    place: str = ""
    here: str = "/"
    csrf: str = ""
    person: str = ""
    sees: bool = True
    operates: bool = False
    privacy: bool = False
    full: bool = False
    now: int = 0


def word(lang: Lang) -> Callable[..., str]:
    """The function `t` of the templates: an entry of the table in this language, its places filled in."""
    column = 1 if lang == "fr" else 0

    def t(key: str, **places: object) -> str:
        text = WORDS[key][column]
        return text.format(**places) if places else text

    return t


def lasting(milliseconds: int, lang: Lang) -> str:
    """A span of time as people read it: `4.2 s`, `3 min 05 s`, `2 h 05 min`."""
    if milliseconds < MINUTE_MS:
        tenths = f"{milliseconds // 1000}.{milliseconds % 1000 // 100}"
        return f"{tenths.replace('.', ',') if lang == 'fr' else tenths}\u00a0s"
    minutes, rest = divmod(milliseconds // 1000, 60)
    if minutes < 60:
        return f"{minutes}\u00a0min\u00a0{rest:02d}\u00a0s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}\u00a0h\u00a0{minutes:02d}\u00a0min"
    return f"{hours // 24}\u00a0{'j' if lang == 'fr' else 'd'}\u00a0{hours % 24}\u00a0h"


def moment(at: str | int, view: View, shape: str = "full") -> str:
    """An instant (ISO 8601, or Unix time in µs) as the reader's language writes it.

    `shape`: `full` day and time to the second, `ms` to the millisecond, `minute`, `day`, `clock` the time of day only,
    `time` that to the millisecond, `brief` day and time without the year.
    """
    found = datetime.fromisoformat(at) if isinstance(at, str) else datetime.fromtimestamp(at / 1e6, view.zone)
    found = found.astimezone(view.zone)
    days = found.strftime("%d/%m/%Y" if view.lang == "fr" else "%Y-%m-%d")
    if shape == "day":
        return days
    if shape == "brief":
        days = found.strftime("%d/%m" if view.lang == "fr" else "%m-%d")
    clock = found.strftime("%H:%M" if shape == "minute" else "%H:%M:%S")
    if shape in {"ms", "time"}:
        clock += f"{',' if view.lang == 'fr' else '.'}{found.microsecond // 1000:03d}"
    return clock if shape in {"clock", "time"} else f"{days} {clock}"


def dated(day: date, lang: Lang) -> str:
    """A day as the reader's language writes it."""
    return day.strftime("%d/%m/%Y" if lang == "fr" else "%Y-%m-%d")


def soon(deadline: DeadlineRecord, view: View) -> bool:
    """Whether a deadline is within the next day."""
    due = datetime.fromisoformat(deadline.due).timestamp() * 1e6
    return due - view.now < DAY


@cache
def environment() -> Environment:
    """The templates, escaped by themselves; a name that is not there is an error, not a hole in a page."""
    env = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.globals["places"] = PLACES
    env.globals["themes"] = SHAPES
    env.globals["soon"] = soon
    env.globals["gauge"] = drawings.gauge
    env.globals["spark"] = drawings.spark
    return env


def render(template: str, view: View, **context: object) -> str:
    """A page as HTML. Templates have `view`, the words `t`, and what is given."""
    lang = view.lang
    return (
        environment()
        .get_template(template)
        .render(
            view=view,
            t=word(lang),
            euros=lambda micros: euros(micros, lang),
            count=lambda number: count(number, lang),
            lasting=lambda ms: lasting(ms, lang),
            dated=lambda day: dated(day, lang),
            moment=lambda at, shape="full": moment(at, view, shape),
            **context,
        )
    )
