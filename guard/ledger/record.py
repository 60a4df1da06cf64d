"""One call's record: the object that `guard log --json`, replay, the API and MQTT all carry (INTERFACES).

A call makes two entries in the log, each chained by hash to the one before: the decision, and the end. What people
see is the two joined.
"""

from __future__ import annotations

from msgspec import Struct

from guard.model import Action, Direction, Mode, Outcome, Text, Usage, Verdict


class FindingRecord(Struct, frozen=True, kw_only=True):
    """One finding. `action` is what the rule asks for; with `mode` monitor it was not done."""

    rule: str
    action: Action
    mode: Mode
    article: tuple[str, ...]
    text: Text
    facts: dict[str, str | int | bool]


class CallRecord(Struct, frozen=True, kw_only=True):
    """The decision on one call, and its end once it is known. Field names are fixed by INTERFACES.

    `time` is ISO 8601 with microseconds and zone; money is in euro cents, with the exact micro-euros beside it where
    a fraction of a cent remains; `hash` is hexadecimal.
    """

    seq: int
    hash: str
    time: str
    call_id: str
    site: str
    source: str
    trunk: str
    line: str
    direction: Direction
    caller: str
    presented: str
    callee: str
    usage: tuple[Usage, ...]
    verdict: Verdict
    response: int | None
    findings: tuple[FindingRecord, ...]
    accrued_cents: int
    avoided_cents: int
    held_ms: int
    policy: str
    outcome: Outcome | None = None
    ring_ms: int | None = None
    talk_ms: int | None = None
    final_status: int | None = None
