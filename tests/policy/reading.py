"""What tests of the contracts share: the contracts, and every datum in them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from msgspec import Struct

from guard.policy.schema import Clause, Contract, Destinations, Figure, Penalty, Premium, Roots, Span, SvaCaps, Tariff
from guard.tomlread import Problem, Reader

EURO: Final = 1_000_000
CENT: Final = 10_000
IDS: Final = (
    "crossing-telecom", "easy2phone", "expert-telecom-sip-trunk", "techcrea-centrex", "technicophone-centrex",
    "technicophone-contact", "technicophone-mobile", "technicophone-preselection", "technicophone-sip-trunk",
    "technicophone-sva", "technicophone-vga",
)  # fmt: skip
FOLDER: Final = Path(__file__).parent.parent.parent / "policies" / "contracts"


def parse(text: str, folder: Path) -> tuple[Contract | None, list[Problem]]:
    """A contract from TOML, and what is wrong with it."""
    problems: list[Problem] = []
    path = folder / "one.toml"
    path.write_text(text, encoding="utf-8")
    reader = Reader(str(path), problems)
    raw = reader.parse(path)
    return (None if raw is None else reader.struct(raw, Contract, [])), problems


@cache
def contracts() -> dict[str, Contract]:
    """Every contract of the repository, by its file's name."""
    out: dict[str, Contract] = {}
    problems: list[Problem] = []
    for path in sorted(FOLDER.glob("*.toml")):
        reader = Reader(str(path), problems)
        raw = reader.parse(path)
        contract = None if raw is None else reader.struct(raw, Contract, [])
        if contract is not None:
            out[path.stem] = contract
    assert problems == []
    return out


def parts(value: object) -> Iterator[Struct]:
    """Every struct in a contract, at any depth."""
    if isinstance(value, Struct):
        yield value
        for name in value.__struct_fields__:
            yield from parts(getattr(value, name))
    elif isinstance(value, (tuple, list)):
        for v in value:
            yield from parts(v)
    elif isinstance(value, dict):
        for v in value.values():
            yield from parts(v)


Cited = Clause | Destinations | Figure | Penalty | Premium | Roots | SvaCaps | Tariff


def cited(contract: Contract) -> list[Cited]:
    """Every datum of a contract: all but the contract itself and time limits, which stand within a datum."""
    out: list[Cited] = []
    for part in parts(contract):
        if isinstance(part, Cited):
            out.append(part)
        else:
            assert isinstance(part, (Contract, Span)), f"{type(part)}: is it a datum that names its article?"
    return out


def words_of(datum: Cited) -> tuple[str, ...]:
    """The quotes of a datum."""
    if isinstance(datum, SvaCaps):
        return datum.quotes
    return (datum.quote,) if datum.quote else ()


EVERY: Final = [pytest.param(c, p, id=f"{n}-{i}") for n, c in contracts().items() for i, p in enumerate(cited(c))]
