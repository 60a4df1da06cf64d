"""Alerts from the log to a real mosquitto: what arrives, where, how often and in which order."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from guard.model import Verdict
from tests.apprig import run
from tests.messages.broker import Broker, Listener, first_ids
from tests.messages.rig import config_of, publishing

VERDICTS: Final[tuple[Verdict, ...]] = ("blocked", "allowed", "flagged", "masked")


def test_each_call_arrives_in_order_on_the_topic_of_its_verdict(
    tmp_path: Path, broker: Broker, listener: Listener
) -> None:
    config = config_of(tmp_path, f'url = "{broker.url}"')

    async def scene() -> None:
        async with publishing(config) as rig:
            for n, verdict in enumerate(VERDICTS):
                await rig.calls(10 * n, 3, verdict)
            await asyncio.to_thread(listener.until, lambda h: len([x for x in h if "/call/" in x.topic]) >= 9)

    run(scene)
    calls = listener.events("call")
    assert [h.topic for h in calls] == [
        f"guard/demo/call/{v}" for v in ("blocked", "flagged", "masked") for _ in range(3)
    ]
    assert not any(h.retained for h in calls)
    assert first_ids(calls) == [h.id for h in calls]
    assert [h.payload for h in listener.heard if h.topic == "guard/demo/status"] == [b"online", b"offline"]
