"""Calls that come in, over real sockets: carried and recorded; refused only where a rule of the site says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.sip.message import Message
from sim.site import ALICE, GUARD
from tests.apprig import Rig, guard, rules, run
from tests.proxy.world import reply, request

RULE = """
[[site_rule]]
id = "site.no-premium-calls-us"
action = "{action}"
source = "management, 2026-11-21"
direction = "{direction}"
mode = "{mode}"
text = {{ en = "a premium number calls us: {{caller}}" }}
when = {{ caller = "+3389*" }}
"""
DEAR = "<sip:+33899123456@op>"
FRIEND = "<sip:+33611223344@op>"


def coming(rig: Rig, number: int, caller: str) -> None:
    """The operator calls the site's number."""
    rig.operator.send(
        request(
            uri=f"sip:{ALICE}@{GUARD}",
            caller=caller,
            call_id=f"call{number}",
            branch=f"in{number}",
            host=rig.operator.host,
            port=rig.operator.port,
        )
    )


def accept(rig: Rig, m: Message) -> None:
    rig.pbx.send(reply(m, 200, contact=f"<sip:{rig.pbx.host}:{rig.pbx.port}>"))


def test_a_rule_of_the_site_refuses_a_call_that_comes_in(tmp_path: Path) -> None:
    async def scene() -> None:
        more = RULE.format(action="block", direction="inbound", mode="enforce")
        async with guard(tmp_path, more=more) as rig:
            for number in range(1, 4):
                coming(rig, number, DEAR)
                refused = await rig.operator.final(number)
                assert refused.status == 403
                assert b"site.no-premium-calls-us #" in b"".join(refused.all(b"reason"))
            coming(rig, 4, FRIEND)
            accept(rig, await rig.pbx.next("INVITE", number=4))
            assert (await rig.operator.final(4)).status == 200
            await rig.stop()
            log = rig.log()
            said = [(d.record.direction, d.record.verdict, rules(d)) for d in log]
            assert said == [("inbound", "blocked", ["site.no-premium-calls-us"])] * 3 + [("inbound", "allowed", [])]
            assert [d.end.outcome if d.end is not None else "" for d in log[:3]] == ["blocked"] * 3

    run(scene)


@pytest.mark.parametrize(
    ("action", "direction", "mode", "verdict"),
    [
        ("flag", "inbound", "enforce", "flagged"),
        ("block", "both", "monitor", "flagged"),
        ("block", "outbound", "enforce", "allowed"),
    ],
)
def test_any_other_rule_lets_it_pass(tmp_path: Path, action: str, direction: str, mode: str, verdict: str) -> None:
    async def scene() -> None:
        async with guard(tmp_path, more=RULE.format(action=action, direction=direction, mode=mode)) as rig:
            coming(rig, 1, DEAR)
            accept(rig, await rig.pbx.next("INVITE", number=1))
            assert (await rig.operator.final(1)).status == 200
            await rig.stop()
            assert [(d.record.direction, d.record.verdict) for d in rig.log()] == [("inbound", verdict)]

    run(scene)


def test_a_fault_of_ours_refuses_nobody_who_calls_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where faults block what goes out: no rule has said anything of this call."""

    async def scene() -> None:
        more = RULE.format(action="block", direction="inbound", mode="enforce") + '\n[faults]\nengine = "block"\n'
        async with guard(tmp_path, more=more) as rig:

            def fail(*args: object) -> None:
                raise RuntimeError("a bug")

            monkeypatch.setattr(rig.app.desk, "submit", fail)
            coming(rig, 1, FRIEND)
            accept(rig, await rig.pbx.next("INVITE", number=1))
            assert (await rig.operator.final(1)).status == 200

    run(scene)
