"""Fuzzes targets with atheris, in rounds; what was run is added up.

    python -m tests.fuzz.run                     each target for 100 000 runs more
    python -m tests.fuzz.run --runs 10000000 --until framing   up to that many runs in all, of one target
    python -m tests.fuzz.run --keep              add what this machine ran to the table of docs/fuzzing.md

Inputs worth keeping stay in `.fuzz/corpus/TARGET`, so that the next round goes on where the last one ended. A round
that finds something stops its target: the input is in `.fuzz/found`, to be pinned in tests/fuzz/found/TARGET.

A tenth of each round is guided: the target's modules tell their branches, and what takes a new one is kept. That takes
two thirds of a run's time, so that the others do without: they change and join what is kept, and are held to the same.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
KEPT: Final = ROOT / ".fuzz"
RUN: Final = KEPT / "counts.json"  # what this machine ran and docs/fuzzing.md does not tell yet
TOLD: Final = HERE / "counts.json"  # what it tells
ROUND: Final = 500_000  # runs of two processes: each is counted as a whole, and lost as a whole when it is killed
GUIDED: Final = 10  # one of so many runs is
USUAL: Final = 100_000  # runs of each target by `make fuzz`, when FUZZ_RUNS does not say otherwise
SLOW: Final = 20  # s; an input that takes longer is a finding
MEMORY: Final = 1024  # MiB; a process that takes more is a finding
PAGE: Final = ROOT / "docs" / "fuzzing.md"
BEGIN: Final = "<!-- table: python -m tests.fuzz.run --keep -->"
END: Final = "<!-- end of the table -->"
_EXECUTED: Final = re.compile(r"stat::number_of_executed_units:\s+(\d+)")


class Count(Struct, kw_only=True):
    """What one target has behind it: runs, those of them that were guided by branches, how many of the others went into
    a second of processor time in the last round, when that was."""

    runs: int = 0
    guided: int = 0
    speed: int = 0
    last: str = ""


def counts(path: Path) -> dict[str, Count]:
    """What a file has counted, by target."""
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Count]) if path.exists() else {}


def total(name: str) -> Count:
    """All that is known of a target."""
    return plus(counts(TOLD).get(name, Count()), counts(RUN).get(name, Count()))


def plus(one: Count, other: Count) -> Count:
    """Both together; the second is the later one."""
    return Count(
        runs=one.runs + other.runs,
        guided=one.guided + other.guided,
        speed=other.speed or one.speed,
        last=max(one.last, other.last),
    )


@contextmanager
def locked() -> Iterator[None]:
    """Several processes may count at a time."""
    KEPT.mkdir(exist_ok=True)
    with (KEPT / "lock").open("w") as lock:
        flock(lock, LOCK_EX)
        yield


def write(path: Path, known: dict[str, Count]) -> None:
    """Replace a file of counts."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(msgspec.to_builtins(known), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    fresh.replace(path)


def add(name: str, runs: int, *, guided: int = 0, speed: int = 0) -> None:
    """Add one round."""
    with locked():
        known = counts(RUN)
        fresh = Count(runs=runs, guided=guided, speed=speed, last=datetime.now(UTC).date().isoformat())
        known[name] = plus(known.get(name, Count()), fresh)
        write(RUN, known)


def keep() -> None:
    """What was run goes into the table."""
    with locked():
        known, fresh = counts(TOLD), counts(RUN)
        for name, count in fresh.items():
            known[name] = plus(known.get(name, Count()), count)
        write(TOLD, known)
        write(RUN, {})
        told(known)


def fuzz(name: str, runs: int, *, guided: bool) -> None:
    """In a process of its own: one round, which libFuzzer ends."""
    import atheris  # here, and before the target: what is imported within is instrumented

    from tests.fuzz import targets

    others = [m for m in modules() if not (guided and m.startswith(targets.GUIDED[name]))]
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
    gc.freeze()
    atheris.Setup([sys.argv[0], *arguments], target.check if guided else told_apart(target.check, corpus))
    atheris.Fuzz()


def told_apart(check: Callable[[bytes], None], corpus: Path) -> Callable[[bytes], None]:
    """The check without branches that guide: each input of the corpus, which is what libFuzzer runs first, takes one of
    its own, since it would drop those that it cannot tell apart."""
    import atheris

    own = iter([atheris._reserve_counter() for _ in (corpus, *corpus.iterdir())])  # and the empty one, the first

    def checked(data: bytes) -> None:
        for branch in own:
            atheris._trace_branch(branch)
            break
        check(data)

    return checked


def told(known: dict[str, Count]) -> None:
    """Write the table of the document."""
    text = PAGE.read_text("utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(f"{head}{BEGIN}\n{table(known)}{END}{tail}", encoding="utf-8")


def table(known: dict[str, Count]) -> str:
    """A row a target: its invariant, what it has behind it, and how many inputs were found by it."""
    from tests.fuzz.targets import NAMES, target

    rows = ["| target | invariant | runs | guided | a second | last | found |\n", "|---|---|---:|---:|---:|---|---:|\n"]
    for name in NAMES:
        count = known.get(name, Count())
        runs, guided, speed = (f"{n:,}".replace(",", " ") for n in (count.runs, count.guided, count.speed))
        found = len(list((HERE / "found" / name).glob("*")))
        told = f"{runs} | {guided} | {speed if count.speed else '–'} | {count.last or '–'} | {found}"
        rows.append(f"| `{name}` | {target(name).invariant} | {told} |\n")
    return "".join(rows)


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
        here = min(left, ROUND)
        guided = -(-here // GUIDED)
        if not part(name, guided, guided=True) or (here > guided and not part(name, here - guided, guided=False)):
            return False
        left -= here
        count = total(name)
        print(f"{name}: {count.runs} runs in all, {count.speed} in a second of processor time", flush=True)
    return True


def part(name: str, runs: int, *, guided: bool) -> bool:
    """One process; False where it found something."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    words = [sys.executable, "-m", "tests.fuzz.run", "--child", name, "--runs", str(runs)]
    words += ["--guided"] if guided else []
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = done.stdout + done.stderr
    executed = _EXECUTED.search(told)
    if done.returncode or executed is None:
        print(f"{name}: found something, or could not run; the input is in {KEPT / 'found'}\n{told[-6000:]}")
        return False
    ran = int(executed.group(1))
    took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if guided:
        add(name, ran, guided=ran)
    else:
        add(name, ran, speed=round(ran / max(took, 0.01)))
    return True


def main() -> int:
    """The command."""
    from tests.fuzz.targets import NAMES

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__)
    parser.add_argument("target", nargs="*", choices=[*NAMES, []], help="targets; all where none is named")
    parser.add_argument("--runs", type=int, default=int(os.environ.get("FUZZ_RUNS", USUAL)), help="of each target")
    parser.add_argument("--until", action="store_true", help="stop at so many runs in all, not so many more")
    parser.add_argument("--keep", action="store_true", help="only tell in docs/fuzzing.md what was run")
    parser.add_argument("--child", choices=NAMES, help=argparse.SUPPRESS)
    parser.add_argument("--guided", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        fuzz(asked.child, asked.runs, guided=asked.guided)
        return 0
    if asked.keep:
        keep()
        return 0
    good = True
    for name in asked.target or NAMES:
        before = total(name).runs if asked.until else 0
        good = rounds(name, asked.runs - before) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
