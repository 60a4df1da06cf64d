"""What counts over days and months: quotas of flat plans, tries of a consumer, the inbound leg of a forwarded call."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from guard.desk import Desk
from guard.engine import Engine
from guard.model import CallAttempt, CallEnded, Decision
from guard.rules import BY_ID
from guard.rules.months import month_of, month_start
from guard.state.memory import MemoryState
from tests.deciding import DAY, MAIN, MOBILE, NOW, ROBOT, SECOND_OWN, SELLS, SITE, STRANGERS, call, engine_of
from tests.rules.table import PARIS, Row, check

CENTREX: Final = SITE.replace('contract = "technicophone-sip-trunk"', 'contract = "technicophone-centrex"', 1)
HOUR: Final = 3_600_000_000
CALLEES: Final = "quota.callees"
TALK: Final = "quota.talk-time"
USER: Final = "limit.user-calls"
TRIES: Final = "dst.prospecting-frequency"
LEG: Final = "cli.forwarded"
FORWARDED: Final = "quota.forwarded"
FEW: Final = "cli.automated-exception"
CLAIMED: Final = '\n[rules."cli.automated-exception"]\nnumbers = 5\n'
ANSWERING: Final = '\n[rules."cli.automated-exception"]\nreceived_percent = 20\n'
LONG: Final = "quota.call-duration"
ENDED_AT_TWO_HOURS: Final = '\n[rules."quota.call-duration"]\nminutes = 120\nend = true\n'
USERS: Final = '\n[rules."limit.user-calls"]\ncalls = 3\n'


def at(when: str) -> int:
    return int(datetime.fromisoformat(when).replace(tzinfo=PARIS).timestamp()) * 1_000_000


def selling(callee: str = "0199000001", when: str = "2026-11-20T15:00") -> CallAttempt:
    return call(callee=callee, usage=("prospecting",), at=at(when))


def forwarded(caller: str = STRANGERS, source: str = "branch") -> CallAttempt:
    return call(caller, diversion=(MAIN,), source=source)


def inbound(made: CallAttempt) -> CallAttempt:
    return replace(made, direction="inbound")


def alarm(callee: str = "0199001234") -> CallAttempt:
    return call(MAIN, callee, source="robot")


ROWS: Final = (
    # 300 different numbers by each of 30 channels
    Row(name="the first number", rule=CALLEES, call=call(), value=0),
    Row(name="half of the numbers", rule=CALLEES, call=call(), value=4_499, says=("warning",)),
    Row(name="one before half of them", rule=CALLEES, call=call(), value=4_498),
    Row(name="a number called before", rule=CALLEES, call=call(), value=4_499, known=True),
    Row(name="the last number of the plan", rule=CALLEES, call=call(), value=8_999),
    Row(name="one more", rule=CALLEES, call=call(), value=9_000, says=("over",)),
    Row(name="one more, but known", rule=CALLEES, call=call(), value=9_000, known=True),
    Row(name="an inbound call", rule=CALLEES, call=inbound(call()), value=9_000),
    Row(name="an emergency call", rule=CALLEES, call=call(callee="112"), value=9_000),
    Row(name="a trunk without a contract", rule=CALLEES, call=call(source="branch"), value=10**6),
    Row(name="nothing talked", rule=TALK, call=call()),
    Row(name="one minute before half", rule=TALK, call=call(), value=600 * HOUR - HOUR // 60),
    Row(name="the first after half", rule=TALK, call=call(), value=601 * HOUR, before=599 * HOUR, says=("warning",)),
    Row(name="the second after half", rule=TALK, call=call(), value=602 * HOUR, before=601 * HOUR),
    Row(name="all is talked", rule=TALK, call=call(), value=1_200 * HOUR, before=1_199 * HOUR, says=("over",)),
    Row(name="one second is left", rule=TALK, call=call(), value=1_200 * HOUR - 1_000_000, before=1_199 * HOUR),
    Row(name="emergency, all talked", rule=TALK, call=call(callee="112"), value=1_300 * HOUR),
    Row(name="a third call of a user", rule=USER, call=call(), value=2, more=USERS),
    Row(name="a fourth call of a user", rule=USER, call=call(), value=3, more=USERS, says=("full",)),
    Row(name="a user of no plan", rule=USER, call=call(), value=99),
    Row(name="an inbound call of a user", rule=USER, call=inbound(call()), value=3, more=USERS),
    Row(name="a fourth try", rule=TRIES, call=selling(), value=3, more=SELLS),
    Row(name="a fifth try", rule=TRIES, call=selling(), value=4, more=SELLS, says=("often",)),
    Row(name="a fifth try of a professional", rule=TRIES, call=selling("0199000010"), value=4, more=SELLS),
    Row(name="a fifth call of no canvasser", rule=TRIES, call=call(), value=4, more=SELLS),
    Row(name="before the decree", rule=TRIES, call=selling(when="2023-02-28T15:00"), value=4, more=SELLS),
    Row(name="forwarded, its leg was seen", rule=LEG, call=forwarded(), known=True),
    Row(name="forwarded, no leg", rule=LEG, call=forwarded(), says=("no-leg",)),
    Row(name="forwarded, where a Diversion is trusted", rule=LEG, call=forwarded(source="pbx")),
    Row(name="forwarded by others", rule=LEG, call=call(STRANGERS, diversion=("+33239112234",), source="branch")),
    Row(name="forwarded, presenting ours", rule=LEG, call=forwarded(MAIN)),
    Row(name="forwarded on a flat plan", rule=FORWARDED, call=forwarded(source="pbx"), says=("forwarded",)),
    Row(name="forwarded without a plan", rule=FORWARDED, call=forwarded()),
    Row(name="not forwarded", rule=FORWARDED, call=call()),
    Row(name="a call that will be ended", rule=LONG, call=call(), more=ENDED_AT_TWO_HOURS, says=("ended",)),
    Row(name="a call that may last", rule=LONG, call=call()),
    Row(name="a fifth number of an alarm", rule=FEW, call=alarm(), value=4, more=CLAIMED),
    Row(name="a sixth number of an alarm", rule=FEW, call=alarm(), value=5, more=CLAIMED, says=("many",)),
    Row(name="a number that the alarm called before", rule=FEW, call=alarm(), value=5, known=True, more=CLAIMED),
    Row(name="a robot in its own range", rule=FEW, call=call(ROBOT, source="robot"), value=5, more=CLAIMED),
    Row(name="no robot", rule=FEW, call=call(), value=5, more=CLAIMED),
    Row(name="the exception is not claimed", rule=FEW, call=alarm(), value=5),
    Row(name="a call for five received", rule=FEW, call=alarm(), value=9, before=50, more=ANSWERING),
    Row(name="one more", rule=FEW, call=alarm(), value=10, before=50, more=ANSWERING, says=("more",)),
    Row(name="none was received", rule=FEW, call=alarm(), more=ANSWERING, says=("more",)),
    Row(name="a call that is received", rule=FEW, call=inbound(alarm()), value=10, before=0, more=ANSWERING),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda r: f"{r.rule}: {r.name}")
def test_row(row: Row) -> None:
    check(row)


# ---- whole histories, through the desk -------------------------------------------------------------------------------


class Days:
    """Calls of many days through one desk; each is sent at once."""

    def __init__(self, engine: Engine) -> None:
        self.desk = Desk(engine, MemoryState())
        self.tickets = 0

    def __call__(self, made: CallAttempt, talked_us: int = 0, *, leaves: bool = True) -> Decision:
        self.tickets += 1
        ((_, decision),) = self.desk.submit(self.tickets, made, made.at)
        if decision.verdict != "blocked":
            if leaves:
                self.desk.departed(self.tickets, made.at)
            self.desk.ended(
                self.tickets, made.at, CallEnded(at=made.at + talked_us, outcome="answered", talk_us=talked_us)
            )
        return decision


def spoke(decision: Decision) -> list[str]:
    return [f.rule for f in decision.findings]


def test_a_consumer_is_tried_four_times_in_thirty_days() -> None:
    days = Days(engine_of(SELLS))
    first = at("2026-10-05T15:00")  # a Monday
    for day in (0, 1, 2, 3):
        assert days(replace(selling(), at=first + day * DAY)).verdict == "allowed"
    refused = days(replace(selling(), at=first + 4 * DAY))
    assert (refused.verdict, refused.rule, refused.status) == ("blocked", TRIES, 403)
    assert days(replace(selling("0199000004"), at=first + 4 * DAY)).verdict == "allowed", "another consumer"
    # Refusals used up nothing; the first try leaves the thirty days, and there is room for one.
    assert days(replace(selling(), at=first + 30 * DAY)).verdict == "blocked"
    assert days(replace(selling(), at=first + 30 * DAY + 1)).verdict == "allowed"
    assert days(replace(selling(), at=first + 30 * DAY + 2)).verdict == "blocked"


def test_a_try_that_never_left_is_none() -> None:
    days = Days(engine_of(SELLS))
    for n in range(6):
        assert days(replace(selling(), at=at("2026-11-20T15:00") + n * 1_000_000), leaves=False).verdict == "allowed"


SMALL: Final = '\n[rules."quota.callees"]\nlimit = 4\nper = "line"\n'


def test_the_month_of_a_line() -> None:
    days = Days(engine_of(SMALL))
    said = [spoke(days(call(callee=f"019900000{n}"))) for n in (1, 2, 2, 3, 4)]
    assert said == [[], [CALLEES], [], [], [CALLEES]]  # at two (50 %) and at four (100 % is beyond 80 and 95)
    assert days(call(callee="0199000005")).verdict == "flagged"
    assert spoke(days(call(callee="0199000005", line="201"))) == [], "another line"
    assert spoke(days(call(callee="0199000005", at=at("2026-12-01T00:00")))) == [], "another month"


def test_over_the_quota_only_numbers_of_the_month_pass_when_it_blocks() -> None:
    days = Days(engine_of(SMALL + 'action = "block"\n'))
    for n in (1, 2, 3, 4):
        assert days(call(callee=f"019900000{n}")).verdict != "blocked"
    assert days(call(callee="0199000005")).status == 403
    assert days(call(callee="0199000003")).verdict == "allowed"
    assert days(call(callee="112")).verdict == "allowed"


def test_talk_is_added_when_calls_end() -> None:
    days = Days(engine_of('\n[rules."quota.talk-time"]\nhours = 2\nper = "line"\n'))
    said = [spoke(days(call(at=NOW + n * HOUR), HOUR // 2)) for n in range(5)]
    assert said == [[], [], [TALK], [], [TALK]]  # after 1 h (50 %), after 2 h (over)
    assert spoke(days(call(at=NOW + 6 * HOUR, line="201"))) == []
    assert spoke(days(call(at=at("2026-12-01T08:00")))) == []


def test_a_forwarded_call_with_its_leg() -> None:
    days = Days(engine_of())
    made = forwarded()
    assert days(made).rule == LEG
    leg = replace(call(STRANGERS, source="branch"), direction="inbound", at=made.at)
    assert days(leg).verdict == "allowed"
    later = 180_000_000
    assert days(replace(made, at=made.at + later)).verdict == "allowed"
    assert days(replace(made, at=made.at + later + 1)).rule == LEG, "the leg is too old"
    assert days(forwarded("+33239112299")).rule == LEG, "another caller"


def test_an_alarm_that_claims_the_exception_calls_five_numbers() -> None:
    days = Days(engine_of(CLAIMED))
    assert [days(alarm(f"019900000{n}")).verdict for n in (1, 2, 3, 4, 5, 5, 1)] == ["allowed"] * 7
    assert days(alarm("0199000006")).rule == FEW
    assert days(call(MOBILE, source="robot")).rule == "cli.automated-mobile", "mobile numbers know no exception"
    assert Days(engine_of())(alarm()).rule == "cli.automated-range"


def test_a_system_that_is_called_more_than_it_calls() -> None:
    days = Days(engine_of(ANSWERING))
    got = replace(call(STRANGERS, MAIN, source="robot"), direction="inbound")
    assert days(alarm()).rule == FEW
    for n in range(10):
        assert days(replace(got, at=NOW + n)).verdict == "allowed"
    assert [days(replace(alarm(), at=NOW + n)).verdict for n in (20, 21, 22)] == ["allowed", "allowed", "blocked"]
    assert days(replace(call(SECOND_OWN, source="robot"), at=NOW + 23)).rule == FEW, "another number was not called"
    assert days(replace(alarm(), at=NOW + 31 * DAY)).rule == FEW, "what was received is over"


def test_the_centrex_plan_counts_by_user() -> None:
    policy = engine_of("", CENTREX).policy
    terms = policy.terms["operator"]
    assert (terms.callees, terms.talk_hours, terms.user_calls) == (("line", 150), ("trunk", 40 * 30), 3)
    assert BY_ID[USER].says


def test_a_call_is_ended_at_the_contracts_length_where_that_is_set() -> None:
    techcrea = SITE.replace('contract = "technicophone-sip-trunk"', 'contract = "techcrea-centrex"', 1)
    wanted = '\n[rules."quota.call-duration"]\nend = true\n'
    decision = engine_of(wanted, techcrea).judge(call())
    assert (decision.verdict, decision.max_talk_us, decision.talk_rule) == ("allowed", 120 * 60 * 1_000_000, LONG)
    assert engine_of("", techcrea).judge(call()).max_talk_us == 0


@pytest.mark.parametrize(
    ("when", "zone", "start", "month"),
    [
        ("2026-11-21T10:00", "Europe/Paris", "2026-11-01T00:00", "2026-11"),
        ("2026-11-01T00:00", "Europe/Paris", "2026-11-01T00:00", "2026-11"),
        ("2026-10-31T23:59:59", "Europe/Paris", "2026-10-01T00:00", "2026-10"),
        ("2026-03-31T23:00", "Europe/Paris", "2026-03-01T00:00", "2026-03"),  # the clocks changed in between
        ("2026-07-01T00:30", "Asia/Kolkata", "2026-07-01T00:00", "2026-07"),
    ],
)
def test_months(when: str, zone: str, start: str, month: str) -> None:
    there = ZoneInfo(zone)
    instant, begin = (
        int(datetime.fromisoformat(t).replace(tzinfo=there).timestamp()) * 1_000_000 for t in (when, start)
    )
    assert (month_start(instant, there), month_of(instant, there)) == (begin, month)
