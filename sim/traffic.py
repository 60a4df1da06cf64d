"""A scripted minute of a customer's telephony: calls of every kind that the guard has a word for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from itertools import count
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from sim import site
from sim.ipbx import How, Ipbx, Result
from sim.trunk import BUSY, NO_ANSWER, Habit, Trunk

Who = Literal["pbx", "stranger", "operator"]

BUSY_ONE: Final = "+33199000486"
ABSENT: Final = "+33199000480"
STRICT: Final = "+33199000407"  # calls there are asked for credentials
MOVED: Final = "+33199000302"
EMERGENCY: Final = "112"
TALKER: Final = "+33199007000"  # ends the call itself

HABITS: Final[dict[str, Habit]] = {
    BUSY_ONE: BUSY,
    ABSENT: NO_ANSWER,
    STRICT: Habit(challenge=True),
    MOVED: Habit(moved_to=f"sip:{site.CUSTOMER}@operator.invalid"),
    TALKER: Habit(hang_up=0.4),
    EMERGENCY: Habit(ring=0.01, answer=0.03),
}


class Call(Struct, frozen=True, kw_only=True):
    """One call of a scene, `after` seconds from the scene's beginning."""

    caller: str = site.ALICE
    callee: str = site.CUSTOMER
    how: How = How(line="200")
    after: float = 0.0
    who: Who = "pbx"


class Scene(Struct, frozen=True, kw_only=True):
    """Calls that belong together, and what they show. `at` is seconds from the beginning of the script."""

    at: float
    name: str
    en: str
    fr: str
    calls: tuple[Call, ...]


def burst(n: int, *, first_line: int = 300) -> tuple[Call, ...]:
    """`n` calls in the same instant, each of its own line."""
    return tuple(Call(how=How(line=str(first_line + i))) for i in range(n))


def one(caller: str = site.ALICE, callee: str = site.CUSTOMER, **options: str | float | None) -> Call:
    """A call of line 200, or of the line and in the way that `options` of `How` say."""
    given: dict[str, str | float | None] = {"line": "200", **options}
    return Call(caller=caller, callee=callee, how=How(**given))  # type: ignore[arg-type]


def spaced(*calls: Call, by: float = 0.4) -> tuple[Call, ...]:
    """The calls one after the other, `by` seconds apart."""
    return tuple(replace(c, after=i * by) for i, c in enumerate(calls))


SCRIPT: Final[tuple[Scene, ...]] = (
    Scene(
        at=0.0,
        name="allowed",
        en="people call customers, dialled in three ways",
        fr="appels ordinaires, composés de trois façons",
        calls=spaced(one(), one(site.BOB, "0199001235"), one(site.LENT, "0033199001236")),
    ),
    Scene(
        at=2.0,
        name="masked",
        en="a call from the premium number 0892: the operator sees the main number",
        fr="appel depuis le numéro surtaxé 0892 : l’opérateur voit le numéro principal",
        calls=(one(site.PREMIUM, pai=site.PREMIUM, talk=0.3),),
    ),
    Scene(
        at=3.5,
        name="refused",
        en="a call with somebody else’s number",
        fr="appel avec le numéro d’un tiers",
        calls=(one(site.FOREIGN),),
    ),
    Scene(
        at=5.0,
        name="automated",
        en="the dialler: with a number of a person, with a mobile one, then with one of its own range",
        fr="l’automate : avec le numéro d’une personne, un mobile, puis un numéro de sa tranche",
        calls=spaced(one(site.ALICE, line="801"), one(site.MOBILE, line="801"), one(site.ROBOT, line="801")),
    ),
    Scene(
        at=7.0,
        name="anonymous",
        en="withheld numbers: with an asserted identity, without, and of a canvasser",
        fr="numéros masqués : avec identité certifiée, sans, et d’un démarcheur",
        calls=spaced(
            one("anonymous", pai=site.ALICE, privacy="id"),
            one("anonymous", privacy="id"),
            one("anonymous", pai=site.ALICE, privacy="id", line="601"),
        ),
    ),
    Scene(
        at=9.0,
        name="held",
        en="fourteen calls at once: four wait for their place in the second, none is lost",
        fr="quatorze appels d’un coup : quatre attendent leur tour, aucun n’est perdu",
        calls=burst(14),
    ),
    Scene(
        at=12.5,
        name="cancelled",
        en="eleven calls at once; the one that waits gives up: it never leaves",
        fr="onze appels d’un coup ; celui qui attend renonce : il ne part jamais",
        calls=(*burst(10), Call(after=0.05, how=How(line="320", cancel_after=0.3))),
    ),
    Scene(
        at=15.5,
        name="flood",
        en="twenty-six calls at once, and one to 112 in the middle of them: it waits for nobody",
        fr="vingt-six appels d’un coup, et un appel au 112 au milieu : il n’attend personne",
        calls=(*burst(26), Call(callee=EMERGENCY, after=0.3, how=How(line="350"))),
    ),
    Scene(
        at=20.0,
        name="forwarded",
        en="a customer’s call forwarded to a mobile: he keeps his number, Diversion names ours",
        fr="l’appel d’un client renvoyé vers un mobile : son numéro reste, Diversion nomme le nôtre",
        calls=spaced(one(site.FOREIGN, diversion=site.BOB), one(site.FOREIGN, diversion=site.FOREIGN)),
    ),
    Scene(
        at=22.0,
        name="short",
        en="short numbers as caller: 3949, and an extension",
        fr="numéros courts présentés : 3949, et un poste interne",
        calls=spaced(one("3949"), one("200", pai=site.ALICE)),
    ),
    Scene(
        at=24.0,
        name="monitored",
        en="a mobile number on the trunk: that rule is on trial and touches nothing",
        fr="un numéro mobile sur le trunk : cette règle est à l’essai et ne touche à rien",
        calls=(one(site.MOBILE),),
    ),
    Scene(
        at=25.5,
        name="line",
        en="a line that wants three calls at once, of two that it may have",
        fr="une ligne qui veut trois appels à la fois, sur deux permis",
        calls=tuple(one(line="230", talk=0.8) for _ in range(3)),
    ),
    Scene(
        at=27.5,
        name="endings",
        en="busy, given up while it rings, ended by the called party, asked for credentials, redirected",
        fr="occupé, abandonné pendant la sonnerie, raccroché par l’appelé, authentifié, redirigé",
        calls=spaced(
            one(callee=BUSY_ONE),
            one(callee=ABSENT, cancel_after=0.4),
            one(callee=TALKER, talk=None, line="201"),
            one(callee=STRICT, line="202"),
            one(callee=MOVED, line="203"),
        ),
    ),
    Scene(
        at=30.0,
        name="inbound",
        en="a customer calls the site",
        fr="un client appelle le site",
        calls=(Call(caller=site.CUSTOMER, callee=site.ALICE, who="operator"),),
    ),
    Scene(
        at=31.5,
        name="stranger",
        en="calls from an address that nobody listed: no answer, but a record",
        fr="appels d’une adresse inconnue : aucune réponse, mais une trace",
        calls=(Call(caller="1000", callee="00441234567890", who="stranger", how=How(patience=0.4)),),
    ),
)


class Played(Struct, frozen=True):
    """One call that was placed. `result` is None for the operator's own."""

    scene: str
    call: Call
    result: Result | None


class Players(Struct):
    """Who acts in the script."""

    pbx: Ipbx
    stranger: Ipbx
    trunk: Trunk

    async def act(self, scene: Scene, call: Call) -> Played:
        """Place one call and see it to its end."""
        await asyncio.sleep(call.after)
        if call.who == "operator":
            await self.trunk.call(self.pbx.guard, call.caller, call.callee)
            return Played(scene.name, call, None)
        who = self.pbx if call.who == "pbx" else self.stranger
        return Played(scene.name, call, await who.call(call.caller, call.callee, call.how))


async def play(
    players: Players,
    enough: asyncio.Event,
    *,
    calls: int | None = None,
    rounds: bool = False,
    told: Callable[[Scene], None] | None = None,
) -> list[Played]:
    """Play the script, over and over when `rounds`, until `calls` were placed or it is `enough`; every call that was
    placed is seen to its end."""
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[Played]] = []
    try:
        for at, scene in _scenes(loop.time(), rounds=rounds):
            if await _over(enough, at - loop.time()):
                break
            if told is not None:
                told(scene)
            left = len(scene.calls) if calls is None else calls - len(tasks)
            tasks += [loop.create_task(players.act(scene, c)) for c in scene.calls[:left]]
            if calls is not None and len(tasks) >= calls:
                break
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _over(enough: asyncio.Event, seconds: float) -> bool:
    """Wait so long for it to be enough."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(enough.wait(), max(0.0, seconds))
    return enough.is_set()


LENGTH: Final = SCRIPT[-1].at + 3.0  # seconds that one round of the script takes


def _scenes(start: float, *, rounds: bool) -> Iterator[tuple[float, Scene]]:
    for n in count() if rounds else range(1):
        yield from ((start + n * LENGTH + scene.at, scene) for scene in SCRIPT)
