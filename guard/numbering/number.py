"""A telephone number as it was received, and what it means: E.164, a short number, or a named reason why neither.

Forms that IPBXs dial and present: national (`01…`), international (`00…` or the site's prefix), `+…`, `33…`, with an
outside-line prefix, as tel URI or with `phone-context` (RFC 3966), short numbers, and words that withhold the number.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal

from msgspec import Struct

from guard.numbering.overseas import FRENCH_CODES, LENGTH, code_of, e164_of, length_of

Kind = Literal["e164", "short", "anonymous", "malformed", "none"]

MAX_RAW: Final = 64  # characters kept of what was received; a telephone number with all its separators is shorter
MAX_DIGITS: Final = 15  # E.164
MIN_DIGITS: Final = 7  # of an international number: the shortest national ones have four after a three-digit code
MAX_SHORT: Final = 6  # 118XYZ and 116XYZ are the longest short numbers of the plan
REMEMBERED: Final = 8192  # numbers whose meaning is kept; a dialler that walks through all of them only empties it

ANONYMOUS: Final = frozenset({"anonymous", "unavailable", "restricted", "withheld", "private", "unknown"})
_SEPARATORS: Final = str.maketrans("", "", " -.()\t")  # visual separators (RFC 3966 5.1.1), and what people type
_LEADING: Final = re.compile(r"\+?[0-9]+")
_ASCII_DIGITS: Final = frozenset("0123456789")
HIDE: Final = ("3651", "#31#", "*31#")  # dialled before a number: hide mine for this call

# ARCEP's list of emergency numbers. A floor that no policy can lower: see dst.emergency.
EMERGENCY: Final = ("15", "17", "18", "112", "114", "115", "116000", "116117", "119", "191", "196", "197")
_SERVICES: Final = {"fire": "18", "police": "17", "ambulance": "15", "marine": "196"}  # RFC 5031 4.2
_OUTSIDE_LINES: Final = ("", "0", "9")  # access prefixes that people dial whether or not the IPBX has one


class Dial(Struct, frozen=True, kw_only=True):
    """How an IPBX dials: the prefixes of `[[source]] dial`.

    `strip` is the outside-line access prefix ("" for none), removed once from the front of what is dialled.
    """

    international: str = "00"
    national: str = "0"
    strip: str = ""


class Number(Struct, frozen=True, gc=False):
    """One number. `value` is `+33145678900` (E.164), `3949` (short, as dialled) or "" (anonymous, malformed, none).

    `raw` is the user part as received, at most 64 characters. `reason` names why a malformed one is malformed, and
    `note` what was odd about a good one (`overseas-under-33`: an overseas number written under +33).
    """

    value: str
    kind: Kind
    raw: str
    reason: str = ""
    note: str = ""


NONE = Number("", "none", "")


def normalise(raw: str, dial: Dial, *, phone_context: str = "", scheme: str = "sip", callee: bool = False) -> Number:
    """What the user part of a URI (unescaped) means. Total: whatever it holds, a `Number` comes out.

    `callee` tells that it was dialled, not presented: then the outside-line prefix and the codes that hide the
    caller's number are taken off. Reasons of a malformed one: `empty`, `not-digits`, `too-short`, `too-long`,
    `wrong-length`, `no-prefix`, `portability-prefix`, `zero-after-33`.
    """
    number = _normalise(raw, dial, phone_context, scheme, callee)
    if callee and number.kind != "e164":
        sos = emergency_of(raw, dial, scheme=scheme)
        if sos:
            return Number(sos, "short", number.raw)
    return number


@lru_cache(maxsize=REMEMBERED)
def _normalise(raw: str, dial: Dial, phone_context: str, scheme: str, callee: bool) -> Number:
    kept = raw[:MAX_RAW]
    if scheme == "urn":
        return Number("", "malformed", kept, "not-digits")
    digits, context = _plain(raw, phone_context)
    if not digits:
        return Number("", "malformed", kept, "empty")
    if not callee:
        if digits.lower() in ANONYMOUS:
            return Number("", "anonymous", kept)
        return _meaning(digits, context, dial, kept)
    digits = _unhidden(digits)
    if dial.strip and digits.startswith(dial.strip):
        inside = _meaning(_unhidden(digits[len(dial.strip) :]), context, dial, kept)
        if inside.value:
            return inside
    found = _meaning(digits, context, dial, kept)
    return _leading(digits, context, dial, kept) or found if found.reason == "not-digits" else found


def _leading(digits: str, context: str, dial: Dial, kept: str) -> Number | None:
    """The telephone number that was dialled with something behind it (`0899123456#`, `…,1`, `…p2`): a switch that
    stops reading there calls that one, so it is that one that is judged. None where no whole number leads."""
    found = _LEADING.match(digits)
    inside = _meaning(found.group(), context, dial, kept) if found is not None else None
    return inside if inside is not None and inside.kind == "e164" else None


def _unhidden(digits: str) -> str:
    """What was dialled without the code that hides the caller's number, before or after an outside-line prefix."""
    for code in HIDE:
        if digits.startswith(code) and len(digits) > len(code) + 1:
            return digits[len(code) :]
    return digits


def _plain(raw: str, phone_context: str) -> tuple[str, str]:
    """Digits without separators, and the context that they are to be read in (RFC 3966 5.1.5)."""
    if ";" in raw:
        raw, *parameters = raw.split(";")
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "phone-context" and not phone_context:
                phone_context = value.strip().strip('"')
    return raw.translate(_SEPARATORS), phone_context


def _meaning(digits: str, context: str, dial: Dial, raw: str) -> Number:
    """A number from plain digits, with or without their +."""
    plus = digits.startswith("+")
    if plus:
        digits = digits[1:]
    if not digits:
        return Number("", "malformed", raw, "empty")
    if not _ASCII_DIGITS.issuperset(digits):
        return Number("", "malformed", raw, "not-digits")
    if plus:
        return _international(digits, raw)
    if context.startswith("+") and context[1:].isascii() and context[1:].isdigit():
        code = context[1:]
        whole = digits[0] != "0" and len(digits) == length_of(digits)  # 145678900 in +33 lacks its 0, not its meaning
        if code not in FRENCH_CODES or whole:
            return _international(code + digits, raw)
        return _in_france(digits, dial, raw)
    return _in_france(digits, dial, raw)


def _in_france(digits: str, dial: Dial, raw: str) -> Number:
    """Digits without a +, as dialled in France."""
    length = len(digits)
    if length <= MAX_SHORT and not digits.startswith("0"):
        return Number(digits, "short", raw)
    if dial.international and digits.startswith(dial.international):
        return _international(digits[len(dial.international) :], raw)
    national = digits[len(dial.national) :] if digits.startswith(dial.national) else ""
    if national and national[0] != "0" and length_of(national) == len(national):
        return Number(e164_of(national), "e164", raw)
    for code in FRENCH_CODES:
        if digits.startswith(code) and length - len(code) in {length_of(digits[len(code) :]), LENGTH}:
            return _international(digits, raw)
    if length < MIN_DIGITS:
        return Number("", "malformed", raw, "too-short")
    if length > MAX_DIGITS:
        return Number("", "malformed", raw, "too-long")
    return Number("", "malformed", raw, "wrong-length" if national and national[0] != "0" else "no-prefix")


def _international(digits: str, raw: str) -> Number:
    """Digits that begin with a country code."""
    if digits.startswith("33"):
        return _under_33(digits[2:], raw)
    if digits.startswith("0"):
        return Number("", "malformed", raw, "no-prefix")
    if len(digits) > MAX_DIGITS:
        return Number("", "malformed", raw, "too-long")
    if len(digits) < MIN_DIGITS:
        return Number("", "malformed", raw, "too-short")
    for code in FRENCH_CODES[1:]:
        if digits.startswith(code):
            national = digits if code == "508" and len(digits) == LENGTH else digits[len(code) :]
            # +269 apart, every number under these codes is of the French plan, and has its lengths.
            if length_of(national) != len(national):
                return Number("", "malformed", raw, "wrong-length")
            break
    return Number(f"+{digits}", "e164", raw)


def _under_33(national: str, raw: str) -> Number:
    """A national significant number after +33."""
    if national.startswith("0"):
        good = length_of(national[1:]) == len(national) - 1
        return Number("", "malformed", raw, "zero-after-33" if good else "wrong-length")
    if length_of(national) != len(national):
        reason = "portability-prefix" if len(national) == LENGTH + 5 else "wrong-length"
        return Number("", "malformed", raw, reason)
    note = "overseas-under-33" if code_of(national) != "33" else ""
    return Number(e164_of(national), "e164", raw, note=note)


@lru_cache(maxsize=64)
def _emergency_forms(dial: Dial) -> dict[str, str]:
    """Every dialled form of the emergency numbers, for one way of dialling. A form that is a telephone number as well
    (0590116000: Guadeloupe, not an outside line, a country code and 116000) is none."""
    forms: dict[str, str] = {}
    codes = ["", "+", *(f"+{c}" for c in FRENCH_CODES), *FRENCH_CODES]
    for international in {"00", dial.international}:
        codes += [international, *(f"{international}{c}" for c in FRENCH_CODES)]
    for number in EMERGENCY:
        for outside in {*_OUTSIDE_LINES, dial.strip}:
            for code in codes:
                plain = outside + code + number
                good = not _is_telephone(plain, dial)
                if good:
                    forms[plain] = number
                for hide in HIDE:
                    # It is taken off the front first, so that it changes nothing: thousands need not be looked at.
                    if not _is_telephone(hide + plain, dial) if plain.startswith(HIDE) else good:
                        forms[hide + plain] = number
                    # Behind one digit that is no outside line, # and * end what could be a telephone number.
                    amid = outside + hide + code + number
                    told = not hide.isdigit() and len(outside) == 1 and outside != dial.strip
                    if told or not _is_telephone(amid, dial):
                        forms[amid] = number
    return forms


def _is_telephone(form: str, dial: Dial) -> bool:
    """Whether it is a telephone number."""
    return _normalise(form, dial, "", "sip", True).kind == "e164"


def emergency_of(raw: str, dial: Dial, *, phone_context: str = "", scheme: str = "sip") -> str:
    """The emergency number that was dialled, in its plain form (`112`), or "" for any other call.

    With `scheme` urn, `raw` is what follows it (`service:sos.fire`, RFC 5031). The phone-context does not matter: a
    local 112 is 112 everywhere in the plan.
    """
    del phone_context
    if scheme == "urn":
        return _service(raw)
    forms = _emergency_forms(dial)
    found = forms.get(raw)
    if found is not None:
        return found
    if len(raw) > MAX_RAW * 4:  # no dialled form is that long, whatever separators and parameters it has
        return ""
    return forms.get(_plain(raw, "")[0].rstrip("#"), "")  # some IPBXs end what was dialled with #


def _service(raw: str) -> str:
    """The emergency number that a service URN names, "" for a service of another kind."""
    service, _, _ = raw.lower().partition(";")
    kind, _, sub = service.strip().partition(".")
    if kind != "service:sos":
        return ""
    return _SERVICES.get(sub.partition(".")[0], "112")
