"""`make deb`: a Debian package of the compiled guard with everything it imports, from the environment of `make setup`.

The environment was installed from requirements.lock, hash by hash; its files are copied. What only an older Python of
the system needs is fetched by the same lock; nothing is when the package is installed. They go to /usr/lib/sip-guard,
an environment of its own for the system's Python: /usr/bin/guard runs there. The guard itself comes from the compiled
copy that `scripts/compile.py` makes; `--interpreted` takes it as it is written, where there is no compiler.
"""

from __future__ import annotations

import argparse
import compileall
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path
from py_compile import PycInvalidationMode

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
COMPILED = ROOT / "build" / "compiled"
NAME = "sip-guard"
HOME = Path("usr/lib/sip-guard")
PYTHON = f"python3.{sys.version_info.minor}"
LIBC = "2.28"  # what the libraries in it were built for (manylinux_2_28)
# systemd's two tools come with it; time zones are [timezone]'s; ruby-guard has a /usr/bin/guard as well.
CONTROL = """\
Package: sip-guard
Version: {version}
Architecture: {architecture}
Maintainer: sip-guard maintainers <root@localhost>
Installed-Size: {kib}
Depends: {python}, libc6 (>= {libc}), systemd, tzdata, ca-certificates
Conflicts: ruby-guard
Section: comm
Priority: optional
Description: SIP fraud and compliance guard for French telephony
 A SIP proxy between a company's IPBX and its operator's trunk. It looks at
 every call set-up by the contract and ARCEP's numbering rules, holds bursts
 back, masks or refuses what would breach them, lets emergency calls through
 at once, and keeps a log that can be queried, explained and verified.
"""
LAUNCHER = f"""\
#!/{HOME}/bin/python3 -I
import sys

from guard.cli.main import main

sys.exit(main())
"""


def target() -> str:
    """The version of the system's Python, which is to run it: it may be older than the one that runs here."""
    command = [f"/usr/bin/{PYTHON}", "-c", "import platform; print(platform.python_version())"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def needed() -> tuple[dict[str, metadata.Distribution], list[str]]:
    """Every distribution that a running guard imports, by name; and the names of those that only the system's Python
    needs, and that are not here."""
    found: dict[str, metadata.Distribution] = {}
    missing: list[str] = []
    asked: set[tuple[str, str]] = set()
    version = target()

    def wanted(texts: list[str] | None, extra: str) -> list[Requirement]:
        every = [Requirement(text) for text in texts or ()]
        there = {"extra": extra, "python_full_version": version}
        return [r for r in every if r.marker is None or r.marker.evaluate(there)]

    todo = wanted(metadata.requires(NAME), "")
    while todo:
        one = todo.pop()
        name = canonicalize_name(one.name)
        for extra in ("", *one.extras):
            if (name, extra) in asked:
                continue
            asked.add((name, extra))
            try:
                found[name] = metadata.distribution(one.name)
            except metadata.PackageNotFoundError:
                missing.append(name)
                break
            todo += wanted(found[name].requires, extra)
    return found, missing


def locked(name: str) -> str:
    """A distribution as requirements.lock has it: its version and hashes, without the condition that left it out."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    found = re.search(rf"^{re.escape(name)}==(\S+).*((?:\n {{4}}--hash=\S+(?: \\)?)+)", text, re.MULTILINE)
    if found is None:
        sys.exit(f"deb: {name} is needed by Python {target()} and is not in requirements.lock")
    return f"{name}=={found[1]} \\{found[2]}\n"


def copy_libraries(packages: Path, folder: Path) -> None:
    """The files of every one, but for commands and what was compiled elsewhere."""
    found, missing = needed()
    for name, distribution in sorted(found.items()):
        for file in distribution.files or ():
            if ".." in file.parts or "__pycache__" in file.parts:
                continue
            here = packages / file
            here.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copy(str(distribution.locate_file(file)), here)
            except FileNotFoundError:
                sys.exit(f"deb: {name}: {file} is missing: make clean setup")
    if missing:
        wanted = folder / "missing.txt"
        wanted.write_text("".join(map(locked, missing)), encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-compile", "--require-hashes"]
        subprocess.run([*pip, "--target", str(packages), "-r", str(wanted)], check=True)


def copy_guard(packages: Path, folder: Path, source: Path) -> None:
    """The guard itself, as its wheel has it; `source` is the project, or its compiled copy."""
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), "."]
    subprocess.run(pip, cwd=source, check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    wheel.unlink()


def compile_all(packages: Path) -> None:
    """Bytecode, so that the first start is quick and root leaves none behind; it names the installed paths."""
    compileall.compile_dir(
        packages, quiet=1, workers=0, stripdir=packages, prependdir=f"/{HOME}/lib/{PYTHON}/site-packages",
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )  # fmt: skip


def put(path: Path, text: str, mode: int = 0o644) -> None:
    """A file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def lay_out(tree: Path, folder: Path, source: Path) -> None:
    """The package's files."""
    home = tree / HOME
    packages = home / "lib" / PYTHON / "site-packages"
    packages.mkdir(parents=True)
    copy_libraries(packages, folder)
    copy_guard(packages, folder, source)
    compile_all(packages)
    put(home / "pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = false\n")
    put(home / "bin" / "guard", LAUNCHER, 0o755)
    (home / "bin" / "python3").symlink_to(f"/usr/bin/{PYTHON}")
    (tree / "usr/bin").mkdir()
    (tree / "usr/bin/guard").symlink_to("../lib/sip-guard/bin/guard")
    for unit in ("sip-guard.service", "sip-guard-web.service"):
        text = (ROOT / "systemd" / unit).read_text(encoding="utf-8")
        put(tree / "lib/systemd/system" / unit, text.replace("/opt/sip-guard/bin/guard", "/usr/bin/guard"))
    for kind in ("sysusers", "tmpfiles"):
        text = (ROOT / "systemd" / f"sip-guard.{kind}").read_text(encoding="utf-8")
        put(tree / f"usr/lib/{kind}.d/sip-guard.conf", text)
    put(tree / "etc/guard/guard.toml", (ROOT / "systemd/deb/guard.toml").read_text(encoding="utf-8"), 0o640)
    for manual in (*(ROOT / "docs").glob("*.md"), ROOT / "CHANGELOG.md", ROOT / "README.md"):
        put(tree / "usr/share/doc/sip-guard" / manual.name, manual.read_text(encoding="utf-8"))
    for place, folders, files in os.walk(tree):
        for name in folders:
            Path(place, name).chmod(0o755)
        for name in files:
            path = Path(place, name)
            if not path.is_symlink() and path.stat().st_mode & 0o022:
                path.chmod(0o644)


def describe(tree: Path, version: str, libc: str) -> None:
    """What dpkg reads."""
    kib = sum(os.lstat(Path(place, name)).st_size for place, _, names in os.walk(tree) for name in names) // 1024
    architecture = subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
    ).stdout.strip()
    minor = sys.version_info.minor
    python = f"python3 (>= 3.{minor}), python3 (<< 3.{minor + 1}), {PYTHON}"
    control = CONTROL.format(version=version, architecture=architecture, kib=kib, python=python, libc=libc)
    put(tree / "DEBIAN/control", control)
    put(tree / "DEBIAN/conffiles", "/etc/guard/guard.toml\n")
    for script in ("postinst", "prerm", "postrm"):
        put(tree / "DEBIAN" / script, (ROOT / "systemd/deb" / script).read_text(encoding="utf-8"), 0o755)


def build(out: Path, version: str, compiled: Path | None) -> Path:
    """The package, in the folder `out`, of the guard that was compiled in another one, or as it is written (None)."""
    if compiled is not None and not any(compiled.glob(f"*__mypyc.cpython-3{sys.version_info.minor}-*.so")):
        sys.exit(f"deb: no guard compiled for {PYTHON} in {compiled}: make build/compiled/.ready, or --interpreted")
    if not re.fullmatch(r"[0-9][0-9A-Za-z.+~-]*", version):
        sys.exit(f"deb: {version!r} is no version of a Debian package")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sip-guard-deb") as temporary:
        folder = Path(temporary)
        tree = folder / "tree"
        tree.mkdir(mode=0o755)
        lay_out(tree, folder, ROOT if compiled is None else compiled)
        describe(tree, version, LIBC if compiled is None else platform.libc_ver()[1])
        command = ["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", str(tree), str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (package,) = out.glob(f"{NAME}_{version}_*.deb")
    return package


def main() -> None:
    """Arguments."""
    parser = argparse.ArgumentParser(description="Build the Debian package.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="the folder for it (dist)")
    parser.add_argument("--version", default=f"{metadata.version(NAME)}-1", help="its version")
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--compiled", type=Path, default=COMPILED, metavar="FOLDER", help="the compiled copy (build/compiled)"
    )
    how.add_argument("--interpreted", action="store_true", help="the guard as it is written: half as fast")
    args = parser.parse_args()
    print(build(args.out, args.version, None if args.interpreted else args.compiled))


if __name__ == "__main__":
    main()
