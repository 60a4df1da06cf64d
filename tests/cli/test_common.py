"""Machine output that is safe to look at and to open, and instants as people write them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from guard.cli.common import CommandError, csv_lines, dated, instant, json_lines
from guard.wanted import beginning
from tests.store.making_log import PARIS

NOON = datetime(2026, 11, 21, 11, tzinfo=UTC)


def test_json_lines_hold_no_character_that_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    odd = {"a": "\x00\x1b\x7f\x9b\u2028\u202e\U000e0041 é ’ 漢"}
    json_lines([odd, {}])
    first, second = capsys.readouterr().out.splitlines()
    assert first.isprintable()
    assert json.loads(first) == odd
    assert "é ’ 漢" in first
    assert second == "{}"


@pytest.mark.parametrize("text", ["0001-01-01", "1969-12-31T23:59:59.999999+00:00", "2200-01-01T00:00Z", "999999d"])
def test_no_call_is_of_a_day_that_no_month_can_be_told_of(text: str) -> None:
    with pytest.raises(CommandError, match="out of range") as told:
        dated(text, PARIS)
    assert told.value.status == 2


def test_the_first_and_the_last_day_of_calls() -> None:
    assert dated("1970-01-01T00:00Z", PARIS) == 0
    assert dated("2199-12-31T23:59:59.999999Z", PARIS) == 7_258_118_399_999_999


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-cmd", "'-cmd"),
        ("+33145678900", "+33145678900"),
        ("-12.5", "-12.5"),
        ("+33;ext=1", "'+33;ext=1"),
        ("a=b", "a=b"),
        ("a;=1+1", "a;'=1+1"),
        (" =1+1", "'=1+1"),
        ("", ""),
        (None, ""),
        (7, "7"),
    ],
)
def test_cells_that_a_spreadsheet_would_run(capsys: pytest.CaptureFixture[str], text: object, cell: str) -> None:
    csv_lines(["h"], [[text, "x"]])
    assert capsys.readouterr().out.splitlines()[1] == f"{cell},x"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-21T10:00", "2026-11-21T09:00Z"),
        ("2026-11-21", "2026-11-20T23:00Z"),
        ("2026-07-01T12:00:00.000001", "2026-07-01T10:00:00.000001Z"),
        ("2026-11-21T10:00+00:00", "2026-11-21T10:00Z"),
        ("15m", "2026-11-21T10:45Z"),
        ("2h", "2026-11-21T09:00Z"),
        ("7d", "2026-11-14T11:00Z"),
        ("today", "2026-11-20T23:00Z"),
    ],
)
def test_instants(text: str, at: str) -> None:
    wanted = datetime.fromisoformat(at)
    assert instant(text, PARIS, NOON) == round(wanted.timestamp() * 1_000_000)


def test_an_age_longer_than_the_calendar_is_before_everything() -> None:
    assert instant("999999d", PARIS, NOON) < 0


@pytest.mark.parametrize("text", ["", "15", "15w", "2026-13-01", "tomorrow", "1e400d", "-5m"])
def test_what_is_no_instant(text: str) -> None:
    with pytest.raises(CommandError) as raised:
        instant(text, PARIS, NOON)
    assert raised.value.status == 2


@pytest.mark.parametrize(
    ("written", "begins"),
    [
        ("0145", "+33145"),
        ("01 45", "+33145"),
        ("0", "+33"),
        ("00", "+"),
        ("0044", "+44"),
        ("+3314", "+3314"),
        ("0590", "+590590"),
        ("0692", "+262692"),
        ("0145678900", "+33145678900"),
        ("014567890012345", "+3314567890012345"),
        ("118", "118"),
        ("", ""),
        ("anonym", "anonym"),
        ("٠١", "٠١"),
    ],
)
def test_beginnings_of_numbers(written: str, begins: str) -> None:
    assert beginning(written) == begins
