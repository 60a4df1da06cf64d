"""A decision on a call that nobody places, with fresh counters, as `guard decide` makes it: nothing is recorded."""

from __future__ import annotations

from msgspec.structs import replace

from guard.asked import answer, attempt_of
from guard.config import Config
from guard.detectors.watch import Watch
from guard.ledger.masking import masked_finding
from guard.ledger.record import to_record
from guard.policy.load import Policy
from guard.questions import Asked, question_of, watch_of
from guard.store.errors import StoreError
from guard.store.reader import Detail
from guard.store.whole import Whole, whole


def decide(config: Config, policy: Policy, asked: Asked, now: int, *, full: bool) -> Whole:
    """The decision at `now` (Unix time, µs) or when the question says, with all that would be kept of it; its `seq`
    is 0 and its `hash` empty; without `full` the numbers in findings are masked. Raises Mistake. Of books that cannot
    be read, nobody is shut off, as in the daemon."""
    question = question_of(config, asked, now)
    try:
        watch = watch_of(config, question.at)
    except StoreError:
        watch = Watch()
    _, body = answer(policy, attempt_of(question), config.site, watch)
    record = to_record(0, b"", body, None, config.zone)
    if not full:
        record = replace(record, findings=tuple(map(masked_finding, record.findings)))
    return whole(Detail(record=record, body=body, end=None, end_seq=0))
