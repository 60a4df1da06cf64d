"""Cases that policies carry, judged: each by the same engine and desk as real calls, with counters of its own.

Those of a file in policies/rules are of a made-up site, which the file's `[site]` describes, so that they hold whatever
the operator's own configuration says. Those of guard.toml are of the site itself.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal, cast
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from guard import configschema
from guard.asked import Question, attempt_of
from guard.config import Config, made_up
from guard.desk import Desk
from guard.detectors.watch import Watch
from guard.engine import Engine
from guard.model import SECOND, CallAttempt, CallEnded, Decision
from guard.model import Outcome as Outcomes
from guard.policy import schema
from guard.policy.caseschema import Before, Case
from guard.policy.load import Folder, Policy, compile_policy, read_folder
from guard.prospecting.lists import lists_of
from guard.sources import Source
from guard.state.memory import MemoryState
from guard.tomlread import Problem, Reader, nearest

MS: Final = 1000  # microseconds
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
NOBODY: Final = Source(name="", networks=(), trunk="")
STRANGER: Final = "203.0.113.9"  # an address of no source (RFC 5737)
COUNTED_UP: Final = 10_000  # numbers that the last four digits can tell apart
APART: Final = 7_639  # the step between two of them: all are reached, none is near the one before, none rise for long
# What a made-up site has where its file says nothing: addresses are of RFC 5737.
_LISTEN: Final = {"udp": ["192.0.2.1:5060"]}
_HOPS: Final = ["sip:198.51.100.10"]
_TRUNK: Final = "operator"
_SOURCE: Final = "pbx"
_OTHER: Final = ("caller", "callee", "line", "direction", "user_agent")  # of an earlier call, as a case has them


class Outcome(Struct, frozen=True, kw_only=True):
    """One case, judged. `wrong` is everything in which the decision is not what the case says, () where it holds."""

    file: str
    line: int
    key: str
    case: Case
    decision: Decision | None
    wrong: tuple[str, ...]

    def problem(self) -> Problem:
        """As a mistake of its file."""
        return Problem(self.file, self.line, self.key, f'"{self.case.name}": {"; ".join(self.wrong)}')


def run_all(config: Config, policy: Policy) -> Iterator[Outcome]:
    """Every case of the policies and of guard.toml, in the order of the files."""
    yield from run_folder(config.policies)
    yield from run_site(config, policy)


def run_site(config: Config, policy: Policy) -> Iterator[Outcome]:
    """Every case of guard.toml."""
    if not config.file.case:
        return
    reader = Reader(str(config.path), [])
    reader.parse(config.path)
    site = _Site(config, policy, made_up=False)
    for i, case in enumerate(config.file.case, 1):
        yield site.outcome(case, reader, ["case", f"[{i}]"])


def failing(config: Config, policy: Policy) -> list[Problem]:
    """The cases that do not hold, each as a mistake that names its file and itself."""
    return [outcome.problem() for outcome in run_all(config, policy) if outcome.wrong]


def run_folder(policies: Path) -> Iterator[Outcome]:
    """Every case of the files in policies/rules, whose own mistakes `read_rules` tells."""
    folder: Folder | None = None
    for path in sorted((policies / "rules").glob("*.toml")):
        problems: list[Problem] = []
        reader = Reader(str(path), problems)
        raw = reader.parse(path)
        file = None if raw is None else reader.struct(raw, schema.RuleFile, [])
        if file is None or not file.case:
            continue
        folder = folder or read_folder(policies, [])
        yield from _of_file(path, reader, file, policies, folder)


def _of_file(path: Path, reader: Reader, file: schema.RuleFile, policies: Path, folder: Folder) -> Iterator[Outcome]:
    """The cases of one file. Where a site is wrong nothing can be judged: its first case tells why."""
    made: dict[str, _Site | None] = {}
    for i, case in enumerate(file.case, 1):
        key = ["case", f"[{i}]"]
        if case.site and case.site not in file.sites:
            wrong = (f"no [sites.{case.site}]{nearest(case.site, file.sites)}",)
            yield _unjudged(reader, key, case, wrong)
            continue
        if case.site not in made:
            written = file.site | file.sites[case.site] if case.site else file.site
            inner = _Inner(str(path), [])
            inner.lines = reader.lines
            inner.at = ["sites", case.site] if case.site else ["site"]
            made[case.site] = _made(path, inner, written, policies, folder)
            if made[case.site] is None:
                told = tuple(f"{p.key}: {p.what}" if p.key else p.what for p in dict.fromkeys(inner.problems))
                yield _unjudged(reader, key, case, told or ("the policies have mistakes",))
        site = made[case.site]
        if site is not None:
            yield site.outcome(case, reader, key)


def _made(path: Path, reader: Reader, written: dict[str, object], policies: Path, folder: Folder) -> _Site | None:
    """A made-up site; None, with the reader's problems, where it is wrong."""
    config = replace(made_up(reader, path, _completed(written)), policies=policies)
    texts = written.get("lists", {})
    texts = cast("dict[str, str]", texts) if isinstance(texts, dict) else {}
    lists = lists_of(texts, config.zone, path, reader.problems)
    if reader.problems:
        return None
    policy = compile_policy(config, folder, lists, reader.problems, reader=reader, named=path.name)
    return _Site(config, policy) if policy is not None else None


class _Inner(Reader):
    """Reads a table of a file, such as `[site]`."""

    at: list[str]

    def problem(self, parts: list[str], what: str) -> None:
        """See `Reader`."""
        super().problem([*self.at, *parts], what)


def _completed(written: dict[str, object]) -> dict[str, object]:
    """A made-up site with what every guard.toml must have."""
    site = {name: value for name, value in written.items() if name != "lists"}
    trunks = _tables(site.get("trunk")) or [{"name": _TRUNK}]
    sources = _tables(site.get("source")) or [{"name": _SOURCE}]
    first = trunks[0].get("name", "")
    site["listen"] = _LISTEN
    site["trunk"] = [{"next_hop": _HOPS, **trunk} for trunk in trunks]
    site["source"] = [{"address": [f"192.0.2.{10 + i}"], "trunk": first, **s} for i, s in enumerate(sources)]
    return site


def _tables(value: object) -> list[dict[str, object]]:
    return [table for table in value if isinstance(table, dict)] if isinstance(value, list) else []


def _unjudged(reader: Reader, key: list[str], case: Case, wrong: tuple[str, ...]) -> Outcome:
    problems: list[Problem] = []
    teller = Reader(reader.file, problems)
    teller.lines = reader.lines
    teller.problem(key, "")
    (at,) = problems
    return Outcome(file=at.file, line=at.line, key=at.key, case=case, decision=None, wrong=wrong)


# ---- one case --------------------------------------------------------------------------------------------------------


class _Site:
    """A site whose cases are judged."""

    def __init__(self, config: Config, policy: Policy, *, made_up: bool = True) -> None:
        self.made_up = made_up
        self.zone: ZoneInfo = config.zone
        self.sources = {s.name: s for s in config.sources}
        self.engine = Engine(policy)
        self.rules = policy.versions

    def outcome(self, case: Case, reader: Reader, key: list[str]) -> Outcome:
        """One case, judged, or what hinders it."""
        wrong = self._impossible(case)
        blank = _unjudged(reader, key, case, wrong)
        if wrong:
            return blank
        decision = self.decide(case)
        return replace(blank, decision=decision, wrong=tuple(_differences(case, decision)))

    def _impossible(self, case: Case) -> tuple[str, ...]:
        """Words of a case that mean nothing here."""
        found = [
            f'no rule is called "{rule}"{nearest(rule, self.rules)}'
            for rule in (*((case.rule,) if case.rule else ()), *case.speaks, *case.silent)
            if rule not in self.rules
        ]
        if case.source and case.source not in self.sources:
            found.append(f'no [[source]] "{case.source}"{nearest(case.source, self.sources)}')
        if case.site and not self.made_up:
            found.append(f'"{case.site}": there is no other site in guard.toml')
        if case.stranger and case.source:
            found.append("a stranger is of no source")
        found += [what for before in case.before for what in _contradictions(before)]
        return tuple(found)

    def decide(self, case: Case) -> Decision:
        """The decision on the call, after those that were there before; one that waits is decided when it is done."""
        asked = self._attempt(case)
        earlier = sorted(self._earlier(case, asked), key=lambda pair: pair[0].at)
        calls = [*earlier, (asked, None)]
        course = _Course(Desk(self.engine, MemoryState(), watch=Watch()), calls)
        return course.last()

    def _attempt(self, case: Case) -> CallAttempt:
        first = next(iter(self.sources))
        source = NOBODY if case.stranger else self.sources[case.source or first]
        at = case.at if case.at.tzinfo is not None else case.at.replace(tzinfo=self.zone)
        question = Question(
            source=source,
            caller=case.caller,
            callee=case.callee,
            at=(at - EPOCH) // timedelta(microseconds=1),
            line=case.line,
            usage=configschema.usages(case.usage) if case.usage is not None else (),
            asserted=_several(case.pai),
            diversion=_several(case.diversion),
            privacy=case.privacy,
            user_agent=case.user_agent,
            headers=tuple((name.lower(), value) for name, value in case.header.items()),
            direction=case.direction,
        )
        call = replace(attempt_of(question), odd=case.odd)
        return replace(call, source_address=STRANGER) if case.stranger else call

    def _earlier(self, case: Case, asked: CallAttempt) -> Iterator[tuple[CallAttempt, CallEnded | None]]:
        """The calls before, each with how it ended (None: it is still up)."""
        for before in case.before:
            other = {n: v for n in _OTHER if (v := getattr(before, n)) is not None}
            like = self._attempt(replace(case, **other)) if other else asked
            if before.address is not None:
                like = replace(like, source_address=before.address)
            for i in range(before.calls):
                at = asked.at - (before.ago_s + (before.calls - 1 - i) * before.apart_s) * SECOND
                callee = like.callee
                if (before.another_callee or before.in_order) and callee.value:
                    step = 1 if before.in_order else APART
                    last_four = (int(callee.value[-4:]) + (1 + i) * step) % COUNTED_UP
                    other_one = f"{callee.value[:-4]}{last_four:04}"
                    callee = replace(callee, value=other_one, raw=other_one)
                yield replace(like, at=at, callee=callee, call_id=f"before {i}"), _end(before, at)


class _Course:
    """Calls that come and end at a desk, in the order of time. Instants are µs since the first of them."""

    def __init__(self, desk: Desk, calls: list[tuple[CallAttempt, CallEnded | None]]) -> None:
        self._desk = desk
        self._calls = calls
        self._start = calls[0][0].at
        self._ends: list[tuple[int, int]] = []  # a heap of (instant, ticket)
        self._decided: dict[int, Decision] = {}

    def last(self) -> Decision:
        """The decision on the last one; where it waits, when it is done."""
        for ticket, (call, _) in enumerate(self._calls):
            now = call.at - self._start
            self._go_on(now)
            self._settle(self._desk.submit(ticket, call, now), now)
        last = len(self._calls) - 1
        while last not in self._decided:
            self._go_on(self._next())
        return self._decided[last]

    def _next(self) -> int:
        """When something happens next."""
        due = self._desk.next_wake()
        ends = self._ends[0][0] if self._ends else None
        return min(at for at in (due, ends) if at is not None)

    def _go_on(self, until: int) -> None:
        """Whatever happens up to an instant: who hangs up then makes room for who waits."""
        while True:
            due = self._desk.next_wake()
            if self._ends and self._ends[0][0] <= until and (due is None or self._ends[0][0] <= due):
                now, ticket = heapq.heappop(self._ends)
                self._desk.ended(ticket, now, self._calls[ticket][1])
            elif due is not None and due <= until:
                self._settle(self._desk.wake(due), due)
            else:
                return

    def _settle(self, taken: list[tuple[int, Decision]], now: int) -> None:
        for ticket, decision in taken:
            self._decided[ticket] = decision
            self._desk.departed(ticket, now)
            ended = self._calls[ticket][1]
            if ended is not None:
                heapq.heappush(self._ends, (max(ended.at - self._start, now), ticket))


def _contradictions(before: Before) -> Iterator[str]:
    """Words of an earlier call that cannot both be true."""
    if before.talk_s is not None and before.talk_ms is not None:
        yield "before: talk_s and talk_ms: one of them"
    if before.status is not None and (before.talk_s or before.talk_ms):
        yield f"before: a call that was answered does not end with {before.status}"
    if before.another_callee and before.in_order:
        yield "before: another_callee and in_order: one of them"


def _end(before: Before, at: int) -> CallEnded | None:
    """How an earlier call ended."""
    if before.talk_s is None and before.talk_ms is None and before.ring_ms is None and before.status is None:
        return None
    ring = (before.ring_ms or 0) * MS
    talk = (before.talk_s or 0) * SECOND + (before.talk_ms or 0) * MS
    outcome: Outcomes = "answered" if talk else "failed" if before.status is not None else "cancelled"
    by: Literal["caller", "callee"] = "callee" if outcome == "failed" else before.by
    return CallEnded(
        at=at + ring + talk, outcome=outcome, ring_us=ring, talk_us=talk, final_status=before.status or 0, by=by
    )


def _several(written: str | tuple[str, ...]) -> tuple[str, ...]:
    return (written,) if isinstance(written, str) else written


def _differences(case: Case, decision: Decision) -> Iterator[str]:
    """Everything in which a decision is not what its case says."""
    spoke = tuple(dict.fromkeys(f.rule for f in decision.findings))
    if decision.verdict != case.verdict or (case.rule is not None and decision.rule != case.rule):
        expected = case.verdict + (f" by {case.rule}" if case.rule else "")
        said = next((f"; it says: {f.text.en}" for f in decision.findings if f.rule == decision.rule), "")
        yield f"expected {expected}, is {decision.verdict} by {decision.rule or 'no rule'}{said}"
    for name in ("presented", "status"):
        wanted, found = getattr(case, name), getattr(decision, name)
        if wanted is not None and wanted != found:
            yield f"expected {name} {wanted!r}, is {found!r}"
    for rule in case.speaks:
        if rule not in spoke:
            yield f"{rule} does not speak, {', '.join(spoke) or 'no rule'} does"
    for rule in case.silent:
        if rule in spoke:
            said = next(f.text.en for f in decision.findings if f.rule == rule)
            yield f"{rule} speaks: {said}"
