"""Rightful callers who look odd, on a guard that knows nothing of them yet: detection stops none of their calls.

What only flags is no harm done; what is stopped where a site has said what it is, is a bound or a clause too narrow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Final

import pytest
from msgspec.structs import replace

from guard.asked import Question, attempt_of
from guard.desk import Desk
from guard.detectors.watch import Watch
from guard.engine import Engine
from guard.model import SECOND, CallEnded, Decision
from guard.state.memory import MemoryState
from sim.labelled.straight import Straight
from sim.labelled.words import Placed
from tests.deciding import config_of, policy_of

SITE: Final = """\
site = "test"
mode = "enforce"

[listen]
udp = ["127.0.0.1:5060"]

[[trunk]]
name = "operator"
next_hop = ["sip:198.51.100.10"]
channels = 1000

[[source]]
name = "pbx"
address = ["192.0.2.5"]
trunk = "operator"

[[number]]
range = "+33145678900-+33145678999"

[rules."limit.line-calls"]
enabled = false
"""
MAIN: Final = "0145678900"
MONDAY: Final = 1_795_420_800_000_000  # 2026-11-23T09:00 in Paris, µs of Unix time
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
EUROPE: Final = ("0044207", "0034911", "0041443", "0043122", "0049301", "0048221", "0032247")
RING: Final = 8 * SECOND

Seen = tuple[Counter[str], Counter[str]]  # which rules of detection stopped calls, and which only spoke


class House:
    """Calls of one site, in any order, and what becomes of them."""

    def __init__(self, seed: int = 1) -> None:
        self.chance = Random(seed)
        self.calls: list[Placed] = []

    def puts(
        self, at: float, callee: str, talk: float = 60, *, line: str = MAIN, caller: str = MAIN, ring: int = RING,
        status: int = 0, agent: str = "PBX 1", inbound: bool = False,
    ) -> None:  # fmt: skip
        """One call, `at` seconds after Monday nine o'clock; `status`: it is refused so; talk of 0: nobody answers."""
        source = config_of("", SITE).sources[0]
        begun = MONDAY + round(at * SECOND)
        asked = Question(source=source, caller=caller, callee=callee, at=begun, line=line)
        call = replace(
            attempt_of(asked), call_id=f"c{len(self.calls)}", user_agent=agent, source_address="192.0.2.5",
            direction="inbound" if inbound else "outbound",
        )  # fmt: skip
        self.calls.append(Placed(call, _ended(begun, ring, talk, status), "", line, line))

    def poisson(self, hours: float, an_hour: float) -> Iterator[float]:
        """Instants, in seconds, at which people call."""
        at = 0.0
        while (at := at + self.chance.expovariate(an_hour / 3600)) < hours * 3600:
            yield at

    def number(self, prefix: str, digits: int) -> str:
        """Some number."""
        return prefix + "".join(str(self.chance.randrange(10)) for _ in range(digits))

    def french(self) -> str:
        """Somebody's number in France."""
        return self.number(self.chance.choice(("061", "066", "014", "047", "033")), 7)

    def talk(self) -> float:
        """How long people speak, and one in five not at all."""
        return 0 if self.chance.random() < 0.2 else self.chance.lognormvariate(4.4, 1.1)

    def seen(self, more: str = "") -> Seen:
        """What detection did."""
        desk = Desk(Engine(policy_of(more, SITE)), MemoryState(), watch=Watch())
        stopped: Counter[str] = Counter()
        spoke: Counter[str] = Counter()
        for _, decision in Straight(desk).run(sorted(self.calls, key=lambda p: p.call.at)):
            _count(decision, stopped, spoke)
        return stopped, spoke


def _ended(begun: int, ring: int, talk: float, status: int) -> CallEnded:
    if status:
        return CallEnded(at=begun + SECOND, outcome="failed", final_status=status, by="callee")
    if not talk:
        return CallEnded(
            at=begun + 25 * SECOND, outcome="cancelled", ring_us=24 * SECOND, final_status=487, by="caller"
        )
    spoken = round(talk * SECOND)
    return CallEnded(
        at=begun + ring + spoken, outcome="answered", ring_us=ring, talk_us=spoken, final_status=200, by="caller"
    )


def _count(decision: Decision, stopped: Counter[str], spoke: Counter[str]) -> None:
    for finding in decision.findings:
        if finding.rule.startswith("traffic."):
            (stopped if decision.verdict == "blocked" else spoke)[finding.rule] += 1
    assert decision.verdict != "blocked" or decision.rule.startswith("traffic."), decision.rule


# ---- who they are ----------------------------------------------------------------------------------------------------


def shared_number(seed: int) -> House:
    """An exchange of sixty people that names no line: all call from the main number, a third of them abroad."""
    here = House(seed)
    for at in here.poisson(9, 120):
        draw = here.chance.random()
        callee = (
            here.number(here.chance.choice(EUROPE), 6) if draw < 0.3
            else here.number("0825", 6) if draw < 0.33
            else here.number("39", 2) if draw < 0.34
            else "0892705050" if draw < 0.342
            else here.number("0037129", 6) if draw < 0.343
            else here.french()
        )  # fmt: skip
        here.puts(at, callee, here.talk(), status=480 if here.chance.random() < 0.04 else 0)
    return here


def call_centre(seed: int) -> House:
    """A hundred agents behind one number, and customers who call all the time."""
    here = House(seed)
    for at in here.poisson(2, 1500):
        here.puts(at, here.french(), here.talk() if here.chance.random() < 0.5 else 0)
    for at in here.poisson(2, 900):
        here.puts(at, MAIN, 90, caller=here.french(), inbound=True, line="")
    return here


def agents(seed: int) -> House:
    """The same with a line for each agent: each call out has one that just came in beside it."""
    here = House(seed)
    for at in here.poisson(2, 1500):
        here.puts(at, here.french(), here.talk(), line=f"{200 + here.chance.randrange(100)}")
    for at in here.poisson(2, 3000):
        here.puts(at, MAIN, 90, caller=here.french(), inbound=True, line="")
    return here


def fax_server(seed: int) -> House:
    """Two hundred invoices of a page, one after the other, some of them to machines that are off."""
    here = House(seed)
    at = 0.0
    for _ in range(200):
        off = here.chance.random() < 0.06
        talk = here.chance.uniform(38, 52)
        here.puts(at, here.french(), talk, line="fax", status=480 if off else 0)
        at += here.chance.uniform(2, 6) + (2 if off else 8 + talk)
    return here


def alarm_transmitter(seed: int) -> House:
    """A test call each hour to its station, and when it burns one each half minute until somebody answers."""
    here = House(seed)
    for hour in range(48):
        here.puts(hour * 3600, "0825123456", 22, line="alarm")
    for n in range(12):
        here.puts(90_000 + 30 * n, "0825123456", 9 if n == 11 else 0, line="alarm")
    return here


def elevator(seed: int) -> House:
    """A robot that calls one number again each twenty seconds while nobody answers, and hangs up on machines."""
    here = House(seed)
    for day in range(3):
        for n in range(15):
            here.puts(86_400 * day + 20 * n, "0199001234", 1.2 if n % 3 == 0 else 0, line="lift")
    return here


def conference(seed: int) -> House:
    """A bridge that calls twelve people in ten countries at once, once a month, for an hour."""
    here = House(seed)
    for month in range(3):
        for n, prefix in enumerate((*EUROPE, "0012125", "0021698", "0037129", "003725", "0081312")):
            here.puts(month * 28 * 86_400 + 8 * n, here.number(prefix, 6), 3600, line="bridge")
    return here


def new_exchange(seed: int) -> House:
    """Forty lines whose exchange was replaced last night: another program, and some who cannot be reached."""
    here = House(seed)
    for day, agent in ((0, "PBX 1"), (1, "PBX 1"), (3, "PBX 2")):
        for at in here.poisson(9, 300):
            callee = here.number("0021698", 6) if here.chance.random() < 0.05 else here.french()
            line = f"{200 + here.chance.randrange(40)}"
            here.puts(86_400 * day + at, callee, here.talk(), line=line, agent=agent,
                      status=480 if here.chance.random() < 0.1 else 0)  # fmt: skip
    return here


def on_call(seed: int) -> House:
    """A doctor's line that sends each call on to a mobile, and says nothing of it."""
    here = House(seed)
    for at in here.poisson(9, 25):
        here.puts(at, "0145678901", 90, caller=here.french(), inbound=True, line="")
        here.puts(at + 1, "0612345678", 88, line="doctor")
    return here


def saturday(seed: int) -> House:
    """A shop that is open on Saturday and calls its customers, a tenth of them Swiss, and two suppliers in Riga."""
    here = House(seed)
    for at in here.poisson(9, 25):
        abroad = here.chance.random() < 0.1
        here.puts(5 * 86_400 + at, here.number("0041443", 6) if abroad else here.french(), here.talk(), line="shop")
    for n in range(2):
        here.puts(5 * 86_400 + 7200 + 600 * n, here.number("0037129", 6), 200, line="shop")
    return here


HOUSES: Final = (
    shared_number, call_centre, agents, fax_server, alarm_transmitter, elevator, conference, new_exchange, on_call,
    saturday,
)  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("house", HOUSES, ids=lambda h: h.__name__)
def test_nobody_rightful_is_stopped(house: object, seed: int) -> None:
    assert callable(house)
    stopped, _ = house(seed).seen()
    assert not stopped


def team_in_madagascar(seed: int) -> House:
    """Ten people who call their colleagues in Antananarivo all day, from the first day on."""
    here = House(seed)
    for at in here.poisson(9, 40):
        here.puts(at, here.number("0026134", 7), here.talk(), line=f"{200 + here.chance.randrange(10)}")
    return here


KNOWN: Final = """
[rules."traffic.toll-fraud"]
known = ["+261"]
"""


def test_a_dear_country_that_the_site_calls_by_habit_is_named() -> None:
    """What docs/detection.md says of it; without that, a guard that has no past stops some of the first day's calls."""
    here = team_in_madagascar(1)
    assert here.seen(KNOWN) == (Counter(), Counter())
    assert here.seen()[0]["traffic.toll-fraud"]


def test_a_line_that_is_exempt_is_not_even_flagged() -> None:
    here = fax_server(2)
    assert here.seen()[1]["traffic.automated"]
    assert here.seen('\n[rules."traffic.automated"]\nbut = ["pbx/fax"]\n') == (Counter(), Counter())
