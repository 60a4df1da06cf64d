"""One decision on a call that nobody placed: for `guard decide`, and for whoever asks by another way.

The attempt is built as `proxy/facts` builds it from a message, and decided by the same engine with fresh counters.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from guard.desk import Desk
from guard.detectors.watch import Watch
from guard.engine import Engine
from guard.ledger.penalties import assess
from guard.ledger.record import NO_MONEY, DecisionBody, decision_body
from guard.model import CallAttempt, Decision, Direction, Header, Identity, Usage
from guard.numbering.number import NONE, Dial, emergency_of, normalise
from guard.policy.load import Policy
from guard.sources import Source, usage_of
from guard.state.memory import MemoryState


class Question(Struct, frozen=True, kw_only=True):
    """What is asked. Numbers are as an IPBX would write them; `at` is µs of Unix time; `caller` "" presents none.

    `usage` () takes the source's, by line, caller and `headers` (names in small letters, with their values).
    """

    source: Source
    caller: str
    callee: str
    at: int
    line: str = ""
    usage: tuple[Usage, ...] = ()
    asserted: tuple[str, ...] = ()
    diversion: tuple[str, ...] = ()
    privacy: bool = False
    user_agent: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    direction: Direction = "outbound"
    call_id: str = "asked"


def attempt_of(question: Question) -> CallAttempt:
    """The call attempt that the question describes."""
    source = question.source
    dial = source.dial

    def identities(header: Header, raws: tuple[str, ...]) -> tuple[Identity, ...]:
        return tuple(Identity(header, normalise(raw, dial, scheme=_scheme(raw))) for raw in map(_user, raws))

    caller = normalise(_user(question.caller), dial) if question.caller else NONE
    callee, scheme = _user(question.callee), _scheme(question.callee)
    line = question.line or _user(question.caller)
    headers = dict(question.headers)
    return CallAttempt(
        call_id=question.call_id,
        from_tag="",
        at=question.at,
        source=source.name,
        source_address="",
        trunk=source.trunk,
        line=line,
        callee=normalise(callee, dial, scheme=scheme, callee=True),
        usage=question.usage or usage_of(source, line, caller.value, lambda name: headers.get(name.lower(), "")),
        country=source.country,
        forwarded=source.forwarded,
        caller=caller,
        identities=identities("pai", question.asserted),
        diversions=identities("diversion", question.diversion),
        emergency=emergency_of(callee, dial, scheme=scheme),
        privacy=question.privacy,
        user_agent=question.user_agent,
        headers=tuple((n, v) for n, v in question.headers if n in source.headers),
        direction=question.direction,
    )


def emergency_in(callee: str, dials: Iterable[Dial]) -> str:
    """The emergency number that is called by one of these ways to dial, in its plain form (`112`), "" for none."""
    user, scheme = _user(callee), _scheme(callee)
    return next((found for d in dials if (found := emergency_of(user, d, scheme=scheme))), "")


def _scheme(written: str) -> str:
    return "urn" if written.lower().startswith("urn:") else "sip"


def _user(written: str) -> str:
    """The user part of what may be written as a URI: `sip:+33…@host`, `tel:+33…`, `urn:service:sos`, or bare."""
    head, colon, rest = written.partition(":")
    scheme = head.lower()
    if colon and scheme in {"tel", "urn"}:
        return rest
    if colon and scheme in {"sip", "sips"}:
        return rest.rpartition("@")[0] or rest
    return written.strip()


def answer(policy: Policy, call: CallAttempt, site: str, watch: Watch | None = None) -> tuple[Decision, DecisionBody]:
    """The decision, and what the log of the guard `site` would keep of it, with the money of a number's first
    call in its period. `watch` knows who is shut off; without it nobody is."""
    decided = Desk(Engine(policy), MemoryState(), watch=watch if watch is not None else Watch()).submit(1, call, 0)
    decision = decided[0][1]  # nothing waits at counters that nobody has used
    figures = policy.figures.get(call.trunk)
    stake = assess(call, decision, figures) if figures is not None else None
    return decision, decision_body(call, decision, site, stake.money(first=True) if stake is not None else NO_MONEY)
