"""Real peers over IPv6 on both legs."""

from __future__ import annotations

import pytest

from tests.live.apart import run_apart

pytestmark = pytest.mark.live


def test_real_peers_around_a_guard() -> None:
    """sipp from IPv6 to IPv6 over UDP and TCP, to IPv4 and back; and through a Kamailio over TLS."""
    assert run_apart("peers/ipv6.py").startswith("5 passed")
