"""Calls that were up when a guard stopped: a log in which they have no end yet, and the file of answered calls beside
it."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Final

from guard.callsfile import line_of, path_of, write
from guard.ledger.chain import GENESIS
from guard.model import SECOND, CallAttempt, Decision
from guard.numbering.number import Number
from guard.proxy.call import CONFIRMED, key_of
from guard.proxy.effects import Flow
from guard.proxy.kept import KeptCall
from guard.store.entries import Decided
from guard.store.rows import Builder, commit
from guard.store.schema import open_writer

GROUP: Final = 5_000  # entries in a transaction
PER_LINE: Final = 2  # calls at once
AGO: Final = 60 * SECOND  # µs since they were placed
HERE, PBX, OPERATOR = (("127.0.0.1", port) for port in (5060, 5061, 5062))


def fill_up(log: Path, calls: int) -> None:
    """A log of so many calls that go on, and their file."""
    at = time.time_ns() // 1000 - AGO
    attempts = [_attempt(n, at) for n in range(calls)]
    decision = Decision(verdict="allowed", presented="+33145678900", policy="sha256:0123")
    with closing(open_writer(str(log), "process")) as db:
        builder, tip = Builder(db, "hq", {}), GENESIS
        for start in range(0, calls, GROUP):
            some = enumerate(attempts[start : start + GROUP], start + 1)
            entries = [Decided(seq=seq, call=call, decision=decision, done=None) for seq, call in some]
            tip = commit(db, builder, entries, tip, "behind")
    write(path_of(log), (line_of(seq, _kept(seq, call)) for seq, call in enumerate(attempts, 1)))


def _attempt(n: int, at: int) -> CallAttempt:
    return CallAttempt(
        call_id=f"{n}-4711@127.0.0.1",
        from_tag=f"4711SIPpTag00{n}",
        at=at,
        source="pbx",
        source_address="127.0.0.1",
        trunk="operator",
        line=str(10_000 + n // PER_LINE),
        callee=Number(f"+3361{n * 7919 % 10_000_000:07d}", "e164", f"061{n * 7919 % 10_000_000:07d}"),
        caller=Number(f"+331456789{n % 100:02d}", "e164", f"01456789{n % 100:02d}"),
    )


def _kept(seq: int, call: CallAttempt) -> KeptCall:
    tag = f"4712SIPpTag01{seq}".encode()
    return KeptCall(
        seq=seq,
        key=key_of(call.source, call.call_id.encode(), call.from_tag.encode(), urgent=False),
        attempt=call,
        opened_at=call.at,
        rung_at=call.at + SECOND,
        answered_at=call.at + 2 * SECOND,
        heard=call.at + 2 * SECOND,
        dialogs=((tag, CONFIRMED),),
        hints=(b"<sip:127.0.0.1:5062;transport=UDP>",),
        caller_flow=Flow("udp", HERE, PBX),
        callee_flow=Flow("udp", HERE, OPERATOR),
    )
