"""A printed page read back: its tables with the exact values of their cells, and everything that it would load."""

from __future__ import annotations

from html.parser import HTMLParser

from msgspec import Struct, field

VOID = frozenset({"meta", "br", "line", "rect", "i"})


class Table(Struct):
    """Rows of `(shown, value)`; the last row is the total where the page has it so."""

    rows: list[list[tuple[str, int | None]]] = field(default_factory=list)
    total: list[tuple[str, int | None]] | None = None


class Page(HTMLParser):
    """`tables` and `values` (of elements with an id and a value) by id; `tags` all elements; `text` what is shown."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: dict[str, Table] = {}
        self.values: dict[str, int] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self._table = Table()
        self._row: list[tuple[str, int | None]] = []
        self._total = False
        self._value: int | None = None
        self._cell = ""
        self.feed(html)
        self.close()
        assert self._open == [], f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.tags.append((tag, named))
        if tag not in VOID or tag == "i":
            self._open.append(tag)
        value = named.get("data-value")
        if tag == "table":
            self._table = self.tables.setdefault(str(named["id"]), Table())
        elif tag == "tr":
            self._row, self._total = [], named.get("class") == "total"
        elif tag == "td":
            self._value, self._cell = (int(value) if value is not None else None), ""
        elif value is not None:
            self.values[str(named["id"])] = int(value)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open[-1:] == [tag], f"</{tag}> closes {self._open[-1:]}"
        self._open.pop()
        if tag == "td":
            self._row.append((self._cell, self._value))
        elif tag == "tr" and self._row:
            if self._total:
                self._table.total = self._row
            else:
                self._table.rows.append(self._row)
            self._row = []

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        self.text += data
        if "td" in self._open:
            self._cell += data


def adds_up(table: Table) -> bool:
    """Whether every column of numbers of a total is the sum of that column."""
    assert table.total is not None
    return all(
        value == sum(row[n][1] or 0 for row in table.rows)
        for n, (_, value) in enumerate(table.total)
        if value is not None
    )
