"""Incidents: the table of steps, the clocks of each contract on real calendars, and what is due, to the cent."""

from __future__ import annotations

from datetime import datetime
from typing import get_args

import pytest
from msgspec.structs import replace

from guard.ledger.incidents import (
    CLOSED,
    STEPS,
    Event,
    Incident,
    Letter,
    State,
    Step,
    Terms,
    WrongStep,
    after,
    at_stake,
    costs,
    deadlines,
    earlier,
    fold,
    opened,
)
from guard.policy.money import incident_terms
from tests.policy.reading import EURO, contracts
from tests.store.making_log import PARIS

SVA = incident_terms(contracts()["technicophone-sva"])
NUMBER = "+33899123456"


def micros(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=PARIS).timestamp()) * 1_000_000


def first(at: str = "2026-11-20T10:00", *, terms: Terms = SVA, reached: bool = True, repeats: int = 0) -> Incident:
    event = Event(
        step="open", at=micros(at), written=micros(at), subject_kind="sva", subject=NUMBER, trunk="operator",
        rule="traffic.ping-call", reached=reached, repeats=repeats, terms=terms,
    )  # fmt: skip
    return opened(1, event)


def step(incident: Incident, name: Step, at: str, letter: Letter = "") -> Incident:
    return after(incident, Event(step=name, at=micros(at), written=micros(at), incident=incident.id, letter=letter))


def due(incident: Incident, now: str = "2026-11-21T10:00") -> list[tuple[str, str, bool]]:
    found = deadlines(incident, micros(now), PARIS)
    times = [datetime.fromtimestamp(d.due // 1_000_000, PARIS) for d in found]
    return [(d.clock.letter, f"{t:%Y-%m-%d %H:%M}", d.missed) for d, t in zip(found, times, strict=True)]


def cents(incident: Incident, now: str) -> list[tuple[str, str, int]]:
    return [(c.kind, c.state, c.amount // 10_000) for c in costs(incident, micros(now), PARIS)]


# ---- the table ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", get_args(State))
@pytest.mark.parametrize("name", get_args(Step))
def test_every_step_from_every_state_is_as_the_table_has_it(state: State, name: Step) -> None:
    letters: tuple[tuple[Letter, int], ...] = (("breach", micros("2026-11-20T10:00")),)
    incident = replace(first(), state=state, letters=letters)
    wanted = STEPS[state].get(name)
    if wanted is None:
        with pytest.raises(WrongStep, match=f"INC-1 is {state}: it cannot {name}"):
            step(incident, name, "2026-11-20T11:00", "breach")
    else:
        assert step(incident, name, "2026-11-20T11:00", "breach").state == wanted


def test_what_is_closed_stays_closed() -> None:
    for state in CLOSED:
        assert set(STEPS[state].values()) == {state}
    assert set(STEPS) == set(get_args(State))


def test_steps_that_make_no_sense_are_refused() -> None:
    with pytest.raises(WrongStep, match="no letter has come"):
        step(first(), "answer", "2026-11-20T11:00")
    with pytest.raises(WrongStep, match="of a kind"):
        step(first(), "notify", "2026-11-20T11:00")
    with pytest.raises(WrongStep, match="before it was opened or notified"):
        step(first(), "resolve", "2026-11-20T09:00")
    told = step(first(), "notify", "2026-11-19T10:00", "breach")  # a letter may be older than our first sight
    with pytest.raises(WrongStep, match="before it was opened or notified"):
        step(told, "answer", "2026-11-19T09:00")
    with pytest.raises(WrongStep, match="INC-7"):
        fold([(2, Event(step="note", at=0, written=0, incident=7))])
    with pytest.raises(WrongStep, match="begins by being opened"):
        opened(1, Event(step="feed", at=0, written=0))


def test_events_fold_to_the_same_incident() -> None:
    told = step(step(first(), "notify", "2026-11-20T11:00", "question"), "answer", "2026-11-20T12:00")
    assert fold([(1, told.events[0]), (2, told.events[1]), (3, told.events[2])]) == {1: told}
    assert (told.state, told.answered, told.live) == ("answered", micros("2026-11-20T12:00"), True)
    again = step(told, "notify", "2026-11-20T13:00", "question")
    assert (again.state, again.answered) == ("notified", None)


# ---- clocks ---------------------------------------------------------------------------------------------------------


def test_seventy_two_hours_to_answer_whatever_the_day() -> None:
    asked = step(first(), "notify", "2026-11-20T17:30", "question")
    assert due(asked) == [("question", "2026-11-23 17:30", False)]
    assert due(asked, "2026-11-23T17:31") == [("question", "2026-11-23 17:30", True)]
    answered = step(asked, "answer", "2026-11-23T17:29")
    assert due(answered, "2027-01-01T00:00") == [("question", "2026-11-23 17:30", False)]
    late = step(asked, "answer", "2026-11-23T17:31")
    assert due(late) == [("question", "2026-11-23 17:30", True)]


def test_five_business_days_to_put_it_right() -> None:
    told = step(first(), "notify", "2026-12-18T10:00", "breach")  # a Friday: Christmas is the next one
    assert due(told) == [("breach", "2026-12-28 23:59", False)]
    assert due(step(told, "answer", "2026-12-18T11:00"), "2026-12-29T00:00")[0][2]  # an answer puts nothing right
    assert not due(step(told, "resolve", "2026-12-28T23:59"), "2027-01-01T00:00")[0][2]


@pytest.mark.parametrize(
    ("contract", "letter", "sent", "last"),
    [
        ("technicophone-sip-trunk", "formal-notice", "2026-11-20", "2026-11-28"),
        ("technicophone-sip-trunk", "second-notice", "2026-11-20", "2026-11-30"),
        ("technicophone-sip-trunk", "guarantee", "2026-11-20", "2026-12-05"),
        ("technicophone-sip-trunk", "invoice", "2026-11-20", "2026-11-30"),
        ("technicophone-mobile", "formal-notice", "2026-11-20", "2026-11-28"),
        ("techcrea-centrex", "suspension", "2026-11-20", "2026-11-27"),
        ("techcrea-centrex", "invoice", "2026-11-20", "2026-12-20"),
        ("easy2phone", "breach", "2026-11-20", "2026-12-20"),
        ("easy2phone", "suspension", "2026-11-20", "2026-12-20"),
        ("easy2phone", "invoice", "2026-11-20", "2026-12-20"),
    ],
)
def test_the_clocks_of_each_contract(contract: str, letter: Letter, sent: str, last: str) -> None:
    told = step(first(terms=incident_terms(contracts()[contract])), "notify", f"{sent}T10:00", letter)
    assert due(told) == [(letter, f"{last} 23:59", False)]
    (found,) = deadlines(told, micros("2026-11-21T10:00"), PARIS)
    assert found.clock.article.startswith(contracts()[contract].file)


def test_a_contract_that_names_no_clock_starts_none() -> None:
    for contract in ("crossing-telecom", "expert-telecom-sip-trunk"):
        told = step(first(terms=incident_terms(contracts()[contract])), "notify", "2026-11-20T10:00", "breach")
        assert due(told) == []
        assert cents(told, "2027-11-20T10:00") == []


# ---- money ----------------------------------------------------------------------------------------------------------


def test_what_an_sva_number_costs_step_by_step() -> None:
    story = first()
    assert cents(story, "2026-11-20T11:00") == [("sva-number", "accrued", 500_000)]
    told = step(story, "notify", "2026-11-20T12:00", "breach")  # Friday; due on Friday the 27th
    assert at_stake(told, micros("2026-11-21T10:00"), PARIS) == 10_000 * EURO
    assert cents(told, "2026-11-27T23:59") == [("sva-number", "accrued", 500_000)]
    late = [("sva-number", "accrued", 500_000), ("sva-not-put-right", "accrued", 1_000_000)]
    assert cents(told, "2026-11-28T00:00") == late
    assert at_stake(told, micros("2026-11-28T00:00"), PARIS) == 0
    assert cents(step(told, "resolve", "2026-12-24T10:00"), "2027-06-01T00:00") == late
    good = step(told, "resolve", "2026-11-27T20:00")
    assert cents(good, "2027-06-01T00:00") == [("sva-number", "accrued", 500_000)]
    assert cents(step(told, "release", "2026-12-24T10:00"), "2027-06-01T00:00") == []


def test_two_letters_make_one_penalty() -> None:
    told = step(first(), "notify", "2026-11-20T12:00", "breach")
    twice = step(told, "notify", "2026-11-25T12:00", "breach")
    assert [c[0] for c in cents(twice, "2027-01-01T00:00")] == ["sva-number", "sva-not-put-right"]
    assert [d[1] for d in due(twice)] == ["2026-11-27 23:59", "2026-12-02 23:59"]
    late = [c for c in costs(twice, micros("2027-01-01T00:00"), PARIS) if c.kind == "sva-not-put-right"]
    assert [c.at for c in late] == [micros("2026-11-28T00:00") - 1]  # the first letter's


def test_what_the_guard_stopped_is_avoided_until_the_operator_writes() -> None:
    story = first(reached=False)
    assert cents(story, "2026-11-20T11:00") == [("sva-number", "avoided", 500_000)]
    assert cents(step(story, "notify", "2026-11-20T12:00", "question"), "2026-11-20T13:00")[0][1] == "accrued"


def test_a_repeat_within_a_year() -> None:
    done = step(first(), "resolve", "2026-11-25T15:00")
    for at, found in (("2026-11-25T14:00", None), ("2027-11-25T23:59", done), ("2027-11-26T00:00", None)):
        assert earlier([done], "sva", NUMBER, "operator", micros(at), SVA, PARIS) == found
    assert earlier([done], "sva", "+33899000000", "operator", micros("2026-12-01"), SVA, PARIS) is None
    assert earlier([done], "sva", NUMBER, "backup", micros("2026-12-01"), SVA, PARIS) is None
    let_go = step(first(), "release", "2026-11-25T15:00")
    assert earlier([let_go, first()], "sva", NUMBER, "operator", micros("2026-12-01"), SVA, PARIS) is None
    again = first("2027-05-01T10:00", repeats=1)
    assert again.state == "repeated"
    assert cents(again, "2027-05-02T10:00") == [
        ("sva-number", "accrued", 500_000),
        ("sva-repeated-in-a-year", "accrued", 1_000_000),
    ]


def test_every_line_names_its_ground() -> None:
    told = step(first(repeats=3), "notify", "2026-11-20T12:00", "breach")
    for line in costs(told, micros("2027-01-01T00:00"), PARIS):
        assert (line.incident, line.number, line.trunk) == ("INC-1", NUMBER, "operator")
        assert (line.contract, line.reading) == ("technicophone-sva", "digits")
        assert line.article == "003_742b69a7556570e9.txt XII-13.1"


def test_an_incident_of_a_line_costs_nothing_of_its_own() -> None:
    line = opened(1, replace(first().events[0], subject_kind="line", subject="200"))
    assert cents(line, "2027-01-01T00:00") == []
