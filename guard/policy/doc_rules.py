"""docs/rules.md, made from policies/rules and policies/contracts: every rule, for people.

`python -m guard.policy.doc_rules policies > docs/rules.md` writes it anew; a test holds the two together.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from guard.policy.read import Versions, read_contracts, read_rules
from guard.policy.schema import Contract, Rule, Say
from guard.rules import BY_ID
from guard.tomlread import Problem

INTRO: Final = """\
# The rules
Made from `policies/rules/*.toml` by `guard/policy/doc_rules.py`; a test keeps it so. In the order in which they
speak; the strongest action of all that spoke decides: block, hold, mask, flag, allow; of two as strong, the first.

- A rule is set in guard.toml under `[rules."ID"]`: `enabled`, `action`, `mode`, and the parameters that stand here.
- What rests on a fact that is not *sure* flags at most, unless guard.toml says otherwise.
- A call is judged by the rules in force at its own instant, days being those of Paris.
"""
ANSWERS: Final = {0: "no answer at all", 403: "403", 480: "480 with Retry-After"}


def page(rules: Mapping[str, Versions], contracts: Mapping[str, Contract]) -> str:
    """The whole page."""
    return "\n".join((INTRO, *(line for name in BY_ID if name in rules for line in _rule(rules[name], contracts))))


def _rule(versions: Versions, contracts: Mapping[str, Contract]) -> Iterator[str]:
    """One rule, with each of its versions."""
    newest = versions[-1]
    yield f"## `{newest.id}`"
    yield f"{newest.title.en}. *{newest.title.fr}.*"
    yield ""
    for version in versions:
        if len(versions) > 1:
            yield f"**{_in_force(version)}**"
            yield ""
        yield from _version(version)
        yield ""
    cited = [f"`{c.id}` {', '.join(a)}" for c in contracts.values() if (a := _articles(c, newest.id))]
    if cited:
        yield f"Contracts: {' · '.join(cited)}"
        yield ""
    yield from _parameters(versions)


def _version(rule: Rule) -> Iterator[str]:
    yield f"- Action: **{rule.action}**{_refusal(rule)}{', only on trial' if rule.mode == 'monitor' else ''}"
    yield f"- In force: {_in_force(rule)}" + ("" if rule.enabled else "; off unless guard.toml sets `enabled = true`")
    yield f"- Confidence: {rule.confidence}"
    if rule.articles:
        yield f"- Texts: {'; '.join(rule.articles)}"
    yield from (f"- Source: {s}" for s in rule.source)
    if rule.note:
        yield f"- Note: {rule.note}"
    yield ""
    yield "| says | action | text |"
    yield "|---|---|---|"
    yield from (
        f"| `{name}` | {_asked(rule, say)} | {_cell(say.en)}<br>*{_cell(say.fr)}* |" for name, say in rule.say.items()
    )


def _refusal(rule: Rule) -> str:
    """What a caller gets whom the rule may refuse."""
    asked = {say.action or rule.action for say in rule.say.values()}
    return f"; a refused caller gets {ANSWERS[rule.status]}" if asked & {"block", "hold"} else ""


def _asked(rule: Rule, say: Say) -> str:
    return f"{say.action or rule.action}{', whatever is set' if say.advisory else ''}"


def _in_force(rule: Rule) -> str:
    since, until = rule.from_, rule.until
    if since is None and until is None:
        return "always"
    return " ".join((f"from {since}" if since else "", f"until {until}" if until else "")).strip()


def _articles(contract: Contract, rule: str) -> tuple[str, ...]:
    return tuple(a.removeprefix(contract.file).strip() for a in contract.cited(rule))


def _parameters(versions: Versions) -> Iterator[str]:
    """Each parameter of the rule's own, with its value in the newest version."""
    kind = BY_ID[versions[-1].id].settings
    fields = msgspec.structs.fields(kind)
    if not fields:
        return
    yield f"Parameters: {' '.join((inspect.getdoc(kind) or '').split())}"
    yield ""
    yield "| parameter | value |"
    yield "|---|---|"
    written = versions[-1].parameters
    for field in fields:
        yield f"| `{field.encode_name}` | {_value(written.get(field.encode_name, field.default))} |"
    yield ""


def _value(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(f"`{v}`" for v in value) or "none"
    return f"`{json.dumps(value, ensure_ascii=False)}`" if isinstance(value, str | bool | int | float) else "none"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def read(folder: Path, problems: list[Problem]) -> str:
    """The page of a folder of policies; mistakes in them go to `problems`."""
    return page(read_rules(folder / "rules", problems), read_contracts(folder / "contracts", problems))


def main(folder: str) -> int:
    """Write the page to standard output; 1 when a file cannot be read."""
    problems: list[Problem] = []
    text = read(Path(folder), problems)
    sys.stderr.write("".join(f"{p}\n" for p in problems))
    sys.stdout.write(text)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
