"""Fuzzes targets with atheris, in rounds; what was run is added up in counts.json, and told by docs/fuzzing.md.

    python -m tests.fuzz.run                     each target for 100 000 runs more
    python -m tests.fuzz.run --runs 10000000 --until framing   up to that many runs in all, of one target

Inputs worth keeping stay in `.fuzz/corpus/TARGET`, so that the next round goes on where the last one ended. A round
that finds something stops its target: the input is in `.fuzz/found`, to be pinned in tests/fuzz/found/TARGET.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from fcntl import LOCK_EX, flock
from hashlib import sha256
from pathlib import Path
from typing import Final
from unittest import mock

import msgspec
from msgspec import Struct

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent.parent
COUNTS: Final = HERE / "counts.json"
KEPT: Final = ROOT / ".fuzz"
ROUND: Final = 500_000  # runs of one process: counted as a whole, and lost as a whole when it is killed
USUAL: Final = 100_000  # runs of each target by `make fuzz`, when FUZZ_RUNS does not say otherwise
SLOW: Final = 20  # s; an input that takes longer is a finding
MEMORY: Final = 1024  # MiB; a process that takes more is a finding
_EXECUTED: Final = re.compile(r"stat::number_of_executed_units:\s+(\d+)")


class Count(Struct, kw_only=True):
    """What one target has behind it: runs, the seconds that they took, when the last round ended."""

    runs: int = 0
    seconds: float = 0.0
    last: str = ""


def counts() -> dict[str, Count]:
    """What was counted so far, by target."""
    return msgspec.json.decode(COUNTS.read_bytes(), type=dict[str, Count]) if COUNTS.exists() else {}


def add(name: str, runs: int, seconds: float) -> Count:
    """Add one round; several processes may do so at a time."""
    KEPT.mkdir(exist_ok=True)
    with (KEPT / "lock").open("w") as lock:
        flock(lock, LOCK_EX)
        known = counts()
        old = known.get(name, Count())
        today = datetime.now(UTC).date().isoformat()
        known[name] = Count(runs=old.runs + runs, seconds=round(old.seconds + seconds, 1), last=today)
        text = json.dumps(msgspec.to_builtins(known), indent=1, sort_keys=True)
        fresh = COUNTS.with_suffix(".new")
        fresh.write_text(text + "\n", encoding="utf-8")
        fresh.replace(COUNTS)
    return known[name]


def fuzz(name: str, runs: int) -> None:
    """In a process of its own: one round, which libFuzzer ends."""
    import atheris  # here, and before the target: what is imported within is instrumented

    from tests.fuzz import targets

    others = [m for m in modules() if not m.startswith(targets.GUIDED[name])]
    with atheris.instrument_imports(include=["guard"], exclude=others, enable_loader_override=False):
        target = targets.target(name)
    if "guard.tomlread" in sys.modules:  # looking for near words is difflib's work, and nine tenths of the time
        mock.patch("guard.tomlread.get_close_matches", new=nothing).start()
    corpus, found, words = KEPT / "corpus" / name, KEPT / "found", KEPT / f"{name}.dict"
    corpus.mkdir(parents=True, exist_ok=True)
    found.mkdir(exist_ok=True)
    for seed in target.seeds():
        (corpus / sha256(seed).hexdigest()[:32]).write_bytes(seed)
    octets = ("".join(f"\\x{octet:02x}" for octet in word) for word in target.words)
    words.write_text("".join(f'"{word}"\n' for word in octets), encoding="ascii")
    arguments = [
        f"-runs={runs}", f"-max_len={target.longest}", f"-dict={words}", f"-timeout={SLOW}", f"-rss_limit_mb={MEMORY}",
        f"-artifact_prefix={found}/{name}-", "-print_final_stats=1", "-reload=0", "-len_control=20", str(corpus),
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *arguments], target.check)
    atheris.Fuzz()


def nothing(*_: object, **__: object) -> list[str]:
    """In place of difflib's words that are near."""
    return []


def modules() -> list[str]:
    """Every module of the guard."""
    found = [p.relative_to(ROOT).with_suffix("").parts for p in (ROOT / "guard").rglob("*.py")]
    return [".".join(parts[:-1] if parts[-1] == "__init__" else parts) for parts in found]


def rounds(name: str, runs: int) -> bool:
    """So many runs more of one target; False where something was found."""
    left = runs
    while left > 0:
        begun = time.monotonic()
        here = min(left, ROUND)
        words = [sys.executable, "-m", "tests.fuzz.run", "--child", name, "--runs", str(here)]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)
        told = done.stdout + done.stderr
        executed = _EXECUTED.search(told)
        if done.returncode or executed is None:
            print(f"{name}: found something, or could not run; the input is in {KEPT / 'found'}\n{told[-6000:]}")
            return False
        count = add(name, int(executed.group(1)), time.monotonic() - begun)
        left -= here
        print(f"{name}: {count.runs} runs in all, {count.runs / max(count.seconds, 1):.0f} a second", flush=True)
    return True


def main() -> int:
    """The command."""
    from tests.fuzz.targets import NAMES

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__)
    parser.add_argument("target", nargs="*", choices=[*NAMES, []], help="targets; all where none is named")
    parser.add_argument("--runs", type=int, default=int(os.environ.get("FUZZ_RUNS", USUAL)), help="of each target")
    parser.add_argument("--until", action="store_true", help="stop at so many runs in all, not so many more")
    parser.add_argument("--child", choices=NAMES, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        fuzz(asked.child, asked.runs)
        return 0
    good = True
    for name in asked.target or NAMES:
        before = counts().get(name, Count()).runs if asked.until else 0
        good = rounds(name, asked.runs - before) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
