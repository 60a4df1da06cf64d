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
TALK = 50 * SECOND  # of a call whose talk is limited; long enough that a BYE of a party's own may time out before
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
        self.limited: set[str] = set()  # which of them may talk for so long only
        self.chances = 0  # INVITEs that answers asked for
        self.dialogs: dict[str, Literal["early", "up", "closed"]] = {}
        self.talks: dict[str, Talk] = {}  # dialogs that may talk for so long only
        self.by_guard = False  # who closed the last dialog
        self.until = 0

    @property
    def busy(self) -> bool:
        """Whether one of its INVITEs may still be answered."""
        return any(leg.state in {"waiting", "asking", "sent"} for leg in self.legs)


class Talk:
    """A limited dialog: until when, when a party said BYE, and who has not answered the guard's own BYE."""

    def __init__(self, until: int) -> None:
        self.until = until
        self.parting = 0
        self.ending = False
        self.unanswered = {"up": 0, "down": 0}  # until when each is waited for


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
        return [a.outcome + (" by guard" if a.outcome == "answered" and a.by_guard else "") for a in self.opened]

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

    def decided(self, attempt: Attempt, passes: bool, *, limited: bool = False) -> None:
        """The attempt's decision, if it still wants one."""
        if attempt.state != "deciding":
            return
        attempt.said[attempt.first] = passes
        if limited:
            attempt.limited.add(attempt.first)
        if not passes:
            self._over(attempt, "blocked")
            return
        attempt.state = "setup"
        for leg in attempt.legs:
            if leg.state == "waiting":
                self._judge(leg)

    def answered_question(self, leg: Leg, passes: bool, *, limited: bool = False) -> None:
        """Whether another target may be called."""
        if leg.state == "asking":
            leg.attempt.said[leg.target] = passes
            if limited:
                leg.attempt.limited.add(leg.target)
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
            if attempt.dialogs[tag] == "up" and leg.target in attempt.limited and not attempt.key[1]:
                attempt.talks.setdefault(tag, Talk(self.now + TALK))
            self._settle(attempt)

    def ending(self, attempt: Attempt, tag: str) -> bool:
        """Whether the guard has said BYE to both sides of a dialog."""
        return tag in attempt.talks and attempt.talks[tag].ending

    def heard(self, attempt: Attempt, tag: str) -> None:
        """Any request within a dialog that the guard has not ended."""
        if attempt.state == "answered" and not self.ending(attempt, tag):
            attempt.until = self.now + DAY

    def bye(self, attempt: Attempt, tag: str, answer: Literal["agreed", "challenged", "silent"]) -> None:
        """One side hangs up one dialog; the other agrees, wants a password, or is silent."""
        if tag not in attempt.dialogs or self.ending(attempt, tag):
            return
        self.heard(attempt, tag)
        if tag in attempt.talks:
            attempt.talks[tag].parting = self.now
        if answer == "agreed":
            self._closed(attempt, tag)
        elif answer == "silent":
            self.byes.append((self.now + TIMEOUT, attempt, tag))

    def agreed(self, attempt: Attempt, tag: str, side: str) -> None:
        """One side answers the guard's BYE."""
        talk = attempt.talks[tag]
        if talk.unanswered.pop(side, None) is not None and not talk.unanswered:
            self._closed(attempt, tag, by_guard=True)

    def _talked(self, attempt: Attempt, tag: str) -> None:
        """A dialog has talked enough: the guard ends it, unless a party is about to."""
        talk = attempt.talks[tag]
        if talk.parting and talk.parting + TIMEOUT > self.now:
            talk.until = talk.parting + TIMEOUT
        else:
            talk.ending = True
            talk.unanswered = dict.fromkeys(talk.unanswered, self.now + TIMEOUT)

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
                for tag, talk in attempt.talks.items():
                    if talk.ending:
                        due += [(at, 4, attempt, f"{side} {tag}") for side, at in talk.unanswered.items() if at <= now]
                    elif attempt.dialogs[tag] == "up" and attempt.state == "answered" and talk.until <= now:
                        due.append((talk.until, 3, attempt, tag))
            if not due:
                self.now = now
                return
            self.now, kind, attempt, what = min(due, key=lambda d: d[:2])
            if kind == 0:
                self.byes.remove((self.now, attempt, what))
                self._closed(attempt, what)
            elif kind == 1:
                attempt.by_guard = False
                self._over(attempt, "answered" if attempt.state == "answered" else "failed")
            elif kind == 3:
                self._talked(attempt, what)
            elif kind == 4:
                side, tag = what.split(" ")
                self.agreed(attempt, tag, side)
            else:
                self._timed_out(attempt.legs[int(what)])

    # ---- what follows ----------------------------------------------------------------------------------------------

    def _timed_out(self, leg: Leg) -> None:
        if leg.state == "accepted":
            leg.state = "gone"
        elif leg.ringing and not leg.given_up:
            leg.given_up, leg.until = True, self.now + TIMEOUT
        else:
            self._failed(leg, 487 if leg.cancelled else 408 if leg.ringing else 480)

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

    def _closed(self, attempt: Attempt, tag: str, *, by_guard: bool = False) -> None:
        attempt.dialogs[tag] = "closed"
        if attempt.state == "answered":
            attempt.by_guard = by_guard
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
