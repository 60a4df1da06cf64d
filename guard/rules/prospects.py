"""What the rules on canvassing share: whom they protect, and what the lists say of him."""

from __future__ import annotations

from guard.model import CallAttempt
from guard.prospecting.lists import Lists

USAGE = "prospecting"
FRENCH = ("+33", "+262", "+508", "+590", "+594", "+596")  # the Consumer Code holds for consumers in France


def consumer(call: CallAttempt, lists: Lists) -> str:
    """The number of the consumer whom this call canvasses, "" where it canvasses none (another usage, a short or a
    foreign number, or somebody listed as a professional)."""
    number = call.callee.value
    if USAGE not in call.usage or not number.startswith(FRENCH):
        return ""
    return "" if lists["professionals"].at(number, call.at) is not None else number


def customer(lists: Lists, number: str, at: int) -> bool:
    """Whether a contract with him is running (the call is then taken to relate to it)."""
    return lists["contracts"].at(number, at) is not None
