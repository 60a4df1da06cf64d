"""`[[site_rule]]` of guard.toml: a site's own rules as people write them."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from guard.model import Mode, Usage

Line = Annotated[str, Meta(min_length=1)]
# One pattern, or several of which one fits; () asks nothing.
Patterns = str | Annotated[tuple[str, ...], Meta(min_length=1)]
Kind = Literal["e164", "short", "anonymous", "malformed", "none"]
Kinds = Kind | Annotated[tuple[Kind, ...], Meta(min_length=1)]
UsagesAsked = Usage | Annotated[tuple[Usage, ...], Meta(min_length=1)]


class _Strict(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything that stands in a site's rule."""


class Window(_Strict, frozen=True, kw_only=True):
    """When a call is made, in `zone` (the site's). Every part that is there must fit.

    `weekdays` are mon to sun, or spans of them (`mon-fri`); `hours` spans such as `20:00-08:00`, the end left out, over
    midnight where it is the earlier; `from` and `until` days, both included; `dates` single days; `holidays` whether it
    must be (or must not be) a French public holiday.
    """

    weekdays: Patterns = ()
    hours: Patterns = ()
    dates: tuple[date, ...] = ()
    from_: date | None = field(name="from", default=None)
    until: date | None = None
    holidays: bool | None = None
    zone: str = ""


class When(_Strict, frozen=True, kw_only=True):
    """What a call must be: everything that stands here. What is not there (a withheld number, no User-Agent) fits no
    pattern.

    A pattern of numbers is one number in E.164 or short (`+33145678900`, `3949`), one with `*` for any digits
    (`+3389*`), or a span (`+33145678900-+33145678999`); one of texts is the whole text, with `*` for any characters.
    `presented` are From's number and the asserted ones, `caller` From's alone, `forwarded_by` those of Diversion and
    History-Info. Categories and territories are the numbering plan's. `country` is the source's, `address` where the
    call came from (addresses or networks), `header` the headers that it must have.
    """

    caller: Patterns = ()
    presented: Patterns = ()
    callee: Patterns = ()
    forwarded_by: Patterns = ()
    caller_kind: Kinds | None = None
    callee_kind: Kinds | None = None
    caller_category: Patterns = ()
    callee_category: Patterns = ()
    caller_territory: Patterns = ()
    callee_territory: Patterns = ()
    line: Patterns = ()
    source: Patterns = ()
    address: Patterns = ()
    trunk: Patterns = ()
    country: Patterns = ()
    usage: UsagesAsked | None = None
    user_agent: Patterns = ()
    header: dict[str, Patterns] = {}
    forwarded: bool | None = None
    privacy: bool | None = None
    time: Window | None = None
    all_: tuple[When, ...] = field(name="all", default=())
    any_: tuple[When, ...] = field(name="any", default=())
    not_: When | None = field(name="not", default=None)


class Texts(_Strict, frozen=True, kw_only=True):
    """What the rule says. Where one language is missing, the other stands in. `{callee}` is a fact of the call."""

    en: str = ""
    fr: str = ""


class SiteRule(_Strict, frozen=True, kw_only=True):
    """One rule of a site. It can make a decision stricter, never milder: no action lets through what another refuses.

    `source` is who decided on it, and why. `from` and `until` are days in the site's zone, both included.
    """

    id: Annotated[
        str,
        Meta(
            pattern=r"\Asite\.[a-z0-9][a-z0-9-]{0,62}\Z",
            description='"site." and a name of small letters, digits and hyphens',
        ),
    ]
    action: Literal["flag", "mask", "block"]
    source: Line
    text: Texts
    when: When
    direction: Literal["outbound", "inbound", "both"] = "outbound"
    status: Literal[403, 480] = 403
    articles: tuple[Line, ...] = ()
    mode: Mode = "enforce"
    enabled: bool = True
    from_: date | None = field(name="from", default=None)
    until: date | None = None


def headers_of(rules: tuple[SiteRule, ...]) -> tuple[str, ...]:
    """The headers that rules read, in small letters."""
    found: dict[str, None] = {}

    def walk(when: When) -> None:
        found.update(dict.fromkeys(name.lower() for name in when.header))
        for inner in (*when.all_, *when.any_, *((when.not_,) if when.not_ is not None else ())):
            walk(inner)

    for rule in rules:
        walk(rule.when)
    return tuple(found)
