"""Whatever is sent takes work in proportion to its length: regular expressions by their structure, the rest by what
it looks at. What it costs in time is measured by `python -m tests.attacks.hostile`."""

from __future__ import annotations

from contextlib import suppress

import pytest

from guard.sip import fields, grammar
from guard.sip.message import BadMessage, parse
from tests.attacks.hostile import LONG, SHORT, hostile
from tests.proxy.world import UP, World


def test_folded_lines_are_joined_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """One by one, 15 000 of them in one datagram took ten seconds."""
    seen = 0
    made = fields.Field.__init__

    def counted(self: fields.Field, raw: bytes, name: bytes, at: int) -> None:
        nonlocal seen
        seen += len(raw)
        made(self, raw, name, at)

    monkeypatch.setattr(fields.Field, "__init__", counted)
    messages = dict(hostile(LONG))
    for what in ("folds", "empty folds", "header lines"):
        seen = 0
        with suppress(BadMessage):  # too many lines
            parse(messages[what])
        assert seen <= 2 * len(messages[what]), what


def test_quotes_are_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counted(bytes):
        looked = 0

        def find(self, sub: bytes, start: int = 0, end: int = -1) -> int:  # type: ignore[override]
            found = super().find(sub, start, end)
            Counted.looked += (found if found >= 0 else end) - start
            return found

    data = Counted(b'"' + b"\\a" * 20_000 + b'"')
    assert grammar.closing_quote(data, 0, len(data)) == len(data) - 1
    assert Counted.looked <= 3 * len(data)


@pytest.mark.parametrize("n", [SHORT, LONG])
def test_the_core_survives_each(n: int) -> None:
    """Whatever of it is answered or passed on, nothing is thrown, and little leaves."""
    for _, data in hostile(n):
        world = World()
        world(data[:65_507], UP)
        assert len(world.sent) <= 4
