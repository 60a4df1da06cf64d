"""SIPVicious, which half of the internet is scanned with, against a running guard: it finds nothing."""

from __future__ import annotations

import asyncio
import sysconfig
from pathlib import Path
from typing import Final

from sim.site import GUARD
from tests.apprig import Rig, guard, rules, run

SCANNER: Final = "127.0.0.66"  # no source, no trunk
PATIENCE: Final = 60.0  # seconds; each of them gives up by itself
SCRIPTS: Final = Path(sysconfig.get_path("scripts"))
NOTHING: Final = "found nothing"
ATTACKS: Final = (
    ("svmap",),
    ("svmap", "-m", "INVITE", "-e", "100"),
    ("svmap", "-m", "REGISTER", "-e", "100"),
    ("svwar", "-e100-120", "--force"),
    ("svwar", "-e100-110", "-m", "INVITE", "--force"),
    ("svcrack", "-u100", "-r1-20"),
)


async def attack(rig: Rig, home: Path, tool: str, *words: str) -> str:
    """What a tool of the suite says in the end."""
    port = str(rig.site.port)
    process = await asyncio.create_subprocess_exec(
        str(SCRIPTS / f"sipvicious_{tool}"), "-v", "-b", SCANNER, "-p", port, *words, GUARD,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, stdin=asyncio.subprocess.DEVNULL,
        cwd=home, env={"HOME": str(home)},
    )  # fmt: skip
    try:
        out, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return out.decode()


def test_it_finds_nothing(tmp_path: Path) -> None:
    async def scene() -> None:
        async with guard(tmp_path) as rig:
            said = await asyncio.gather(*(attack(rig, tmp_path, *words) for words in ATTACKS))
            for words, text in zip(ATTACKS, said, strict=True):
                assert "Traceback" not in text, text
                assert NOTHING in text, f"{words}: {text}"
            assert rig.app.driver.core.counters["strangers"] >= len(ATTACKS)  # they have knocked
            await rig.connected()  # and calls go on
            await rig.hung_up()
            assert rig.operator.heard == ["INVITE", "ACK", "BYE"]
            await rig.stop()
            told = [detail for detail in rig.log() if not detail.record.source]
            assert told  # whoever tried to call is in the log
            assert all({"source.unknown", "traffic.scanner"} & set(rules(detail)) for detail in told)

    run(scene)
