"""`guard policy update-numbers`: ARCEP's newest MAJNUM.csv into the policies folder, or not at all."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from typing import Final

from msgspec import Struct

from guard.cli.common import CommandError
from guard.numbering.allotted import FILE, FILES, blocks_in, date_in
from guard.numbering.majnum import Unreadable, date_of, read_majnum, written
from guard.numbering.plan import NEVER, PlanError, load_plan
from guard.tomlread import MAX_FILE, Problem

MIN_SHARE: Final = 0.9  # of the blocks there were: ARCEP takes few back, so a file with fewer was cut short
SHOWN: Final = 5  # blocks of no known range that are named; all are counted


class Installed(Struct, frozen=True, kw_only=True):
    """What was done. `unknown` are blocks of no range that policies/numbering knows; `of` is the file's date, `old_`
    what was in force before."""

    file: str
    of: date
    blocks: int
    old_of: date | None
    old_blocks: int
    added: int
    gone: int
    unknown: tuple[str, ...]
    changed: bool


def install(folder: Path, source: Path, today: date) -> Installed:
    """Puts the blocks of `source` in force in `folder`. Raises CommandError, and then nothing was changed."""
    text, on = _converted(source, today)
    problems: list[Problem] = []
    blocks = blocks_in(text, str(source), problems)
    target = folder / FILE
    for path in sorted(folder.glob(FILES)):
        both = blocks.keys() & blocks_in(_read(path), str(path), []).keys() if path != target else set()
        problems += [Problem(str(source), 0, "", f'"{b}" is in {path}, too: take it out there') for b in sorted(both)]
    if problems:
        raise CommandError(*(str(p) for p in problems))
    before, was = _present(target)
    if was is not None and on < was:
        raise CommandError(f"{source}: its newest row is of {on}; the file in force is newer, of {was}: not installed")
    if len(blocks) < MIN_SHARE * len(before):
        what = f"{len(blocks)} blocks, where the file in force has {len(before)}"
        raise CommandError(f"{source}: {what}: it looks cut short; not installed")
    unknown = _unknown(folder, blocks)
    changed = not target.is_file() or _read(target) != text
    if changed:
        _replace(target, text)
    return Installed(
        file=str(target),
        of=on,
        blocks=len(blocks),
        old_of=was,
        old_blocks=len(before),
        added=len(blocks.keys() - before.keys()),
        gone=len(before.keys() - blocks.keys()),
        unknown=unknown,
        changed=changed,
    )


def today_in(zone: str) -> date:
    """The day that it is there."""
    from zoneinfo import ZoneInfo

    return datetime.now(ZoneInfo(zone)).date()


def said(done: Installed) -> list[str]:
    """What was done, for people."""
    was = f"{done.old_blocks} blocks of {done.old_of}" if done.old_of is not None else "none"
    lines = [f"{done.file}: {done.blocks} blocks of {done.of} ({was} before; {done.added} new, {done.gone} gone)"]
    if not done.changed:
        return [f"{done.file}: this file is in force already, {done.blocks} blocks of {done.of}"]
    if done.unknown:
        named = ", ".join(done.unknown[:SHOWN])
        lines.append(
            f"warning: {len(done.unknown)} blocks are of no range that policies/numbering/*.toml knows: {named}"
        )
    return lines


def _converted(source: Path, today: date) -> tuple[str, date]:
    """ARCEP's file as ours has it, and its date."""
    try:
        if source.stat().st_size > MAX_FILE:
            raise CommandError(f"{source}: larger than {MAX_FILE} bytes")
        blocks = read_majnum(source.read_bytes(), str(source))
    except OSError as error:
        raise CommandError(f"{source}: {error.strerror or 'cannot be read'}") from error
    except Unreadable as error:
        raise CommandError(*(str(p) for p in error.problems), f"{source}: not installed") from error
    on = date_of(blocks, today)
    if on is None:
        raise CommandError(f"{source}: every row is of a day to come: not installed")
    return written(blocks, on), on


def _present(target: Path) -> tuple[dict[str, int], date | None]:
    """The blocks in force, and their date; none where the file is missing or broken, which a good one may replace."""
    if not target.is_file():
        return {}, None
    text, problems = _read(target), list[Problem]()
    blocks, on = blocks_in(text, str(target), problems), date_in(text, str(target), problems)
    return ({}, None) if problems else (blocks, on)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or 'cannot be read'}") from error


def _unknown(folder: Path, blocks: dict[str, int]) -> tuple[str, ...]:
    """Blocks that the plan has no range for. A plan that cannot be read is another command's to complain of."""
    try:
        lookup = load_plan(folder).lookup
    except PlanError:
        return ()
    now = NEVER - 1  # after every date of the plan
    return tuple(p for p, length in sorted(blocks.items()) if not lookup(p.ljust(length, "0"), now).id)


def _replace(target: Path, text: str) -> None:
    """All of the new file or all of the old one, whatever happens meanwhile."""
    mode = target.stat().st_mode & 0o777 if target.is_file() else 0o644
    temporary = ""
    try:
        with tempfile.NamedTemporaryFile("wb", dir=target.parent, prefix=f".{FILE}-", delete=False) as stream:
            temporary = stream.name
            stream.write(text.encode())
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        Path(temporary).replace(target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        if temporary:
            with suppress(OSError):  # it is gone when it took the old one's place
                Path(temporary).unlink()
        raise CommandError(f"{target}: {error.strerror or 'cannot be written'}: the old file stays in force") from error
