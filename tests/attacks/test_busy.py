"""Whatever is sent takes work in proportion to its length: regular expressions by their structure, the rest by what
it looks at. What it costs in time is measured by `python -m tests.attacks.hostile`."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import pytest

from guard.sip import fields, grammar
from guard.sip.message import BadMessage, parse
from tests.attacks.hostile import LONG, SHORT, hostile
from tests.attacks.regexes import Regex, faults, regexes
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


# Expressions that look as if they could take the square of a text, and why they cannot be made to.
ALLOWED: Final = {
    "guard.capture.start._AT_START": "a start line has 8 000 octets at most, and ` SIP/2.0` stands before the blanks",
    "guard.tomlread._KEY": "each turn has its dot; and who writes guard.toml is trusted",
}


def test_no_regular_expression_takes_more_than_a_texts_length() -> None:
    found = {one.where: faults(one) for one in regexes()}
    assert len(found) > 60
    assert {where: why for where, why in found.items() if why and where not in ALLOWED} == {}
    assert not [where for where in ALLOWED if not found.get(where)]


@pytest.mark.parametrize(
    ("pattern", "searched", "why"),
    [
        (r"SIP\s+([a-z.]+)\s*(?::\s*(\d{1,5}))?\s*(?=;|$)", False, "share a text"),  # as Via was read once
        (r"<[^>]*>", True, "new beginning"),  # as brackets were taken out once
        (r"(a+)+$", False, "within a repeat"),
        (r"(?:a|a*b)*c", False, "within a repeat"),
        (r"\s*x", True, "new beginning"),
        (r"[a-z]*[0-9]?[a-z]*!", False, "share a text"),
        (r"SIP\s+([a-z.]+)\s*+(?::\s*+(\d{1,5})\s*+)?(?=;|$)", False, ""),
        (r"<[^<>]*>", True, ""),
        (r"[a-z]+(-[a-z]+)*\Z", False, ""),
        (r"(?<=;)\s*=", True, ""),
        (r"[a-z]{1,64} [^ ]+", False, ""),
    ],
)
def test_such_expressions_are_told(pattern: str, searched: bool, why: str) -> None:
    told = faults(Regex("here", pattern, 0, searched))
    assert bool(told) is bool(why)
    assert any(why in one for one in told) or not why
