"""Scenarios by name: `office:50,wangiri:0.5` are an office of 50 people and ping calls at half their strength."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from guard.tomlread import nearest
from sim.labelled.actor import Actor, Attack
from sim.labelled.centres import CallCentre, Clinic, Dialler
from sim.labelled.houses import Branch, Hotel
from sim.labelled.office import Office
from sim.labelled.pings import Wangiri, WangiriIn
from sim.labelled.scans import CliSpoofing, Gateway, HscPumping, WarDialler
from sim.labelled.tolls import IrsfNight, SlowerLow, SlowLow, StolenAccount, SvaPumping
from sim.labelled.words import SimError


class Legitimate(Struct, frozen=True):
    """A legitimate scenario: `make(size, n)`, its usual size, and what the size counts."""

    make: Callable[[int, int], Actor]
    size: int
    of: str


class Attacking(Struct, frozen=True):
    """A class of attack. With `takes_over` it sits on a line of the first site of people before it, if there is one."""

    make: type[Attack]
    takes_over: bool = False


LEGITIMATE: Final[dict[str, Legitimate]] = {
    "office": Legitimate(Office, 20, "people"),
    "call-centre": Legitimate(CallCentre, 25, "agents"),
    "dialler": Legitimate(Dialler, 120, "calls an hour"),
    "clinic": Legitimate(Clinic, 80, "patients a day"),
    "hotel": Legitimate(Hotel, 120, "rooms"),
    "branch": Legitimate(Branch, 10, "people"),
}
ATTACKS: Final[dict[str, Attacking]] = {
    "wangiri": Attacking(Wangiri),
    "wangiri-in": Attacking(WangiriIn, takes_over=True),
    "irsf-night": Attacking(IrsfNight, takes_over=True),
    "stolen-account": Attacking(StolenAccount, takes_over=True),
    "war-dialler": Attacking(WarDialler),
    "hsc-pumping": Attacking(HscPumping),
    "sva-pumping": Attacking(SvaPumping),
    "cli-spoofing": Attacking(CliSpoofing),
    "gateway": Attacking(Gateway),
    "slow-low": Attacking(SlowLow, takes_over=True),
    "slower-low": Attacking(SlowerLow, takes_over=True),
}
CLASSES: Final = tuple(ATTACKS)


def scenario(text: str, after: float | None = None) -> tuple[Actor, ...]:
    """The actors that a text names, each once or more: names with commas between, and after a colon how big a
    legitimate one is or how strong an attack. `after` is when every attack begins (`Attack`). Raises SimError."""
    actors: list[Actor] = []
    seen: Counter[str] = Counter()
    for part in text.split(","):
        name, _, much = part.strip().replace("_", "-").partition(":")
        seen[name] += 1
        actors.append(_actor(name, much, seen[name], actors, after))
    return tuple(actors)


def _actor(name: str, much: str, n: int, before: list[Actor], after: float | None) -> Actor:
    if name in LEGITIMATE:
        known = LEGITIMATE[name]
        if much and not (much.isascii() and much.isdigit()):
            raise SimError(f'{name}: "{much}" is no number of {known.of}')
        return known.make(int(much) if much else known.size, n)
    if name not in ATTACKS:
        raise SimError(f'no scenario is called "{name}"{nearest(name, (*LEGITIMATE, *ATTACKS))}')
    attack = ATTACKS[name]
    try:
        strength = float(much) if much else 1.0
    except ValueError:
        raise SimError(f'{name}: "{much}" is no strength') from None
    host = next((a for a in before if a.lines() and not isinstance(a, Attack)), None) if attack.takes_over else None
    return attack.make(n, strength=strength, on=host, after=after)
