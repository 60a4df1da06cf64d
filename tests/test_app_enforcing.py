"""A whole guard whose rules are on trial, and that stops what is fined once the site's own limit is passed."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from guard.alerts import MoneyAlerts
from guard.evidence.policies import kept
from guard.policy.digest import digest
from guard.store.reader import SqliteReader
from tests.apprig import FOREIGN, PATIENCE, guard, rules, run

TRIAL = """
[rules."cli.not-authorised"]
mode = "monitor"

[ledger]
enforce_above_day = 2000
"""


def test_a_fined_call_on_trial_passes_until_the_limit_is_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guard.app.MoneyAlerts", partial(MoneyAlerts, look=0.01))

    async def scene() -> None:
        async with guard(tmp_path, more=TRIAL) as g:
            await g.carried(1, caller=FOREIGN)
            g.store.flush()
            async with asyncio.timeout(PATIENCE):
                while not g.app.alerts.enforcing:
                    await asyncio.sleep(0.01)
            assert [a.accrued for a in g.app.alerts.enforcing] == [2_500_050_000]
            g.pbx.invite(2, caller=FOREIGN)
            await g.pbx.next("403", number=2)
            await g.carried(3)
            g.pbx.invite(4, uri="sip:112@127.0.0.1", caller=FOREIGN)
            await g.operator.next("INVITE", number=4)
            await g.stop()
            first, second, third, emergency = g.log()
            assert [first.record.verdict, second.record.verdict] == ["flagged", "blocked"]
            assert rules(first) == rules(second)  # and stopped under the one that was on trial
            assert second.body.rule == "cli.not-authorised"
            assert first.record.policy != second.record.policy == third.record.policy
            assert (third.record.verdict, emergency.record.verdict) == ("allowed", "allowed")
            with SqliteReader(g.site.folder / g.site.store) as reader:
                for named in (first.record.policy, second.record.policy):
                    found = kept(reader, named)
                    assert found is not None
                    assert digest(found) == named

    run(scene)
