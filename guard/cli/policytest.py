"""`guard policy test`: the cases that the policies and guard.toml carry, judged."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from guard.cli.common import config_option, json_lines

if TYPE_CHECKING:
    from guard.cases import Outcome
    from guard.config import Config
    from guard.policy.load import Policy


def add(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Arguments."""
    text = "Judge the cases that the policies and guard.toml carry; 1 where one of them does not hold."
    one = sub.add_parser("test", help="judge the cases that the policies carry", description=text)
    config_option(one)
    one.add_argument("--json", action="store_true", help="JSON Lines, one case a line")


def run(args: argparse.Namespace, config: Config, policy: Policy) -> int:
    """0 when every case holds, 1 when one does not."""
    from guard.cases import run_all

    outcomes = list(run_all(config, policy))
    if args.json:
        json_lines(map(_object, outcomes))
    else:
        _report(outcomes)
    return 1 if any(outcome.wrong for outcome in outcomes) else 0


def _object(outcome: Outcome) -> dict[str, object]:
    decision = outcome.decision
    return {
        "file": outcome.file,
        "line": outcome.line,
        "case": outcome.case.name,
        "holds": not outcome.wrong,
        "wrong": outcome.wrong,
        "verdict": decision.verdict if decision is not None else None,
        "rule": decision.rule if decision is not None else None,
        "speaks": list(dict.fromkeys(f.rule for f in decision.findings)) if decision is not None else [],
    }


def _report(outcomes: list[Outcome]) -> None:
    """A line a file, and under it what does not hold."""
    from rich.text import Text

    from guard.cli.show import console, harmless

    out = console()
    files: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        files.setdefault(outcome.file, []).append(outcome)
    for file, found in files.items():
        wrong = [outcome for outcome in found if outcome.wrong]
        count = f"{len(found)} case{'s' if len(found) > 1 else ''}"
        said = f"{len(wrong)} of {count} not as expected" if wrong else f"{count}, all as expected"
        out.print(Text(f"{harmless(file)}: {said}", style="bold red" if wrong else ""), soft_wrap=True)
        for outcome in wrong:
            head = f"  line {outcome.line}, {outcome.key}: {outcome.case.name}"
            out.print(Text(harmless(head), style="bold"), soft_wrap=True)
            for line in outcome.wrong:
                out.print(Text(f"    {harmless(line)}"), soft_wrap=True)
    failed = sum(1 for outcome in outcomes if outcome.wrong)
    total = f"{len(outcomes)} cases" if len(outcomes) != 1 else "1 case"
    out.print(f"{total}, {failed} not as expected" if failed else f"{total}, all as expected", highlight=False)
