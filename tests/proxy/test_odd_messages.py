"""Messages that are no proper SIP: counted by address, bounded, and shown with the calls of that address."""

from __future__ import annotations

from guard.model import SECOND
from guard.proxy.effects import Decide
from guard.proxy.observer import Observer
from guard.proxy.odd import ADDRESSES, SPAN, Odd
from tests.deciding import call, engine_of
from tests.proxy.world import UP, World, request

WORLD = World()

NOW = 1_000 * SECOND


def test_they_count_for_an_hour_from_the_first() -> None:
    odd = Odd()
    assert odd.of("192.0.2.5", NOW) == 0
    for n in range(3):
        odd.note("192.0.2.5", NOW + n)
    assert odd.of("192.0.2.5", NOW + SPAN - 1) == 3
    assert odd.of("192.0.2.6", NOW) == 0
    assert odd.of("192.0.2.5", NOW + SPAN) == 0
    odd.note("192.0.2.5", NOW + SPAN)
    assert odd.of("192.0.2.5", NOW + SPAN) == 1


def test_a_flood_from_made_up_addresses_forgets_the_longest_quiet() -> None:
    odd = Odd()
    odd.note("first", NOW)
    for n in range(ADDRESSES):
        odd.note(f"10.{n >> 8}.{n & 255}.1", NOW)
    assert odd.of("first", NOW) == 0
    assert odd.of(f"10.{(ADDRESSES - 1) >> 8}.{(ADDRESSES - 1) & 255}.1", NOW) == 1


def test_a_call_from_there_is_told_of() -> None:
    odd = Odd()
    seen = call()
    assert odd.met(seen, NOW) is seen
    for _ in range(20):
        odd.note(seen.source_address, NOW)
    told = odd.met(seen, NOW)
    assert told.odd == 20
    (finding,) = [f for f in engine_of().judge(told).findings if f.rule == "traffic.scanner"]
    assert (finding.action, finding.facts["messages"]) == ("flag", 20)


def test_the_core_counts_what_it_cannot_read_and_what_it_refuses_for_its_form() -> None:
    world = World()
    for n in range(20):
        bad = request("INVITE", call_id=f"bad{n}", branch=f"bad{n}").replace(b" SIP/2.0\r\n", b" SIP/7.0\r\n", 1)
        world(b"nonsense\r\n\r\n" if n % 2 else bad, UP)
    world(request("INVITE", call_id="good", branch="good"), UP)
    assert [d.call.odd for d in world.asked] == [20]


def test_a_watched_wire_counts_them_too() -> None:
    observer = Observer(WORLD.settings, WORLD.sources, WORLD.trunks)
    for n in range(3):
        observer.receive(b"nonsense\r\n\r\n", UP, n)
    observer.receive(request("INVITE", call_id="good", branch="good"), UP, 4)
    assert [e.call.odd for e in observer.effects if isinstance(e, Decide)] == [3]
