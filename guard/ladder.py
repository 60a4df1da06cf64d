"""A call's ladder: the SIP messages of one call as they went by, in one short line of text that its record keeps.

`0>INVITE 212<180 4021<200 65021>BYE 65040<200/BYE`: when (ms since the set-up was seen), who said it (`>` the caller,
`<` the called side, `=` the guard itself), and what: a method, or a status with the method that it answers where that
is not INVITE. Of each message end to end there is one step, however many hops carry it; repetitions, 100 and ACK are
none. Where steps were left out of a long call `~` stands in their place.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Literal

from msgspec import Struct

MAX_STEPS: Final = 64  # of one call; a call of an hour that is refreshed every five minutes has some fifty
FIRST: Final = 48  # of these are its beginning, and the others its end
CUT: Final = (0, "~")

MARKS_KNOWN: Final = 512  # that are kept made: methods that callers make up only empty it

Side = Literal["caller", "called", "guard"]
MARKS: Final[dict[str, Side]] = {">": "caller", "<": "called", "=": "guard"}
METHODS: Final = {
    m.encode(): m
    for m in (
        "INVITE", "ACK", "BYE", "CANCEL", "PRACK", "UPDATE", "INFO", "REFER", "NOTIFY", "SUBSCRIBE", "MESSAGE",
        "OPTIONS", "REGISTER", "PUBLISH",
    )
}  # fmt: skip
OTHER: Final = "OTHER"  # a method that no RFC names: what a caller makes up does not get into records


MS: Final = 1_000  # µs
Noted = tuple[int, str]  # offset in µs, and what `mark` and what follows it say, such as `<200/BYE`


class Step(Struct, frozen=True, kw_only=True):
    """One message, `ms` after the set-up was seen. A request has status 0; `method` is an answer's CSeq method."""

    ms: int
    by: Side
    method: str
    status: int = 0


@lru_cache(maxsize=MARKS_KNOWN)
def request_mark(method: bytes, *, from_caller: bool) -> str:
    """What stands for a request."""
    return f"{'>' if from_caller else '<'}{METHODS.get(method, OTHER)}"


@lru_cache(maxsize=MARKS_KNOWN)
def answer_mark(status: int, method: bytes, *, to_caller: bool) -> str:
    """What stands for an answer."""
    of = "" if method == b"INVITE" else f"/{METHODS.get(method, OTHER)}"
    return f"{'<' if to_caller else '>'}{status}{of}"


def noted(steps: list[Noted], offset: int, mark: str) -> None:
    """One more step, `offset` µs after the set-up was seen. Of a long call the middle is forgotten."""
    steps.append((offset, mark))
    if len(steps) > MAX_STEPS:
        if steps[FIRST][1] != CUT[1]:
            steps[FIRST] = CUT
        elif len(steps) > MAX_STEPS + 1:
            del steps[FIRST + 1]


def written(steps: tuple[Noted, ...]) -> str:
    """The steps as a record keeps them."""
    return " ".join(mark if mark == CUT[1] else f"{offset // MS}{mark}" for offset, mark in steps)


def read(steps: str) -> tuple[Step | None, ...]:
    """The steps in their order; None where some were left out. What cannot be read is left out too: a log may have been
    edited, and its check says so."""
    return tuple(_step(text) for text in steps.split(" ") if text)


def _step(text: str) -> Step | None:
    at = next((i for i, c in enumerate(text) if c in MARKS), 0)
    what, _, method = text[at + 1 :].partition("/")
    number = text[:at]
    if not at or not (number.isascii() and number.isdecimal()) or not what.isascii():
        return None
    if what.isdecimal():
        return Step(ms=int(number), by=MARKS[text[at]], method=method or "INVITE", status=int(what))
    return Step(ms=int(number), by=MARKS[text[at]], method=what)
