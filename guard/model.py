"""The words of the domain, frozen: what a call attempt is, what rules say of it, what was decided, how it ended.

Nothing here knows SIP, sockets, files or configuration. Instants are integers in microseconds: `now` on the
guard's own timeline, which never goes back, and `at` on the wall clock (Unix time), which records and dated law use.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from guard.ladder import Noted
from guard.numbering.number import NONE, Number

Usage = Literal["human", "automated", "platform", "prospecting"]
Verdict = Literal["allowed", "flagged", "masked", "blocked"]
Action = Literal["allow", "flag", "mask", "hold", "block"]  # weakest first
Mode = Literal["enforce", "monitor"]
Direction = Literal["outbound", "inbound"]
Outcome = Literal["answered", "cancelled", "failed", "blocked"]
Header = Literal["from", "pai", "ppi", "rpid", "diversion", "history-info"]

STRENGTH: dict[Action, int] = {"allow": 0, "flag": 1, "mask": 2, "hold": 3, "block": 4}
SECOND = 1_000_000  # microseconds


class Identity(Struct, frozen=True, gc=False):
    """One number that one header of the request presents."""

    header: Header
    number: Number


class CallAttempt(Struct, frozen=True, gc=False, kw_only=True):
    """One first INVITE of a call, as the rules see it.

    `source` and `trunk` are names of the configuration, "" when unknown. `caller` is From's number; `identities` are
    the asserted ones (P-Asserted-Identity, P-Preferred-Identity, Remote-Party-ID), `diversions` the forwarding ones
    (Diversion, History-Info), each in the order of the message. `emergency` is the emergency number called in its
    plain form (`112`), or "" for any other call; it is found before anything else is read. `odd` is how many
    messages that are no proper SIP came from its address in the hour. `headers` are those that a
    rule of the site names (name in small letters, first value), and no others.
    """

    call_id: str
    from_tag: str
    at: int
    source: str
    source_address: str
    trunk: str
    line: str
    callee: Number
    direction: Direction = "outbound"
    usage: tuple[Usage, ...] = ("human",)
    country: str = "FR"
    forwarded: Literal["trust-diversion", "require-inbound"] = "trust-diversion"
    caller: Number = NONE
    identities: tuple[Identity, ...] = ()
    diversions: tuple[Identity, ...] = ()
    emergency: str = ""
    privacy: bool = False
    user_agent: str = ""
    odd: int = 0
    headers: tuple[tuple[str, str], ...] = ()


class Text(Struct, frozen=True, gc=False):
    """One sentence for people, in English and French, with every fact already filled in."""

    en: str
    fr: str


class Finding(Struct, frozen=True, gc=False, kw_only=True):
    """What one rule said of one call. `action` is what the rule asks for; with `mode` monitor it is not done.

    `article` names the texts it rests on (file and article, or the public decision); `facts` are what was measured,
    by name. A fact is a string, an integer or a boolean: nothing whose text form could change.
    """

    rule: str
    action: Action
    article: tuple[str, ...]
    text: Text
    facts: dict[str, str | int | bool]
    mode: Mode = "enforce"


class Decision(Struct, frozen=True, gc=False, kw_only=True):
    """What is done with a call. `held_until` is set (with action hold) while it waits for a place, else 0.

    `status` and `retry_after` (seconds) are what the guard answers when `verdict` is blocked, else 0. `presented` is
    the number shown to the operator; where `masked` is set it replaces (as anonymous when "") every identity of the
    message whose number is one of `masked_numbers`. After `max_talk_us` from its answer the guard ends the call (0: it
    does not), by `talk_rule`.
    """

    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    rule: str = ""  # the finding that decided, "" when none did
    status: int = 0
    retry_after: int = 0
    presented: str = ""
    masked: bool = False
    masked_numbers: tuple[str, ...] = ()
    held_until: int = 0
    held_us: int = 0
    max_talk_us: int = 0
    talk_rule: str = ""
    policy: str = ""


class CallEnded(Struct, frozen=True, gc=False, kw_only=True):
    """How a decided call ended: exactly one for each decided attempt.

    `ring_us` is the time from the first 180 or 183 to the answer or the end (0 when it never rang); `talk_us` from the
    answer to the BYE; `final_status` the final SIP status that the caller got (0 when none: silence). `findings` are
    what was found only when it was over; `steps` are its SIP messages, each with its offset
    (µs) from the set-up (guard/ladder.py).
    """

    at: int
    outcome: Outcome
    ring_us: int = 0
    talk_us: int = 0
    final_status: int = 0
    by: Literal["caller", "callee", "guard", "silence", ""] = ""
    findings: tuple[Finding, ...] = ()
    steps: tuple[Noted, ...] = ()
