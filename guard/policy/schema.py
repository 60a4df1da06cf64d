"""Policies as people write them: policies/rules/*.toml and policies/contracts/*.toml.

Every datum names its source. Money is in micro-euros, spans in the unit that the key names. What the engine runs is
made from these by `guard.policy.load`.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from guard.model import Action, Mode

Line = Annotated[str, Meta(min_length=1)]
Prefix = Annotated[str, Meta(pattern=r"\A\+?[0-9]{1,15}\Z")]
Confidence = Literal["sure", "probable", "unverified"]
Micro = Annotated[int, Meta(ge=0)]  # micro-euros


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
    """One file of policies/rules."""

    rule: Annotated[tuple[Rule, ...], Meta(min_length=1)]


class Clause(_Strict, frozen=True, kw_only=True):
    """What one article of a contract is the ground for: the rules that cite it, and what it says, in our words."""

    article: Line
    rules: tuple[str, ...] = ()
    says: Line


class Figure(_Strict, frozen=True, kw_only=True):
    """A limit: how many, in what unit, and the article that sets it."""

    value: Annotated[int, Meta(ge=0)]
    unit: Line
    article: Line
    nature: Literal["operator-limits", "hard", "plan-exclusion", "presumption-of-fraud"]


class Roots(_Strict, frozen=True, kw_only=True):
    """Number roots that a contract names, as E.164 prefixes."""

    roots: Annotated[tuple[Prefix, ...], Meta(min_length=1)]
    article: Line


class Penalty(_Strict, frozen=True, kw_only=True):
    """One penalty. Where the document's digits and words disagree both readings are kept; else they are equal."""

    per: Literal["calling-number", "call-or-attempt", "sva-number", "sva-not-put-right", "sva-repeated-in-a-year"]
    digits_microeuros: Micro
    words_microeuros: Micro
    quote: Line
    article: Line
    cumulative: bool = True
    attempts: bool = True
    excluding_vat: bool = False

    def amount(self, reading: Literal["digits", "words"]) -> int:
        """Micro-euros under one reading."""
        return self.digits_microeuros if reading == "digits" else self.words_microeuros


class Contract(_Strict, frozen=True, kw_only=True):
    """One contract document or chapter. `file` is the document that `article`s are of.

    `penal_rules` are the rules whose breach the penalties punish. Figures that no rule reads yet are kept all the
    same: they are the contract.
    """

    id: Annotated[str, Meta(pattern=r"\A[a-z0-9-]+\Z")]
    title: Line
    supplier: Line
    file: Line
    chapter: str = ""
    country: Annotated[str, Meta(pattern=r"\A[A-Z]{2}\Z")]
    law: Line
    from_: date | None = field(name="from", default=None)
    until: date | None = None
    note: str = ""
    cps: Figure | None = None
    channels: Figure | None = None
    line_calls: Figure | None = None
    user_calls: Figure | None = None
    automated: Roots | None = None
    platform: Roots | None = None
    quota: dict[str, Figure] = {}
    penalty: tuple[Penalty, ...] = ()
    penal_rules: tuple[str, ...] = ()
    clause: tuple[Clause, ...] = ()
    consequence: tuple[Clause, ...] = ()
    contesting: tuple[Clause, ...] = ()

    def cited(self, rule: str) -> tuple[str, ...]:
        """`file article` of each clause that is a ground for `rule`."""
        return tuple(f"{self.file} {c.article}" for c in self.clause if rule in c.rules)
