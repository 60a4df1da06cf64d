"""A package installed, run, upgraded and removed: inside a mount namespace, on copies of /usr, /etc and /var that
vanish with it (`unshare --mount`, overlayfs). Called by test_deb.py as root; a failed assertion ends it."""

from __future__ import annotations

import json
import os
import pwd
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from guard.sip.message import parse
from sim.daemon import SAYS_READY
from sim.ports import free_port
from sim.site import ALICE, CUSTOMER, GUARD, IPBX, OPERATOR
from tests.proxy.world import reply, request

USER = "sip-guard"
CONFIG = Path("/etc/guard/guard.toml")
PATIENCE = 20.0  # s
LEFT = (
    "/var/lib/guard",
    "/var/lib/dpkg",
    "/var/cache",
    "/var/log",
    "/var/lib/systemd",
)  # what may name it after a purge


def overlay(scratch: Path) -> None:
    """Everything that is written from now on is written to memory. No systemd is seen: none of the host's services is
    touched."""
    run("mount", "-t", "tmpfs", "tmpfs", str(scratch))
    for name in ("usr", "etc", "var"):
        upper, work = scratch / name / "upper", scratch / name / "work"
        upper.mkdir(parents=True)
        work.mkdir()
        options = f"lowerdir=/{name},upperdir={upper},workdir={work}"
        run("mount", "-t", "overlay", "overlay", "-o", options, f"/{name}")
    run("mount", "-t", "tmpfs", "tmpfs", "/run")


def run(*command: str) -> str:
    """A command that has to succeed; what it says."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd="/")
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def as_user(*command: str) -> tuple[str, ...]:
    """The same as the guard's user, with nothing of our environment."""
    return ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "env", "-i", "PATH=/usr/bin", *command)


def dpkg(*arguments: str) -> str:
    """Install or remove. Nobody answers questions: there are none."""
    return run("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--force-unsafe-io", *arguments)


def installed() -> None:
    """What an installation leaves, before anything is configured."""
    user = pwd.getpwnam(USER)
    assert user.pw_shell.endswith("nologin"), user
    for path, mode, owner, group in (
        ("/etc/guard", 0o40750, 0, user.pw_gid),
        ("/etc/guard/guard.toml", 0o100640, 0, user.pw_gid),
        ("/var/lib/guard", 0o40750, user.pw_uid, user.pw_gid),
    ):
        found = os.stat(path)
        assert (found.st_mode, found.st_uid, found.st_gid) == (mode, owner, group), (path, found)
    assert run(*as_user("guard", "--version")).endswith(", compiled\n")
    said = run(*as_user("guard", "check", "-c", str(CONFIG)))
    assert "right; 1 source, 1 trunk" in said, said
    run("sh", "-c", "! find /usr/lib/sip-guard -newer /usr/bin/guard -name '*.pyc' | grep .")
    if Path("/usr/bin/systemd-analyze").exists():
        run("systemd-analyze", "verify", "--man=no", "/lib/systemd/system/sip-guard.service")


def configure() -> tuple[int, int]:
    """An administrator's own configuration, on loopback: the ports of the guard and of its operator."""
    port, hop = free_port(GUARD), free_port(OPERATOR)
    CONFIG.write_text(
        f'site = "hq"\n[listen]\nudp = ["{GUARD}:{port}"]\n'
        f'[[trunk]]\nname = "operator"\nnext_hop = ["sip:{OPERATOR}:{hop}"]\n'
        'contract = "technicophone-sip-trunk"\nchannels = 30\n'
        f'[[source]]\nname = "pbx"\naddress = ["{IPBX}"]\ntrunk = "operator"\n'
        '[[number]]\nrange = "+33145678900-+33145678999"\n'
    )
    return port, hop


def udp(host: str, port: int) -> socket.socket:
    """A peer's socket."""
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    found.bind((host, port))
    found.settimeout(PATIENCE)
    return found


def life(ports: tuple[int, int], number: int) -> str:
    """The service's own command as its user: it takes a call, then stops; what it said."""
    process = subprocess.Popen(
        as_user("guard", "run", "-c", str(CONFIG)), stderr=subprocess.PIPE, text=True, cwd="/var/lib/guard"
    )
    assert process.stderr is not None
    said = []
    try:
        for line in process.stderr:
            said.append(line)
            if SAYS_READY.match(line):
                break
        with udp(IPBX, 0) as pbx, udp(OPERATOR, ports[1]) as operator:
            data = request(
                uri=f"sip:{CUSTOMER}@{GUARD}", caller=f"<sip:{ALICE}@{IPBX}>", call_id=f"call{number}",
                branch=f"b{number}", tag=f"t{number}", host=IPBX, port=pbx.getsockname()[1],
            )  # fmt: skip
            pbx.sendto(data, (GUARD, ports[0]))
            operator.sendto(reply(parse(operator.recv(65_535)), 486), (GUARD, ports[0]))
            while not (heard := pbx.recv(65_535)).startswith(b"SIP/2.0 486"):
                assert heard.startswith(b"SIP/2.0 100"), heard
        process.terminate()
        said += process.stderr.readlines()
        assert process.wait(PATIENCE) == 0, said
    except TimeoutError:
        process.terminate()
        raise AssertionError("".join([*said, *process.stderr])) from None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stderr.close()
    return "".join(said)


def calls() -> list[str]:
    """The Call-IDs in the log, oldest first."""
    said = run(*as_user("guard", "log", "-c", str(CONFIG), "--all", "--json"))
    return sorted(json.loads(line)["call_id"] for line in said.splitlines() if line.startswith("{"))


def version() -> int:
    """The version of the log's file."""
    with closing(sqlite3.connect("file:/var/lib/guard/guard.db?mode=ro", uri=True)) as log:
        return int(log.execute("PRAGMA user_version").fetchone()[0])


def main() -> None:
    """Everything in order."""
    old, new, scratch = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    overlay(scratch)
    dpkg("-i", old)
    installed()
    ports = configure()
    life(ports, 1)
    assert calls() == ["call1"]
    before = version()

    mine = CONFIG.read_bytes()
    dpkg("-i", new)
    assert CONFIG.read_bytes() == mine
    life(ports, 2)
    assert version() == before + 1, "the log was brought to the version of the new guard"
    assert calls() == ["call1", "call2"]

    dpkg("-r", "sip-guard")
    assert not Path("/usr/bin/guard").exists()
    assert not Path("/usr/lib/sip-guard").exists()
    assert CONFIG.exists(), "a removal keeps the configuration"
    assert "kept" in dpkg("-P", "sip-guard")
    assert not CONFIG.parent.exists()
    assert Path("/var/lib/guard/guard.db").exists(), "records are evidence"
    found = run("sh", "-c", "find /usr /etc /var /lib/systemd -name '*sip-guard*' 2>/dev/null || true").splitlines()
    assert [path for path in found if not path.startswith(LEFT)] == []


if __name__ == "__main__":
    main()
