"""A passive observer beside a live core: what went over the wires of one is what the other sees."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from guard.model import CallAttempt, CallEnded, Decision
from guard.proxy.effects import Decide, Ended, Flow, Stranger, Withdraw
from guard.proxy.observer import Observer
from tests.proxy.world import ALLOW, PBX, UP, Out, World

Unknown = Literal["private", "any", "none"]


class Follower:
    """An observer that is given a decision on each question at once."""

    def __init__(self, w: World, answer: Decision | None = ALLOW) -> None:
        self.observer = Observer(w.settings, w.sources, w.trunks)
        self.answer = answer
        self.asked: list[tuple[bool, bool, CallAttempt]] = []
        self.ended: list[CallEnded] = []
        self.withdrawn: list[CallEnded] = []
        self.strangers: list[Stranger] = []

    def __call__(self, data: bytes, flow: Flow, now: int) -> None:
        self.observer.receive(data, flow, now)
        self.drain(now)

    def drain(self, now: int) -> None:
        effects = self.observer.effects
        while effects:
            effect = effects.pop(0)
            if isinstance(effect, Decide):
                self.asked.append((effect.passed, effect.again, effect.call))
                if self.answer is not None and not effect.passed:
                    self.observer.decided(effect.ticket, self.answer, now)
            elif isinstance(effect, Ended):
                self.ended.append(effect.ended)
            elif isinstance(effect, Withdraw):
                self.withdrawn.append(effect.ended)
            elif isinstance(effect, Stranger):
                self.strangers.append(effect)

    def until(self, now: int) -> None:
        while (at := self.observer.soonest()) <= now:
            self.observer.wake(at)
            self.drain(at)


class Tapped(World):
    """A live core of which the wire towards the IPBX, or both its wires, are mirrored to a follower with the same
    decisions."""

    def __init__(
        self, answer: Decision = ALLOW, *, both: bool = False, emergency: Unknown = "private", screens: bool = False
    ) -> None:
        super().__init__(answer=answer, emergency=emergency, screens=screens)
        self.both = both
        self.tap = Follower(self, answer)
        self.mirrored = 0

    def __call__(self, data: bytes, flow: Flow) -> Out:
        if flow == UP or self.both:
            self.tap(data, flow, self.now)
        return super().__call__(data, flow)

    def drain(self) -> None:
        super().drain()
        self.tap.until(self.now)
        for flow, data in self.sent[self.mirrored :]:
            if flow.peer == PBX or self.both:
                self.tap(data, Flow(flow.transport, flow.peer, flow.local), self.now)
        self.mirrored = len(self.sent)


def seen(ended: CallEnded) -> CallEnded:
    """An end as it can be seen on the wire: who made a failure's answer cannot."""
    if ended.outcome != "failed":
        return ended
    return replace(ended, by="", steps=tuple((at, mark.replace("=", "<")) for at, mark in ended.steps))


def compare(w: Tapped) -> None:
    """Both asked the same, and saw the same ends."""
    assert w.tap.asked == [(a.passed, a.again, a.call) for a in w.asked]
    assert [seen(e) for e in w.tap.ended] == [seen(e) for _, e in w.ended]
    assert w.tap.withdrawn == [e for _, e in w.withdrawn]
    assert w.tap.observer.calls == w.core.calls == 0
