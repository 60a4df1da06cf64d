"""`guard check`: is this configuration right? Every mistake at once, as `nginx -t` would say it."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from guard.cli.common import config_option
from guard.cli.show import counted, harmless
from guard.tomlread import Problem

if TYPE_CHECKING:
    from guard.config import Config


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments."""
    config_option(parser)


def run(args: argparse.Namespace) -> int:
    """0 when it can be used, 1 with a line for each mistake when it cannot."""
    from guard import certificates, refusals
    from guard.cases import run_all
    from guard.config import read
    from guard.reload import policy_of

    problems: list[Problem] = []
    config = read(args.config, problems)
    policy = policy_of(config, problems) if config is not None else None
    if config is not None and not problems:
        certificates.read(config, problems)
        refusals.read(config, problems)
        _web_certificate(config, problems)
    cases = 0
    if config is not None and policy is not None and not problems:
        outcomes = list(run_all(config, policy))
        problems += [outcome.problem() for outcome in outcomes if outcome.wrong]
        cases = len(outcomes)
    for warning in config.warnings if config is not None else ():
        print(f"guard: warning: {harmless(warning)}", file=sys.stderr)
    found = sorted(set(problems))
    for problem in found:
        print(f"guard: {harmless(str(problem))}", file=sys.stderr)
    if found or config is None or policy is None:
        print(
            f"guard: {harmless(str(args.config))}: {counted(len(found), 'mistake')}; this configuration cannot be used",
            file=sys.stderr,
        )
        return 1
    # A rule may have several versions, each with its dates.
    site = {j.rule.id for j in (*policy.site.all, *policy.site_inbound.all)}
    rules = 1 + len(
        {j.rule.id for j in policy.judges}
        | site
        | {c.rule.id for c in policy.counts}
        | {d.rule.id for d in policy.detects}
    )
    sources, trunks = counted(len(config.sources), "source"), counted(len(config.file.trunk), "trunk")
    print(f"{args.config}: right; {sources}, {trunks}, {rules} rules in force")
    print(f"policies: {config.policies}, {policy.digest}; {cases} cases hold")
    return 0


def _web_certificate(config: Config, problems: list[Problem]) -> None:
    """A certificate of `[web]` that cannot be used is told."""
    from guard.web.certificate import context_of

    if config.web is None or not config.web.tls:
        return
    try:
        context_of(config.web)
    except OSError as error:
        problems.append(Problem(str(error.filename), 0, "", error.strerror or "cannot be read"))
