"""The files of policies/rules and policies/contracts, read and checked against what the code can say."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from string import Formatter

from guard.model import STRENGTH
from guard.policy import schema
from guard.rules import BY_ID
from guard.rules import EMERGENCY as EMERGENCY_RULE
from guard.rules.base import Settings
from guard.tomlread import Problem, Reader, fields_of, nearest

Versions = tuple[schema.Rule, ...]


def note(problems: list[Problem], where: Path, what: str) -> None:
    problems.append(Problem(str(where), 0, "", what))


def read_rules(folder: Path, problems: list[Problem]) -> dict[str, Versions]:
    """Every rule that the files of a folder write down: by its id, its versions, each with its dates of effect."""
    found: dict[str, Versions] = {}
    files = sorted(folder.glob("*.toml"))
    if not files:
        note(problems, folder, "no rule files (*.toml) here")
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
            elif any(_meet(rule, other) for other in found.get(rule.id, ())):
                reader.problem([*key, "id"], f'"{rule.id}" is written down twice for the same days')
            else:
                found[rule.id] = (*found.get(rule.id, ()), rule)
                _check_rule(reader, key, rule)
    for name in BY_ID:
        if whole and name not in found:
            note(problems, folder, f"no file writes down the rule {name}")
    return found


def _meet(one: schema.Rule, other: schema.Rule) -> bool:
    """Whether two versions are in force on the same day."""
    return (one.from_ or date.min) <= (other.until or date.max) and (other.from_ or date.min) <= (one.until or date.max)


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
        if rule.id == EMERGENCY_RULE.id and STRENGTH[say.action or rule.action] > STRENGTH["flag"]:
            reader.problem([*key, "say", name], f'"{say.action or rule.action}": emergency calls always pass')
        if rule.confidence != "sure" and STRENGTH[say.action or rule.action] > STRENGTH["flag"]:
            reader.problem([*key, "say", name], f"rests on a fact that is only {rule.confidence}: it may flag, no more")
    if rule.from_ is not None and rule.until is not None and rule.from_ > rule.until:
        reader.problem([*key, "until"], f"{rule.until} is before from = {rule.from_}")
    kind: type[Settings] = BY_ID[rule.id].settings
    fields = fields_of(kind)
    for name, raw in rule.parameters.items():
        if name not in fields:
            reader.problem([*key, "parameters", name], f"unknown key{nearest(name, fields)}")
        else:
            reader.value(raw, fields[name].type, [*key, "parameters", name])


def _facts(text: str) -> set[str]:
    """What a text wants filled in. A fact with a format or a conversion is none: it could fail when a call comes."""
    try:
        parts = [(name, spec, how) for _, name, spec, how in Formatter().parse(text) if name is not None]
    except ValueError:
        return {text}
    return {name + (f"!{how}" if how else "") + (f":{spec}" if spec else "") for name, spec, how in parts}


def read_contracts(folder: Path, problems: list[Problem]) -> dict[str, schema.Contract]:
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
        _check_contract(reader, contract)
        found[contract.id] = contract
    return found


def _check_contract(reader: Reader, contract: schema.Contract) -> None:
    """The names in a contract: rules that are there, quotas that something could count."""
    named: list[tuple[list[str], tuple[str, ...]]] = [(["penal_rules"], contract.penal_rules)]
    for kind in schema.GROUNDS:
        named += [([kind, f"[{i}]", "rules"], c.rules) for i, c in enumerate(getattr(contract, kind), 1)]
    named += [([k, "rules"], c.rules) for k, c in (("sva", contract.sva), ("destinations", contract.destinations)) if c]
    for key, rules in named:
        for rule in rules:
            if rule not in BY_ID and not (key == ["penal_rules"] and rule.endswith("*")):
                reader.problem(key, f'no rule is called "{rule}"{nearest(rule, BY_ID)}')
    for name in contract.quota:
        if name not in schema.QUOTAS:
            reader.problem(["quota", name], f"nothing is counted under this name{nearest(name, schema.QUOTAS)}")
