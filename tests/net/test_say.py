"""Whatever comes from the network, what the daemon says of it is one printable line, and not too many of them."""

from __future__ import annotations

import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.net.say import LINES, LOG, MAX_LINE, PERIOD, Line, Voice, harmless, told
from tests.net.fakes import Broken, FakeClock


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, also with é and 日本", "plain, also with é and 日本"),
        ("two\r\nlines", "two\\r\\nlines"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x9b2J", "\\x9b2J"),
        ("bell\x07 nul\x00 del\x7f tab\t", "bell\\x07 nul\\x00 del\\x7f tab\\t"),
        ("evil\u202etxt.exe\u2066", "evil\\u202etxt.exe\\u2066"),
        ("line\u2028paragraph\u2029next\x85", "line\\u2028paragraph\\u2029next\\x85"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("half \ud800 a pair", "half \\ud800 a pair"),
        ("\U000e0041tag", "\\U000e0041tag"),
    ],
)
def test_what_is_not_printable_is_escaped(text: str, shown: str) -> None:
    assert harmless(text) == shown


@given(st.text(max_size=2 * MAX_LINE))
def test_any_text_is_one_printable_line_of_bounded_length(text: str) -> None:
    shown = harmless(text)
    assert shown.isprintable()
    assert len(shown) <= 10 * (MAX_LINE + 1)  # every character of it escaped
    shown.encode()


def test_a_long_text_is_cut() -> None:
    assert harmless("x" * 100_000) == "x" * MAX_LINE + "…"
    assert harmless("x" * MAX_LINE) == "x" * MAX_LINE


def record(text: str, *args: object, error: Exception | None = None) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error is not None else None
    return logging.LogRecord("guard", logging.WARNING, "x.py", 1, text, args, info)


def throw(text: str) -> None:
    raise Broken(text)


def caught(text: str) -> Broken:
    """An exception as it was caught, with its trace."""
    with pytest.raises(Broken) as info:
        throw(text)
    return info.value


def test_a_line_has_time_and_level_or_leaves_them_to_the_journal() -> None:
    assert Line(plain=True).format(record("hello %s", "you\n")) == "hello you\\n"
    whole = Line().format(record("hello"))
    assert whole.endswith(" WARNING hello")
    assert whole[:2] == "20"


def test_an_exception_is_the_end_of_its_line() -> None:
    text = Line(plain=True).format(record("exception", error=caught("from\nthe network")))
    assert text.startswith("exception: Broken: from\\nthe network at test_say.py:")
    assert text.endswith(" in throw")
    assert told(Broken("untraced")) == "Broken: untraced"


def test_a_kind_is_told_so_often_and_then_summed_up(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    voice = Voice(clock.now)
    with caplog.at_level(logging.WARNING, "guard"):
        for i in range(1_000):
            voice.warn("bad", str(i))
        voice.warn("other", "is not silenced by it")
        assert [r.getMessage() for r in caplog.records] == [
            *(f"bad: {i}" for i in range(LINES)),
            "other: is not silenced by it",
        ]
        caplog.clear()
        clock.at += PERIOD
        voice.warn("bad", "later")
    assert [r.getMessage() for r in caplog.records] == [
        f"bad: {1_000 - LINES} more like it in the last minute were not told",
        "bad: later",
    ]


def test_a_percent_sign_of_the_network_formats_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "guard"):
        Voice(FakeClock().now).warn("kind", "%s %d %(x)s")
    assert caplog.records[0].getMessage() == "kind: %s %d %(x)s"


def test_what_reaches_standard_error_is_one_line_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Line(plain=True))
    LOG.addHandler(handler)
    try:
        error = caught("\x1b]0;owned\x07\nMay 1 00:00:00 guard: forged")
        Voice(FakeClock().now).warn("exception", "message from 192.0.2.66", error)
    finally:
        LOG.removeHandler(handler)
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert text[:-1].isprintable()
