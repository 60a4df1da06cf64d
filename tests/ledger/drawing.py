"""Drawn days of calls for properties of the ledger: few numbers and trunks, so that they meet again and again."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st
from msgspec.structs import replace

from guard.ledger.penalties import Figures
from guard.model import Action, CallAttempt, CallEnded, Decision, Finding, Identity, Mode, Verdict
from guard.numbering.number import NONE, Number
from tests.store.making import AT, SECOND, attempt, decision, ended, finding, number
from tests.store.making_log import DIGITS, PARIS

DAY = 86_400 * SECOND
NUMBERS = ("+33145678900", "+33612345678", "+33899000001", "+41441234567", "")
CENTREX = Figures(
    contract="technicophone-centrex",
    per_number=2_000_000_000,
    per_attempt=20_000,
    rules=("cli.*", "dst.no-consent"),
    zone=PARIS,
    reading="words",
    article="003_742b69a7556570e9.txt V-10.3",
    mask_accrues=False,
    origin_rate=123_457,
    origin_article="003_742b69a7556570e9.txt V-10.3",
)
TRUNKS = {"operator": replace(DIGITS, article="003_742b69a7556570e9.txt IV-10.3"), "backup": CENTREX}
FOR_GOOD = {name: replace(figures, period="ever") for name, figures in TRUNKS.items()}

Call = tuple[CallAttempt, Decision, *tuple[CallEnded, ...]]

RULES = st.sampled_from(("cli.premium", "cli.territory", "cli.foreign", "rate.cps", "dst.no-consent", "quota.callees"))
ACTIONS: st.SearchStrategy[Action] = st.sampled_from(("allow", "flag", "mask", "block"))
MODES: st.SearchStrategy[Mode] = st.sampled_from(("enforce", "monitor"))
FINDINGS: st.SearchStrategy[Sequence[Finding]] = st.lists(st.builds(finding, RULES, ACTIONS, MODES), max_size=3)
VERDICTS: st.SearchStrategy[Verdict] = st.sampled_from(("allowed", "flagged", "masked", "blocked"))
CALLERS = st.one_of(
    st.sampled_from(NUMBERS).map(lambda text: number(text, "0" + text[3:]) if text else NONE),
    st.just(Number("", "anonymous", "anonymous")),
    st.just(Number("", "malformed", "12345678901234567890", "too-long")),
)


@st.composite
def calls(draw: st.DrawFn) -> Call:
    """One call, decided in any way that the types allow, with its end or without."""
    at = AT + draw(st.integers(-40, 20)) * DAY + draw(st.integers(0, 86_399)) * SECOND
    shape = attempt(
        draw(st.integers(0, 10_000)),
        at=at,
        trunk=draw(st.sampled_from((*TRUNKS, "unknown"))),
        line=draw(st.sampled_from(("200", "201", ""))),
        emergency=draw(st.sampled_from(("", "", "", "", "112"))),
        identities=tuple(Identity("pai", n) for n in draw(st.lists(CALLERS, max_size=1))),
    )
    call = replace(shape, caller=draw(CALLERS))
    verdict = draw(VERDICTS)
    decided = decision(verdict, *draw(FINDINGS), masked=verdict == "masked")
    if verdict != "blocked" and draw(st.integers(0, 9)) == 0:
        decided = replace(decided, held_until=1)
    if draw(st.booleans()):
        return call, decided, replace(ended(), at=at + 60 * SECOND, talk_us=draw(st.integers(0, 7_200_000_000)))
    return call, decided


DAYS: st.SearchStrategy[list[Call]] = st.lists(calls(), max_size=40)
