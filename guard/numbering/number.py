"""A telephone number as it was received, and what it means: E.164, a short number, or a named reason why neither.

This file holds the types and the entry points; helpers stand beside it.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Kind = Literal["e164", "short", "anonymous", "malformed", "none"]


class Dial(Struct, frozen=True, kw_only=True):
    """How an IPBX dials: the prefixes of `[[source]] dial`.

    `strip` is the outside-line access prefix ("" for none), removed once from the front of what is dialled.
    """

    international: str = "00"
    national: str = "0"
    strip: str = ""


class Number(Struct, frozen=True):
    """One number. `value` is `+33145678900` (E.164), `3949` (short, as dialled) or "" (anonymous, malformed, none).

    `raw` is the user part as received, at most 64 characters. `reason` names why a malformed one is malformed, and
    `note` what was odd about a good one (`overseas-under-33`: an overseas number written under +33).
    """

    value: str
    kind: Kind
    raw: str
    reason: str = ""
    note: str = ""


NONE = Number("", "none", "")
