"""Peers that vanish from the network, without a word, and such as stop in the middle of a message."""

from __future__ import annotations

from typing import Final

from tests.live.apart import run_apart

PATIENCE: Final = 175.0  # s: the kernel takes 90 to notice the last of them


def test_calls_go_on_and_what_vanished_peers_held_is_given_back() -> None:
    """In a network of its own, from which an address can be taken away."""
    assert run_apart("faults/vanished.py", PATIENCE).startswith("1 passed")
