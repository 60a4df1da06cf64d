"""traffic.scanner: a call of a program that is known for scanning and breaking into telephone systems, or from an
address that sends what no telephone sends."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from guard.rules import base
from guard.rules.case import Case

ID = "traffic.scanner"
SAYS = {"named": frozenset({"user_agent", "name", "address"}), "odd": frozenset({"messages", "limit", "address"})}
AGENTS = 256  # that are remembered, and what they were found to be; invented ones only push each other out
MAX_SHOWN = 200  # characters of a text that a caller chose
Part = Annotated[str, Meta(min_length=3, pattern=r"\A[^A-Z]*\Z", description="a part of a User-Agent in small letters")]


class Settings(base.Settings, frozen=True):
    """`names`: parts of the User-Agent header, in small letters, by which such programs name themselves. `odd`:
    messages that are no proper SIP, within an hour from one address, from which on its calls are told of (0: never)."""

    names: tuple[Part, ...] = ()
    odd: Annotated[int, Meta(ge=0)] = 0


_known: Final[dict[str, tuple[tuple[str, ...], str]]] = {}  # agents: the names that were looked for, and what was found


def _named(agent: str, names: tuple[str, ...]) -> str:
    """The first of these names that a User-Agent holds, "" for none."""
    known = _known.get(agent)
    if known is not None and known[0] is names:
        return known[1]
    folded = agent.casefold()
    found = next((n for n in names if n in folded), "")
    if len(_known) >= AGENTS:
        _known.clear()
    _known[agent] = names, found
    return found


def judge(case: Case, settings: Settings) -> tuple[base.Hit, ...]:
    """What the caller's program calls itself (whoever hides it is not found so), and what else its address sent."""
    call = case.call
    agent, odd = call.user_agent, settings.odd
    name = _named(agent, settings.names) if agent else ""
    if not name and not 0 < odd <= call.odd:
        return ()
    out: list[base.Hit] = []
    if name:
        shown = agent[:MAX_SHOWN]
        out.append(base.Hit("named", {"user_agent": shown, "name": name, "address": call.source_address}))
    if 0 < odd <= call.odd:
        facts: dict[str, str | int | bool] = {
            "messages": call.odd, "limit": odd, "address": call.source_address,
        }  # fmt: skip
        out.append(base.Hit("odd", facts))
    return tuple(out)


def idle(kind: base.Kind, settings: Settings) -> bool:
    """No program is looked for."""
    del kind
    return not settings.names and settings.odd <= 0


RULE = base.Judge(ID, SAYS, Settings, judge, idle)
