"""The rules on canvassing: consent, refusals, the opposition list, hours, sectors; each by the law of its day."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import pytest

from guard.model import CallAttempt
from tests.deciding import SELLS, call
from tests.rules.table import PARIS, Row, check, hits

ENERGY: Final = SELLS + 'sector = "energy-works"\n'
HOUSING: Final = SELLS + 'sector = "housing-adaptation"\n'


def selling(
    number: int | str, when: str = "2026-11-20T15:00", usage: tuple[str, ...] = ("prospecting",)
) -> CallAttempt:
    """A canvassing call to a number of the lists, at a time in Paris (a Friday afternoon)."""
    at = int(datetime.fromisoformat(when).replace(tzinfo=PARIS).timestamp()) * 1_000_000
    callee = number if isinstance(number, str) else f"01990000{number:02}"
    return call(callee=callee, at=at, usage=usage)


def row(name: str, rule: str, attempt: CallAttempt, *says: str, more: str = SELLS) -> Row:
    return Row(name=name, rule=rule, call=attempt, says=says, more=more)


CONSENT: Final = "dst.no-consent"
REFUSED: Final = "dst.refused"
OPPOSED: Final = "dst.opposed"
HOURS: Final = "dst.prospecting-hours"
BANNED: Final = "dst.sector-banned"
LATE: Final = "dst.request-expired"

ROWS: Final = (
    row("consent in force", CONSENT, selling(1)),
    row("never consented", CONSENT, selling(99), "none"),
    row("never consented, but no canvassing", CONSENT, selling(99, usage=("human",))),
    row("no list at all", CONSENT, selling(1), "none", more=""),
    row("consent ended", CONSENT, selling(3), "ended"),
    row("consent on its last day", CONSENT, selling(3, "2026-11-10T15:00")),
    row("consent of two years ago", CONSENT, selling(2), "ended"),
    row("consent after a year, without until", CONSENT, selling(1, "2027-09-01T15:00"), "ended"),
    row("consent before its year is over", CONSENT, selling(1, "2027-08-31T15:00")),
    row("running contract", CONSENT, selling(4)),
    row("his own request", CONSENT, selling(7)),
    row("a professional", CONSENT, selling(10)),
    row("a number abroad", CONSENT, selling("0032470123456")),
    row("the law of the day before", CONSENT, selling(99, "2026-08-10T15:00")),
    row("the first day of the law", CONSENT, selling(99, "2026-08-11T15:00"), "none"),
    row("refused", REFUSED, selling(5), "refused"),
    row("refused, then consented", REFUSED, selling(6)),
    row("refused, consent was before", REFUSED, selling(11), "refused"),
    row("did not refuse", REFUSED, selling(1)),
    row("before he refused", REFUSED, selling(5, "2026-09-30T15:00")),
    row("refused 60 days ago, old law", REFUSED, selling(11, "2026-06-29T15:00"), "refused"),
    row("refused 61 days ago, old law", REFUSED, selling(11, "2026-07-01T15:00")),
    row("refused, no canvassing", REFUSED, selling(5, usage=("automated",))),
    row("on the opposition list", OPPOSED, selling(9, "2026-08-10T15:00"), "listed"),
    row("on the list of a law that is over", OPPOSED, selling(9)),
    row("on the list, but a customer", OPPOSED, selling(4, "2026-08-10T15:00")),
    row("not on the list", OPPOSED, selling(1, "2026-08-10T15:00")),
    row("on a Friday at three", HOURS, selling(1)),
    row("on a Saturday", HOURS, selling(3, "2026-11-07T15:00"), "day"),
    row("on a Saturday, as agreed", HOURS, selling(1, "2026-11-21T10:00:59")),
    row("a minute before what was agreed", HOURS, selling(1, "2026-11-21T09:59:59"), "day"),
    row("a minute after it", HOURS, selling(1, "2026-11-21T10:01"), "day"),
    row("on Armistice Day", HOURS, selling(1, "2026-11-11T15:00"), "holiday"),
    row("on Whit Monday", HOURS, selling(1, "2027-05-17T15:00"), "holiday"),
    row("at ten", HOURS, selling(1, "2026-11-20T10:00")),
    row("a second before ten", HOURS, selling(1, "2026-11-20T09:59:59"), "hour"),
    row("at one", HOURS, selling(1, "2026-11-20T13:00"), "hour"),
    row("at eight in the evening", HOURS, selling(1, "2026-11-20T20:00"), "hour"),
    row("a second before eight", HOURS, selling(1, "2026-11-20T19:59:59")),
    row("in Réunion it is six in the evening", HOURS, selling("0262123456", "2026-11-20T15:00")),
    row("in Réunion it is half past eight", HOURS, selling("0262123456", "2026-11-20T17:30"), "hour"),
    row("in Guadeloupe it is ten", HOURS, selling("0590123456", "2026-11-20T15:00")),
    row("in Guadeloupe it is six in the morning", HOURS, selling("0590123456", "2026-11-20T11:00"), "hour"),
    row("old law, lifted by a consent", HOURS, selling(11, "2026-06-06T15:00")),
    row("old law, nothing lifts", HOURS, selling(99, "2026-06-06T15:00"), "day"),
    row("before any such law", HOURS, selling(99, "2023-02-25T15:00")),
    row("energy, even with consent", BANNED, selling(1), "banned", more=ENERGY),
    row("energy, within a contract", BANNED, selling(4), more=ENERGY),
    row("energy, who asked is another rule's", BANNED, selling(8), more=ENERGY),
    row("another sector", BANNED, selling(1)),
    row("housing, before its ban", BANNED, selling(1, "2026-08-10T15:00"), more=HOUSING),
    row("housing, since its ban", BANNED, selling(1, "2026-08-11T15:00"), "banned", more=HOUSING),
    row("energy, before any ban", BANNED, selling(1, "2020-07-25T15:00"), more=ENERGY),
    row("who asked this week", LATE, selling(7), more=ENERGY),
    # asked on Monday 9 November; the 11th is no working day: the fifth is Tuesday 17
    row("who asked, on the fifth working day", LATE, selling(8, "2026-11-17T19:00"), more=ENERGY),
    row("who asked, on the sixth", LATE, selling(8, "2026-11-18T10:00"), "late", more=ENERGY),
    row("who asked, in another sector", LATE, selling(8)),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: f"{r.rule}: {r.name}")
def test_row(row: Row) -> None:
    check(row)


def test_names_the_line_of_a_consent_that_ended() -> None:
    ended = next(r for r in ROWS if r.name == "consent ended")
    assert hits(ended)[0].facts == {"number": "+33199000003", "line": 4}
