"""Collected only by `make systemd-test`, or when the path is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.explicit import asked_for


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Everything here, unless it was asked for."""
    return None if asked_for(config, Path(__file__).parent.resolve()) else True
