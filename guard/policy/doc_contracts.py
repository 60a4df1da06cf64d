"""docs/contracts.md, made from policies/contracts: what each contract binds to, for people.

`python -m guard.policy.doc_contracts FOLDER > docs/contracts.md` writes it anew; a test holds the two together.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

from guard.policy.schema import Clause, Consequence, Contract, Figure, Penalty, Span
from guard.tomlread import Problem, Reader

K = TypeVar("K", bound=Clause)

MICRO: Final = 1_000_000  # micro-euros in a euro
CENT: Final = 10_000  # micro-euros in a cent: amounts are written to the cent where they have cents

GENERAL: Final = "CG "  # articles of general terms, which several chapters share: written once

INTRO: Final = """\
# What the contracts say
Made from `policies/contracts/*.toml` by `guard/policy/doc_contracts.py`; a test keeps it so. Facts are in our words,
the French documents decide. Each datum names its article: `CG` are Technicophone’s general terms, a Roman numeral is a
chapter of its particular terms, `§` an article of another document. Quotes are short and verbatim.

- A penalty that a document writes twice, in digits and in words that disagree, stands here under both readings;
  `reading` of a trunk (`"digits"` or `"words"`) chooses.
- *Outside the plan* means billed by the minute, not banned. *Presumption of fraud*: the operator may act on it.
- No document prints its list of countries; it is in the order or the price list, and a site writes it into its rules.
- `→` names the rules that rest on an article.
"""
PER: Final = {
    "calling-number": "per calling number",
    "call-or-attempt": "per call or attempt",
    "sva-number": "per SVA number",
    "sva-not-put-right": "per SVA number, besides",
    "sva-repeated-in-a-year": "per SVA number, besides",
}
EFFECT: Final = {
    "prohibited": "prohibited",
    "outside-the-plan": "outside the plan",
    "ground-for-suspension": "a ground for suspension",
}
NOTICE: Final = {
    "": "",
    "none": " *(no notice)*",
    "information": " *(on mere information)*",
    "prior-notice": " *(after notice)*",
}
NATURE: Final = {
    "operator-limits": "the operator limits: the excess is lost",
    "hard": "not to be passed",
    "plan-exclusion": "beyond it, outside the plan",
    "presumption-of-fraud": "beyond it, presumption of fraud",
    "abnormal-traffic": "beneath it, abnormal traffic",
}
LIST_IN: Final = {
    "pre-set-list": "a list that the operator sets",
    "order-form": "the order form",
    "interconnection-agreements": "the operator’s agreements with others",
    "options": "the options ordered",
}


def euros(micro: int) -> str:
    """An amount, exact: `2 500 EUR`, `0.05 EUR`, `0.005 EUR`."""
    whole, rest = divmod(micro, MICRO)
    shown = f"{whole:,}".replace(",", " ")
    if rest:
        decimals = f"{rest:06}"
        shown += "." + (decimals[:2] if rest % CENT == 0 else decimals.rstrip("0"))
    return f"{shown} EUR"


def span(within: Span) -> str:
    """`10 days from receipt of the invoice`."""
    unit = within.unit.replace("-", " ")
    return f"{within.value} {unit.removesuffix('s') if within.value == 1 else unit} from {within.since}"


def page(contracts: Iterable[Contract]) -> str:
    """The whole page."""
    found = sorted(contracts, key=_place)
    parts = [INTRO, *_overview(found)]
    general = [c for c in found if any(k.article.startswith(GENERAL) for k in c.grounds())]
    if general:
        parts += [f"## {general[0].supplier}, general terms", "They hold beside every chapter."]
        parts += _clauses(general[0], general=True)
        parts.append("")
    for contract in found:
        parts += _contract(contract)
    return "\n".join(parts).rstrip("\n") + "\n"


def _place(contract: Contract) -> tuple[str, int, str]:
    """Technicophone’s chapters in their order, then the others."""
    roman = {"I": 1, "II": 2, "IV": 4, "V": 5, "IX": 9, "X": 10, "XII": 12}
    return ("" if contract.chapter else contract.supplier, roman.get(contract.chapter, 0), contract.id)


def _row(*cells: str) -> str:
    return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [_row(*heads), "|" + "---|" * len(heads), *(_row(*r) for r in rows)] if rows else []


def _readings(penalty: Penalty) -> str:
    digits, words = euros(penalty.digits_microeuros), euros(penalty.words_microeuros)
    return digits if digits == words else f"{digits} (digits), {words} (words)"


def _overview(contracts: Sequence[Contract]) -> Iterator[str]:
    rows = []
    for c in contracts:
        by = {p.per: _readings(p) for p in c.penalty}
        limits = [f"{name}: {figure.value}" for name, figure in figures(c)]
        within = [span(k.within) for k in c.contesting[:1] if k.within]
        rows.append(
            (
                f"[{c.id}](#{c.id})",
                by.get("calling-number", "–"),
                by.get("call-or-attempt", "–"),
                "; ".join(limits) or "–",
                *(within or ["–"]),
            )
        )
    yield from _table(("contract", "per calling number", "per call or attempt", "limits", "contest within"), rows)
    yield ""


def figures(contract: Contract) -> list[tuple[str, Figure]]:
    """Every limit of a contract, named for people."""
    named = {
        "set-ups a second": contract.cps,
        "channels": contract.channels,
        "calls at once per line": contract.line_calls,
        "calls at once per user": contract.user_calls,
        "seconds of a short call": contract.short_call,
    }
    quotas = [(name.replace("_", " "), figure) for name, figure in contract.quota.items()]
    return [(n, f) for n, f in named.items() if f is not None] + quotas


def _contract(c: Contract) -> Iterator[str]:
    yield f'<a id="{c.id}"></a>'
    yield f"## {c.title}"
    version = f" · version “{c.version}”" if c.version else ""
    yield f"`{c.id}` · document `{c.file}` · {c.country}, {c.law}{version}"
    if c.note:
        yield f"\n{c.note}"
    yield from _section(
        "Limits",
        _table(
            ("limit", "value", "article", "nature", "words"),
            [
                (n, f"{f.value} {f.unit}", f.article, NATURE[f.nature], f"« {f.quote} »" if f.quote else "")
                for n, f in figures(c)
            ],
        ),
    )
    yield from _section("Penalties", _penalties(c))
    yield from _section("Numbers", list(_numbers(c)))
    yield from _clauses(c, general=False)
    yield from _section(
        "Prices",
        [
            f"- {euros(t.microeuros)} {'excluding' if t.excluding_vat else 'including'} VAT per {t.unit}: {t.when} "
            f"(`{t.article}`) « {t.quote} »"
            for t in c.tariff
        ],
    )
    yield ""


def _clauses(c: Contract, *, general: bool) -> Iterator[str]:
    """The parts that are made of clauses: those of the general terms, or those of the chapter itself."""

    def own(clauses: Sequence[K]) -> list[K]:
        return [k for k in clauses if k.article.startswith(GENERAL) == general]

    yield from _section("What rules rest on", [_clause(k) for k in own(c.clause)])
    yield from _section("Not allowed", [f"{_clause(k)} *({EFFECT[k.effect]})*" for k in own(c.prohibited)])
    where = [] if general else list(_destinations(c))
    yield from _section("Where", [*where, *(_clause(k) for k in own(c.territory))])
    yield from _section("Emergency calls", [_clause(k) for k in own(c.emergency)])
    yield from _section("Duties", [_clause(k) for k in own(c.duty)])
    yield from _section("What may follow", [_consequence(k) for k in own(c.consequence)])
    yield from _section("Contesting and proof", [_clause(k) for k in own((*c.contesting, *c.evidence))])
    yield from _section("Doubtful in the text", [_clause(k) for k in own(c.doubt)])


def _consequence(clause: Consequence) -> str:
    kind = "" if clause.kind == "other" else f"**{clause.kind.replace('-', ' ')}:** "
    return f"- {kind}{_clause(clause)[2:]}{NOTICE[clause.notice]}"


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"\n### {title}", *lines] if lines else []


def _clause(clause: Clause) -> str:
    rules = f" → {', '.join(f'`{r}`' for r in clause.rules)}" if clause.rules else ""
    quote = f" « {clause.quote} »" if clause.quote else ""
    within = f" **{span(clause.within)}.**" if clause.within else ""
    return f"- `{clause.article}` {clause.says}{within}{quote}{rules}"


def _penalties(c: Contract) -> list[str]:
    rows = []
    for p in c.penalty:
        marks = [
            "for attempts too" if p.attempts else "",
            "cumulative" if p.cumulative else "",
            "excluding VAT" if p.excluding_vat else "",
            p.on,
            span(p.within) if p.within else "",
        ]
        amounts = (euros(p.digits_microeuros), euros(p.words_microeuros))
        rows.append((PER[p.per], *amounts, p.article, "; ".join(m for m in marks if m), f"« {p.quote} »"))
    table = _table(("penalty", "digits", "words", "article", "how", "words of the text"), rows)
    if table and c.penal_rules:
        table += ["", f"For breaches of: {', '.join(f'`{r}`' for r in c.penal_rules)}."]
    return table


def _numbers(c: Contract) -> Iterator[str]:
    for who, roots in (("Automated systems present", c.automated), ("Platforms present", c.platform)):
        if roots is not None:
            yield f"- `{roots.article}` {who} only {', '.join(roots.roots)}. « {roots.quote} »"
    for p in c.premium:
        what = " or ".join(p.patterns)
        bands = [
            f"{euros(limit)} a {unit}"
            for limit, unit in ((p.above_microeuros_per_minute, "minute"), (p.above_microeuros_per_call, "call"))
            if limit is not None
        ]
        above = f" above {' or '.join(bands)}{', VAT included' if p.including_vat else ''}" if bands else ""
        but = f", save {' and '.join(p.but)}" if p.but else ""
        effect = "prohibited" if p.effect == "prohibited" else "may be changed by the operator"
        towards = " towards consumers" if p.towards == "consumers" else ""
        yield f"- `{p.article}` {what}{above}{but} as caller ID: {effect}{towards}. « {p.quote} »"


def _destinations(c: Contract) -> Iterator[str]:
    d = c.destinations
    if d is not None:
        plan = f" The plan includes {', '.join(d.plan)}." if d.plan else ""
        yield f"- `{d.article}` {d.says} Countries: {LIST_IN[d.list_in]}.{plan} « {d.quote} »"
    if c.sva is not None:
        s = c.sva
        yield (
            f"- `{s.article}` A call to an SVA number costs at most {euros(s.max_microeuros_per_call)}, and lasts at "
            f"most {s.max_minutes} minutes where a minute costs more than {euros(s.above_microeuros_per_minute)}"
            f"{', VAT included' if s.including_vat else ''}. {' '.join(f'« {q} »' for q in s.quotes)}"
        )


def read(folder: Path, problems: list[Problem]) -> list[Contract]:
    """The contracts of a folder, as they are written; mistakes go to `problems`."""
    out = []
    for path in sorted(folder.glob("*.toml")):
        reader = Reader(str(path), problems)
        raw = reader.parse(path)
        contract = None if raw is None else reader.struct(raw, Contract, [])
        if contract is not None:
            out.append(contract)
    return out


def main(folder: str) -> int:
    """Write the page to standard output; 1 when a file cannot be read."""
    problems: list[Problem] = []
    text = page(read(Path(folder), problems))
    sys.stderr.write("".join(f"{p}\n" for p in problems))
    sys.stdout.write(text)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
