"""Real peers over IPv6 on both legs."""

from __future__ import annotations

import pytest

from tests.live.apart import run_apart

pytestmark = pytest.mark.live


def test_sipp_on_both_sides_of_a_guard() -> None:
    """From IPv6 to IPv6, to IPv4 and back, over UDP and TCP."""
    assert run_apart("peers/ipv6.py").startswith("6 passed")
