"""What pages make of records: paths, sums, the rule that counts, who said what to whom. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal
from urllib.parse import quote, urlencode

from msgspec import UNSET

from guard.ladder import Step
from guard.ledger.masking import MARK
from guard.ledger.record import MICROS_PER_CENT, CallRecord
from guard.model import STRENGTH
from guard.store.whole import Whole
from guard.web.hidden import BY_CALL
from guard.web.pages.drawings import Arrow
from guard.web.pages.view import View, lasting, moment, word

CALLER, GUARD, CALLED = 0, 1, 2  # columns of a ladder


def segment(text: str) -> str:
    """A text as one piece of a path, whatever stands in it."""
    return quote(text, safe="")


def call_path(record: CallRecord) -> str:
    """The page of one record, by its number: callers choose Call-IDs, and may choose the same twice."""
    return f"/calls/{segment(f'#{record.seq}')}"


def asked(shown: str, seq: int) -> str:
    """What asks for the line or number of call `seq`, shown so: by itself, or by the call where it is masked."""
    return shown if reachable(shown) else f"#{seq}"


def line_path(line: str, seq: int) -> str:
    """The page of a line, named as detection names it; of one that is masked by the call `seq` of it."""
    return f"/lines/{segment(asked(line, seq))}"


def reachable(name: str) -> bool:
    """Whether a line or number can be asked for as it is shown: not where it is masked, or looks like a call's."""
    return bool(name) and MARK not in name and BY_CALL.match(name) is None


def query(path: str, values: dict[str, str]) -> str:
    """A path with what is asked, without what is empty."""
    asked = urlencode({k: v for k, v in values.items() if v})
    return f"{path}?{asked}" if asked else path


def micros(record: CallRecord, state: Literal["accrued", "avoided"]) -> int:
    """What a call costs, or would have cost, in micro-euros."""
    exact = getattr(record, f"{state}_microeuros")
    return int(getattr(record, f"{state}_cents") * MICROS_PER_CENT if exact is UNSET else exact)


def rules_of(record: CallRecord) -> str:
    """The rule that asked for the most (of those that act, where some do), and how many others spoke."""
    if not record.findings:
        return ""
    acting = [f for f in record.findings if f.mode == "enforce" and f.late is not True] or record.findings
    first = max(acting, key=lambda f: STRENGTH[f.action])
    return f"{first.rule} +{len(record.findings) - 1}" if len(record.findings) > 1 else first.rule


def whom(call: Whole) -> tuple[str, str, str]:
    """Who stands at the top of a call's ladder: who calls, the guard, who is called over."""
    record = call.record
    ours = record.source or call.seen.source_address or "?"
    theirs = record.trunk or "?"
    name = record.site or "guard"
    return (theirs, name, ours) if record.direction == "inbound" else (ours, name, theirs)


def steps(call: Whole, noted: Sequence[object], view: View) -> list[Arrow]:
    """One call's ladder. `noted` are its SIP messages where its record has them (None where some were left out).
    Else it is what the record tells of them, and messages that it does not tell of are not drawn."""
    record, t = call.record, word(view.lang)
    came = datetime.fromisoformat(record.time)

    def at(ms: int) -> str:
        return moment((came + timedelta(milliseconds=ms)).isoformat(), view, "time")

    out = [Arrow(frm=CALLER, to=GUARD, label=f"INVITE {record.callee}", note=record.caller, when=at(0))]
    if record.held_ms:
        held = t("ladder.held", span=lasting(record.held_ms, view.lang))
        out.append(Arrow(frm=GUARD, to=GUARD, label=held, kind="flagged"))
    said = t("verdict." + record.verdict)
    decided = f"{said}{t('colon')}{call.done.rule}" if call.done.rule else said
    out.append(Arrow(frm=GUARD, to=GUARD, label=decided, kind=record.verdict, when=at(record.held_ms)))
    seen = [s for s in noted if s is None or isinstance(s, Step)][1:]  # the first is the set-up
    blocked = record.verdict == "blocked"
    if not blocked:
        sent = record.presented or t("anonymous")
        out.append(Arrow(frm=GUARD, to=CALLED, label=f"INVITE {record.callee}", note=sent, when=at(record.held_ms)))
    if seen:
        out += [a for step in seen for a in _said(step, t("ladder.left-out"), at, blocked=blocked)]
        return [*out, Arrow(frm=GUARD, to=GUARD, label=t("outcome.open"))] if record.outcome is None else out
    if blocked and record.response:
        return [*out, _answer(GUARD, CALLER, record.response, call.done.rule)]
    return [*out, Arrow(frm=GUARD, to=GUARD, label=t("ladder.silence"))] if blocked else out + _ending(call, view)


def _said(step: Step | None, left_out: str, at: Callable[[int], str], *, blocked: bool) -> list[Arrow]:
    """One message as its arrows: what one end says goes past the guard, unless the guard refused the call."""
    if step is None:
        return [Arrow(frm=GUARD, to=GUARD, label=left_out)]
    far = GUARD if blocked else CALLED
    label = f"{step.status} {PHRASES.get(step.status, '')}".rstrip() if step.status else step.method
    note = step.method if step.status and step.method != "INVITE" else ""
    kind = "" if step.status < 200 else "good" if step.status < 300 else "bad"
    ways = {"caller": [(CALLER, far)], "called": [(far, CALLER)]}.get(step.by, [(GUARD, CALLER)])
    if step.by == "guard" and not step.status:
        ways.append((GUARD, CALLED))  # it ends the call on both sides
    return [Arrow(frm=f, to=to, label=label, note=note, kind=kind, when=at(step.ms)) for f, to in ways]


PHRASES: Final = {
    180: "Ringing", 183: "Session Progress", 200: "OK", 401: "Unauthorized", 407: "Proxy Authentication Required",
    302: "Moved Temporarily", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 408: "Request Timeout",
    480: "Temporarily Unavailable", 484: "Address Incomplete", 486: "Busy Here", 487: "Request Terminated",
    488: "Not Acceptable Here", 500: "Server Internal Error", 502: "Bad Gateway", 503: "Service Unavailable",
    504: "Server Time-out", 600: "Busy Everywhere", 603: "Decline", 607: "Unwanted", 608: "Rejected",
}  # fmt: skip


def _answer(frm: int, to: int, status: int, note: str = "", when: str = "") -> Arrow:
    kind = "good" if status < 300 else "bad"
    return Arrow(frm=frm, to=to, label=f"{status} {PHRASES.get(status, '')}".rstrip(), note=note, kind=kind, when=when)


def _both(status: int) -> list[Arrow]:
    return [_answer(CALLED, GUARD, status), _answer(GUARD, CALLER, status)]


def _ending(call: Whole, view: View) -> list[Arrow]:
    record, t = call.record, word(view.lang)
    by = call.end.by if call.end else ""
    out: list[Arrow] = []
    if record.ring_ms:
        rang = t("ladder.rang", span=lasting(record.ring_ms, view.lang))
        out += [Arrow(frm=CALLED, to=GUARD, label="180 Ringing", note=rang)]
        out += [Arrow(frm=GUARD, to=CALLER, label="180 Ringing")]
    if record.outcome is None:
        return [*out, Arrow(frm=GUARD, to=GUARD, label=t("outcome.open"))]
    if record.outcome == "answered":
        out += _both(200)
        talked = t("ladder.talked", span=lasting(record.talk_ms or 0, view.lang))
        out.append(Arrow(frm=GUARD, to=GUARD, label=talked, kind="allowed"))
        if by in {"caller", "callee"}:
            start, end = (CALLER, CALLED) if by == "caller" else (CALLED, CALLER)
            out += [Arrow(frm=start, to=GUARD, label="BYE"), Arrow(frm=GUARD, to=end, label="BYE")]
        elif by == "guard":
            out += [Arrow(frm=GUARD, to=CALLER, label="BYE"), Arrow(frm=GUARD, to=CALLED, label="BYE")]
        return out
    if record.outcome == "cancelled" and by != "guard":
        out += [Arrow(frm=CALLER, to=GUARD, label="CANCEL"), Arrow(frm=GUARD, to=CALLED, label="CANCEL")]
    if by == "silence" or not record.final_status:
        return [*out, Arrow(frm=GUARD, to=GUARD, label=t("ladder.silent"))]
    if by == "guard":
        return [*out, _answer(GUARD, CALLER, record.final_status)]
    return out + _both(record.final_status)
