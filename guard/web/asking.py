"""A decision for somebody who asks: of the running guard, or of a fresh engine where that does not run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.asked import answer, attempt_of, emergency_in
from guard.control import DecideAsk, Decided
from guard.detectors.watch import Watch
from guard.ledger.record import kept
from guard.numbering.number import Dial
from guard.questions import Asked, question_of, watch_of
from guard.store.errors import StoreError
from guard.web.controlclient import ControlError

if TYPE_CHECKING:
    from guard.config import Config
    from guard.model import Direction
    from guard.web.law import Law
    from guard.web.room import Room

MS: Final = 1_000  # µs


# What a call for help hears where nothing else can be said: it may go, as it is.
HELP: Final = Decided(
    allow=True,
    verdict="allowed",
    rule="",
    status=0,
    retry_after=0,
    presented="",
    masked=False,
    masked_numbers=(),
    held_ms=0,
    max_talk_ms=0,
    policy="",
    findings=(),
    counted=False,
    seq=0,
    ticket="",
    emergency=True,
)


def for_help(config: Config, callee: str, direction: Direction) -> bool:
    """Whether an emergency number is called, by any way to dial it."""
    dials = (*(source.dial for source in config.sources), Dial())
    return direction == "outbound" and bool(emergency_in(callee, dials))


async def decided(room: Room, law: Law, asked: Asked, ask: DecideAsk) -> Decided:
    """The answer of the running guard; of a fresh engine where nothing is to be counted and no guard answers, or where
    the question is of another instant. Raises Mistake, ControlError."""
    if not asked.at:
        try:
            return await room.control.decide(ask)
        except ControlError as error:
            if ask.count or error.fault is not None:
                raise
    return await room.read(lambda _: alone(law, asked, room.clock()))


def alone(law: Law, asked: Asked, now: int) -> Decided:
    """The decision of a fresh engine, with nobody's counters; who is shut off it knows from the books."""
    question = question_of(law.config, asked, now)
    try:
        watch = watch_of(law.config, question.at)
    except StoreError:
        watch = Watch()  # as the daemon, which shuts nobody off by books that cannot be read
    call = attempt_of(question)
    decision, _ = answer(law.policy, call, law.config.site, watch)
    return Decided(
        allow=decision.verdict != "blocked",
        verdict=decision.verdict,
        rule=decision.rule,
        status=decision.status,
        retry_after=decision.retry_after,
        presented=decision.presented,
        masked=decision.masked,
        masked_numbers=decision.masked_numbers,
        held_ms=0,
        max_talk_ms=decision.max_talk_us // MS,
        policy=decision.policy,
        findings=tuple(map(kept, decision.findings)),
        counted=False,
        seq=0,
        ticket="",
        emergency=bool(call.emergency),
    )
