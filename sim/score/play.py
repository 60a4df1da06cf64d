"""Plays one labelled world through the whole engine and keeps what a score needs."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Final

from msgspec import Struct

from guard.config import load
from guard.desk import Desk
from guard.detectors.watch import Watch
from guard.engine import Engine
from guard.model import CallAttempt, CallEnded, Decision, Finding
from guard.policy.load import Policy, load_policy
from guard.state.memory import MemoryState
from sim.labelled.scenarios import scenario
from sim.labelled.straight import Straight
from sim.labelled.words import Placed
from sim.labelled.world import World, config

START: Final = 1_788_127_200_000_000  # 2026-08-31T00:00 in Paris, a Monday: opt-in canvassing is in force
DETECTION: Final = ("traffic.", "source.quarantined")

# The rules that are to find each class of attack. Another rule that finds it as well is shown, and not counted.
MEANT: Final[dict[str, tuple[str, ...]]] = {
    "wangiri": ("traffic.ping-call",),
    "wangiri-in": ("dst.callback",),
    "irsf-night": ("traffic.toll-fraud",),
    "stolen-account": ("traffic.hacked-account", "traffic.toll-fraud"),
    "war-dialler": ("traffic.scan", "traffic.automated"),
    "hsc-pumping": ("traffic.sva-short-calls", "traffic.short-calls"),
    "sva-pumping": ("traffic.sva-continuous", "traffic.unbalanced", "traffic.concentration", "dst.sva-repeated"),
    "cli-spoofing": ("cli.not-authorised", "cli.foreign", "cli.territory"),
    "gateway": ("traffic.gateway",),
    "slow-low": ("traffic.toll-fraud", "traffic.hacked-account"),
    "slower-low": ("traffic.toll-fraud", "traffic.hacked-account", "traffic.unusual"),
}


class Attacked(Struct):
    """What became of one attack: its calls out, those that were let go, what those cost, and what had been spent when
    the first rule spoke that is meant to find it. `found` is on which of its calls that was, 0 for never."""

    label: str
    calls: int = 0
    let_go: int = 0
    cents: int = 0
    found: int = 0
    rule: str = ""
    stopped: int = 0  # on which call it was first stopped by anything
    cents_before: int = 0  # spent by calls that were placed before it was found


class Played(Struct):
    """One world. `alarms` are (rule, subject, whether the subject is an attacker's); `wrong` the legitimate calls of
    lines that nobody attacked which detection stopped, by rule; `beside` those of lines under attack."""

    scenario: str
    seed: int
    days: float
    lines: int
    legitimate: int
    refused: int  # legitimate calls that other rules refused
    wrong: dict[str, int]
    beside: int
    attacks: dict[str, Attacked]
    alarms: list[tuple[str, str, bool]]


def play(text: str, seed: int, days: float) -> Played:
    """Plays the scenarios that `text` names (sim.labelled.scenarios)."""
    world = World(seed, START, days, scenario(text))
    return _Playing(text, world, days).run()


class _Playing:
    def __init__(self, text: str, world: World, days: float) -> None:
        policy = _policy(text, world)
        self.world = world
        self.engine = Engine(policy)
        self.watch = Watch()
        self.desk = Desk(self.engine, MemoryState(), watch=self.watch)
        self.out = Played(text, world.seed, days, 0, 0, 0, {}, 0, {}, [])
        self.theirs: set[str] = set()  # subjects of attackers
        self.lines: set[str] = set()
        self.costs: dict[str, list[tuple[int, int]]] = {}
        self.stopped: list[tuple[str, str]] = []  # subject and rule of legitimate calls that detection stopped

    def run(self) -> Played:
        out = self.out
        for placed, decision in Straight(self.desk, self._late).run(self.world):
            self._seen(placed, decision)
        for subject, rule in self.stopped:
            if subject in self.theirs:
                out.beside += 1
            else:
                out.wrong[rule] = out.wrong.get(rule, 0) + 1
        out.alarms = [(e.rule, e.subject, e.subject in self.theirs) for e in self.watch.alarms.fresh]
        out.lines = len(self.lines)
        return out

    def _seen(self, placed: Placed, decision: Decision) -> None:
        call, out = placed.call, self.out
        if not placed.label:
            if call.direction == "inbound":
                return
            self.lines.add(placed.subject)
            out.legitimate += 1
            if decision.verdict == "blocked":
                if decision.rule.startswith(DETECTION):
                    self.stopped.append((placed.subject, decision.rule))
                else:
                    out.refused += 1
            return
        attack = out.attacks.setdefault(placed.label, Attacked(placed.label))
        if call.direction == "inbound":
            return
        self.theirs |= {placed.subject, call.caller.value, call.callee.value}
        attack.calls += 1
        self._found(attack, decision.findings)
        if decision.verdict == "blocked":
            attack.stopped = attack.stopped or attack.calls
            return
        cost = cents(self.engine, call, placed.ended)
        attack.let_go += 1
        attack.cents += cost
        if not attack.found:
            attack.cents_before += cost

    def _late(self, placed: Placed, ended: CallEnded, findings: tuple[Finding, ...]) -> None:
        del ended
        if placed.label:
            self._found(self.out.attacks.setdefault(placed.label, Attacked(placed.label)), findings)

    def _found(self, attack: Attacked, findings: tuple[Finding, ...]) -> None:
        if not attack.found:
            for finding in findings:
                if finding.rule in MEANT[attack.label]:
                    attack.found, attack.rule = attack.calls, finding.rule
                    return


def cents(engine: Engine, call: CallAttempt, ended: CallEnded) -> int:
    """What a call is taken to have cost that went as it was placed."""
    price = engine.price(call)
    if ended.outcome != "answered" or not (price.cents_per_minute or price.cents_per_call):
        return 0
    return max(price.cents_per_minute * max(-(-ended.talk_us // 60_000_000), 1), price.cents_per_call)


def _policy(text: str, world: World) -> Policy:
    with tempfile.TemporaryDirectory() as folder:
        written = config(world, Path(folder))
        if "consents" not in written:
            return _loaded(written)
        path = Path(folder) / "guard.toml"
        path.write_text(written, encoding="utf-8")
        return load_policy(load(path))


@lru_cache(maxsize=32)
def _loaded(written: str) -> Policy:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "guard.toml"
        path.write_text(written, encoding="utf-8")
        return load_policy(load(path))
