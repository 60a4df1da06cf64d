"""Compile what calls go through with mypyc: `python scripts/compile.py FOLDER` makes a copy of the project there.

The copy stands for itself: run from it, `guard` and the tests use the compiled modules. Needs a C compiler and Python's
headers.

mypyc cannot compile classes that msgspec makes: it does not pass on what makes them frozen. A module that has some is
parted in the copy: `X_made.py` is all of it, as it was written and not compiled, and `X.py` takes those classes from
there. So both builds are made from one source.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
COPIED: Final = ("guard", "sim", "tests", "policies", "docs", "systemd", "scripts")
# Packages and modules that are compiled.
COMPILED: Final = (
    "guard/sip", "guard/proxy", "guard/detectors", "guard/rules", "guard/numbering/heads.py",
    "guard/numbering/number.py",
    "guard/numbering/overseas.py", "guard/numbering/plan.py", "guard/numbering/allotted.py", "guard/state/memory.py",
    "guard/state/tally.py", "guard/sources.py", "guard/prepared.py", "guard/ways.py", "guard/engine.py",
    "guard/desk.py", "guard/ladder.py", "guard/store/passing.py", "guard/store/sqlite.py",
    "guard/net/clock.py", "guard/net/driver.py", "guard/net/intake.py", "guard/net/udp.py", "guard/net/verdicts.py",
    "guard/capture/ip.py",
    "guard/capture/link.py", "guard/capture/messages.py", "guard/capture/records.py", "guard/capture/replay.py",
    "guard/capture/start.py", "guard/capture/streams.py", "guard/capture/tally.py",
    # of the capture not where a `finally` is to close a file that is let go
)  # fmt: skip
MADE: Final = "_made"
LEVEL: Final = "1"  # of gcc's optimisation: at 3 it takes a minute longer, and a decision as long
# What is done about errors stands apart from what is done without: a tenth less code for caches to hold. And calls
# within the library, which nobody replaces, go there straight.
FLAGS: Final = "-freorder-blocks -freorder-blocks-and-partition -fvisibility=hidden -fno-semantic-interposition"
COLD: Final = """
#include <Python.h>
void CPy_AddTraceback(const char *, const char *, int, PyObject *) __attribute__((cold));
void CPy_TypeErrorTraceback(
    const char *, const char *, int, PyObject *, const char *, PyObject *) __attribute__((cold));
static void CPy_DecRef(PyObject *) __attribute__((cold));
"""
# Run in the copy before it is compiled: the classes of each module that are msgspec's.
ASK: Final = """
import importlib, json, sys, msgspec
names = json.loads(sys.argv[1])
of = {n: vars(importlib.import_module(n)).values() for n in names}
own = {n: [c for c in v if isinstance(c, type) and c.__module__ == n] for n, v in of.items()}
print(json.dumps({n: [c.__name__ for c in v if issubclass(c, msgspec.Struct)] for n, v in own.items()}))
"""


def modules(root: Path = ROOT) -> list[str]:
    """The files to compile, relative to the project's root."""
    found: list[Path] = []
    for name in COMPILED:
        place = root / name
        found += sorted(place.glob("*.py")) if place.is_dir() else [place]
    return [str(p.relative_to(root)) for p in found if p.name != "__init__.py"]


def made(root: Path, files: list[str]) -> dict[str, list[str]]:
    """The classes, by file, that cannot be compiled."""
    names = {file.removesuffix(".py").replace("/", "."): file for file in files}
    words = [sys.executable, "-B", "-c", ASK, json.dumps(list(names))]
    told = subprocess.run(words, cwd=root, env=within(root), check=True, stdout=subprocess.PIPE)
    answer: dict[str, list[str]] = json.loads(told.stdout)
    return {names[name]: classes for name, classes in answer.items() if classes}


def part(root: Path, file: str, classes: list[str]) -> None:
    """Put these classes of a file into one beside it."""
    path = root / file
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines(keepends=True)
    beside = path.with_name(f"{path.stem}{MADE}.py")
    beside.write_text(source, encoding="utf-8")
    name = str(beside.relative_to(root).with_suffix("")).replace("/", ".")
    taken = f"from {name} import {', '.join(f'{c} as {c}' for c in classes)}\n"
    for node in reversed(ast.parse(source).body):
        if isinstance(node, ast.ClassDef) and node.name in classes:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            del lines[first - 1 : node.end_lineno]
        elif isinstance(node, ast.ImportFrom) and node.module == "__future__":
            lines.insert(node.end_lineno or node.lineno, taken)
    path.write_text("".join(lines), encoding="utf-8")


def within(root: Path) -> dict[str, str]:
    """The environment of a Python that uses the copy."""
    return {**os.environ, "PYTHONPATH": str(root)}


def main() -> int:
    """Copy, part and compile."""
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
    parted = made(target, names)
    for name, classes in parted.items():
        part(target, name, classes)
    print(f"{len(names)} modules, {len(parted)} of them parted", flush=True)
    code = (
        "from setuptools import setup; from mypyc.build import mypycify; "
        f"setup(name='sip-guard-compiled', packages=[], script_args=['-q', 'build_ext', '--inplace'], "
        f"ext_modules=mypycify(['--config-file', 'pyproject.toml', *{names!r}], opt_level='{LEVEL}'))"
    )
    cold = target / "build" / "cold.h"
    cold.parent.mkdir()
    cold.write_text(COLD, encoding="utf-8")
    env = within(target)
    env["CFLAGS"] = f"{env.get('CFLAGS', '')} {FLAGS} -include {cold}"
    return subprocess.run([sys.executable, "-c", code], cwd=target, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
