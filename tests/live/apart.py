"""A network of its own for tests that need addresses which a machine does not have: IPv6 ones beside ::1.

The kernel makes it for one process and its children, and takes it down with them: nothing of the machine is changed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.live.world import need

ROOT: Final = Path(__file__).parents[2]
PATIENCE: Final = 150.0  # seconds for all tests of a file
GUARD6, IPBX6, OPERATOR6, SECOND6 = (f"fd00:5::{n}" for n in range(1, 5))  # RFC 4193
LO: Final = " && ".join(
    [
        "ip link set lo up",
        *(f"ip -6 addr add {a}/128 dev lo nodad" for a in (GUARD6, IPBX6, OPERATOR6, SECOND6)),
        'exec "$@"',
    ]
)


def apart(*words: str, patience: float = PATIENCE) -> subprocess.CompletedProcess[str]:
    """Run a program where the loopback interface has these addresses too. Without root the kernel must let users have
    namespaces, as Debian's does."""
    need("ip", "iproute2")
    mine = [] if os.geteuid() == 0 else ["--map-root-user"]
    return subprocess.run(
        ["unshare", "--net", *mine, "sh", "-c", LO, "apart", *words],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=patience,
        check=False,
    )


def run_apart(module: str, patience: float = PATIENCE) -> str:
    """Run a file of tests there: what pytest says at its end. Fails with all that it said."""
    done = apart(sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", f"tests/{module}", patience=patience)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]
