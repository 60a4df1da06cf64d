"""Emergency numbers in every form that may be dialled, and numbers that only look like them."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from guard.numbering.number import EMERGENCY, Dial, emergency_of, normalise

PLAIN = Dial()
# ARCEP's list, written out again: the code under test must not be what says which they are.
TWELVE = ("15", "17", "18", "112", "114", "115", "116000", "116117", "119", "191", "196", "197")
DIALS = (PLAIN, Dial(strip="0"), Dial(strip="9"), Dial(strip="8"), Dial(international="011", national="1"))


def test_there_are_twelve() -> None:
    assert sorted(EMERGENCY) == sorted(TWELVE)


@pytest.mark.parametrize("number", TWELVE)
@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "0{}",
        "9{}",
        "00{}",
        "+{}",
        "+33{}",
        "0033{}",
        "33{}",
        "00033{}",
        "90033{}",
        "9+33{}",
        "+262{}",
        "+590{}",
        "00262{}",
        "3651{}",
        "#31#{}",
        "*31#{}",
        "03651{}",
        "93651{}",
        "36510{}",
        "36519{}",
        "9#31#{}",
        "#31#+33{}",
        "{}#",
        "{};phone-context=+33",
        "{};phone-context=pbx.example.com",
        "{};phone-context=+44",
        "{};user=phone",
        "{};isub=12345",
        " {} ",
        "({})",
    ],
)
def test_every_number_in_every_form(number: str, form: str) -> None:
    written = form.format(number)
    for dial in DIALS:
        if form == "00262{}" and len(number) == 6 and dial.strip == "0":
            # 0 for the outside line, then 0262116000: a number of Réunion that must not be taken from its callers.
            assert normalise(written, dial, callee=True).value == f"+262262{number}"
            continue
        assert emergency_of(written, dial) == number, dial
        assert emergency_of(written, dial, phone_context="+33", scheme="tel") == number


@pytest.mark.parametrize("number", TWELVE)
def test_visual_separators_change_nothing(number: str) -> None:
    for separator in " -.":
        assert emergency_of(separator.join(number), PLAIN) == number
        assert emergency_of("+33" + separator + separator.join(number), PLAIN) == number


@pytest.mark.parametrize("number", TWELVE)
def test_a_sites_own_outside_line_and_international_prefix(number: str) -> None:
    assert emergency_of(f"8{number}", Dial(strip="8")) == number
    assert emergency_of(f"8{number}", PLAIN) == ""
    assert emergency_of(f"0*{number}", Dial(strip="0*")) == number
    assert emergency_of(f"011{number}", Dial(international="011")) == number
    assert emergency_of(f"01133{number}", Dial(international="011")) == number


@pytest.mark.parametrize(
    ("urn", "number"),
    [
        ("service:sos", "112"),
        ("service:sos.fire", "18"),
        ("service:sos.police", "17"),
        ("service:sos.ambulance", "15"),
        ("service:sos.marine", "196"),
        ("service:sos.mountain", "112"),
        ("service:sos.poison", "112"),
        ("service:sos.police.municipal", "17"),
        ("SERVICE:SOS.Fire", "18"),
        ("service:sos;foo=bar", "112"),
        ("service:counseling", ""),
        ("service:sosfire", ""),
        ("service:soso", ""),
        ("sos", ""),
        ("", ""),
        ("112", ""),
    ],
)
def test_service_urns(urn: str, number: str) -> None:
    assert emergency_of(urn, PLAIN, scheme="urn") == number


@pytest.mark.parametrize(
    "near",
    [
        "",
        "1",
        "11",
        "0",
        "33",
        "0112345678",
        "+33112345678",
        "0033112345678",
        "33112345678",
        "0115000000",
        "0117111111",
        "0118000000",
        "0119000000",
        "0150000000",
        "+33150000000",
        "0170000000",
        "+33170000000",
        "0180000000",
        "+33180000000",
        "0191000000",
        "+33191000000",
        "0196123456",
        "0197123456",
        "+33196123456",
        "0116000000",
        "+33116000000",
        "0116117000",
        "0590116000",  # Guadeloupe
        "0590112112",
        "+590590112112",
        "0262116117",
        "1120",
        "1121",
        "11200",
        "150",
        "151",
        "170",
        "180",
        "1150",
        "1190",
        "1910",
        "116001",
        "116006",
        "116111",
        "1160001",
        "118000",
        "118712",
        "3114",
        "3115",
        "3117",
        "3919",
        "1015",
        "8112",
        "7112",
        "01120",
        "91120",
        "36511",
        "36511120",
        "+1112",
        "+44112",
        "+112345678",
        "+15551234567",
        "+17025550112",
        "00115551234",
        "112a",
        "a112",
        "sos",
        "112@example.com",
        "112,18",
        "110",
        "113",
        "911",
        "999",
        "116",
        "117",
        "118",
        "12",
        "13",
        "14",
        "16",
        "192",
        "198",
    ],
)
def test_near_misses_are_no_emergencies(near: str) -> None:
    for dial in (PLAIN, Dial(strip="0"), Dial(strip="9")):
        assert emergency_of(near, dial) == "", dial


@given(st.sampled_from(TWELVE), st.from_regex(r"[0-9]{1,12}", fullmatch=True))
@settings(max_examples=400)
def test_a_longer_number_that_begins_like_one_is_none(number: str, rest: str) -> None:
    assume(number + rest not in TWELVE)
    assert emergency_of(number + rest, PLAIN) == ""


@given(st.from_regex(r"0[1-9][0-9]{8}", fullmatch=True))
@settings(max_examples=400)
def test_no_french_telephone_number_is_one(national: str) -> None:
    assert emergency_of(national, PLAIN) == ""
    value = normalise(national, PLAIN).value
    if value:
        assert emergency_of(value, PLAIN) == ""


def test_no_number_around_them_is_one() -> None:
    """Every 01 and 02 number whose digits hold an emergency number right after the 0."""
    for number in TWELVE:
        for rest in ("0", "1", "9"):
            national = f"0{number}".ljust(10, rest)
            for form in (national, f"+33{national[1:]}", f"0033{national[1:]}", f"9{national}", f"0{national}"):
                assert emergency_of(form, PLAIN) == "", form


@given(st.text(max_size=80), st.sampled_from(DIALS), st.sampled_from(["sip", "tel", "urn", "http", ""]))
@settings(max_examples=300)
def test_it_is_total_and_says_only_emergency_numbers(raw: str, dial: Dial, scheme: str) -> None:
    assert emergency_of(raw, dial, scheme=scheme) in {"", *TWELVE}


def test_what_is_absurdly_long_is_none() -> None:
    assert emergency_of("112" + " " * 1_000_000, PLAIN) == ""
    assert emergency_of("1" * 1_000_000, PLAIN) == ""
