"""`POST /api/v1/decide`: a decision for a switch that asks before it dials, and `/ended` when the call is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from litestar import post
from litestar.params import JSONBody
from msgspec import Meta, Struct
from msgspec.structs import replace

from guard.control import DecideAsk, Decided, EndedAsk
from guard.ledger.masking import masked_finding
from guard.model import Direction
from guard.net.say import LOG, told
from guard.questions import Asked, question_of
from guard.wanted import Mistake
from guard.web.api import AT, Here, Who, faults, full_of
from guard.web.asking import HELP, decided, for_help
from guard.web.problems import Refused
from guard.web.roles import askers, switches

if TYPE_CHECKING:
    from guard.web.roles import Visitor
    from guard.web.room import Room

Text = Annotated[str, Meta(max_length=512)]
_WORD: Final = "(?:human|automated|platform|prospecting)"
USAGE: Final = f"^(?:{_WORD}(?:,{_WORD}){{0,3}})?$"
Header = Annotated[str, Meta(max_length=512, extra_json_schema={"pattern": "^[!#-'*+.0-9A-Z^-z|~-]+:"})]
Few = Annotated[tuple[Text, ...], Meta(max_length=16)]


class AskedCall(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call that somebody is about to place. Numbers are as the IPBX dials them; `caller` "" presents none; `usage`
    one word or several with commas (the source's); `header` as `Name: value`; `source` a `[[source]]` (the first).

    With `count` it is counted and recorded like a set-up that came over SIP, by the running guard, and its channel is
    in use until `/api/v1/ended`, or for `lease_s`; the same `call_id` asked again counts once. Without, nothing is
    counted: the running guard says what it would do now; where it does not run, or `at` names another instant, a fresh
    engine decides, with no counter used up, as `guard decide` does.
    """

    callee: Annotated[str, Meta(min_length=1, max_length=512)]
    caller: Text = ""
    source: Text = ""
    line: Text = ""
    usage: Annotated[str, Meta(max_length=64, extra_json_schema={"pattern": USAGE})] = ""
    pai: Few = ()
    diversion: Few = ()
    privacy: bool = False
    user_agent: Text = ""
    header: Annotated[tuple[Header, ...], Meta(max_length=32)] = ()
    direction: Direction = "outbound"
    at: Annotated[str, Meta(max_length=64, extra_json_schema={"pattern": AT})] = ""
    count: bool = False
    call_id: Text = ""
    lease_s: Annotated[int, Meta(ge=0, le=86_400)] | None = None


class Ending(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The end of a call: the `ticket` of its decision, how it ended, how long it rang and was talked. `final_status` is
    the SIP status that the caller got (0: not known)."""

    ticket: Text
    outcome: Literal["answered", "cancelled", "failed"] = "answered"
    ring_ms: Annotated[int, Meta(ge=0, le=86_400_000)] = 0
    talk_ms: Annotated[int, Meta(ge=0, le=2_678_400_000)] = 0
    final_status: Annotated[int, Meta(ge=0, le=699)] = 0
    by: Literal["caller", "callee", ""] = ""


class Over(Struct, frozen=True, kw_only=True):
    """Its channel is free, and its record has its end."""

    ended: bool = True


@post("/api/v1/decide", guards=[askers], responses=faults(413), status_code=200, tags=["decide"])
async def decide(room: Here, visitor: Who, data: JSONBody[AskedCall]) -> Decided:
    """What the guard decides, or would; numbers in its findings are as the log shows them to who asks. A call for help
    is allowed, whatever else cannot be answered."""
    try:
        found = await _judged(room, visitor, data)
        if await full_of(room, visitor, None, "decide", {}):
            return found
        return replace(found, findings=tuple(map(masked_finding, found.findings)))
    except Exception as error:
        if not for_help(room.config, data.callee, data.direction):
            raise
        LOG.warning("decide: an emergency call is allowed in spite of: %s", told(error))
        return HELP


async def _judged(room: Room, visitor: Visitor, data: AskedCall) -> Decided:
    asked = _asked(data)
    law = await room.laws.now()
    question = question_of(law.config, asked, room.clock())
    if data.count and data.at:
        raise Mistake("at", "goes with what is not counted: a call that counts is placed now")
    if data.count and not visitor.asks:
        raise Refused(403, "this token lacks the role switch, or operator")
    ask = DecideAsk(
        callee=data.callee,
        caller=data.caller,
        source=data.source,
        line=data.line,
        usage=question.usage,
        asserted=data.pai,
        diversion=data.diversion,
        privacy=data.privacy,
        user_agent=data.user_agent,
        headers=question.headers,
        direction=data.direction,
        call_id=data.call_id,
        count=data.count,
        lease_s=data.lease_s,
    )
    return await decided(room, law, asked, ask)


@post("/api/v1/ended", guards=[switches], responses=faults(404, 413), status_code=200, tags=["decide"])
async def ended(room: Here, data: JSONBody[Ending]) -> Over:
    """A call that was decided here, and counted, is over."""
    ask = EndedAsk(
        ticket=data.ticket,
        outcome=data.outcome,
        ring_ms=data.ring_ms,
        talk_ms=data.talk_ms,
        final_status=data.final_status,
        by=data.by,
    )
    await room.control.ended(ask)
    return Over()


def _asked(data: JSONBody[AskedCall]) -> Asked:
    return Asked(
        caller=data.caller,
        callee=data.callee,
        source=data.source or None,
        line=data.line,
        usage=data.usage or None,
        pai=data.pai,
        diversion=data.diversion,
        privacy=data.privacy,
        user_agent=data.user_agent,
        header=data.header,
        inbound=data.direction == "inbound",
        at=data.at or None,
    )


DECIDE: Final = (decide, ended)
