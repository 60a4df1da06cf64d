"""Who turns a core under test, as far as the keeper of its calls needs one."""

from __future__ import annotations

from collections.abc import Callable

from tests.proxy.world import World


class Turner:
    """A driver, as far as the keeper needs one."""

    def __init__(self, w: World) -> None:
        self.w = w
        self.faults: list[Exception] = []
        self.fault = self.faults.append

    def now(self) -> int:
        return self.w.now

    def turn(self, what: Callable[[int], None]) -> None:
        what(self.w.now)


def nothing(*_: object) -> None:
    pass
