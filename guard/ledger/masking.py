"""Numbers with their last digits hidden, wherever they stand in a record. Pure."""

from __future__ import annotations

import re
from typing import Final

from msgspec.structs import replace

from guard.ledger.record import CallRecord, DecisionBody, EndBody, FindingRecord, SeenIdentity
from guard.model import Text

HIDDEN: Final = 4  # digits
SHORTEST: Final = 7  # digits of a number that is a person's: short numbers (112, 3949, 118000) are services
MARK: Final = "*"
# In a text: dates and addresses stay, what has the digits of a number, with what people write between them, is one.
_IN_TEXT: Final = re.compile(
    r"(?P<other>\b\d{4}-\d\d-\d\d\b|(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.]))|\+?\d(?:[ .()/-]{0,2}\d){6,}"
)


def masked(number: str) -> str:
    """A number, as received or as understood, with its last four digits as stars; what is too short is none."""
    places = [n for n, char in enumerate(number) if char.isdigit()]
    if len(places) < SHORTEST:
        return number
    hidden = set(places[-HIDDEN:])
    return "".join(MARK if n in hidden else char for n, char in enumerate(number))


def masked_text(text: str) -> str:
    """A text with the numbers in it masked."""
    return _IN_TEXT.sub(lambda found: found[0] if found["other"] else masked(found[0]), text)


def masked_finding(finding: FindingRecord) -> FindingRecord:
    """A finding with the numbers in its texts and facts masked."""
    facts = {name: masked_text(value) if isinstance(value, str) else value for name, value in finding.facts.items()}
    text = Text(masked_text(finding.text.en), masked_text(finding.text.fr))
    return replace(finding, text=text, facts=facts)


def masked_record(record: CallRecord) -> CallRecord:
    """What goes out, with numbers masked. The Call-ID stays: it is what a call is found again by."""
    return replace(
        record,
        line=masked(record.line),
        caller=masked(record.caller),
        presented=masked(record.presented),
        callee=masked(record.callee),
        findings=tuple(map(masked_finding, record.findings)),
    )


def masked_body(body: DecisionBody) -> DecisionBody:
    """What is kept, with numbers masked."""
    return replace(
        body,
        line=masked(body.line),
        caller=masked(body.caller),
        caller_raw=masked(body.caller_raw),
        callee=masked(body.callee),
        callee_raw=masked(body.callee_raw),
        presented=masked(body.presented),
        masked_numbers=tuple(map(masked, body.masked_numbers)),
        identities=tuple(map(_identity, body.identities)),
        user_agent=masked_text(body.user_agent),
        headers=tuple((name, masked_text(value)) for name, value in body.headers),
        findings=tuple(map(masked_finding, body.findings)),
        money=replace(body.money, number=masked(body.money.number)),
    )


def masked_end(end: EndBody | None) -> EndBody | None:
    """What is kept of an end, with numbers masked."""
    if end is None or not end.findings:
        return end
    findings = tuple(map(masked_finding, end.findings))
    return replace(end, findings=findings, money=replace(end.money, number=masked(end.money.number)))


def masked_parts(record: CallRecord, body: DecisionBody) -> tuple[CallRecord, DecisionBody]:
    """A record, and what was kept of it."""
    return masked_record(record), masked_body(body)


def _identity(seen: SeenIdentity) -> SeenIdentity:
    return replace(seen, raw=masked(seen.raw), value=masked(seen.value))
