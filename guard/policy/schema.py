"""Policies as people write them: policies/rules/*.toml and policies/contracts/*.toml.

Every datum names its source. Money is in micro-euros, spans in the unit that the key names. What the engine runs is
made from these by `guard.policy.load`.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field

from guard.model import Action, Mode
from guard.policy.caseschema import Case
from guard.rules.destinations import Country

Line = Annotated[str, Meta(min_length=1)]
Quote = Annotated[str, Meta(max_length=200)]  # the document's own words, kept short: French, verbatim
Pattern = Annotated[str, Meta(pattern=r"\A[0-9]+[A-Z]*\Z")]  # a root as contracts write it: 089B, 3BPQ, 118XYZ
Prefix = Annotated[str, Meta(pattern=r"\A\+?[0-9]{1,15}\Z")]
Confidence = Literal["sure", "probable", "unverified"]
Micro = Annotated[int, Meta(ge=0)]  # micro-euros
Letter = Literal["", "question", "breach", "formal-notice", "second-notice", "guarantee", "suspension", "invoice"]


class _Strict(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything that stands in a policy file."""


class Words(_Strict, frozen=True, kw_only=True):
    """A short text in both languages."""

    en: Line
    fr: Line


class Say(_Strict, frozen=True, kw_only=True):
    """One thing that a rule may say. `{name}` in a text is a fact of the finding.

    `action` differs from the rule's where this case is milder or harder; an `advisory` one flags, whatever is set.
    """

    en: Line
    fr: Line
    action: Action | None = None
    advisory: bool = False


class Rule(_Strict, frozen=True, kw_only=True):
    """One rule of the law: what it asks for, the public texts it rests on, and what it says.

    `status` is what a refused caller gets: 403 for rules, 480 for rates and limits, 0 for no answer at all. `from`
    and `until` (both included) are the dates of effect. `source` names where the text was read.
    """

    id: Annotated[str, Meta(pattern=r"\A(cli|dst|rate|limit|quota|traffic|source)\.[a-z0-9-]+\Z")]
    title: Words
    action: Action
    source: Annotated[tuple[Line, ...], Meta(min_length=1)]
    confidence: Confidence = "sure"
    mode: Mode = "enforce"
    enabled: bool = True
    status: Literal[0, 403, 480] = 403
    articles: tuple[Line, ...] = ()
    from_: date | None = field(name="from", default=None)
    until: date | None = None
    note: str = ""
    parameters: dict[str, object] = {}
    say: Annotated[dict[str, Say], Meta(min_length=1)]


class RuleFile(_Strict, frozen=True, kw_only=True):
    """One file of policies/rules; `case`s that its rules must pass, judged for a `site` written as in guard.toml.
    `sites` are others, by name: the same but for the keys that stand there."""

    rule: Annotated[tuple[Rule, ...], Meta(min_length=1)]
    site: dict[str, object] = {}
    sites: dict[str, dict[str, object]] = {}
    case: tuple[Case, ...] = ()


class Span(_Strict, frozen=True, kw_only=True):
    """A time limit that a contract sets: so long, counted from `since`."""

    value: Annotated[int, Meta(ge=1)]
    unit: Literal["hours", "days", "business-days", "months", "years"]
    since: Line


class Clause(_Strict, frozen=True, kw_only=True):
    """What one article of a contract is the ground for: the rules that cite it, and what it says, in our words.

    `quote` is there where a figure is: a few words of the document that hold it. `letter` is the kind of the
    operator's letter that starts the time limit `within`, where one does.
    """

    article: Line
    rules: tuple[str, ...] = ()
    says: Line
    quote: Quote = ""
    within: Span | None = None
    letter: Letter = ""


class Consequence(Clause, frozen=True, kw_only=True):
    """What the operator may do, besides penalties. `notice`: what he owes the customer before he does."""

    kind: Literal[
        "suspension-of-routing", "suspension-of-account", "suspension-of-service", "restriction", "termination",
        "retroactive-billing", "billing-beyond-plan", "surcharge", "penalties-passed-on", "undetermined-origin-tariff",
        "payment-in-advance", "pay-outs-withheld", "costs-billed", "report-to-authorities", "indemnity", "other",
    ] = "other"  # fmt: skip
    notice: Literal["", "none", "information", "prior-notice"] = ""


class Prohibition(Clause, frozen=True, kw_only=True):
    """A use that the contract bans, or that its flat plan does not cover."""

    uses: Annotated[
        tuple[
            Literal[
                "abnormal-traffic", "auto-dialling", "call-centre", "data-over-voice", "forwarding", "hacking",
                "hiding-identity", "illegal-use", "mass-calls", "mobility-function", "mobile-beyond-one-person",
                "numbering-plan-breach", "other-terminals", "ping-call", "plan-for-telecom-trade", "resale",
                "re-routing", "robots", "sim-box", "spoofing", "sva-repeated-calls", "telemarketing",
                "unlawful-canvassing",
            ],
            ...,
        ],
        Meta(min_length=1),
    ]  # fmt: skip
    effect: Literal["prohibited", "outside-the-plan", "ground-for-suspension"] = "prohibited"


class Territory(Clause, frozen=True, kw_only=True):
    """Where a service or a number may be used. `undetermined_origin`: calls whose installation's country is not that of
    the presented number are billed at the tariff of undetermined origin."""

    undetermined_origin: bool = False


class Destinations(_Strict, frozen=True, kw_only=True):
    """Where calls may go. No document prints its list of countries: it is in the order or the price list, so a site
    writes it down: as `countries` in a contract file of its own, or for every trunk as a setting of dst.country. `plan`
    are the national roots that a flat plan includes."""

    list_in: Literal["pre-set-list", "order-form", "interconnection-agreements", "options"]
    article: Line
    says: Line
    quote: Quote = ""
    plan: tuple[Pattern, ...] = ()
    countries: tuple[Country, ...] = ()
    rules: tuple[str, ...] = ()


Nature = Literal["operator-limits", "hard", "plan-exclusion", "presumption-of-fraud", "abnormal-traffic"]


class Figure(_Strict, frozen=True, kw_only=True):
    """A limit: how many, in what unit, and the article that sets it. A count above `value` is beyond it.

    `per` is whose count it is, `period` when it starts anew.
    """

    value: Annotated[int, Meta(ge=0)]
    unit: Line
    article: Line
    nature: Nature
    per: Literal["", "customer", "channel", "user", "line", "analogue-line", "t0", "call"] = ""
    period: Literal["", "second", "month", "billing-period", "call", "at-once"] = ""
    quote: Quote = ""


# What a contract may count, by the name that it has in `quota`.
QUOTAS: Final = frozenset(
    {"callees_per_channel", "callees_per_user", "callees_per_line", "callees_per_analogue_line", "callees_per_t0",
     "talk_hours_per_channel", "talk_hours_per_user", "call_minutes", "devices_per_user", "sms_per_user",
     "sms_recipients_per_user"}
)  # fmt: skip


class Roots(_Strict, frozen=True, kw_only=True):
    """Number roots that a contract names, as E.164 prefixes; `quote` names them as the document does."""

    roots: Annotated[tuple[Prefix, ...], Meta(min_length=1)]
    article: Line
    quote: Quote = ""


class Premium(_Strict, frozen=True, kw_only=True):
    """Premium numbers as caller ID. Of 3BPQ only those above either threshold are meant, `but` some roots.

    `towards` whom it is banned; `effect`: banned, or the operator may change what is presented.
    """

    patterns: Annotated[tuple[Pattern, ...], Meta(min_length=1)]
    article: Line
    effect: Literal["prohibited", "operator-may-change"]
    towards: Literal["anyone", "consumers"] = "anyone"
    above_microeuros_per_minute: Micro | None = None
    above_microeuros_per_call: Micro | None = None
    including_vat: bool = False
    but: tuple[Pattern, ...] = ()
    quote: Annotated[str, Meta(min_length=1, max_length=200)]


class SvaCaps(_Strict, frozen=True, kw_only=True):
    """What one call to a premium (SVA) number may last and cost at most, both including VAT where that flag is set.

    The length is capped where a minute costs more than `above_microeuros_per_minute`.
    """

    max_minutes: Annotated[int, Meta(ge=1)]
    above_microeuros_per_minute: Micro
    max_microeuros_per_call: Micro
    including_vat: bool
    answerable: Literal["operator", "customer"]
    article: Line
    quotes: Annotated[tuple[Quote, ...], Meta(min_length=1)]
    rules: tuple[str, ...] = ()


class Tariff(_Strict, frozen=True, kw_only=True):
    """A price that the document itself fixes for calls."""

    microeuros: Micro
    unit: Line
    when: Line
    excluding_vat: bool
    article: Line
    quote: Quote


class Penalty(_Strict, frozen=True, kw_only=True):
    """One penalty. Where the document's digits and words disagree both readings are kept; else they are equal.

    `excluding_vat` and `cumulative` hold what the document says: false where it is silent. `within` is the time limit
    that a penalty hangs on, `on` what it punishes where that is not every breach that the contract fines.
    """

    per: Literal["calling-number", "call-or-attempt", "sva-number", "sva-not-put-right", "sva-repeated-in-a-year"]
    digits_microeuros: Micro
    words_microeuros: Micro
    quote: Line
    article: Line
    cumulative: bool = True
    attempts: bool = True
    excluding_vat: bool = False
    on: str = ""
    within: Span | None = None

    def amount(self, reading: Literal["digits", "words"]) -> int:
        """Micro-euros under one reading."""
        return self.digits_microeuros if reading == "digits" else self.words_microeuros


# The parts of a contract whose clauses rules may cite.
GROUNDS: Final = ("clause", "prohibited", "territory", "emergency", "duty", "consequence")


class Contract(_Strict, frozen=True, kw_only=True):
    """One contract document or chapter. `file` is the document that `article`s are of; `version` the one it bears.

    `penal_rules` are the rules whose breach the penalties punish. Figures that no rule reads yet are kept all the
    same: they are the contract. `doubt` is where the document contradicts itself or leaves open what it means.
    """

    id: Annotated[str, Meta(pattern=r"\A[a-z0-9-]+\Z")]
    title: Line
    supplier: Line
    file: Line
    chapter: str = ""
    country: Annotated[str, Meta(pattern=r"\A[A-Z]{2}\Z")]
    law: Line
    version: str = ""
    from_: date | None = field(name="from", default=None)
    until: date | None = None
    note: str = ""
    cps: Figure | None = None
    channels: Figure | None = None
    line_calls: Figure | None = None
    user_calls: Figure | None = None
    short_call: Figure | None = None
    automated: Roots | None = None
    platform: Roots | None = None
    premium: tuple[Premium, ...] = ()
    sva: SvaCaps | None = None
    destinations: Destinations | None = None
    quota: dict[str, Figure] = {}
    tariff: tuple[Tariff, ...] = ()
    penalty: tuple[Penalty, ...] = ()
    penal_rules: tuple[str, ...] = ()
    clause: tuple[Clause, ...] = ()
    prohibited: tuple[Prohibition, ...] = ()
    territory: tuple[Territory, ...] = ()
    emergency: tuple[Clause, ...] = ()
    duty: tuple[Clause, ...] = ()
    consequence: tuple[Consequence, ...] = ()
    contesting: tuple[Clause, ...] = ()
    evidence: tuple[Clause, ...] = ()
    doubt: tuple[Clause, ...] = ()

    def grounds(self) -> tuple[Clause, ...]:
        """Every clause, of whatever kind, that rules may cite."""
        return tuple(clause for kind in GROUNDS for clause in getattr(self, kind))

    def cited(self, rule: str) -> tuple[str, ...]:
        """`file article` of each article that is a ground for `rule`, once each."""
        articles = [c.article for c in self.grounds() if rule in c.rules]
        articles += [c.article for c in (self.sva, self.destinations) if c is not None and rule in c.rules]
        return tuple(dict.fromkeys(f"{self.file} {article}" for article in articles))
