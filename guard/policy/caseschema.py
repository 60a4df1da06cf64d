"""`[[case]]`: a call and what must become of it, beside the rules that it is about."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from guard.model import Direction, Usage, Verdict

Line = Annotated[str, Meta(min_length=1)]
MAX_BEFORE = 10_000  # calls before the one that is asked: more are a simulation, not a case
Seconds = Annotated[int, Meta(ge=0, le=40 * 24 * 3600)]  # further back than any counter looks
Milliseconds = Annotated[int, Meta(ge=0, le=40 * 24 * 3_600_000)]


class _Strict(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything that stands in a case."""


class Before(_Strict, frozen=True, kw_only=True):
    """Calls that were there before, like the one asked but for what stands here: so many, the last of them `ago_s`
    before it, `apart_s` between any two.

    They are still up, unless something says how they ended: `talk_s` or `talk_ms` after so much talk, `status` refused
    by the other side with this final status, `ring_ms` alone given up by the caller (`by`: or by the callee) after
    ringing so long. With `another_callee` each calls a number of its own, far from the one before; with `in_order` the
    next one: both are that of the call with other last four digits.
    """

    calls: Annotated[int, Meta(ge=1, le=MAX_BEFORE)] = 1
    ago_s: Seconds = 0
    apart_s: Seconds = 0
    direction: Direction | None = None
    caller: str | None = None
    callee: str | None = None
    line: str | None = None
    user_agent: str | None = None
    address: str | None = None
    another_callee: bool = False
    in_order: bool = False
    talk_s: Seconds | None = None
    talk_ms: Milliseconds | None = None
    ring_ms: Milliseconds | None = None
    status: Annotated[int, Meta(ge=300, le=699)] | None = None
    by: Literal["caller", "callee"] = "caller"


class Case(_Strict, frozen=True, kw_only=True):
    """One call, as `guard decide` takes it, and the decision on it. Numbers are as an IPBX would write them.

    `at` without an offset is in the site's time zone. `site` is one of the file's `sites`, where it is not its `site`;
    in guard.toml there is but one. `source` is the first where nothing is said; `stranger` a call
    that no source sent, `odd` how many messages that are no proper SIP its address sent before. Of the decision
    `verdict` is always looked at, `rule` (the one that decided), `presented` and `status` where they stand here;
    `speaks` names rules that must have spoken, `silent` rules that must not.
    """

    name: Line
    caller: str
    callee: str
    at: datetime
    verdict: Verdict
    rule: str | None = None
    speaks: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    presented: str | None = None
    status: int | None = None
    site: str = ""
    source: str = ""
    stranger: bool = False
    line: str = ""
    usage: Usage | Annotated[tuple[Usage, ...], Meta(min_length=1)] | None = None
    pai: str | tuple[str, ...] = ()
    diversion: str | tuple[str, ...] = ()
    privacy: bool = False
    user_agent: str = ""
    odd: Annotated[int, Meta(ge=0)] = 0
    header: dict[str, str] = {}
    direction: Direction = "outbound"
    before: tuple[Before, ...] = ()
