"""Policies, read, checked and compiled into what the engine runs; the digest that records name them by."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from string import Formatter
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from guard import configschema
from guard.config import Config, ConfigError
from guard.confignumbers import micros
from guard.ledger.penalties import Figures
from guard.model import STRENGTH, Action, Mode
from guard.numbering.number import EMERGENCY
from guard.numbering.plan import Plan, PlanError, load_plan
from guard.policy import schema
from guard.rules import BY_ID, COUNTS, JUDGES
from guard.rules import EMERGENCY as EMERGENCY_RULE
from guard.rules.base import AnyCount, AnyJudge, Settings, Terms
from guard.rules.numbers import ALWAYS, NEVER, HeldNumbers
from guard.tomlread import Problem, Reader, nearest

LAW_ZONE: Final = ZoneInfo("Europe/Paris")  # days of French law begin there
HOLDERS: Final = frozenset({"rate.cps"})  # rules that can hold a call
MASKERS: Final = "cli."  # rules that can mask one: they speak of a presented number
DIGEST: Final = 32  # hexadecimal digits kept of the SHA-256: 128 bits tell any two policies apart


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


class Policy(Struct, frozen=True, kw_only=True):
    """Everything that decides, frozen. `cited` is the contract's articles by trunk and rule."""

    digest: str
    plan: Plan
    held: HeldNumbers
    terms: dict[str, Terms]
    cited: dict[str, dict[str, tuple[str, ...]]]
    figures: dict[str, Figures]
    emergency: JudgeRule
    judges: tuple[JudgeRule, ...]
    counts: tuple[CountRule, ...]
    written: dict[str, schema.Rule]
    contracts: dict[str, schema.Contract]


def load_policy(config: Config) -> Policy:
    """The policies of a configuration. Raises ConfigError with every mistake in them."""
    problems: list[Problem] = []
    policy = check_policy(config, problems)
    if policy is None or problems:
        raise ConfigError(problems)
    return policy


def check_policy(config: Config, problems: list[Problem]) -> Policy | None:
    """The same, with mistakes added to `problems`; None where there are any."""
    before = len(problems)
    plan = None
    try:
        plan = load_plan(config.policies / "numbering")
    except PlanError as error:
        problems += error.problems
    rules = _rules(config.policies / "rules", problems)
    contracts = _contracts(config.policies / "contracts", problems)
    loading = _Loading(config, rules, contracts, problems)
    compiled = loading.rules_in_force()
    terms = loading.terms()
    if plan is not None:
        lost = [n for n in EMERGENCY if plan.lookup(n, 0).id != "emergency"]
        if lost:
            _note(problems, config.policies / "numbering", f"takes away emergency numbers: {', '.join(lost)}")
    if plan is None or len(problems) > before:
        return None
    return Policy(
        digest=_digest(config),
        plan=plan,
        held=config.held,
        terms=terms,
        cited={name: loading.cited(t) for name, t in terms.items()},
        figures=loading.figures(),
        emergency=JudgeRule(compiled[EMERGENCY_RULE.id], EMERGENCY_RULE),
        judges=tuple(JudgeRule(compiled[c.id], c) for c in JUDGES if c.id in compiled),
        counts=tuple(CountRule(compiled[c.id], c) for c in COUNTS if c.id in compiled),
        written=rules,
        contracts=contracts,
    )


def _note(problems: list[Problem], where: Path, what: str) -> None:
    problems.append(Problem(str(where), 0, "", what))


def _rules(folder: Path, problems: list[Problem]) -> dict[str, schema.Rule]:
    """Every rule that the files of a folder write down, by its id."""
    found: dict[str, schema.Rule] = {}
    files = sorted(folder.glob("*.toml"))
    if not files:
        _note(problems, folder, "no rule files (*.toml) here")
    whole = True
    for path in files:
        reader = Reader(str(path), problems)
        raw = reader.parse(path)
        file = None if raw is None else reader.struct(raw, schema.RuleFile, [])
        if file is None:
            whole = False
            continue
        for i, rule in enumerate(file.rule, 1):
            key = ["rule", f"[{i}]"]
            if rule.id not in BY_ID:
                reader.problem([*key, "id"], f'no rule is called "{rule.id}"{nearest(rule.id, BY_ID)}')
            elif rule.id in found:
                reader.problem([*key, "id"], f'"{rule.id}" is written down twice')
            else:
                found[rule.id] = rule
                _check_rule(reader, key, rule)
    for name in BY_ID:
        if whole and name not in found:
            _note(problems, folder, f"no file writes down the rule {name}")
    return found


def _check_rule(reader: Reader, key: list[str], rule: schema.Rule) -> None:
    """What a rule says, against what its code can say; and nothing unverified that acts."""
    says = BY_ID[rule.id].says
    for name in [n for n in says if n not in rule.say]:
        reader.problem([*key, "say", name], "missing: the rule may say it")
    for name, say in rule.say.items():
        if name not in says:
            reader.problem([*key, "say", name], f"the rule never says it{nearest(name, says)}")
            continue
        for text in (say.en, say.fr):
            for fact in _facts(text) - says[name]:
                reader.problem([*key, "say", name], f"{{{fact}}} is no fact of it{nearest(fact, says[name])}")
        if rule.confidence != "sure" and STRENGTH[say.action or rule.action] > STRENGTH["flag"]:
            reader.problem([*key, "say", name], f"rests on a fact that is only {rule.confidence}: it may flag, no more")
    if rule.from_ is not None and rule.until is not None and rule.from_ > rule.until:
        reader.problem([*key, "until"], f"{rule.until} is before from = {rule.from_}")


def _facts(text: str) -> set[str]:
    try:
        return {name for _, name, _, _ in Formatter().parse(text) if name is not None}
    except ValueError:
        return {text}


def _contracts(folder: Path, problems: list[Problem]) -> dict[str, schema.Contract]:
    """Every contract, by its id, which is also the name of its file."""
    found: dict[str, schema.Contract] = {}
    for path in sorted(folder.glob("*.toml")):
        reader = Reader(str(path), problems)
        raw = reader.parse(path)
        contract = None if raw is None else reader.struct(raw, schema.Contract, [])
        if contract is None:
            continue
        if contract.id != path.stem:
            reader.problem(["id"], f'"{contract.id}" must be the name of its file, "{path.stem}"')
        for i, clause in enumerate(contract.clause, 1):
            for rule in clause.rules:
                if rule.startswith(tuple(r.split(".")[0] + "." for r in BY_ID)) and rule not in BY_ID:
                    reader.problem(["clause", f"[{i}]", "rules"], f'no rule is called "{rule}"{nearest(rule, BY_ID)}')
        found[contract.id] = contract
    return found


class _Loading:
    """The policies with what guard.toml sets of them."""

    def __init__(
        self,
        config: Config,
        rules: dict[str, schema.Rule],
        contracts: dict[str, schema.Contract],
        problems: list[Problem],
    ) -> None:
        self.config = config
        self.rules = rules
        self.contracts = contracts
        self.problems = problems
        self.reader = Reader(str(config.path), problems)
        if config.path.is_file():
            self.reader.parse(config.path)

    def rules_in_force(self) -> dict[str, Rule]:
        """Each enabled rule, compiled."""
        for name in self.config.file.rules:
            if name not in BY_ID:
                self.reader.problem(["rules", name], f"no such rule{nearest(name, BY_ID)}")
            elif name == EMERGENCY_RULE.id:
                self.reader.problem(["rules", name], "cannot be set: emergency calls always pass")
        out: dict[str, Rule] = {}
        for name, written in self.rules.items():
            rule = self._rule(written, self.config.file.rules.get(name, configschema.RuleSetting()))
            if rule is not None:
                out[name] = rule
        return out

    def _rule(self, written: schema.Rule, setting: configschema.RuleSetting) -> Rule | None:
        name = written.id
        key = ["rules", name]
        if setting.action == "hold" and name not in HOLDERS:
            self.reader.problem([*key, "action"], f'"hold": only {", ".join(sorted(HOLDERS))} can hold a call')
        if setting.action == "mask" and not name.startswith(MASKERS):
            self.reader.problem([*key, "action"], '"mask": only rules on the caller ID (cli.*) can mask a call')
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
            status=written.status,
            says={n: Said(_action(written, s, setting), s.en, s.fr) for n, s in written.say.items()},
            articles=written.articles,
            since=micros(written.from_, zone) if written.from_ else ALWAYS,
            until=micros(written.until + timedelta(days=1), zone) if written.until else NEVER,
        )

    def _settings(self, written: schema.Rule, setting: configschema.RuleSetting) -> Settings | None:
        """The rule's parameters: those of the policy, overridden by guard.toml; each checked where it is written."""
        kind = BY_ID[written.id].settings
        fields = {f.encode_name: f for f in msgspec.structs.fields(kind)}
        values: dict[str, object] = {}
        policy = Reader(str(self.config.policies / "rules"), self.problems)
        good = True
        sides = ((policy, ["rule", written.id, "parameters"], written.parameters),
                 (self.reader, ["rules", written.id], setting.parameters))  # fmt: skip
        for reader, key, parameters in sides:
            for name, raw in parameters.items():
                if name not in fields:
                    words = [*fields, "enabled", "action", "mode"]
                    reader.problem([*key, name], f"unknown key{nearest(name, words)}")
                    good = False
                    continue
                value = reader.value(raw, fields[name].type, [*key, name])
                good = good and not reader.is_bad(value)
                values[name] = value
        return kind(**values) if good else None

    # ---- contracts -------------------------------------------------------------------------------------------------

    def terms(self) -> dict[str, Terms]:
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
            out[trunk.name] = Terms(
                trunk=trunk.name,
                contract=trunk.contract,
                cps=trunk.cps or (contract.cps.value if contract and contract.cps else None),
                channels=trunk.channels or (contract.channels.value if contract and contract.channels else None),
                line_calls=contract.line_calls.value if contract and contract.line_calls else None,
                automated_roots=contract.automated.roots if contract and contract.automated else (),
                platform_roots=contract.platform.roots if contract and contract.platform else (),
                mask_caller=trunk.mask_caller,
            )
        return out

    def cited(self, terms: Terms) -> dict[str, tuple[str, ...]]:
        """The articles of a trunk's contract, by the rule that they are a ground for."""
        contract = self.contracts.get(terms.contract)
        if contract is None:
            return {}
        return {name: found for name in BY_ID if (found := contract.cited(name))}

    def figures(self) -> dict[str, Figures]:
        """The penalties of each trunk whose contract fixes some."""
        out: dict[str, Figures] = {}
        for trunk in self.config.file.trunk:
            contract = self.contracts.get(trunk.contract)
            if contract is None:
                continue
            amounts = {p.per: p.amount(trunk.reading) for p in contract.penalty}
            if "calling-number" not in amounts and "call-or-attempt" not in amounts:
                continue
            out[trunk.name] = Figures(
                contract=contract.id,
                per_number=amounts.get("calling-number", 0),
                per_attempt=amounts.get("call-or-attempt", 0),
                rules=contract.penal_rules,
                zone=self.config.zone,
                reading=trunk.reading,
                mask_accrues=False,  # the number that may not be shown never reached the operator
            )
        return out


def _action(written: schema.Rule, say: schema.Say, setting: configschema.RuleSetting) -> Action:
    """What one finding asks for. guard.toml decides for all but what is only a hint, or milder by its nature."""
    own = say.action or written.action
    milder = say.action is not None and STRENGTH[say.action] <= STRENGTH["flag"]
    if setting.action is None or say.advisory or milder:
        return own
    return setting.action


def _digest(config: Config) -> str:
    """What names these policies: every file of them, and what guard.toml adds to the decision."""
    found = sha256()
    for path in sorted(config.policies.rglob("*.toml")):
        body = path.read_bytes()
        found.update(b"%s\0%d\0" % (str(path.relative_to(config.policies)).encode(), len(body)))
        found.update(body)
    file = config.file
    found.update(
        msgspec.json.encode(
            (file.mode, file.timezone, file.trunk, file.source, file.usage, file.number, file.rules, file.faults),
            order="sorted",
        )
    )
    return f"sha256:{found.hexdigest()[:DIGEST]}"
