"""Numbers from every form that an IPBX writes or dials: E.164, short, withheld, or malformed for a named reason."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.numbering.number import (
    ANONYMOUS,
    EMERGENCY,
    HIDE,
    MAX_DIGITS,
    MAX_RAW,
    MAX_SHORT,
    MIN_DIGITS,
    Dial,
    emergency_of,
    normalise,
)
from guard.numbering.overseas import FRENCH_CODES, e164_of, length_of

PLAIN = Dial()
NINE = Dial(strip="9")
ZERO = Dial(strip="0")
AMERICAN = Dial(international="011", national="1")
PARIS = "+33145678900"


@pytest.mark.parametrize(
    "raw",
    [
        "0145678900",
        "+33145678900",
        "0033145678900",
        "33145678900",
        "01 45 67 89 00",
        "01.45.67.89.00",
        "01-45-67-89-00",
        "(01)45678900",
        "+33 1 45-67.89(00)",
        " +33145678900 ",
        "+33145678900;user=phone",
        "0145678900;phone-context=+33",
        "145678900;phone-context=+33",
        "0145678900;phone-context=pbx.example.com",
        "0145678900;PHONE-CONTEXT=+33;isub=1",
        "+33145678900;phone-context=+44",  # a global number has no context (RFC 3966 5.1.4)
        "+33145678900;tgrp=tg1;trunk-context=example.com",
    ],
)
def test_one_french_number_in_every_form(raw: str) -> None:
    for callee in (False, True):
        number = normalise(raw, PLAIN, callee=callee)
        assert (number.value, number.kind, number.reason, number.note) == (PARIS, "e164", "", "")
        assert number.raw == raw[:MAX_RAW]


def test_the_context_may_come_apart() -> None:
    assert normalise("0145678900", PLAIN, phone_context="+33").value == PARIS
    assert normalise("145678900", PLAIN, phone_context="+33").value == PARIS
    assert normalise("145678900", PLAIN, phone_context="example.com").reason == "no-prefix"
    assert normalise("2071234567", PLAIN, phone_context="+44").value == "+442071234567"
    assert normalise("3949", PLAIN, phone_context="+33").value == "3949"
    assert normalise("112;phone-context=+33", PLAIN).value == "112"


@pytest.mark.parametrize(
    ("national", "value"),
    [
        ("0262161234", "+262262161234"),
        ("0269601234", "+262269601234"),
        ("0639123456", "+262639123456"),
        ("0692123456", "+262692123456"),
        ("0590271234", "+590590271234"),
        ("0690123456", "+590690123456"),
        ("0594301234", "+594594301234"),
        ("0596301234", "+596596301234"),
        ("0709012345", "+590709012345"),
        ("0709112345", "+596709112345"),
        ("0709212345", "+262709212345"),
        ("0709312345", "+594709312345"),
        ("0709352345", "+262709352345"),
        ("0947512345", "+590947512345"),
        ("0947812345", "+262947812345"),
        ("0939512345", "+590939512345"),
        ("0976012345", "+590976012345"),
        ("0976412345", "+594976412345"),
        ("0708561234", "+508708561234"),
        ("0598712345", "+590598712345"),
        ("0268812345", "+262268812345"),
        ("0700512345678", "+590700512345678"),
        ("0901712345678", "+596901712345678"),
    ],
)
def test_overseas_numbers_stand_under_their_own_codes(national: str, value: str) -> None:
    right = normalise(national, PLAIN)
    assert (right.value, right.note) == (value, "")
    assert normalise(value, PLAIN).note == ""
    assert normalise(value[1:], PLAIN).value == value
    for form in (f"+33{national[1:]}", f"33{national[1:]}", f"0033{national[1:]}"):
        wrong = normalise(form, PLAIN)
        assert (wrong.value, wrong.kind, wrong.note) == (value, "e164", "overseas-under-33"), form


def test_saint_pierre_keeps_six_digits() -> None:
    for form in ("0508412345", "+508412345", "00508412345"):
        assert normalise(form, PLAIN).value == "+508412345"
    assert normalise("+33508412345", PLAIN).note == "overseas-under-33"


def test_fiction_numbers_amid_mayottes_are_metropolitan() -> None:
    for form in ("0639981234", "+33639981234"):
        number = normalise(form, PLAIN)
        assert (number.value, number.note) == ("+33639981234", "")
    assert normalise("0639971234", PLAIN).value == "+262639971234"


@pytest.mark.parametrize("national", ["07000123456789", "07004999999999", "09010123456789", "09014999999999"])
def test_extended_numbers_of_fourteen_digits(national: str) -> None:
    assert normalise(national, PLAIN).value == f"+33{national[1:]}"
    assert normalise(f"+33{national[1:]}", PLAIN).kind == "e164"
    for other in (national[:-1], national + "0", national[:10]):
        assert normalise(other, PLAIN).reason in {"wrong-length", "too-long", "no-prefix"}, other


@pytest.mark.parametrize("national", ["0700512345678", "0700912345678", "0901512345678", "0901912345678"])
def test_extended_numbers_of_thirteen_digits(national: str) -> None:
    value = normalise(national, PLAIN).value
    assert value.endswith(national[1:])
    assert normalise(value[:-1], PLAIN).reason == "wrong-length"
    assert normalise(national[:10], PLAIN).reason == "wrong-length"
    assert normalise(f"{national}0", PLAIN).reason == "wrong-length"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("", "empty"),
        ("+", "empty"),
        (" ", "empty"),
        (";phone-context=+33", "empty"),
        ("0", "too-short"),
        ("00", "too-short"),
        ("0012345", "too-short"),
        ("+123456", "too-short"),
        ("012345", "too-short"),
        ("012345678", "wrong-length"),
        ("01234567890", "wrong-length"),
        ("+3312345678", "wrong-length"),
        ("+336123456789", "wrong-length"),
        ("+33", "wrong-length"),
        ("+59012345678", "wrong-length"),
        ("+2621234567890", "wrong-length"),
        ("+330612345678", "zero-after-33"),
        ("00330612345678", "zero-after-33"),
        ("+33061234567", "wrong-length"),
        ("+3351012145678900", "portability-prefix"),
        ("+33510121456789000", "wrong-length"),
        ("0000000000", "no-prefix"),
        ("145678900", "no-prefix"),
        ("1450000", "no-prefix"),
        ("+0145678900", "no-prefix"),
        ("1234567890123456", "too-long"),
        ("+1234567890123456", "too-long"),
        ("alice", "not-digits"),
        ("alice42", "not-digits"),
        ("06123456ab", "not-digits"),
        ("0145678900@example.com", "not-digits"),
        ("0145678900\r\n", "not-digits"),
        ("0145\x00678900", "not-digits"),
        ("++33145678900", "not-digits"),
        ("+33+145678900", "not-digits"),
        ("٠١٤٥٦٧٨٩٠٠", "not-digits"),
        ("０１４５６７８９００", "not-digits"),
        ("+３３145678900", "not-digits"),
        ("²¹", "not-digits"),
        ("0612345678' OR 1=1--", "not-digits"),
        ("*31#0612345678", "not-digits"),
        ("3949#", "not-digits"),
        ("01\u00a045\u00a067\u00a089\u00a000", "not-digits"),
    ],
)
def test_what_is_malformed_and_why(raw: str, reason: str) -> None:
    number = normalise(raw, PLAIN)
    assert (number.value, number.kind, number.reason) == ("", "malformed", reason)


def test_limits_of_lengths() -> None:
    assert normalise("+" + "4" * MIN_DIGITS, PLAIN).kind == "e164"
    assert normalise("+" + "4" * (MIN_DIGITS - 1), PLAIN).reason == "too-short"
    assert normalise("+" + "4" * MAX_DIGITS, PLAIN).kind == "e164"
    assert normalise("+" + "4" * (MAX_DIGITS + 1), PLAIN).reason == "too-long"
    assert normalise("1" * MAX_SHORT, PLAIN).kind == "short"
    assert normalise("1" * (MAX_SHORT + 1), PLAIN).kind == "malformed"
    assert len(normalise("5" * 100_000, PLAIN).raw) == MAX_RAW


@pytest.mark.parametrize("short", ["3949", "3008", "118712", "116006", "1013", "36500", "888", "12", "42", "1001"])
def test_short_numbers_are_kept_as_dialled(short: str) -> None:
    number = normalise(short, PLAIN)
    assert (number.value, number.kind) == (short, "short")


@pytest.mark.parametrize("word", sorted(ANONYMOUS))
def test_words_that_withhold(word: str) -> None:
    for written in (word, word.upper(), word.capitalize(), f" {word} "):
        number = normalise(written, PLAIN)
        assert (number.value, number.kind) == ("", "anonymous")
    assert normalise(word, PLAIN, callee=True).kind == "malformed"  # nobody can be called under that name


@pytest.mark.parametrize("outside", ["0", "9"])
def test_outside_lines_are_taken_off_once(outside: str) -> None:
    dial = Dial(strip=outside)
    for dialled, value in (
        ("0145678900", PARIS),
        ("0033145678900", PARIS),
        ("+33145678900", PARIS),
        ("00442071234567", "+442071234567"),
        ("3949", "3949"),
        ("112", "112"),
        ("0590271234", "+590590271234"),
        ("07000123456789", "+337000123456789"),
    ):
        assert normalise(outside + dialled, dial, callee=True).value == value, dialled
        for code in HIDE:
            assert normalise(code + outside + dialled, dial, callee=True).value == value, dialled
            assert normalise(outside + code + dialled, dial, callee=True).value == value, dialled


def test_outside_lines_are_only_dialled_never_presented() -> None:
    assert normalise("90145678900", NINE).reason == "no-prefix"
    assert normalise("00145678900", ZERO).value == "+145678900"  # what it says when it is presented
    assert normalise("00145678900", ZERO, callee=True).value == PARIS


def test_a_number_dialled_without_the_outside_line_is_understood() -> None:
    assert normalise("0145678900", NINE, callee=True).value == PARIS
    assert normalise("0145678900", ZERO, callee=True).value == PARIS
    assert normalise("+33145678900", ZERO, callee=True).value == PARIS


def test_other_ways_of_dialling() -> None:
    assert normalise("01133145678900", AMERICAN).value == PARIS
    assert normalise("011442071234567", AMERICAN).value == "+442071234567"
    assert normalise("1145678900", AMERICAN).value == PARIS
    assert normalise("145678900", Dial(national="")).value == PARIS
    assert normalise("8*145678900", Dial(national="8*")).reason == "not-digits"
    assert normalise("810442071234567", Dial(international="810")).value == "+442071234567"


def test_urns_are_emergency_services_or_nothing() -> None:
    assert normalise("service:sos.fire", PLAIN, scheme="urn", callee=True).value == "18"
    assert normalise("service:sos.fire", PLAIN, scheme="urn").kind == "malformed"  # nobody presents a service
    assert normalise("service:counseling", PLAIN, scheme="urn").kind == "malformed"


dials = st.builds(
    Dial,
    international=st.sampled_from(["00", "011", "810", ""]),
    national=st.sampled_from(["0", "1", ""]),
    strip=st.sampled_from(["", "0", "9", "0*", "33"]),
)
dialled = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="0123456789", max_size=18),
    st.text(alphabet="+0123456789 .-()#*;=", max_size=24),
    st.builds(lambda code, rest: code + rest, st.sampled_from(["+33", "0033", "33", "0", "+590", "3651", "#31#"]),
              st.text(alphabet="0123456789", max_size=15)),
)  # fmt: skip
contexts = st.sampled_from(["", "+33", "+44", "+590", "example.com", "+", "+x", "٣٣+"])


@given(dialled, dials, contexts, st.sampled_from(["sip", "sips", "tel", "urn", "http"]), st.booleans())
@settings(max_examples=500)
def test_it_is_total_and_what_comes_out_has_a_shape(
    raw: str, dial: Dial, context: str, scheme: str, callee: bool
) -> None:
    number = normalise(raw, dial, phone_context=context, scheme=scheme, callee=callee)
    assert len(number.raw) <= MAX_RAW
    if number.kind == "e164":
        digits = number.value[1:]
        assert number.value[0] == "+"
        assert digits.isascii()
        assert digits.isdigit()
        assert MIN_DIGITS <= len(digits) <= MAX_DIGITS
        assert digits[0] != "0"
    elif number.kind == "short":
        assert number.value.isascii()
        assert number.value.isdigit()
        assert len(number.value) <= MAX_SHORT
    else:
        assert number.value == ""
    assert (number.reason != "") is (number.kind == "malformed")


@given(dialled, dials, st.booleans())
@settings(max_examples=400)
def test_a_number_in_e164_means_itself(raw: str, dial: Dial, callee: bool) -> None:
    number = normalise(raw, dial, callee=callee)
    if number.kind == "e164":
        again = normalise(number.value, dial)
        assert (again.value, again.kind, again.note) == (number.value, "e164", "")


@given(st.from_regex(r"0[1-9][0-9]{8}", fullmatch=True))
@settings(max_examples=300)
def test_national_and_international_forms_agree(national: str) -> None:
    number = normalise(national, PLAIN)
    if length_of(national[1:]) != 9:
        assert number.reason == "wrong-length"
        return
    assert number.value == e164_of(national[1:])
    for form in (f"+33{national[1:]}", f"0033{national[1:]}", f"33{national[1:]}", f"{national};phone-context=+33"):
        assert normalise(form, PLAIN).value == number.value


def test_emergency_numbers_are_short_numbers() -> None:
    for number in EMERGENCY:
        assert normalise(number, PLAIN).value == number
        for form in (f"0{number}", f"9{number}", f"+33{number}", f"3651{number}", f"0{number}#"):
            dialled = normalise(form, PLAIN, callee=True)
            assert (dialled.value, dialled.kind, dialled.raw) == (number, "short", form)
            assert normalise(form, PLAIN).value != number  # presented, it is no emergency number


@pytest.mark.parametrize(
    "raw",
    [
        "0899123456#",
        "0899123456,1",
        "0899123456p2",
        "+33899123456@x",
        "0033899123456*",
        "3651 0899123456w9",
        "0899123456é",
    ],
)
def test_what_stands_behind_a_dialled_number_hides_it_from_no_rule(raw: str) -> None:
    """A switch may stop reading at the first thing that is no digit, and call the number before it."""
    number = normalise(raw, PLAIN, callee=True)
    assert (number.value, number.kind, number.raw) == ("+33899123456", "e164", raw)
    presented = normalise(raw.removeprefix("3651 "), PLAIN)
    assert (presented.kind, presented.reason) == ("malformed", "not-digits")  # nobody presents a number like that


@pytest.mark.parametrize(
    "raw", ["0899,123456", "112,0899123456", "15,1", "3949,1", "1x", "*21*0899123456#", "alice", ","]
)
def test_what_is_no_whole_number_before_something_else_stays_what_it_was(raw: str) -> None:
    assert normalise(raw, PLAIN, callee=True).kind == "malformed"


@pytest.mark.parametrize("strip", ["", "0", "9", "8", "36", "3651", "#31#", "00"])
@pytest.mark.parametrize("international", ["00", "0", "", "3651"])
def test_every_form_of_an_emergency_number_is_one_unless_it_is_a_telephone_number(
    strip: str, international: str
) -> None:
    """Each form looked at alone, without the short cuts of the code."""
    dial = Dial(strip=strip, international=international)
    codes = ["", "+", *(f"+{c}" for c in FRENCH_CODES), *FRENCH_CODES]
    for begin in ("00", international):
        codes += [begin, *(f"{begin}{c}" for c in FRENCH_CODES)]
    forms: dict[str, str] = {}
    for number in EMERGENCY:
        for outside, hide, code in product(("", "0", "9", strip), ("", *HIDE), codes):
            forms |= dict.fromkeys((outside + hide + code + number, hide + outside + code + number), number)
    wrong = [
        form for form, number in forms.items()
        if emergency_of(form, dial) != ("" if normalise(form, dial, callee=True).kind == "e164" else number)
    ]  # fmt: skip
    assert wrong == []
