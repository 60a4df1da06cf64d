"""Policies, read, checked and compiled into what the engine runs; the digest that records name them by."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Final

from msgspec import Struct

from guard import configschema
from guard.config import Config, ConfigError
from guard.confignumbers import after, micros
from guard.ledger.penalties import Figures
from guard.model import STRENGTH, Action, Mode
from guard.numbering.number import EMERGENCY
from guard.numbering.plan import FOREIGN, LAW_ZONE, Plan, PlanError, load_plan
from guard.policy import digest as naming
from guard.policy import schema
from guard.policy.destinations import load_destinations
from guard.policy.money import figures_of
from guard.policy.read import Versions, note, read_contracts, read_rules
from guard.policy.site import Compiled, Known, as_written, compiled
from guard.policy.terms import terms_of
from guard.prospecting.lists import Lists, load_lists
from guard.rules import BY_ID, COUNTS, DETECTS, JUDGES
from guard.rules import EMERGENCY as EMERGENCY_RULE
from guard.rules.base import AnyCount, AnyJudge, Settings, Terms
from guard.rules.destinations import Destinations
from guard.rules.detect import Detect
from guard.rules.numbers import ALWAYS, NEVER, HeldNumbers
from guard.rules.patterns import Index
from guard.rules.site import SAY, UNKNOWN
from guard.rules.site import Settings as SiteSettings
from guard.tomlread import Problem, Reader, fields_of, nearest

NAMELESS: Final = "none"  # in place of a digest: of files with mistakes, or not there, nothing is decided
HOLDERS: Final = frozenset({"rate.cps"})  # rules that can hold a call
DENIED: Final = 403  # the status of a rule's refusal, unless [refusal] says otherwise
MASKERS: Final = "cli."  # rules that can mask one: they speak of a presented number
SITE: Final = "decision of the site"  # what a rule of its own rests on, when it names no text


class Said(Struct, frozen=True):
    """One thing that a rule may say, compiled: what it asks for, and its texts with `{facts}` in them."""

    action: Action
    en: str
    fr: str


class Rule(Struct, frozen=True, kw_only=True):
    """A rule in force. `since` and `until` (left out) are µs of Unix time; `mode` already heeds the global one."""

    id: str
    settings: Settings
    mode: Mode
    status: int
    says: dict[str, Said]
    articles: tuple[str, ...]
    since: int
    until: int


class JudgeRule(Struct, frozen=True):
    """A rule that needs no counter, with its settings."""

    rule: Rule
    code: AnyJudge


class CountRule(Struct, frozen=True):
    """A rule that counts, with its settings."""

    rule: Rule
    code: AnyCount


class DetectRule(Struct, frozen=True):
    """A rule that judges by what detection signals, with its settings."""

    rule: Rule
    code: Detect


class Folder(Struct, frozen=True, kw_only=True):
    """A folder of policies as it is written down, of no site yet. `plan` is None where it has mistakes."""

    plan: Plan | None
    rules: dict[str, Versions]
    contracts: dict[str, schema.Contract]
    destinations: Destinations


class Policy(Struct, frozen=True, kw_only=True):
    """Everything that decides, frozen. `cited` is the contract's articles by trunk and rule; `site` holds the rules of
    the site's own for calls that go out, `site_inbound` those for calls that come in. `enforcing` is its digest while
    the site's own limit of exposure is passed (guard/policy/enforcing.py)."""

    digest: str
    enforcing: str
    plan: Plan
    held: HeldNumbers
    terms: dict[str, Terms]
    cited: dict[str, dict[str, tuple[str, ...]]]
    figures: dict[str, Figures]
    emergency: JudgeRule
    judges: tuple[JudgeRule, ...]
    counts: tuple[CountRule, ...]
    detects: tuple[DetectRule, ...]
    lists: Lists
    sector: str
    site: Index[JudgeRule]
    site_inbound: Index[JudgeRule]
    versions: dict[str, Versions]
    contracts: dict[str, schema.Contract]

    @property
    def written(self) -> dict[str, schema.Rule]:
        """The newest version of each rule, as it is written down."""
        return {name: max(found, key=lambda r: r.from_ or date.min) for name, found in self.versions.items()}


def load_policy(config: Config, key: bytes = b"") -> Policy:
    """The policies of a configuration. `key` hides the numbers of its lists in memory. Raises ConfigError with every
    mistake in them."""
    problems: list[Problem] = []
    policy = check_policy(config, problems, key)
    if policy is None or problems:
        raise ConfigError(problems)
    return policy


def check_policy(config: Config, problems: list[Problem], key: bytes = b"") -> Policy | None:
    """The same, with mistakes added to `problems`; None where there are any."""
    before = len(problems)
    folder = read_folder(config.policies, problems)
    told = {p.key for p in problems}  # config.read has said of a list that it is not there
    there = {name: path for name, path in config.lists.items() if f"prospecting.{name}" not in told}
    lists = load_lists(there, config.zone, key, problems)
    policy = compile_policy(config, folder, lists, problems, named=NAMELESS if problems else "")
    return policy if len(problems) == before else None


def read_folder(policies: Path, problems: list[Problem]) -> Folder:
    """The files of a folder, whose site nobody has said yet; mistakes go to `problems`."""
    plan = None
    try:
        plan = load_plan(policies / "numbering")
    except PlanError as error:
        problems += error.problems
    rules = read_rules(policies / "rules", problems)
    contracts = read_contracts(policies / "contracts", problems)
    destinations = load_destinations(policies / "destinations", problems)
    if plan is not None:
        lost = [n for n in EMERGENCY if plan.lookup(n, 0).id != "emergency"]
        if lost:
            note(problems, policies / "numbering", f"takes away emergency numbers: {', '.join(lost)}")
    return Folder(plan=plan, rules=rules, contracts=contracts, destinations=destinations)


def compile_policy(
    config: Config,
    folder: Folder,
    lists: Lists,
    problems: list[Problem],
    *,
    reader: Reader | None = None,
    named: str = "",
) -> Policy | None:
    """A folder's policies for one site; None where anything is wrong. `reader` is that of the file which says what is
    set (guard.toml where none is given), `named` what records name the policy by."""
    before = len(problems)
    plan, rules, contracts = folder.plan, folder.rules, folder.contracts
    loading = _Loading(config, rules, contracts, problems, reader)
    compiled = loading.rules_in_force()
    terms = loading.terms(lists, folder.destinations)
    own = loading.site_rules(plan)
    if plan is None or len(problems) > before or not compiled.get(EMERGENCY_RULE.id):
        return None
    made = naming.parts(config) if not named else None
    return Policy(
        digest=named if made is None else naming.digest(made),
        enforcing=named if made is None else naming.digest(naming.enforcing(made)),
        plan=plan,
        held=config.held,
        terms=terms,
        cited={name: loading.cited(t) for name, t in terms.items()},
        figures=figures_of(config, contracts),
        emergency=JudgeRule(compiled[EMERGENCY_RULE.id][-1], EMERGENCY_RULE),
        judges=tuple(JudgeRule(r, c) for c in JUDGES for r in compiled.get(c.id, ())),
        counts=tuple(CountRule(r, c) for c in COUNTS for r in compiled.get(c.id, ())),
        detects=tuple(DetectRule(r, c) for c in DETECTS for r in compiled.get(c.id, ())),
        lists=lists,
        sector=config.file.prospecting.sector if config.file.prospecting is not None else "",
        site=Index((rule, made.needs) for rule, made in own if made.written.direction != "inbound"),
        site_inbound=Index((rule, made.needs) for rule, made in own if made.written.direction != "outbound"),
        versions=rules | {r.id: (as_written(r),) for r in config.file.site_rule},
        contracts=contracts,
    )


class _Loading:
    """The policies with what guard.toml sets of them."""

    def __init__(
        self,
        config: Config,
        rules: dict[str, Versions],
        contracts: dict[str, schema.Contract],
        problems: list[Problem],
        reader: Reader | None,
    ) -> None:
        self.config = config
        self.rules = rules
        self.contracts = contracts
        self.problems = problems
        self.reader = reader or Reader(str(config.path), problems)
        if reader is None and config.path.is_file():
            self.reader.parse(config.path)

    def rules_in_force(self) -> dict[str, tuple[Rule, ...]]:
        """Each enabled rule, compiled: every version of it."""
        own = {rule.id for rule in self.config.file.site_rule}
        for name in self.config.file.rules:
            if name in own:
                self.reader.problem(["rules", name], "is a rule of the site: set it in its [[site_rule]]")
            elif name not in BY_ID:
                self.reader.problem(["rules", name], f"no such rule{nearest(name, BY_ID)}")
            elif name == EMERGENCY_RULE.id:
                self.reader.problem(["rules", name], "cannot be set: emergency calls always pass")
        out: dict[str, tuple[Rule, ...]] = {}
        for name, versions in self.rules.items():
            setting = self.config.file.rules.get(name, configschema.RuleSetting())
            made = [self._rule(written, setting) for written in versions]
            out[name] = tuple(rule for rule in made if rule is not None)
        return out

    def _rule(self, written: schema.Rule, setting: configschema.RuleSetting) -> Rule | None:
        name = written.id
        key = ["rules", name]
        if setting.action == "hold" and name not in HOLDERS:
            self.reader.problem([*key, "action"], f'"hold": only {", ".join(sorted(HOLDERS))} can hold a call')
        if setting.action == "mask" and not name.startswith(MASKERS):
            self.reader.problem([*key, "action"], '"mask": only rules on the caller ID (cli.*) can mask a call')
        if setting.status is not None and written.status != DENIED:
            self.reader.problem([*key, "status"], "only a rule that refuses with 403 can have another")
        settings = self._settings(written, setting)
        enabled = written.enabled and setting.enabled
        if settings is None or (not enabled and name != EMERGENCY_RULE.id):
            return None
        monitor = self.config.file.mode == "monitor" or (setting.mode or written.mode) == "monitor"
        zone = LAW_ZONE
        return Rule(
            id=name,
            settings=settings,
            mode="monitor" if monitor and name != EMERGENCY_RULE.id else "enforce",
            status=setting.status or self._refusing(written.status),
            says={n: Said(_action(written, s, setting), s.en, s.fr) for n, s in written.say.items()},
            articles=written.articles,
            since=micros(written.from_, zone) if written.from_ else ALWAYS,
            until=after(written.until, zone) if written.until else NEVER,
        )

    def _refusing(self, status: int) -> int:
        """The status of a rule's refusal: what the site says in place of 403."""
        return self.config.file.refusal.status if status == DENIED else status

    def _settings(self, written: schema.Rule, setting: configschema.RuleSetting) -> Settings | None:
        """The rule's parameters: those of the policy, which `read` has checked, overridden by guard.toml."""
        kind: type[Settings] = BY_ID[written.id].settings
        fields = fields_of(kind)
        values: dict[str, object] = {}
        policy = Reader(str(self.config.policies / "rules"), [])  # its mistakes are told already, with their lines
        good = True
        sides = ((policy, ["rule", written.id, "parameters"], written.parameters),
                 (self.reader, ["rules", written.id], setting.parameters))  # fmt: skip
        for reader, key, parameters in sides:
            for name, raw in parameters.items():
                if name not in fields:
                    words = [*fields, "enabled", "action", "mode", "status"]
                    reader.problem([*key, name], f"unknown key{nearest(name, words)}")
                    good = False
                    continue
                value = reader.value(raw, fields[name].type, [*key, name])
                good = good and not reader.is_bad(value)
                values[name] = value
        return kind(**values) if good else None

    def site_rules(self, plan: Plan | None) -> list[tuple[JudgeRule, Compiled]]:
        """The site's own rules."""
        file, zone = self.config.file, self.config.zone
        known = Known(
            sources=tuple(s.name for s in file.source),
            trunks=tuple(t.name for t in file.trunk),
            categories=None if plan is None else (*plan.categories, FOREIGN.id, UNKNOWN),
            territories=None if plan is None else tuple(sorted(plan.territories)),
        )
        out: list[tuple[JudgeRule, Compiled]] = []
        for made in compiled(file.site_rule, known, zone, self.reader):
            written = made.written
            (said,) = as_written(written).say.values()
            rule = Rule(
                id=written.id,
                settings=SiteSettings(),
                mode="monitor" if file.mode == "monitor" else written.mode,
                status=self._refusing(written.status),
                says={SAY: Said(written.action, said.en, said.fr)},
                articles=(*written.articles, f"{SITE}: {written.source}"),
                since=micros(written.from_, zone) if written.from_ else ALWAYS,
                until=after(written.until, zone) if written.until else NEVER,
            )
            out.append((JudgeRule(rule, made.judge), made))
        return out

    # ---- contracts -------------------------------------------------------------------------------------------------

    def terms(self, lists: Lists, destinations: Destinations) -> dict[str, Terms]:
        """What binds each trunk."""
        out: dict[str, Terms] = {}
        for i, trunk in enumerate(self.config.file.trunk, 1):
            key = ["trunk", f"[{i}]"]
            contract = self.contracts.get(trunk.contract)
            if trunk.contract and contract is None:
                near = nearest(trunk.contract, self.contracts)
                where = self.config.policies / "contracts"
                self.reader.problem([*key, "contract"], f'no contract "{trunk.contract}" in {where}{near}')
            if trunk.mask_caller and not self.config.held.right(trunk.mask_caller, NEVER - 1):
                self.reader.problem(
                    [*key, "mask_caller"],
                    f'"{trunk.mask_caller}" is in no [[number]] that has no end: it may not be shown',
                )
            out[trunk.name] = terms_of(self.config, trunk, contract, lists, destinations)
        return out

    def cited(self, terms: Terms) -> dict[str, tuple[str, ...]]:
        """The articles of a trunk's contract, by the rule that they are a ground for."""
        contract = self.contracts.get(terms.contract)
        if contract is None:
            return {}
        return {name: found for name in BY_ID if (found := contract.cited(name))}


def _action(written: schema.Rule, say: schema.Say, setting: configschema.RuleSetting) -> Action:
    """What one finding asks for. guard.toml decides for all but what is only a hint, or milder by its nature."""
    own = say.action or written.action
    milder = say.action is not None and STRENGTH[say.action] <= STRENGTH["flag"]
    if setting.action is None or say.advisory or milder:
        return own
    return setting.action
