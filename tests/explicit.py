"""Folders whose tests run only when they are asked for by name: `make fuzz`, `make soak`."""

from __future__ import annotations

from pathlib import Path

import pytest


def asked_for(config: pytest.Config, folder: Path) -> bool:
    """Whether the command line names `folder`, or something in it."""
    where = config.invocation_params.dir
    paths = ((where / arg.partition("::")[0]).resolve() for arg in config.invocation_params.args)
    return any(path.is_relative_to(folder) for path in paths)
