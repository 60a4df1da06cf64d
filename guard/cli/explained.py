"""One call in full, as people read it and as an object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import msgspec

from guard.cli.show import STYLES, clock, euros, harmless, outcome, seconds
from guard.ladder import read

if TYPE_CHECKING:
    from guard.ladder import Step
    from guard.ledger.record import DecisionBody, FindingRecord, Money
    from guard.model import Verdict
    from guard.store.reader import Detail

HEADERS: Final = {
    "from": "From",
    "pai": "P-Asserted-Identity",
    "ppi": "P-Preferred-Identity",
    "rpid": "Remote-Party-ID",
    "diversion": "Diversion",
    "history-info": "History-Info",
}
Paragraph = tuple[str, str]  # a harmless line, and its style


def as_object(detail: Detail) -> dict[str, object]:
    """The record of INTERFACES, and beside it `seen`, `done`, `money` (micro-euros) and `end` as they were kept."""
    from guard.store.whole import whole

    kept = whole(detail)
    made: dict[str, object] = msgspec.to_builtins(kept.record)
    made |= {name: getattr(kept, name) for name in ("seen", "done", "end")}
    made["money"] = {name: getattr(kept.money, name) for name in kept.money.__struct_fields__}
    return made


def paragraphs(detail: Detail, lang: str) -> Iterator[Paragraph]:
    """Line by line."""
    record, body = detail.record, detail.body
    yield f"#{record.seq} {record.verdict}", f"bold {STYLES[record.verdict]}"
    for name, text in _seen(detail):
        yield f"  {name:<10}{harmless(text)}", ""
    yield "Rules that spoke" if record.findings else "No rule spoke", "bold"
    for finding in record.findings:
        yield from _finding(finding, lang, decided=finding.rule == body.rule and finding.late is not True)
    yield "Done", "bold"
    yield f"  {harmless(_done(record.verdict, body))}", ""
    if record.held_ms:
        yield f"  held for {seconds(record.held_ms)} before", ""
    yield "Money", "bold"
    for line in _money(detail.money):
        yield f"  {harmless(line)}", ""
    yield "Outcome", "bold"
    yield f"  {harmless(_outcome(detail))}", ""
    if detail.end is not None and detail.end.steps:
        yield "Messages", "bold"
        for step in read(detail.end.steps):
            yield f"  {_message(step)}", ""


def _message(step: Step | None) -> str:
    """One SIP message of the ladder, as `12.345 s  caller > 200 (BYE)`."""
    if step is None:
        return "..."
    what = step.method if not step.status else str(step.status)
    of = f" ({step.method})" if step.status and step.method != "INVITE" else ""
    way = {"caller": "caller >", "called": "       < called", "guard": "       = guard"}[step.by]
    return f"{step.ms // 1000:>6}.{step.ms % 1000:03} s  {way:<16}{harmless(what + of)}"


def _seen(detail: Detail) -> Iterator[tuple[str, str]]:
    record, body = detail.record, detail.body
    yield "time", clock(record) + record.time[26:]
    yield "call-id", record.call_id
    yield "caller", _number(record.caller, body.caller_raw, body.caller_reason)
    for identity in body.identities:
        number = _number(identity.value or identity.raw, identity.raw if identity.value else "", identity.reason)
        yield "", f"{HEADERS[identity.header]}: {number}"
    yield "callee", _number(record.callee, body.callee_raw, body.callee_reason)
    if body.emergency:
        yield "emergency", body.emergency
    source = f"{record.source or 'no source of the configuration'} ({body.source_address or 'address unknown'})"
    yield "source", f"{source}, {record.direction}, in {body.country}"
    yield "line", record.line or "none"
    yield "trunk", record.trunk or "none"
    yield "usage", ", ".join(record.usage) + (", caller asks to be hidden" if body.privacy else "")
    if body.user_agent:
        yield "device", body.user_agent
    for name, value in body.headers:
        yield "header", f"{name}: {value}"
    yield "policy", record.policy or "unknown"


def _number(shown: str, raw: str, reason: str) -> str:
    received = f" (received: {raw})" if raw and raw != shown else ""
    return f"{shown or 'none'}{received}{f', malformed: {reason}' if reason else ''}"


def _finding(finding: FindingRecord, lang: str, *, decided: bool) -> Iterator[Paragraph]:
    how = f"asks to {finding.action}"
    if finding.mode == "monitor":
        how += " (monitor: not done)"
    if finding.late is True:
        how = "found when the call was over, too late to act"
    yield f"  {harmless(finding.rule)} {how}{', and decided' if decided else ''}", STYLES["flagged"]
    yield f"    {harmless(finding.text.fr if lang == 'fr' else finding.text.en)}", ""
    for article in finding.article:
        yield f"    article  {harmless(article)}", ""
    # Words of one language are in the sentence above; whoever wants them has --json.
    facts = ", ".join(f"{k} = {_fact(v)}" for k, v in finding.facts.items() if not k.endswith(("_en", "_fr")))
    if facts:
        yield f"    facts    {harmless(facts)}", ""


def _fact(value: str | int | bool) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _done(verdict: Verdict, body: DecisionBody) -> str:
    if verdict == "blocked":
        answer = f"answered {body.status}" if body.status else "no answer"
        later = f", to be tried again after {body.retry_after} s" if body.retry_after else ""
        return f"refused by {body.rule or 'no rule'}: {answer}{later}; it never reached the operator"
    if body.masked:
        hidden = f" in place of {', '.join(body.masked_numbers)}" if body.masked_numbers else ""
        return f"sent on, presenting {body.presented or 'no number (anonymous)'}{hidden}"
    return f"sent on unchanged, presenting {body.presented or 'no number'}"


def _money(money: Money) -> Iterator[str]:
    if money.origin_rate:
        yield f"{euros(money.origin_rate)} a minute on top, as of undetermined origin ({money.origin_article})"
    if not (money.accrued or money.avoided):
        if not money.origin_rate:
            yield "none at stake"
        return
    total = f"{euros(money.accrued)} accrued" if money.accrued else f"{euros(money.avoided)} avoided"
    yield f"{total}, for {money.rule}"
    yield f"{euros(money.per_attempt)} for the call or attempt"
    if money.per_number:
        yield f"{euros(money.per_number)} for the calling number {money.number}, the first time in its billing period"
    elif money.number:
        yield f"nothing more for the calling number {money.number}: counted before in its billing period, or not fined"
    words = f", amounts as its {money.reading} say" if money.reading else ""
    article = f", {money.article}" if money.article else ""
    yield f"contract {money.contract}{article}{words}"


def _outcome(detail: Detail) -> str:
    record, end = detail.record, detail.end
    if end is None:
        return "not known yet"
    parts = [outcome(record)]
    if record.ring_ms:
        parts.append(f"rang {seconds(record.ring_ms)}")
    if record.outcome == "answered" and record.final_status:
        parts.append(f"final status {record.final_status}")
    if end.by:
        parts.append("ended by silence" if end.by == "silence" else f"ended by the {end.by}")
    return ", ".join(parts)
