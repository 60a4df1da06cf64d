"""IPv6 on both legs, each peer at an address of its own: run by test_ipv6.py in a network that has them (apart.py)."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from tests.live import test_transports as transports
from tests.live.apart import GUARD6, IPBX6, OPERATOR6

pytestmark = pytest.mark.live


@pytest.fixture(autouse=True)
def addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(transports.HOSTS, "6", (GUARD6, IPBX6, OPERATOR6))


@pytest.mark.parametrize(("near", "far"), list(product(transports.WAYS, transports.WAYS)))
def test_a_call_over_every_pair(tmp_path: Path, near: str, far: str) -> None:
    """The other three pairs of families need no network of their own."""
    transports.test_a_call_over_every_pair(tmp_path, near, far, "66")
