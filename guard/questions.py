"""What somebody asks of a call that nobody placed, in words: for `guard decide`, the web's form and its API."""

from __future__ import annotations

from typing import Final, cast

from msgspec import Struct

from guard.asked import Question
from guard.config import Config
from guard.detectors.watch import Watch
from guard.model import Usage
from guard.shut import shut_off, standing
from guard.sources import Source
from guard.store.books import Books
from guard.tomlread import nearest
from guard.wanted import Mistake, dated

USAGES: Final = ("human", "automated", "platform", "prospecting")


class Asked(Struct, frozen=True, kw_only=True):
    """The words of one question, as `guard decide` takes them; `at` None is now, `source` None the first one.

    `headers` are written `Name: value`, `usage` is one word or several with commas.
    """

    caller: str
    callee: str
    source: str | None = None
    line: str = ""
    usage: str | None = None
    pai: tuple[str, ...] = ()
    diversion: tuple[str, ...] = ()
    privacy: bool = False
    user_agent: str = ""
    header: tuple[str, ...] = ()
    inbound: bool = False
    at: str | None = None


def question_of(config: Config, asked: Asked, now: int) -> Question:
    """The question that the words mean, at `now` (Unix time, µs) where they say no time. Raises Mistake."""
    return Question(
        source=_source(config, asked.source),
        caller=asked.caller,
        callee=asked.callee,
        at=dated(asked.at, config.zone) if asked.at else now,
        line=asked.line,
        usage=_usage(asked.usage),
        asserted=asked.pai,
        diversion=asked.diversion,
        privacy=asked.privacy,
        user_agent=asked.user_agent,
        headers=tuple(map(_header, asked.header)),
        direction="inbound" if asked.inbound else "outbound",
    )


def watch_of(config: Config, at: int) -> Watch:
    """What knows who is shut off at an instant, by the books of this site. Raises StoreError."""
    watch = Watch()
    with Books(config.store_path, config.zone) as books:
        for quarantine, trunk in standing(books.incidents().values(), at).shut.values():
            shut_off(watch, quarantine, trunk)
    return watch


def _source(config: Config, name: str | None) -> Source:
    names = [s.name for s in config.sources]
    if name is None:
        return config.sources[0]
    if name not in names:
        raise Mistake("source", f'no [[source]] "{name}"{nearest(name, names)}')
    return config.sources[names.index(name)]


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise Mistake("header", f'"{text}" is no header: write it as "X-Tenant: acme"')
    return name.strip().lower(), value.strip()


def _usage(text: str | None) -> tuple[Usage, ...]:
    words = [w.strip() for w in text.split(",")] if text else []
    for word in words:
        if word not in USAGES:
            raise Mistake("usage", f'"{word}" is not one of {", ".join(USAGES)}{nearest(word, USAGES)}')
    return cast("tuple[Usage, ...]", tuple(words))
