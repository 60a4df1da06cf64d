"""What the network's thread hands over to the writer's."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from guard.ledger.record import LostBody
from guard.model import CallAttempt, CallEnded, Decision

Done = Callable[[BaseException | None], None]


class Decided(Struct, kw_only=True):
    """A decision handed over, not yet on disk."""

    seq: int
    call: CallAttempt
    decision: Decision
    done: Done | None


class Ended(Struct, kw_only=True):
    """An end handed over; `call` is its decision's seq."""

    seq: int
    call: int
    ended: CallEnded
    done: Done | None = None


class Lost(Struct, kw_only=True):
    """A note of entries that could not be kept."""

    seq: int
    body: LostBody
    done: Done | None = None


class Mark(Struct, kw_only=True):
    """Nothing to write: asks to be told when all before it is on disk."""

    done: Done | None


class Erase(Struct, kw_only=True):
    """Asks that what these entries said be erased, and to be the note of it.

    `mark` is how far retention has come with it (0: says nothing); the keys of tokens of months before `forget` go.
    """

    seq: int
    seqs: tuple[int, ...]
    reason: Literal["retention", "request"]
    at: int
    mark: int = 0
    forget: str = ""
    done: Done | None = None


class Sign(Struct, kw_only=True):
    """Asks for a checkpoint over all before it, of which `seq` is the last."""

    seq: int
    at: int
    done: Done | None = None


class Errand(Struct, kw_only=True):
    """Something that is no entry of the log, to be written in the same transaction as its neighbours."""

    work: Callable[[sqlite3.Connection], None]
    done: Done | None = None


Chained = Decided | Ended | Lost | Erase  # becomes a link of the chain
Aside = Mark | Sign | Errand  # does not
Entry = Chained | Aside
