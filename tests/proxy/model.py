"""The counting of calls as a small model: what docs/counting.md says in words. It knows no SIP, only what happened.

The machine of test_counting.py tells it the same events that it sends through the proxy core, and compares.
"""

from __future__ import annotations

from typing import Literal

SECOND = 1_000_000
TIMEOUT = 32 * SECOND  # of a request that nobody answers, and of a decision that nobody makes
RINGING = 185 * SECOND  # of a phone that nobody picks up; then it is cancelled, and given TIMEOUT to say so
HOPE = 5 * SECOND  # how long an answer that asks for a repetition is waited upon
DAY = 24 * 3600 * SECOND
ASKS_AGAIN = {401, 407, 413, 415, 416, 420, 422}

State = Literal["deciding", "setup", "hoping", "answered", "over"]
Key = tuple[str, bool]  # the call's name (source, Call-ID and From-tag), and whether it is an emergency call


class Leg:
    """One INVITE transaction of an attempt."""

    def __init__(self, attempt: Attempt, target: str, now: int) -> None:
        self.attempt = attempt
        self.target = target
        self.state: Literal["waiting", "asking", "sent", "accepted", "gone"] = "waiting"
        self.until = now + TIMEOUT
        self.ringing = False
        self.cancelled = False
        self.given_up = False


class Attempt:
    """One call attempt: one record, one unit of rate, one channel."""

    def __init__(self, key: Key, target: str) -> None:
        self.key = key
        self.state: State = "deciding"
        self.outcome = ""
        self.legs: list[Leg] = []
        self.first = target
        self.said: dict[str, bool] = {}  # which targets may be called
        self.chances = 0  # INVITEs that answers asked for
        self.dialogs: dict[str, Literal["early", "up", "closing", "closed"]] = {}
        self.until = 0

    @property
    def busy(self) -> bool:
        """Whether one of its INVITEs may still be answered."""
        return any(leg.state in {"waiting", "asking", "sent"} for leg in self.legs)


class Counting:
    """All attempts. `opened` are in the order of their opening."""

    def __init__(self) -> None:
        self.now = 0
        self.opened: list[Attempt] = []
        self.byes: list[tuple[int, Attempt, str]] = []

    # ---- what is compared ------------------------------------------------------------------------------------------

    def in_use(self) -> int:
        """Attempts that are not over."""
        return sum(a.state != "over" for a in self.opened)

    def outcomes(self) -> list[str]:
        """How each attempt ended, "" for one that did not."""
        return [a.outcome for a in self.opened]

    # ---- what happens ----------------------------------------------------------------------------------------------

    def invite(self, key: Key, target: str) -> Leg:
        """A first INVITE (no To-tag) that is no retransmission: another leg of its attempt, or an attempt."""
        found = [a for a in self.opened if a.key == key and a.state in {"deciding", "setup", "hoping"}]
        attempt = found[0] if found else Attempt(key, target)
        leg = Leg(attempt, target, self.now)
        attempt.legs.append(leg)
        attempt.chances = max(attempt.chances - 1, 0)
        if not found:
            self.opened.append(attempt)
        elif attempt.state == "hoping":
            attempt.state = "setup"
        if key[1]:
            attempt.state = "setup"
            leg.state = "sent"
        elif attempt.state == "setup":
            self._judge(leg)
        elif not found:
            attempt.until = self.now + TIMEOUT
        return leg

    def _judge(self, leg: Leg) -> None:
        said = leg.attempt.said.get(leg.target)
        leg.until = self.now + TIMEOUT
        if said is None:
            leg.state = "asking"
        elif said:
            leg.state = "sent"
        else:
            self._failed(leg, 403)

    def decided(self, attempt: Attempt, passes: bool) -> None:
        """The attempt's decision, if it still wants one."""
        if attempt.state != "deciding":
            return
        attempt.said[attempt.first] = passes
        if not passes:
            self._over(attempt, "blocked")
            return
        attempt.state = "setup"
        for leg in attempt.legs:
            if leg.state == "waiting":
                self._judge(leg)

    def answered_question(self, leg: Leg, passes: bool) -> None:
        """Whether another target may be called."""
        if leg.state == "asking":
            leg.attempt.said[leg.target] = passes
            if leg.attempt.state == "over":
                leg.state = "gone"
            else:
                self._judge(leg)

    def provisional(self, leg: Leg, tag: str) -> None:
        """A 180 or 183."""
        if leg.state != "sent":
            return
        leg.ringing = True
        if leg.cancelled and not leg.given_up:
            leg.given_up, leg.until = True, self.now + TIMEOUT
        elif not leg.given_up:
            leg.until = self.now + RINGING
        if leg.attempt.state == "setup":
            leg.attempt.dialogs.setdefault(tag, "early")

    def cancel(self, leg: Leg) -> None:
        """The caller gives one INVITE up."""
        attempt = leg.attempt
        if leg.state == "waiting":
            leg.state = "gone"
            if not attempt.busy:
                self._over(attempt, "cancelled")
        elif leg.state == "asking":
            leg.cancelled = True
            self._failed(leg, 487)
        elif leg.state == "sent" and not leg.cancelled:
            leg.cancelled = True
            if leg.ringing and not leg.given_up:
                leg.given_up, leg.until = True, self.now + TIMEOUT

    def final(self, leg: Leg, status: int) -> None:
        """A final answer of 300 or more."""
        if leg.state == "sent":
            self._failed(leg, status)

    def ok(self, leg: Leg, tag: str) -> None:
        """A 2xx: the first one of this INVITE, or one of another fork behind it."""
        if leg.state not in {"sent", "accepted"}:
            return
        if leg.state == "sent":
            leg.state, leg.until = "accepted", self.now + TIMEOUT
        attempt = leg.attempt
        if attempt.state == "setup":
            attempt.state, attempt.until = "answered", self.now + DAY
        if attempt.state == "answered":
            if attempt.dialogs.get(tag, "early") == "early":
                attempt.dialogs[tag] = "up"
            self._settle(attempt)

    def heard(self, attempt: Attempt) -> None:
        """Any request within a dialog."""
        if attempt.state == "answered":
            attempt.until = self.now + DAY

    def bye(self, attempt: Attempt, tag: str, *, answered: bool) -> None:
        """One side hangs up one dialog; the other agrees, or is silent."""
        if tag not in attempt.dialogs:
            return
        self.heard(attempt)
        if answered:
            self._closed(attempt, tag)
        else:
            self.byes.append((self.now + TIMEOUT, attempt, tag))

    def time(self, now: int) -> None:
        """Time passes; whatever is due happens in its order."""
        while True:
            due = [(at, 0, a, tag) for at, a, tag in self.byes if at <= now]
            for attempt in self.opened:
                if attempt.state in {"deciding", "hoping", "answered"} and attempt.until <= now:
                    due.append((attempt.until, 1, attempt, ""))
                due += [
                    (leg.until, 2, attempt, str(n))
                    for n, leg in enumerate(attempt.legs)
                    if leg.state in {"asking", "sent", "accepted"} and leg.until <= now
                ]
            if not due:
                self.now = now
                return
            self.now, kind, attempt, what = min(due, key=lambda d: d[:2])
            if kind == 0:
                self.byes.remove((self.now, attempt, what))
                self._closed(attempt, what)
            elif kind == 1:
                self._over(attempt, "answered" if attempt.state == "answered" else "failed")
            else:
                self._timed_out(attempt.legs[int(what)])

    # ---- what follows ----------------------------------------------------------------------------------------------

    def _timed_out(self, leg: Leg) -> None:
        if leg.state == "accepted":
            leg.state = "gone"
        elif leg.ringing and not leg.given_up:
            leg.given_up, leg.until = True, self.now + TIMEOUT
        else:
            self._failed(leg, 487 if leg.cancelled else 408)

    def _failed(self, leg: Leg, status: int) -> None:
        """One INVITE is answered for good. When it was the last one, so is the attempt, unless it may be repeated."""
        leg.state = "gone"
        attempt = leg.attempt
        if status in ASKS_AGAIN | {302} and not leg.cancelled:
            attempt.chances += 1
        if attempt.busy:
            return
        self._settle(attempt)
        if attempt.state != "setup":
            return
        if attempt.chances and not leg.cancelled:
            attempt.state, attempt.until = "hoping", self.now + HOPE
        else:
            self._over(attempt, "cancelled" if leg.cancelled and status == 487 else "failed")

    def _closed(self, attempt: Attempt, tag: str) -> None:
        attempt.dialogs[tag] = "closed"
        self._settle(attempt)

    def _settle(self, attempt: Attempt) -> None:
        states = attempt.dialogs.values()
        if attempt.state == "answered" and not attempt.busy and "closed" in states and "up" not in states:
            self._over(attempt, "answered")

    @staticmethod
    def _over(attempt: Attempt, outcome: str) -> None:
        attempt.outcome = outcome
        if attempt.state == "deciding":
            for leg in attempt.legs:
                leg.state = "gone"
        attempt.state = "over"
