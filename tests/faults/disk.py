"""A disk of its own for a guard: an ext4 file system in a file, mounted where only that guard sees it.

It turns read-only as disks do in life: the file system found an error (`errors=remount-ro`, as Debian mounts its root).
`mount -o remount,ro` is no way: the kernel refuses it while a guard has its log open. Needs root and a loop device.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from sim.daemon import Daemon
from tests.live.world import need

SIZE: Final = 32 << 20  # octets
MOUNT: Final = 'mount -o errors=remount-ro "$1" "$2" && shift 2 && exec "$@"'  # device, folder, command


class Disk:
    """The file system; `folder` is where those see it that have it mounted."""

    def __init__(self, device: str, folder: Path) -> None:
        self.device = device
        self.folder = folder

    @property
    def _inside(self) -> tuple[str, ...]:
        """What stands before a command that is to have it mounted, as long as it runs."""
        private = ("unshare", "--mount", "--propagation", "private")
        return (*private, "sh", "-c", MOUNT, "sh", self.device, str(self.folder))

    def run(self, *words: str) -> str:
        """What a command of guard says that has it mounted. Its status must be 0."""
        done = subprocess.run(
            [*self._inside, sys.executable, "-m", "guard.cli.main", *words],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def begin(self, config: Path) -> Daemon:
        """A guard on it."""
        return Daemon(config, before=self._inside)

    def fail(self) -> None:
        """Have it find an error of its own: from now on it is read-only for everybody."""
        trigger = Path("/sys/fs/ext4") / Path(self.device).name / "trigger_fs_error"
        trigger.write_text("1", encoding="ascii")

    @contextmanager
    def hung(self, pid: int) -> Iterator[None]:
        """Whoever writes to it waits, as long as this lasts; `pid` is of a process that has it mounted."""
        seen = f"/proc/{pid}/root{self.folder}"
        subprocess.run(["fsfreeze", "--freeze", seen], check=True)
        try:
            yield
        finally:
            subprocess.run(["fsfreeze", "--unfreeze", seen], check=True)

    def check(self) -> None:
        """Repair it, mounted nowhere."""
        done = subprocess.run(["fsck.ext4", "-fy", self.device], capture_output=True, text=True, check=False)
        assert done.returncode in {0, 1}, done.stdout + done.stderr  # 1: errors were corrected


@contextmanager
def disk(folder: Path) -> Iterator[Disk]:
    """One that is new; its file in `folder`, seen at `folder`/disk."""
    if os.geteuid() != 0:
        pytest.fail("only root can mount a file system: sudo make faults", pytrace=False)
    need("mkfs.ext4", "e2fsprogs")
    image, seen = folder / "disk.img", folder / "disk"
    seen.mkdir()
    with image.open("wb") as file:
        file.truncate(SIZE)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    losetup = [need("losetup", "mount"), "--find", "--show", str(image)]
    device = subprocess.run(losetup, capture_output=True, text=True, check=True).stdout.strip()
    try:
        yield Disk(device, seen)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)
