"""Work in threads that nobody waits for at the end: a look-up in DNS, or a handshake, cannot be called off."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Aside(ThreadPoolExecutor):
    """For `set_default_executor` of a loop that has little such work: each piece has a thread of its own."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """See `ThreadPoolExecutor`."""
        future: Future[T] = Future()

        def work() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    result = fn(*args, **kwargs)
                except BaseException as error:  # noqa: BLE001 - it is whoever waits for the result that hears of it
                    future.set_exception(error)
                else:
                    future.set_result(result)

        threading.Thread(target=work, name="guard-aside", daemon=True).start()
        return future
