"""States that keep the same contract: in memory, and in a real Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis

from guard.state.contract import State
from guard.state.memory import MemoryState
from tests.state.kept import Kept, load
from tests.state.server import serving

LONG_AGO = -10_000_000  # µs of the timeline: a server that was just started is quiet for a second and a half

Make = Callable[[], State]


@pytest.fixture(scope="session")
def client() -> Iterator[redis.Redis]:
    """A Redis for this folder's tests."""
    with serving() as server, server.client() as client:
        load(client)
        yield client


@pytest.fixture(scope="session", params=["memory", "redis"])
def make(request: pytest.FixtureRequest) -> Make:
    """Makes a new state."""
    if request.param == "memory":
        return MemoryState
    client = request.getfixturevalue("client")

    def kept() -> State:
        state = Kept(client)
        state.hello(LONG_AGO)
        state.beat(0)
        return state

    return kept
