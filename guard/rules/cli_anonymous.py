"""cli.anonymous: people may withhold their number, behind a rightful asserted one; canvassing never may."""

from __future__ import annotations

from guard.rules import base
from guard.rules.case import Case

ID = "cli.anonymous"
SAYS = {"canvassing": frozenset({"header"}), "nobody": frozenset({"header"})}


class Settings(base.Settings, frozen=True):
    """No parameters."""


def judge(case: Case, settings: Settings) -> tuple[base.Hit, ...]:
    """A withheld or absent number, by usage."""
    call = case.call
    absent = call.caller.kind in {"anonymous", "none"}
    if not absent and not call.privacy:
        return ()
    if "prospecting" in call.usage:
        return (base.Hit("canvassing", {"header": "from" if absent else "privacy"}),)
    if not absent or any(i.number.value and case.rightful(i.number) for i in call.identities) or case.forwarded:
        return ()
    return (base.Hit("nobody", {"header": "from"}),)


RULE = base.Judge(ID, SAYS, Settings, judge)
