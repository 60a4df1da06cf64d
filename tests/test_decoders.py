"""What msgspec has to know of a struct is known before threads ask for it.

It finds out when it first decodes one, by Python code, and a thread that decodes the same meanwhile reads what is not
there yet: the process ends by SIGSEGV. So decoders are made when their module is read, and conversions wait in turn.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

GUARD: Final = Path(__file__).parent.parent / "guard"
# Commands have one thread; what many of the daemon's and of the web's threads use stands elsewhere.
MODULES: Final = [p for p in sorted(GUARD.rglob("*.py")) if p.parent != GUARD / "cli"]
READ: Final = """
import sys
from guard.store.bookentries import read
seen = []
sys.setprofile(lambda frame, event, _: seen.append(frame.f_code.co_name) if event == "call" else None)
read("incident", b'{"at":1,"written":1,"rule":"r","step":"open","subject":"s","trunk":"t"}')
read("passed-on", b'{"at":1,"written":1,"amount":2,"reason":"r"}')
read("erased", b'{"at":1,"reason":"request","spans":[[1,2]]}')
sys.setprofile(None)
print(*seen)
"""


def late(tree: ast.Module) -> Iterator[int]:
    """The lines where msgspec may first hear of a struct after its module was read, and no lock is held."""
    held = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.With) and any(ast.unparse(i.context_expr) == "_CONVERTING" for i in node.items)
        for inner in ast.walk(node)
    }
    inside = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or id(node) in held:
            continue
        what = node.func.attr
        typed = what == "decode" and any(k.arg == "type" for k in node.keywords)
        if typed or what == "convert" or (what == "Decoder" and id(node) in inside):
            yield node.lineno


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(GUARD)))
def test_no_struct_is_first_met_while_calls_are_carried(path: Path) -> None:
    assert list(late(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("x = msgspec.json.Decoder(A)", []),
        ("def f():\n    return msgspec.json.Decoder(A)", [2]),
        ("def f(b):\n    return msgspec.json.decode(b, type=A)", [2]),
        ("def f(b):\n    return msgspec.json.decode(b)", []),
        ("def f(b):\n    return b.decode('utf-8')", []),
        ("def f(b):\n    return msgspec.convert(b, A)", [2]),
        ("def f(b):\n    with _CONVERTING:\n        return msgspec.convert(b, A)", []),
    ],
)
def test_what_is_late(text: str, lines: list[int]) -> None:
    assert list(late(ast.parse(text))) == lines


def test_reading_the_books_finds_nothing_out() -> None:
    done = subprocess.run([sys.executable, "-c", READ], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["read"] * 3
