"""Calls over IPv6 on both legs. A machine has one IPv6 address of its own (::1); the guard tells peers by theirs."""

from __future__ import annotations

import pytest

from tests.live.apart import run_apart

pytestmark = pytest.mark.live


def test_calls_over_every_pair_of_transports() -> None:
    """UDP, TCP, TLS on either side; test_transports.py has the pairs with IPv4."""
    assert run_apart("live/ipv6.py").startswith("9 passed")
