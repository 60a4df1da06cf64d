"""A world of labelled traffic: its actors' calls in one order, and a guard.toml that fits it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from heapq import merge
from pathlib import Path
from typing import Final

from sim.labelled.actor import Actor
from sim.labelled.houses import BY_HABIT, Branch
from sim.labelled.rhythm import local
from sim.labelled.words import DAY, MAX_DAYS, Placed, SimError, Site

GUARD: Final = "127.0.0.1"
GUARD_PORT: Final = 5060
SIP_PORT: Final = 5060
CONTRACT: Final = "technicophone-sip-trunk"
CONSENTS: Final = "consents.csv"


class World:
    """Everybody's calls for some days from `start` (µs of Unix time), in the order in which they are placed; iterate it
    as often as you like, each time the same. In memory are what each actor plans ahead and the actors themselves.

    Raises SimError for actors of one name, or days that cannot be.
    """

    def __init__(self, seed: int, start: int, days: float, actors: Sequence[Actor]) -> None:
        if not 0.0 < days <= MAX_DAYS:
            raise SimError(f"{days:g} days are not between 0 and {MAX_DAYS:g}")
        names = [a.name for a in actors]
        for name in names:
            if names.count(name) > 1:
                raise SimError(f"two actors are called {name}")
        self.seed = seed
        self.start = start
        self.end = start + int(days * DAY)
        self.actors = tuple(actors)

    @property
    def sites(self) -> tuple[Site, ...]:
        """The customers, each once."""
        return tuple({a.site.name: a.site for a in self.actors}.values())

    def __iter__(self) -> Iterator[Placed]:
        return merge(*(a.calls(self.seed, self.start, self.end) for a in self.actors), key=_at)


def _at(placed: Placed) -> int:
    return placed.call.at


def config(
    world: World, folder: Path, *, guard: tuple[str, int] = (GUARD, GUARD_PORT), port: int = SIP_PORT, at_once: int = 0
) -> str:
    """The text of a guard.toml for a world: a trunk, a source and numbers for each site. Writes the consents of those
    who are canvassed into `folder`. `port` is that of every exchange and operator; a trunk has `at_once` channels at
    least."""
    first = world.actors[0].site if world.actors else None
    if first is None:
        raise SimError("a world without actors has no configuration")
    consents = _consents(world, folder)
    parts = [
        f"""\
site = "labelled"
mode = "enforce"
timezone = "Europe/Paris"

[listen]
udp = ["{guard[0]}:{guard[1]}"]
{consents}
[store]
path = "guard.db"

[rules."quota.callees"]        # whoever calls for a living pays by the minute
enabled = false

[rules."quota.talk-time"]
enabled = false
"""
    ]
    if any(isinstance(a, Branch) for a in world.actors):
        parts.append(f"""\
[rules."dst.risk-prefix"]
but = [{", ".join(f'"{p}"' for p in BY_HABIT)}]
""")
    parts += [_of_site(site, port, at_once) for site in world.sites]
    return "\n".join(parts)


def _of_site(site: Site, port: int, at_once: int) -> str:
    usage = ", ".join(f'"{u}"' for u in site.usage)
    return f"""\
[[trunk]]
name = "{site.trunk}"
next_hop = ["sip:{site.operator}:{port}"]
contract = "{CONTRACT}"
channels = {max(site.channels, at_once)}
mask_caller = "{site.number(0).value}"

[[source]]
name = "{site.name}"
address = ["{site.network}"]
trunk = "{site.trunk}"
usage = [{usage}]
country = "{site.country}"
line_from = "header:X-Line"
contact = "sip:{site.address}:{port}"

[[number]]
range = "{site.block}*"
"""


def _consents(world: World, folder: Path) -> str:
    """The file of consents, given a month before the world begins, and the table that names it; "" where nobody is
    canvassed."""
    numbers = sorted({c for a in world.actors for c in a.consents(world.seed, world.start)})
    if not numbers:
        return ""
    since = (local(world.start) - timedelta(days=30)).date()
    rows = "".join(f"{number},{since},form {i}\n" for i, number in enumerate(numbers, 1))
    (folder / CONSENTS).write_text("number,from,proof\n" + rows, encoding="utf-8")
    return f'\n[prospecting]\nconsents = "{CONSENTS}"\n'
