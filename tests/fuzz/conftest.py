"""The long runs are collected only by `make fuzz`, or when their path is given; the short ones always."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.explicit import asked_for

LONG: Final = frozenset({"test_sip_fuzz.py"})


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The long ones, unless they were asked for."""
    if collection_path.name not in LONG:
        return None
    return None if asked_for(config, Path(__file__).parent.resolve()) else True
