"""Every cell of every table: go, ignore or illegal; every state can be reached, and left by time alone."""

from __future__ import annotations

import pytest

from guard.proxy import transactions
from guard.proxy.tables import CALL, CLIENT, IGNORE, ILLEGAL, INVITE_CLIENT, INVITE_SERVER, SERVER, A, C, I, K, S, Table

TABLES = {"INVITE_CLIENT": INVITE_CLIENT, "CLIENT": CLIENT, "INVITE_SERVER": INVITE_SERVER, "SERVER": SERVER}
START = {"INVITE_CLIENT": S.CALLING, "CLIENT": S.TRYING, "INVITE_SERVER": S.PROCEEDING, "SERVER": S.TRYING}
CLIENTS = ("INVITE_CLIENT", "CLIENT")
DENSE = {
    "INVITE_CLIENT": transactions.INVITE_CLIENT,
    "CLIENT": transactions.CLIENT,
    "INVITE_SERVER": transactions.INVITE_SERVER,
    "SERVER": transactions.SERVER,
}

# Which timer a state waits for. The others wait for the core, which always comes: a server for the answer, that its
# client transaction gives at the latest by timer B or F, and an INVITE in PROCEEDING for timer C.
WAITS_FOR = {
    ("INVITE_CLIENT", S.CALLING): I.TIMEOUT,
    ("INVITE_CLIENT", S.COMPLETED): I.LINGER,
    ("INVITE_CLIENT", S.ACCEPTED): I.LINGER,
    ("CLIENT", S.TRYING): I.TIMEOUT,
    ("CLIENT", S.PROCEEDING): I.TIMEOUT,
    ("CLIENT", S.COMPLETED): I.LINGER,
    ("INVITE_SERVER", S.COMPLETED): I.TIMEOUT,
    ("INVITE_SERVER", S.CONFIRMED): I.LINGER,
    ("INVITE_SERVER", S.ACCEPTED): I.LINGER,
    ("SERVER", S.COMPLETED): I.LINGER,
}
WAITS_FOR_CORE = {
    ("INVITE_CLIENT", S.PROCEEDING),
    ("INVITE_SERVER", S.PROCEEDING),
    ("SERVER", S.TRYING),
    ("SERVER", S.PROCEEDING),
}
FROM_THE_WIRE = {
    "INVITE_CLIENT": (I.P, I.OK, I.NO, I.ERROR),
    "CLIENT": (I.P, I.OK, I.NO, I.ERROR),
    "INVITE_SERVER": (I.REQUEST, I.ACK, I.ERROR),
    "SERVER": (I.REQUEST, I.ERROR),
}
ARMS = {I.RETRY: {A.ARM_RETRY, A.AGAIN, A.SLOW_RETRY}, I.TIMEOUT: {A.ARM_TIMEOUT}, I.LINGER: {A.ARM_LINGER}}
STARTS_WITH = {"INVITE_CLIENT": {I.RETRY, I.TIMEOUT}, "CLIENT": {I.RETRY, I.TIMEOUT}}  # Layer.start_client
STOPS = {A.STOP_RETRY: I.RETRY, A.STOP_TIMEOUT: I.TIMEOUT}


def states_of(table: Table) -> set[S]:
    return {state for state, _ in table}


def follow(table: Table, start: S) -> set[S]:
    """Every state that can be reached from `start`."""
    seen, todo = {start}, [start]
    while todo:
        here = todo.pop()
        for what in I:
            cell = table[here, what]
            if isinstance(cell, tuple) and cell[0] not in seen:
                seen.add(cell[0])
                todo.append(cell[0])
    return seen


@pytest.mark.parametrize("name", TABLES)
def test_every_cell_is_go_ignore_or_illegal(name: str) -> None:
    table = TABLES[name]
    for state in states_of(table):
        for what in I:
            cell = table[state, what]
            if isinstance(cell, tuple):
                after, actions = cell
                assert after in states_of(table)
                assert all(isinstance(a, A) for a in actions)
                assert len(set(actions)) == len(actions)
            else:
                assert cell is IGNORE or cell == ILLEGAL
            assert DENSE[name][state][what] == cell


@pytest.mark.parametrize("name", TABLES)
def test_every_state_is_reached_and_ends(name: str) -> None:
    table = TABLES[name]
    assert follow(table, START[name]) == states_of(table)
    for state in states_of(table):
        assert S.TERMINATED in follow(table, state)
    assert not any(isinstance(table[S.TERMINATED, what], tuple) for what in I)


@pytest.mark.parametrize("name", TABLES)
def test_the_wire_can_cause_nothing_illegal(name: str) -> None:
    table = TABLES[name]
    for state in states_of(table):
        for what in FROM_THE_WIRE[name]:
            assert table[state, what] != ILLEGAL, (state.name, what.name)


@pytest.mark.parametrize("name", TABLES)
def test_what_the_core_sends_is_legal_in_every_state_of_a_server(name: str) -> None:
    table = TABLES[name]
    for state in states_of(table):
        for what in (I.SEND_P, I.SEND_OK, I.SEND_NO):
            assert (table[state, what] == ILLEGAL) is (name in CLIENTS), (state.name, what.name)


def armed_after(name: str) -> dict[S, set[frozenset[I]]]:
    """For each state, every set of timers that may stand in it, however it was reached."""
    table = TABLES[name]
    start = (START[name], frozenset(STARTS_WITH.get(name, set())))
    seen, todo = {start}, [start]
    while todo:
        state, timers = todo.pop()
        for what in I:
            cell = table[state, what]
            if not isinstance(cell, tuple) or (what in ARMS and what not in timers):
                continue
            left = set(timers) - {what}
            for action in cell[1]:
                if action in STOPS:
                    left.discard(STOPS[action])
                for timer, armers in ARMS.items():
                    if action in armers:
                        left.add(timer)
            after = (cell[0], frozenset(left))
            if after not in seen:
                seen.add(after)
                todo.append(after)
    out: dict[S, set[frozenset[I]]] = {}
    for state, timers in seen:
        out.setdefault(state, set()).add(timers)
    return out


@pytest.mark.parametrize("name", TABLES)
def test_no_timer_fires_where_it_is_illegal_and_time_ends_every_state(name: str) -> None:
    table = TABLES[name]
    for state, sets in armed_after(name).items():
        for timers in sets:
            for timer in timers - ({I.LINGER} if state is S.TERMINATED else set()):
                assert state is S.TERMINATED or table[state, timer] != ILLEGAL, (state.name, timer.name)
            if state is S.TERMINATED:
                assert not timers, "a finished transaction keeps no timer"
            elif (name, state) in WAITS_FOR:
                wanted = WAITS_FOR[name, state]
                assert wanted in timers, (state.name, wanted.name)
                cell = table[state, wanted]
                assert isinstance(cell, tuple)
                assert cell[0] is S.TERMINATED
            else:
                assert (name, state) in WAITS_FOR_CORE


def test_every_cell_of_a_call() -> None:
    for state in C:
        for what in K:
            cell = CALL[state, what]
            assert cell is IGNORE or cell == ILLEGAL or isinstance(cell, C)
    seen, todo = {C.DECIDING}, [C.DECIDING]
    while todo:
        here = todo.pop()
        for what in K:
            after = CALL[here, what]
            if isinstance(after, C) and after not in seen:
                seen.add(after)
                todo.append(after)
    assert seen == set(C)
    assert not any(isinstance(CALL[C.ENDED, what], C) for what in K), "an ended call stays ended"


def test_only_the_core_itself_could_ask_something_illegal_of_a_call() -> None:
    illegal = {(c, k) for (c, k), cell in CALL.items() if cell == ILLEGAL}
    # `Calls.join` never joins an answered or ended call, and only arms EXPIRED where it is legal.
    assert illegal == {
        (C.ANSWERED, K.JOINED),
        (C.ENDED, K.JOINED),
        (C.DECIDING, K.EXPIRED),
        (C.SETUP, K.EXPIRED),
    }
