"""Reading the plan's files: what is right, and every mistake, told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.numbering.plan import Plan, PlanError, load_plan
from guard.numbering.planschema import MAX_SPAN, BadRoot, roots

GOOD = """
[[source]]
id = "PNN"
title = "a text"

[[category]]
id = "thing"
name = { en = "thing", fr = "chose" }

[[category]]
id = "other"
name = { en = "other", fr = "autre" }
"""
DAY = 86_400_000_000


def entry(**keys: str) -> str:
    """A [[range]] whose values are TOML."""
    values = {"national": '["01"]', "digits": "10", "code": '"33"', "category": '"thing"', "territory": '"FR"'}
    values |= {"confidence": '"sure"', "source": '["PNN 2.3"]'} | keys
    return "\n[[range]]\n" + "\n".join(f"{k} = {v}" for k, v in values.items() if v) + "\n"


def plan(folder: Path, *texts: str) -> Plan:
    """A plan from texts, each a file of its own."""
    for i, text in enumerate(texts):
        (folder / f"{i}.toml").write_text(text, "utf-8")
    return load_plan(folder)


def problems(folder: Path, *texts: str) -> list[str]:
    """What is said of texts, without the folder."""
    with pytest.raises(PlanError) as caught:
        plan(folder, *texts)
    assert str(caught.value) == "\n".join(str(p) for p in caught.value.problems)
    return [str(p).replace(f"{folder}/", "") for p in caught.value.problems]


def test_files_may_name_each_others_words(tmp_path: Path) -> None:
    made = plan(tmp_path, entry(), GOOD)
    assert made.lookup("+33123456789", 0).id == "thing"
    assert [r.low for r in made.ranges] == ["+33100000000"]
    assert made.sources == {"PNN": "a text"}


def test_dates_are_both_included_in_french_time(tmp_path: Path) -> None:
    made = plan(
        tmp_path,
        GOOD,
        entry(),
        entry(national='["0101"]', category='"other"', **{"from": "1970-01-02", "until": "1970-01-02"}),
    )
    hour = DAY // 24  # Paris was an hour ahead
    assert made.lookup("+33101000000", DAY - hour - 1).id == "thing"
    assert made.lookup("+33101000000", DAY - hour).id == "other"
    assert made.lookup("+33101000000", 2 * DAY - hour - 1).id == "other"
    assert made.lookup("+33101000000", 2 * DAY - hour).id == "thing"


def test_one_prefix_may_change_hands_from_a_day_to_the_next(tmp_path: Path) -> None:
    made = plan(tmp_path, GOOD, entry(until="2022-12-31"), entry(category='"other"', **{"from": "2023-01-01"}))
    assert made.lookup("+33101000000", 0).id == "thing"
    assert made.lookup("+33101000000", 2**60).id == "other"


def test_what_is_opened_inside_a_range_of_its_own_is_that_range(tmp_path: Path) -> None:
    made = plan(
        tmp_path,
        GOOD,
        entry(opened='["0161-0163"]'),
        entry(national='["0162"]', category='"other"', opened="false", **{"from": "2021-01-01"}),
    )
    assert (made.lookup("+33162000000", 2**60).id, made.lookup("+33162000000", 2**60).opened) == ("other", False)
    assert (made.lookup("+33162000000", 0).id, made.lookup("+33162000000", 0).opened) == ("thing", True)
    assert not made.lookup("+33164000000", 0).opened


def test_short_numbers_of_other_lengths_share_a_prefix(tmp_path: Path) -> None:
    short = {"code": "", "territory": ""}
    made = plan(
        tmp_path,
        GOOD,
        entry(national='["36"]', digits="4", **short),
        entry(national='["36"]', digits="5", category='"other"', **short),
    )
    assert [made.lookup(n, 0).id for n in ("3615", "36150", "361", "361500")] == ["thing", "other", "", ""]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (entry(category='"thng"'), '1.toml:6: range[1].category: no category is called "thng"; did you mean "thing"?'),
        (entry(source='["PMN 2"]'), '1.toml:9: range[1].source: no source is called "PMN 2"; did you mean "PNN"?'),
        (entry(territory='"RE"'), '1.toml:7: range[1].territory: "RE" has no numbers under the code "33"'),
        (entry(code='""', digits="4"), '1.toml:7: range[1].territory: "FR" has no numbers under the code ""'),
        (entry(territory='"XX"'), '"XX" is not one of'),
        (entry(confidence='"certain"'), '"certain" is not one of sure, probable, unverified'),
        (entry(**{"from": "2023-01-02", "until": "2023-01-01"}), "1.toml:11: range[1].until: is before from"),
        (entry(national='["16"]'), '"16" does not begin with "0", which the country code takes the place of'),
        (entry(national='["01-002"]'), '"01-002": both ends of a span must have as many digits'),
        (entry(national='["02-01"]'), '"02-01" ends before it begins'),
        (entry(national='["010000-019999"]'), f'"010000-019999" names more than {MAX_SPAN} roots'),
        (entry(national='["0123456789"]', digits="9"), '"0123456789" has more digits than the 9 of a whole number'),
        (entry(national="[]"), "range[1].national"),
        (entry(national='["0A"]'), "range[1].national"),
        (entry(digits="15"), "range[1].digits"),
        (entry(opened='["0262"]'), '1.toml:10: range[1].opened: "0262" is no part of this range'),
        (entry(opened='["0123", "0120-0129"]'), '"0123" stands here twice'),
        (entry(code="", territory='""'), "without a code these are short numbers, of at most 6 digits"),
        (entry() + entry(category='"other"'), '1.toml:12: range[2].national: "01" is also in 1.toml (thing)'),
        (entry(national='["01", "01"]'), '1.toml:3: range[1].national: "01" is also in 1.toml (thing)'),
        (entry(until="2023-01-01") + entry(**{"from": "2023-01-01"}), '"01" is also in 1.toml (thing)'),
        (entry(opened='["01234"]') + entry(national='["0123"]'), '"+331234" is part of a range of its own, "+33123"'),
        (entry(opened="1"), "range[1].opened"),
        (entry(colour='"red"'), "range[1].colour: unknown key"),
        (entry(digits=""), "range[1].digits: missing"),
        ("[[range]", "not TOML"),
        (GOOD, '"PNN" is declared twice'),
        (GOOD, '"thing" is declared twice'),
    ],
)
def test_each_mistake_is_told(tmp_path: Path, text: str, said: str) -> None:
    found = problems(tmp_path, GOOD, text)
    assert any(said in p for p in found), found


def test_all_mistakes_of_all_files_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        GOOD,
        entry(category='"thng"') + entry(national='["02"]', source='["X"]'),
        entry(national='["03"]', territory='"RE"') + entry(national='["03"]', opened='["04"]'),
    )
    assert len(found) == 5, found
    assert [f.partition(":")[0] for f in found] == ["1.toml", "1.toml", "2.toml", "2.toml", "2.toml"]


def test_words_of_a_file_that_cannot_be_read_are_not_called_unknown(tmp_path: Path) -> None:
    assert problems(tmp_path, GOOD + "oops", entry(territory='"RE"')) == [
        "0.toml:13: not TOML: Expected '=' after a key in a key/value pair (at end of document)",
        '1.toml:7: range[1].territory: "RE" has no numbers under the code "33"',
    ]


def test_a_folder_without_files_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="no numbering files"):
        load_plan(tmp_path)
    with pytest.raises(PlanError, match="no numbering files"):
        load_plan(tmp_path / "nowhere")


def test_spans() -> None:
    assert roots("0998-1001") == ["0998", "0999", "1000", "1001"]
    assert roots("07") == ["07"]
    assert len(roots(f"0000-{MAX_SPAN - 1:04}")) == MAX_SPAN
    with pytest.raises(BadRoot):
        roots(f"0000-{MAX_SPAN:04}")
