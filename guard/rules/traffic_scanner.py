"""traffic.scanner: a call of a program that is known for scanning and breaking into telephone systems, or from an
address that sends what no telephone sends."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

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


@lru_cache(maxsize=AGENTS)
def _named(agent: str, names: tuple[str, ...]) -> str:
    """The first of these names that a User-Agent holds, "" for none."""
    folded = agent.casefold()
    return next((n for n in names if n in folded), "")


def judge(case: Case, settings: Settings) -> tuple[base.Hit, ...]:
    """What the caller's program calls itself (whoever hides it is not found so), and what else its address sent."""
    call = case.call
    out: list[base.Hit] = []
    name = _named(call.user_agent, settings.names) if call.user_agent else ""
    if name:
        shown = call.user_agent[:MAX_SHOWN]
        out.append(base.Hit("named", {"user_agent": shown, "name": name, "address": call.source_address}))
    if 0 < settings.odd <= call.odd:
        facts: dict[str, str | int | bool] = {
            "messages": call.odd, "limit": settings.odd, "address": call.source_address,
        }  # fmt: skip
        out.append(base.Hit("odd", facts))
    return tuple(out)


RULE = base.Judge(ID, SAYS, Settings, judge)
