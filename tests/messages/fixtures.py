"""A broker that runs, and who listens to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.messages.broker import Broker, Listener


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker that runs."""
    found = Broker(tmp_path / "broker")
    found.start()
    yield found
    found.stop()


@pytest.fixture
def listener(broker: Broker) -> Iterator[Listener]:
    """Who hears all of it."""
    found = Listener(broker)
    yield found
    found.close()
