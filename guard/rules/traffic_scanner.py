"""traffic.scanner: a call of a program that is known for scanning and breaking into telephone systems."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from guard.rules import base

ID = "traffic.scanner"
SAYS = {"named": frozenset({"user_agent", "name", "address"})}
MAX_SHOWN = 200  # characters of a text that a caller chose
Part = Annotated[str, Meta(min_length=3, pattern=r"\A[^A-Z]*\Z", description="a part of a User-Agent in small letters")]


class Settings(base.Settings, frozen=True):
    """`names`: parts of the User-Agent header, in small letters, by which such programs name themselves."""

    names: tuple[Part, ...] = ()


def judge(case: base.Case, settings: Settings) -> tuple[base.Hit, ...]:
    """What the caller's program calls itself: whoever hides it is not found here."""
    agent = case.call.user_agent
    if not agent:
        return ()
    folded = agent.casefold()
    for name in settings.names:
        if name in folded:
            facts: dict[str, str | int | bool] = {
                "user_agent": agent[:MAX_SHOWN],
                "name": name,
                "address": case.call.source_address,
            }
            return (base.Hit("named", facts),)
    return ()


RULE = base.Judge(ID, SAYS, Settings, judge)
