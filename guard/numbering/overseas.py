"""Shapes of French national numbers: how long they are, and under which country code the overseas ones stand.

National numbers of the overseas territories are not under +33: 0590… is +590 590…, 09475… is +590 9475…. Source: ARCEP
open data MAJNUM (April 2026), PNN (decision 2018-0881 as amended). The categories and their dates are in
policies/numbering; this file only knows what is needed to write a number in E.164.
"""

from __future__ import annotations

from typing import Final

FRENCH_CODES: Final = ("33", "262", "508", "590", "594", "596")
LENGTH: Final = 9  # digits of a national significant number (after the 0), but for the extended ones
# First digits of the extended numbers, and their lengths: 14 digits with the 0 in metropolitan France, 13 overseas.
EXTENDED: Final[dict[str, int]] = {
    **{f"700{d}": 13 for d in "01234"},
    **{f"700{d}": 12 for d in "56789"},
    **{f"901{d}": 13 for d in "01234"},
    **{f"901{d}": 12 for d in "56789"},
}

_ROOTS: Final[dict[str, str]] = {
    "33": "63998",  # kept for films, amid Mayotte's 639
    "590": "590 690 691 7005 7090 9015 9395 9475 9760 9761 5987",
    "594": "594 694 7006 70930 70931 70932 70933 9016 9396 9476 9764 9765 5988",
    "596": "596 696 697 7007 7091 9017 9397 9477 9766 9767 5989",
    "262": "262 263 269 639 692 693 7008 7009 7092 70935 70936 70937 9018 9019 9398 9399 9478 9479 9762 9763 9769"
    " 2688 2689",
    "508": "508 7084 7085",
}
_CODES: Final[dict[str, str]] = {root: code for code, roots in _ROOTS.items() for root in roots.split()}
_LONGEST: Final = max(map(len, _CODES))
_SHORTEST: Final = min(map(len, _CODES))
_SPM: Final = "508"  # its fixed numbers keep six digits after the country code: 0508 41 23 45 is +508 41 23 45


def code_of(national: str) -> str:
    """The country code of a national significant number (without the 0): `33` for metropolitan France."""
    for length in range(_LONGEST, _SHORTEST - 1, -1):
        code = _CODES.get(national[:length])
        if code is not None:
            return code
    return "33"


def length_of(national: str) -> int:
    """How many digits a national significant number that begins like this one has."""
    return EXTENDED.get(national[:4], LENGTH)


def e164_of(national: str) -> str:
    """A national significant number of right length in E.164, with its +."""
    code = code_of(national)
    if code == _SPM and national.startswith(_SPM):
        return f"+{national}"
    return f"+{code}{national}"
