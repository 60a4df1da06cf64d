"""What becomes of messages when more come than can be served: an order, a bound, and a quick answer for the rest.

As long as the sockets are emptied, messages go straight to the core. Once a whole batch was read and more is there,
they are only read and sorted (some 5 µs each), and served in slices of the loop's time:

- emergency calls, and whatever is said in them, at once: as they are read, before anything that came earlier;
- then whatever belongs to calls that are under way, and is worth the work that was already spent on them;
- new calls in the order in which they came. Where more than `FEW` wait, one that has waited `PATIENCE` is answered from
  a few of its lines, with the status of `[drain] answer`, so that its IPBX takes another way before it repeats itself
  (T1, RFC 3261 17.1.1.2). Where the guard was only held up, the few that came meanwhile are served.
  What waited for a guard that was started again is served however late (`catch_up`);
- what acknowledges such an answer, which left nothing behind, is counted and let go;
- strangers when nobody else waits. Who waited too long is dropped unread.

Each kind has room for so many. What is beyond that is dropped, the oldest new call first: its IPBX sends it again.
Messages of a stream come once only: when there is no room they are served at once, and TCP slows their sender down.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from guard.proxy.effects import Flow
from guard.proxy.triage import Lot

PATIENCE: Final = 250_000  # µs that a new call waits before it is answered: half of T1, so that it is not sent again
FEW: Final = (
    32  # new calls that are no queue: served in some 30 ms, they rather wait, as where others hold the processor
)
LONGEST: Final = 1_000_000  # µs that one of these waits
CATCHING_UP: Final = 5_000_000  # µs of a guard's life: its callers repeat themselves three times meanwhile
SLICE: Final = 5_000  # µs of serving before sockets, timers and commits get their turn
MAX_GOING: Final = 8_192  # messages: half a second's work, some 8 MB
MAX_NEW: Final = 2_048  # calls
MAX_STRANGERS: Final = 512  # messages

COUNTERS: Final = ("overloads", "intake_dropped", "intake_strangers", "intake_over")

Waiting = deque[tuple[bytes, Flow, int]]  # each with the instant at which it was read


class Core(Protocol):
    """What tells messages apart, and refuses calls."""

    def lot(self, data: bytes, flow: Flow) -> Lot:
        """What a message is."""

    def shed(self, status: int) -> None:
        """From now on new calls are answered so; 0: they are not."""


class Intake:
    """Stands between sockets and core while `busy`. `serve` takes one message; `soon` calls back in the loop's next
    turn. `counters` is shared with the driver; `told` hears, once it is over, how many calls were refused by the core
    (`refused` is how many it has refused so far) and for how long, µs. `status` is what they are answered.
    """

    def __init__(
        self,
        core: Core,
        serve: Callable[[bytes, Flow], None],
        now: Callable[[], int],
        soon: Callable[[Callable[[], None]], object],
        counters: dict[str, int],
        refused: Callable[[], int],
        told: Callable[[int, int], None],
    ) -> None:
        self.busy = False
        self.status = 480
        self._core, self._serve, self._now, self._soon = core, serve, now, soon
        self._counters, self._refused, self._told = counters, refused, told
        self._going: Waiting = deque()
        self._new: Waiting = deque()
        self._strangers: Waiting = deque()
        self._began = (0, 0)  # when it became busy, and how many were refused by then
        self._lenient_until = 0
        self._stopped = False

    def __len__(self) -> int:
        return len(self._going) + len(self._new) + len(self._strangers)

    def catch_up(self) -> None:
        """What comes first waited for us, not we for it: no call is refused for that."""
        self._lenient_until = self._now() + CATCHING_UP

    def crowded(self) -> None:
        """There is more to read than a batch."""
        if not self.busy and not self._stopped:
            self.busy = True
            self._began = self._now(), self._refused()
            self._soon(self._work)

    def stop(self) -> None:
        """Nothing that waits is served any more."""
        self._stopped, self.busy = True, False
        for waiting in (self._going, self._new, self._strangers):
            waiting.clear()

    def put(self, data: bytes, flow: Flow) -> bool:
        """Sort one message in. False: it was served, for it cannot wait."""
        now = self._now()
        lot = self._core.lot(data, flow)
        if lot == "urgent":
            self._serve(data, flow)
            return False
        if lot == "over":
            self._counters["intake_over"] += 1
            return True
        if lot == "going":
            waiting, most = self._going, MAX_GOING
        elif lot == "new":
            waiting, most = self._new, MAX_NEW
        else:
            waiting, most = self._strangers, MAX_STRANGERS
        if len(waiting) < most:
            waiting.append((data, flow, now))
        elif flow.transport != "udp":
            self._serve(data, flow)
            return False
        else:
            self._counters["intake_dropped"] += 1
            if lot == "new":
                waiting.popleft()
                waiting.append((data, flow, now))
        return True

    # ---- a slice of the loop's time --------------------------------------------------------------------------------

    def _work(self) -> None:
        if self._stopped:
            return
        if not len(self):  # nor did the sockets have anything since the last slice
            self._rest()
            return
        self._soon(self._work)  # also where a message raises
        self._slice(self._now() + SLICE)

    def _slice(self, until: int) -> None:
        while (now := self._now()) < until:
            shed = self._overdue(now)
            if self._going:
                data, flow, _ = self._going.popleft()
            elif self._new:
                data, flow, _ = self._new.popleft()
            elif self._strangers:
                data, flow, since = self._strangers.popleft()
                if now - since > PATIENCE:
                    self._counters["intake_strangers"] += 1
                    continue
            elif shed:
                continue
            else:
                return
            self._serve(data, flow)

    def _overdue(self, now: int) -> bool:
        """Let the core answer the first new call if it has waited too long."""
        if not self._new or now < self._lenient_until:
            return False
        if now - self._new[0][2] <= (PATIENCE if len(self._new) > FEW else LONGEST):
            return False
        data, flow, _ = self._new.popleft()
        self._core.shed(self.status)
        try:
            self._serve(data, flow)
        finally:
            self._core.shed(0)
        return True

    def _rest(self) -> None:
        """All is served: messages go straight to the core again."""
        self.busy = False
        since, before = self._began
        refused = self._refused() - before
        if refused:
            self._counters["overloads"] += 1
            self._told(refused, self._now() - since)
