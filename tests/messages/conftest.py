"""A broker that runs, and who listens to it."""

from __future__ import annotations

from tests.messages.fixtures import broker, listener

__all__ = ["broker", "listener"]
