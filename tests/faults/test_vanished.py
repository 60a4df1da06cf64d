"""Peers that vanish from the network, without a word, and such as stop in the middle of a message."""

from __future__ import annotations

from tests.live.apart import run_apart


def test_calls_go_on_and_what_vanished_peers_held_is_given_back() -> None:
    """In a network of its own, from which an address can be taken away."""
    assert run_apart("faults/vanished.py").startswith("1 passed")
