"""MAJNUM.csv as ARCEP publishes it, made again of rows: Windows-1252, `;` between the columns."""

from __future__ import annotations

from typing import Final

from guard.numbering.overseas import length_of

HEADER: Final = "EZABPQM;Tranche_Debut;Tranche_Fin;Mnémo;Territoire;Date_Attribution"
NAMES: Final = {
    "": "National",
    "FR": "Métropole",
    "GP": "Guadeloupe, St Martin et St Barthélemy",
    "GF": "Guyane",
    "MQ": "Martinique",
    "RE": "La Réunion",
    "YT": "Mayotte",
    "PM": "Saint Pierre et Miquelon",
}


def row(digits: str, operator: str = "FRTE", territory: str = "FR", day: str = "01/01/2017") -> str:
    """One line. `day` is as ARCEP writes it, or ISO 8601."""
    whole = length_of(digits[1:]) + 1 if digits[0] == "0" else len(digits)
    if "-" in day:
        day = "/".join(reversed(day.split("-")))
    return f"{digits};{digits.ljust(whole, '0')};{digits.ljust(whole, '9')};{operator};{NAMES[territory]};{day}"


def majnum(*rows: str, header: str = HEADER, encoding: str = "cp1252") -> bytes:
    """A whole file."""
    return "\r\n".join((header, *rows, "")).encode(encoding)
