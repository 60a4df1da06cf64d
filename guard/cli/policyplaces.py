"""The destination data of `guard policy list` and `show`: what each file of policies/destinations holds, and whence."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from guard.policy.destinations import LAW_ZONE, DestinationFile, Entry, files
from guard.tomlread import Problem, Reader

FOLDER: Final = "destinations"


def places(policies: Path) -> dict[str, DestinationFile]:
    """Each file by its name, `destinations/irsf`, as it is written. The policies were checked before."""
    found: dict[str, DestinationFile] = {}
    for path in files(policies / FOLDER):
        problems: list[Problem] = []
        reader = Reader(str(path), problems)
        raw = reader.parse(path)
        file = None if raw is None else reader.struct(raw, DestinationFile, [])
        if file is not None and not problems:
            found[f"{FOLDER}/{path.stem}"] = file
    return found


def listed(policies: Path, at: int) -> list[dict[str, object]]:
    """One object a file, of its entries in force at an instant (Unix time, µs): how many there are of each kind, since
    when and until when they stand as they do (both included, None where no date says), and their sources."""
    day = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).astimezone(LAW_ZONE).date()
    out: list[dict[str, object]] = []
    for name, file in places(policies).items():
        risks = [e for e in file.risk if (e.from_ or date.min) <= day <= (e.until or date.max)]
        bands = [e for e in file.band if (e.from_ or date.min) <= day <= (e.until or date.max)]
        entries: tuple[Entry, ...] = (*risks, *bands)
        cited = {s.split(" ")[0] for e in entries for s in e.source}
        out.append(
            {
                "id": name,
                "risks": len(risks),
                "bands": len(bands),
                "confidence": sorted({e.confidence for e in entries}),
                "from": max((e.from_ for e in entries if e.from_ is not None), default=None),
                "until": min((e.until for e in entries if e.until is not None), default=None),
                "source": [s.title for s in file.source if s.id in cited],
            }
        )
    return out
