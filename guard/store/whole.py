"""One call with all that was kept of it, as `guard explain --json` and the web give it; and with its numbers masked."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from guard.ledger.masking import masked_end, masked_parts
from guard.ledger.record import CallRecord, Money, SeenIdentity
from guard.store.reader import Detail


class Seen(Struct, frozen=True, kw_only=True):
    """What was seen of a call beside its record; the `_raw` ones as received, "" where they are the same."""

    source_address: str
    country: str
    forwarded: str
    caller_raw: str
    caller_reason: str
    callee_raw: str
    callee_reason: str
    identities: tuple[SeenIdentity, ...]
    emergency: str
    privacy: bool
    user_agent: str
    from_tag: str
    headers: tuple[tuple[str, str], ...]


class Done(Struct, frozen=True, kw_only=True):
    """What was done with it: by which rule, with which numbers hidden; `retry_after` is in seconds."""

    rule: str
    retry_after: int
    masked: bool
    masked_numbers: tuple[str, ...]


class EndNote(Struct, frozen=True, kw_only=True):
    """Which entry says how it ended, and who ended it."""

    seq: int
    by: str


class Whole(Struct, frozen=True, kw_only=True):
    """A call: its record (INTERFACES), and beside it what was kept; `money` in micro-euros, `end` null till then."""

    record: CallRecord
    seen: Seen
    done: Done
    money: Money
    end: EndNote | None


def whole(detail: Detail) -> Whole:
    """All that was kept of a call."""
    body = detail.body
    return Whole(
        record=detail.record,
        seen=Seen(**{name: getattr(body, name) for name in Seen.__struct_fields__}),
        done=Done(**{name: getattr(body, name) for name in Done.__struct_fields__}),
        money=detail.money,
        end=EndNote(seq=detail.end_seq, by=detail.end.by) if detail.end is not None else None,
    )


def masked(detail: Detail) -> Detail:
    """A call with the last four digits of every number hidden."""
    record, body = masked_parts(detail.record, detail.body)
    return replace(detail, record=record, body=body, end=masked_end(detail.end))
