"""A guard that can begin no thread any more, as when there is no memory left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from tests.apprig import FOREIGN, guard, run

P = ParamSpec("P")
T = TypeVar("T")


class NoThreads(ThreadPoolExecutor):
    """What Python says then."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        raise RuntimeError("can't start new thread")


def test_it_takes_calls_and_its_stop_commits_the_log(tmp_path: Path) -> None:
    async def scene() -> None:
        async with guard(tmp_path) as g:
            asyncio.get_running_loop().set_default_executor(NoThreads())
            await g.connected(1)
            g.pbx.invite(2, caller=FOREIGN)
            assert (await g.pbx.final(2)).status == 403
            await g.stop()
            assert g.store._closed
            assert sorted(c.record.call_id for c in g.log()) == ["call1", "call2"]

    run(scene)
