"""Compile the pure packages with mypyc: `python scripts/compile.py FOLDER` makes a copy of the project there, compiled.

What is compiled is what each message and each call goes through; the classes that msgspec makes stay as they are, since
mypyc does not pass on what makes them frozen. The copy stands for itself: run from it, `guard` and the tests use the
compiled modules. Needs a C compiler and Python's headers.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
COPIED: Final = ("guard", "sim", "tests", "policies", "docs", "systemd", "scripts")
# Packages and modules that are compiled, as far as no class of theirs is msgspec's.
COMPILED: Final = (
    "guard/sip", "guard/proxy", "guard/detectors", "guard/state/memory.py", "guard/engine.py", "guard/desk.py",
)  # fmt: skip
MADE: Final = ("(Struct",)  # in a module that stays as it is


def modules(root: Path = ROOT) -> list[str]:
    """The files to compile, relative to the project's root."""
    found: list[Path] = []
    for name in COMPILED:
        place = root / name
        found += sorted(place.glob("*.py")) if place.is_dir() else [place]
    return [
        str(p.relative_to(root))
        for p in found
        if p.name != "__init__.py" and not any(made in p.read_text(encoding="utf-8") for made in MADE)
    ]


def main() -> int:
    """Copy and compile."""
    if len(sys.argv) != 2:
        print("usage: python scripts/compile.py FOLDER", file=sys.stderr)
        return 2
    target = Path(sys.argv[1]).resolve()
    if target.exists():
        shutil.rmtree(target)
    target.mkdir(parents=True)
    for name in COPIED:
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for file in ROOT.glob("*.*"):
        if file.is_file():
            shutil.copy2(file, target)
    names = modules(target)
    print(f"{len(names)} modules", flush=True)
    code = (
        "from setuptools import setup; from mypyc.build import mypycify; "
        f"setup(name='sip-guard-compiled', packages=[], script_args=['-q', 'build_ext', '--inplace'], "
        f"ext_modules=mypycify(['--config-file', 'pyproject.toml', *{names!r}], opt_level='3'))"
    )
    env = {**os.environ, "PYTHONPATH": str(target)}
    return subprocess.run([sys.executable, "-c", code], cwd=target, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
