"""The counters of a guard and the desk that asks them: in this process, or in a server that several guards share."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from guard.app_parts import make
from guard.config import Config
from guard.configschema import FaultVerdict
from guard.desk import Desk
from guard.detectors.watch import Watch
from guard.engine import Engine
from guard.net.clock import Clock
from guard.shareddesk import SharedDesk
from guard.state.memory import MemoryState
from guard.state.shared import Shared
from guard.state.shuts import Shuts
from guard.store.errors import StoreError

if TYPE_CHECKING:
    from guard.net.redislink import RedisLink

NAME: Final = 6  # random bytes of a guard's name among those that share
MS: Final = 1_000  # µs
SECOND: Final = 1_000_000


class Counters(Struct, frozen=True):
    """What keeps them, who asks, and the way to the server (None: they are in this process, and so is who is shut
    off)."""

    state: MemoryState | Shared
    desk: Desk
    link: RedisLink | None = None
    shuts: Shuts | None = None  # who is shut off at any of the guards that share


def counters(
    config: Config,
    engine: Engine,
    watch: Watch,
    clock: Clock,
    told: Callable[[Exception], None],
    turn: Callable[[], None],
    life: str,
) -> Counters:
    """Those of a configuration. `turn` has the desk woken; `life` is of this start alone. Raises StoreError where this
    guard's name among those that share cannot be kept."""
    faults, written = config.file.faults, config.file.state
    if config.shared is None:
        memory = MemoryState()
        return Counters(memory, Desk(engine, memory, faults.state, watch, told))
    from guard.net.redislink import RedisLink  # with all of Redis: only where a server is named

    shared = Shared(
        config.site,
        name_of(config.store_path),
        life,
        share=written.share,
        deadline=written.deadline_ms * MS,
        decides=written.on_fault == "local",
    )
    desk = SharedDesk(engine, shared, fault_of(config), watch, told)
    link = RedisLink(config.shared, shared, written.lease_s * SECOND, clock, desk, turn)
    return Counters(shared, desk, link, shared.shuts)


def name_of(log: Path) -> str:
    """A guard's name among those that share: in a file beside its log (`-fleet` added to the name), made at the first
    start, since what it counted is known by it. Raises StoreError."""
    path = log.with_name(log.name + "-fleet")
    try:
        if not path.exists():
            make(path, secrets.token_hex(NAME).encode())
        name = path.read_text("ascii", "replace")
    except OSError as error:
        raise StoreError(f"{path}: this guard's name among those that share counters: {error.strerror}") from error
    if not re.fullmatch(r"[0-9a-f]{12}", name):
        raise StoreError(f"{path}: not a name of 12 hexadecimal digits; remove it for a new one")
    return name


def fault_of(config: Config) -> FaultVerdict:
    """What becomes of a call whose counters fail, and that nothing else decides."""
    on_fault = config.file.state.on_fault
    if config.shared is None or on_fault == "local":
        return config.file.faults.state
    return on_fault
