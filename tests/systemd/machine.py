"""`python -m tests.systemd.machine COMMAND...`: a command on a machine whose PID 1 is systemd, gone when it ends.

The machine has its own processes, network, control groups and mounts, and sees a copy of this one's files that is
kept in memory: what is installed on it is installed nowhere else, and its systemd starts none of our services. Needs
root, and a kernel with overlayfs and cgroup v2.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

SYSTEMD: Final = "/lib/systemd/systemd"
PATIENCE: Final = 60.0  # s until it has come up
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEVICES: Final = ("null", "zero", "full", "random", "urandom", "tty")
# What changes the kernel, which is not the machine's own; and what nobody has asked for.
MASKED: Final = (
    "systemd-sysctl.service", "systemd-modules-load.service", "modprobe@.service", "systemd-remount-fs.service",
    "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-kernel-config.mount", "sys-fs-fuse-connections.mount",
    "dev-hugepages.mount", "proc-sys-fs-binfmt_misc.automount",
)  # fmt: skip


class MachineError(Exception):
    """There is no such machine here, and why."""


def mount(kind: str, where: Path, options: str = "") -> None:
    """A file system of its own."""
    subprocess.run(["mount", "-t", kind, *(["-o", options] if options else []), kind, str(where)], check=True)


def bind(what: Path, where: Path, *, read_only: bool = False) -> None:
    """The same files once more."""
    subprocess.run(["mount", "--bind", str(what), str(where)], check=True)
    if read_only:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(where)], check=True)


def elsewhere() -> Iterator[Path]:
    """Folders that the tests need, and that are not on the root's file system."""
    project = Path(__file__).resolve().parents[2]
    for folder in {project, Path(sys.prefix), Path(sys.base_prefix)}:
        if folder.stat().st_dev != Path("/").stat().st_dev:
            yield folder


def become(scratch: Path) -> None:
    """Inside the new namespaces: lay the machine's files out below `scratch`, and be its systemd. Does not return."""
    mount("tmpfs", scratch)
    root, upper, work = (scratch / name for name in ("root", "upper", "work"))
    for folder in (root, upper, work):
        folder.mkdir()
    mount("overlay", root, f"lowerdir=/,upperdir={upper},workdir={work}")
    mount("proc", root / "proc")
    bind(root / "proc/sys", root / "proc/sys", read_only=True)
    mount("sysfs", root / "sys", "ro")
    mount("cgroup2", root / "sys/fs/cgroup")
    for name, mode in (("run", "755"), ("tmp", "1777"), ("dev", "755")):
        mount("tmpfs", root / name, f"mode={mode}")
    for name in DEVICES:
        (root / "dev" / name).touch()
        bind(Path("/dev", name), root / "dev" / name)
    for name, kind, options in (("pts", "devpts", "newinstance,ptmxmode=0666"), ("shm", "tmpfs", "mode=1777")):
        (root / "dev" / name).mkdir()
        mount(kind, root / "dev" / name, options)
    for name, target in (("fd", "/proc/self/fd"), ("ptmx", "pts/ptmx")):
        (root / "dev" / name).symlink_to(target)
    units = root / "run/systemd/system"
    units.mkdir(parents=True)
    for name in MASKED:
        (units / name).symlink_to("/dev/null")
    for folder in elsewhere():
        inside = root / folder.relative_to("/")
        inside.mkdir(parents=True, exist_ok=True)
        bind(folder, inside, read_only=True)
    (root / "old").mkdir()
    os.chdir(root)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["pivot_root", ".", "old"], check=True)
    subprocess.run(["umount", "--lazy", "/old"], check=True)
    os.execve(SYSTEMD, [SYSTEMD, "--system", "--unit=basic.target"], {"container": "sip-guard", "PATH": PATH})


def control_group() -> Path:
    """A new group of cgroup v2 below our own, for the machine's systemd to divide."""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text("ascii").splitlines()]
    top = next((Path(words[4]) for words in mounts if words[words.index("-") + 1] == "cgroup2"), None)
    lines = Path("/proc/self/cgroup").read_text("utf-8").splitlines()
    ours = next((line.removeprefix("0::/") for line in lines if line.startswith("0::")), None)
    if top is None or ours is None:
        raise MachineError("no cgroup v2 is mounted")
    made = top / ours / f"sip-guard-systemd-{os.getpid()}"
    made.mkdir()
    return made


def remove(group: Path) -> None:
    """A group with all below it, once nothing runs in it."""
    for folder, _, _ in os.walk(group, topdown=False):
        os.rmdir(folder)


def enter(pid: int) -> list[str]:
    """What is put before a command to run it there."""
    spaces = ("--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup", "--root", "--wd=/")
    return ["nsenter", "--target", str(pid), *spaces]


def first_of(process: subprocess.Popen[bytes]) -> int:
    """The machine's PID 1, as this machine counts; it has come up."""
    end = time.monotonic() + PATIENCE
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    said = ""
    while time.monotonic() < end:
        if process.poll() is not None:
            raise MachineError(f"it ended with status {process.returncode}: what is missing stands above")
        found = children.read_text("ascii").split()
        if found and Path(f"/proc/{found[0]}/comm").read_text("utf-8") == "systemd\n":
            asked = [*enter(int(found[0])), "systemctl", "is-system-running"]
            done = subprocess.run(asked, capture_output=True, text=True, check=False)
            said = (done.stdout or done.stderr).strip()
            if said in {"running", "degraded"}:
                return int(found[0])
        time.sleep(0.1)
    raise MachineError(f"it has not come up in {PATIENCE:.0f} s: {said or 'no systemd'}")


@contextmanager
def machine() -> Iterator[list[str]]:
    """One that runs; what is put before a command to run it there."""
    if os.geteuid() != 0:
        raise MachineError("only root can make one: sudo make systemd-test")
    group = control_group()
    try:
        with tempfile.TemporaryDirectory(prefix="sip-guard-systemd") as scratch:
            spaces = ("--mount", "--pid", "--fork", "--uts", "--ipc", "--net", "--cgroup")
            process = subprocess.Popen(
                ["sh", "-c", f'echo $$ >"{group}/cgroup.procs" && exec "$@"', "sh",
                 "setpriv", "--pdeathsig", "KILL", "unshare", *spaces, "--propagation", "private", "--kill-child",
                 sys.executable, "-m", "tests.systemd.machine", "--become", scratch],
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                yield enter(first_of(process))
            finally:
                process.kill()  # and all that runs there dies with its PID 1
                process.wait()
    finally:
        until = time.monotonic() + PATIENCE
        while "populated 1" in (group / "cgroup.events").read_text("ascii") and time.monotonic() < until:
            time.sleep(0.1)
        remove(group)


def main() -> int:
    """The command's status; 1 where there is no machine for it."""
    match sys.argv[1:]:
        case ["--become", scratch]:
            become(Path(scratch))
            return 1
        case [_, *_] as command:
            try:
                with machine() as there:
                    here = ["env", f"--chdir={Path.cwd()}", *command]
                    return subprocess.run([*there, *here], check=False).returncode
            except MachineError as error:
                print(f"no machine for systemd: {error}", file=sys.stderr)
                return 1
        case _:
            print("usage: python -m tests.systemd.machine COMMAND...", file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main())
