"""Both ends of the race: sipp as caller and as callee, calls of seven messages over UDP on loopback."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Final

from msgspec import Struct

from sim.flat.lines import caller_of
from sim.labelled.words import SimError
from sim.ports import free_port
from sim.site import GUARD, IPBX, OPERATOR

SCENARIOS: Final = Path(__file__).parent
BYTECODE: Final = Path(__file__).parents[2] / "build" / "bytecode"
LINES: Final = 20_000  # who calls, each with a number of his own: what a site of many lines has within minutes
CALLERS: Final = ("+331457",)  # the site's numbers begin so
DESTINATIONS: Final = ("+33199",)  # and these are called: numbers that books and films may use
GRACE: Final = 6.0  # seconds beyond their time for the last calls to end: three repetitions of an INVITE
START: Final = 5.0  # seconds until a side listens
ROOM: Final = ("-buff_size", "4194304")  # octets that a side's socket keeps: it is not its own loss that is counted
APART: Final = 0.9  # of the time from call to call, that calls placed evenly are apart at least: late ones catch up


class Ports(Struct, frozen=True):
    """Where proxy, caller and callee listen, each on its own address of loopback."""

    proxy: int
    caller: int
    callee: int

    @property
    def direct(self) -> bool:
        """Whether there is no proxy between the two."""
        return self.proxy == 0


class Went(Struct, frozen=True):
    """How the calls of one run went, and what the calling side took of its core (seconds)."""

    asked: int
    completed: int
    retransmitted: int
    seconds: float
    cpu: float


class Ends(Struct, frozen=True):
    """How they run: calls a second, how many, milliseconds from answer to BYE, and of how many lines that the guard
    knows by their numbers (0: of LINES others, each with a name)."""

    rate: float
    calls: int
    talk_ms: int = 0
    lines: int = 0


def ports(*, direct: bool = False) -> Ports:
    """Free ones, now."""
    return Ports(proxy=0 if direct else free_port(GUARD), caller=free_port(IPBX), callee=free_port(OPERATOR))


def people(path: Path, first: int, count: int, lines: int = 0) -> Path:
    """The file of who calls whom, for calls `first` and on: line, caller, callee. No callee twice in a million."""
    rows = [f"{_line(n, lines)};{DESTINATIONS[0]}{n * 7919 % 1_000_000:06d}" for n in range(first, first + count)]
    path.write_text("\n".join(["SEQUENTIAL", *rows, ""]), encoding="ascii")
    return path


def _line(call: int, lines: int) -> str:
    if lines:
        return f"{caller_of(call, lines)};{caller_of(call, lines)}"
    return f"2{call % LINES:05d};{CALLERS[0]}{call % LINES:05d}"


class Callee:
    """The answering side. It is there until it is stopped."""

    def __init__(self, folder: Path, where: Ports, core: int) -> None:
        words = [*pinned(core), "sipp", "-sf", str(SCENARIOS / "callee.xml"), "-i", OPERATOR, "-p", str(where.callee)]
        words += ["-t", "u1", *ROOM, "-nostdin", "-trace_err", "-error_file", str(folder / "callee.err")]
        self.process = start(words, folder, "callee")
        try:
            listening(OPERATOR, where.callee, self.process)
        except SimError:
            self.stop()
            raise

    def stop(self) -> None:
        stop(self.process)


def call(folder: Path, where: Ports, core: int, ends: Ends, first: int, even: str = "") -> Went:
    """Place the calls, and wait for all of them. `even`: the library of `evenly`."""
    caller = Caller(folder, where, core, ends, first, even)
    return caller.wait()


def evenly(folder: Path) -> str:
    """A library that makes sipp place its calls one by one, made by the C compiler; empty where there is none."""
    made = folder / "evenly.so"
    words = ["cc", "-O2", "-shared", "-fPIC", "-o", str(made), str(SCENARIOS / "evenly.c"), "-ldl", "-lpthread"]
    try:
        done = subprocess.run(words, capture_output=True, check=False)
    except FileNotFoundError:
        return ""
    return str(made) if done.returncode == 0 else ""


class Caller:
    """The calling side."""

    def __init__(self, folder: Path, where: Ports, core: int, ends: Ends, first: int, even: str = "") -> None:
        self._folder, self._ends = folder, ends
        self._stats = folder / "caller.csv"
        self._stats.unlink(missing_ok=True)
        limit = ends.calls / ends.rate + ends.talk_ms / 1000 + GRACE
        target = f"{OPERATOR}:{where.callee}" if where.direct else f"{GUARD}:{where.proxy}"
        apart = int(APART / ends.rate * 1_000_000)
        preload = ["env", f"LD_PRELOAD={even}", f"EVENLY_US={apart}"] if even else []
        words = [*pinned(core), *preload, "sipp", target, "-sf", str(SCENARIOS / "caller.xml"), "-i", IPBX]
        who = people(folder / "people.csv", first, ends.calls, ends.lines)
        words += ["-p", str(where.caller), "-t", "u1", *ROOM, "-inf", str(who)]
        words += ["-r", f"{ends.rate:g}", "-m", str(ends.calls), "-l", str(ends.calls), "-d", str(ends.talk_ms)]
        words += ["-nostdin", "-trace_stat", "-stf", str(self._stats), "-fd", "1"]
        words += ["-trace_err", "-error_file", str(folder / "caller.err")]
        words += ["-timeout", f"{limit:.0f}s", "-timeout_error"]
        self._limit, self._begun = limit, time.monotonic()
        self._cpu = sides()
        self.process = start(words, folder, "caller")

    def wait(self) -> Went:
        """Until it has ended by itself."""
        try:
            self.process.wait(self._limit + GRACE)
        except subprocess.TimeoutExpired:
            stop(self.process)
        took = time.monotonic() - self._begun
        last = self.last()
        return Went(
            asked=self._ends.calls,
            completed=int(last["SuccessfulCall(C)"]),
            retransmitted=int(last["Retransmissions(C)"]),
            seconds=took,
            cpu=sides() - self._cpu,
        )

    def last(self) -> dict[str, str]:
        """What it has said last, each second: "TotalCallCreated", "CurrentCall", "FailedCall(C)" and others."""
        with self._stats.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter=";"))
        if not rows:
            raise SimError(f"sipp placed no calls: {said(self._folder, 'caller')}")
        return rows[-1]

    def stop(self) -> None:
        stop(self.process)


def sides() -> float:
    """Seconds of processor time of our children that have ended."""
    usage = getrusage(RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def pinned(core: int) -> list[str]:
    """What keeps the program that follows on one core, with all that it starts."""
    return ["taskset", "-c", str(core)]


def start(words: Sequence[str], folder: Path, name: str, home: Path | None = None) -> subprocess.Popen[bytes]:
    """A program whose words go to NAME.log. With `home` it runs there, and takes its Python modules from there."""
    env = environment(home) if home is not None else None
    with (folder / f"{name}.log").open("ab") as file:
        return subprocess.Popen(
            words,
            cwd=home or folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def environment(home: Path) -> dict[str, str]:
    """For Python that takes its modules from `home`, with their byte code kept, as `pip install` leaves them: without,
    a start is mostly spent on compiling source."""
    ours = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    places = os.pathsep.join((str(home), sysconfig.get_path("purelib")))
    return ours | {"PYTHONPATH": places, "PYTHONPYCACHEPREFIX": str(BYTECODE)}


def interpreter(home: Path) -> str:
    """Which Python runs the guard in `home`: a compiled one that which its package depends on (scripts/deb.py), where
    the system has it; any other ours."""
    packaged = f"/usr/bin/python3.{sys.version_info.minor}"
    return packaged if any(home.glob("*__mypyc*.so")) and os.access(packaged, os.X_OK) else sys.executable


def stop(process: subprocess.Popen[bytes], patience: float = 10.0) -> None:
    """SIGTERM, then SIGKILL."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def said(folder: Path, name: str) -> str:
    """The end of what a program said."""
    texts = [p.read_text("utf-8", "replace")[-1500:] for p in sorted(folder.glob(f"{name}.*")) if p.suffix != ".csv"]
    return "\n".join(texts)


def listening(host: str, port: int, process: subprocess.Popen[bytes]) -> None:
    """Return once the kernel has a UDP socket there."""
    octets = "".join(f"{int(o):02X}" for o in reversed(host.split(".")))
    until = time.monotonic() + START
    while f" {octets}:{port:04X} " not in Path("/proc/net/udp").read_text(encoding="ascii"):
        if process.poll() is not None or time.monotonic() > until:
            raise SimError(f"nobody listens on {host}:{port}")
        time.sleep(0.01)
