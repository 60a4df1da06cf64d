"""rate.cps, limit.channels and limit.line-calls: what a reading of their counters means."""

from __future__ import annotations

from typing import Final

import pytest
from msgspec.structs import replace

from guard.model import CallAttempt
from guard.rules import limit_channels, limit_line_calls, rate_cps
from guard.rules.base import Terms
from tests.deciding import call
from tests.rules.table import Row, check, hits

CHANNELS: Final = "limit.channels"
LINE: Final = "limit.line-calls"
CPS: Final = "rate.cps"
WATCHED: Final = '\n[rules."rate.cps"]\nmode = "monitor"\n'


def inbound(made: CallAttempt) -> CallAttempt:
    return replace(made, direction="inbound")


ROWS: Final = (
    Row(name="a channel is free", rule=CHANNELS, call=call(), value=29),
    Row(name="no channel is free", rule=CHANNELS, call=call(), value=30, says=("full",)),
    Row(name="more than all, after inbound calls", rule=CHANNELS, call=call(), value=31, says=("full",)),
    Row(name="a trunk without a figure", rule=CHANNELS, call=call(source="branch"), value=999),
    Row(name="an inbound call is here already", rule=CHANNELS, call=inbound(call()), value=30),
    Row(name="an emergency call is not judged", rule=CHANNELS, call=call(callee="112"), value=29),
    Row(name="a second call of a line", rule=LINE, call=call(), value=1),
    Row(name="a third call of a line", rule=LINE, call=call(), value=2, says=("full",)),
    Row(name="no line is named", rule=LINE, call=replace(call(), line=""), value=2),
    Row(name="an inbound call has no line of ours", rule=LINE, call=inbound(call()), value=2),
    Row(name="the tenth in a second", rule=CPS, call=call(), value=9, more=WATCHED),
    Row(name="the eleventh in a second", rule=CPS, call=call(), value=10, says=("over",), more=WATCHED),
    Row(name="a trunk without a rate", rule=CPS, call=call(source="branch"), value=999, more=WATCHED),
    Row(name="inbound calls are not ours to slow", rule=CPS, call=inbound(call()), value=10, more=WATCHED),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name)
def test_row(row: Row) -> None:
    check(row)


def test_facts() -> None:
    rows = {r.name: hits(r)[0].facts for r in ROWS if r.says}
    assert rows["no channel is free"] == {"trunk": "operator", "limit": 30, "in_use": 30}
    assert rows["a third call of a line"] == {"line": "200", "limit": 2, "in_use": 2}
    assert rows["the eleventh in a second"] == {"trunk": "operator", "limit": 10, "waited_ms": 0}


@pytest.mark.parametrize(
    ("contract", "site", "limit"), [(2, 0, 2), (None, 3, 3), (2, 3, 2), (3, 2, 2), (None, 0, None)]
)
def test_a_line_has_the_stricter_of_two_limits(contract: int | None, site: int, limit: int | None) -> None:
    terms = Terms(trunk="t", line_calls=contract)
    touch = limit_line_calls.touch(call(), terms, "1", limit_line_calls.Settings(calls=site))
    assert (touch.limit if touch is not None else None) == limit


def test_lines_of_two_sources_are_two_lines() -> None:
    touches = [
        limit_line_calls.touch(replace(call(), source=s), Terms(), "1", limit_line_calls.Settings(calls=1))
        for s in ("a", "b")
    ]
    assert len({t.key for t in touches if t is not None}) == 2


def test_the_second_is_widened_by_the_margin() -> None:
    touch = rate_cps.touch(call(), Terms(trunk="t", cps=10), "1", rate_cps.Settings(margin_ms=20))
    assert touch is not None
    assert (touch.kind, touch.key, touch.limit, touch.span_us) == ("window", "cps:t", 10, 1_020_000)


def test_the_trunk_overrides_the_setting() -> None:
    assert rate_cps.limit(Terms(cps=3), rate_cps.Settings(limit=7)) == 3
    assert rate_cps.limit(Terms(), rate_cps.Settings(limit=7)) == 7


def test_channels_are_counted_for_both_directions_together() -> None:
    terms = Terms(trunk="t", channels=2)
    out = limit_channels.touch(call(), terms, "1", limit_channels.Settings())
    into = limit_channels.touch(inbound(call()), terms, "2", limit_channels.Settings())
    assert out is not None
    assert into is not None
    assert (out.key, out.force, into.key, into.force) == ("channels:t", False, "channels:t", True)
