"""One web page for the tests that change nothing of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.web.rig import Served, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A web page with six calls in its log."""
    with serving(tmp_path_factory.mktemp("web")) as found:
        yield found
