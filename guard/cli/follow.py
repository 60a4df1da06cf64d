"""guard log --follow: each record when it is decided, and once more when its call has ended."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from guard.cli.show import COLUMNS, STYLES, WIDTHS, cells, console, ended_cells

if TYPE_CHECKING:
    from guard.store.contract import Query
    from guard.store.reader import Detail, SqliteReader

POLL: Final = 0.2  # seconds between looks at the log's version: a person sees no delay, and a look costs some 10 µs

Event = tuple["Detail", bool]  # True: the call's end is what is new


def follow(reader: SqliteReader, query: Query) -> Iterator[Event]:
    """The newest that fit, up to the query's limit, then what comes; without end.

    New is what comes after this call, not after the first event is taken. A call whose end is already known when its
    decision comes out comes out once, complete. Standard output is flushed before each wait.
    """
    return _events(News(reader, query))


def _events(news: News) -> Iterator[Event]:
    yield from news.before()
    while True:
        sys.stdout.flush()
        if not news.any():
            time.sleep(POLL)
            continue
        yield from news.take()


class News:
    """What comes into a log from now on, for whoever looks now and then."""

    def __init__(self, reader: SqliteReader, query: Query) -> None:
        self._reader = reader
        self._query = query
        self._version = reader.version()
        self._seen = reader.last_seq()
        self._complete: set[int] = set()  # calls that came out with an end that is beyond what was looked at

    def before(self) -> Iterator[Event]:
        """What was there already."""
        for detail in self._reader.details(replace(self._query, upto=self._seen)):
            if detail.end_seq > self._seen:
                self._complete.add(detail.record.seq)
            yield detail, False

    def any(self) -> bool:
        """Whether there may be something to take."""
        now = self._reader.version()
        new, self._version = now != self._version, now
        return new

    def take(self) -> Iterator[Event]:
        """What came since it was last taken."""
        seen, last = self._seen, self._reader.last_seq()
        yield from _news(self._reader, self._query, (seen, last), self._complete)
        self._seen = last


def _news(reader: SqliteReader, query: Query, span: tuple[int, int], complete: set[int]) -> Iterator[Event]:
    """What came after the first entry of `span`, up to the second."""
    seen, last = span
    since = query.since or 0
    query = replace(query, since=None, limit=None, tail=False)
    for detail in reader.details(replace(query, after=seen, upto=last)):
        if detail.body.at < since:
            continue
        if detail.end_seq > last:
            complete.add(detail.record.seq)
        yield detail, False
    for detail in reader.details(replace(query, ended=span)):
        seq = detail.record.seq
        if seq > seen or detail.body.at < since:
            continue  # came out just now, complete
        if seq in complete:
            complete.discard(seq)
        else:
            yield detail, True


def lines(events: Iterable[Event], *, heading: bool = True) -> None:
    """Events for people, a line each; columns are as wide as what usually stands in them."""
    from rich.text import Text

    out = console()
    if heading:
        out.print(Text(_line(COLUMNS), style="bold"), soft_wrap=True)
    for detail, ended in events:
        if ended:
            out.print(Text(_line(ended_cells(detail)), style="dim"), soft_wrap=True)
            continue
        text = Text(_line(cells(detail)))
        text.highlight_words([detail.record.verdict], STYLES[detail.record.verdict])
        out.print(text, soft_wrap=True)


def _line(texts: Iterable[str]) -> str:
    padded = (f"{t:>{w}}" if n == 0 else f"{t:<{w}}" for n, (t, w) in enumerate(zip(texts, WIDTHS, strict=True)))
    return "  ".join(padded).rstrip()
