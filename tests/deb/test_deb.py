"""The Debian package, for real: built, installed, run, upgraded with an older log, removed and purged. Needs root and
Debian's own Python; `make deb-test` runs it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MIGRATIONS = "usr/lib/sip-guard/lib/python3.*/site-packages/guard/store"
LATER = "99.0-1"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, str(ROOT / "scripts/deb.py"), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def newer(package: Path, folder: Path) -> Path:
    """The same package as a later guard: one that knows a migration of the log more."""
    tree = folder / "tree"
    subprocess.run(["dpkg-deb", "-R", str(package), str(tree)], check=True)
    control = tree / "DEBIAN/control"
    lines = control.read_text().splitlines()
    control.write_text("\n".join(f"Version: {LATER}" if x.startswith("Version:") else x for x in lines) + "\n")
    (store,) = tree.glob(MIGRATIONS)
    with (store / "migrations.py").open("a") as source:
        source.write('MIGRATIONS += (("CREATE TABLE later(seq INTEGER PRIMARY KEY)",),)\n')
    for compiled in (store / "__pycache__").glob("migrations.*"):
        compiled.unlink()
    made = folder / "newer.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(made)], check=True)
    shutil.rmtree(tree)
    return made


def test_what_is_in_it(package: Path) -> None:
    listed = subprocess.run(["dpkg-deb", "-c", str(package)], capture_output=True, text=True, check=True).stdout
    names = {line.split()[5].removeprefix(".") for line in listed.splitlines()}
    for name in (
        "/usr/bin/guard",
        "/lib/systemd/system/sip-guard.service",
        "/lib/systemd/system/sip-guard-web.service",
        "/usr/lib/sysusers.d/sip-guard.conf",
        "/usr/lib/tmpfiles.d/sip-guard.conf",
        "/etc/guard/guard.toml",
        "/usr/share/doc/sip-guard/operations.md",
    ):
        assert name in names
    assert not any("/tests/" in n and "/guard/" in n for n in names)
    owners = {line.split()[1] for line in listed.splitlines()}
    assert owners == {"root/root"}


def test_it_is_compiled_for_the_python_that_it_depends_on(package: Path) -> None:
    """Of this machine's architecture, and of no other minor version of Python."""
    fields = subprocess.run(["dpkg-deb", "-f", str(package)], capture_output=True, text=True, check=True).stdout
    machine = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout
    assert f"\nArchitecture: {machine}" in fields
    minor = sys.version_info.minor
    assert f"python3 (>= 3.{minor}), python3 (<< 3.{minor + 1}), python3.{minor}, libc6 (>= 2." in fields
    listed = subprocess.run(["dpkg-deb", "-c", str(package)], capture_output=True, text=True, check=True).stdout
    assert re.search(rf"/guard/engine\.cpython-3{minor}-\S+\.so\n", listed)
    assert re.search(rf"/site-packages/\w+__mypyc\.cpython-3{minor}-\S+\.so\n", listed)


def test_an_interpreted_one_is_asked_for(tmp_path: Path) -> None:
    """Half the speed is nothing that a builder should get unawares."""
    command = [
        sys.executable,
        str(ROOT / "scripts/deb.py"),
        "--compiled",
        str(tmp_path),
        "--out",
        str(tmp_path / "dist"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("deb: no guard compiled for python3."), done.stderr
    assert "--interpreted" in done.stderr


def test_it_installs_runs_upgrades_and_leaves(package: Path, tmp_path: Path) -> None:
    assert os.geteuid() == 0, "dpkg installs as root: sudo make deb-test"
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    after = newer(package, tmp_path)
    inside = [sys.executable, str(ROOT / "tests/deb/inside.py"), str(package), str(after), str(scratch)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = ["unshare", "--mount", "--propagation", "private", *inside]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=170, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
