"""The four transaction machines of RFC 3261 section 17 (with RFC 6026) as tables: every (state, input) has a cell.

A cell is the next state with the actions to perform, `IGNORE` (the RFC says: absorb), or `ILLEGAL` (a proxy core that
asks for it is wrong; the network cannot cause it). The core performs the actions; nothing else decides a transition.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class S(IntEnum):
    """States, for all four machines."""

    CALLING = 0
    TRYING = 1
    PROCEEDING = 2
    COMPLETED = 3
    ACCEPTED = 4
    CONFIRMED = 5
    TERMINATED = 6


class I(IntEnum):  # noqa: E742  (inputs; the letter reads well in the tables)
    """Inputs. From the wire: REQUEST (a retransmission), ACK, P (1xx), OK (2xx), NO (300 to 699). From the core: the
    SEND_ ones. Timers by what they do in each machine: RETRY (A, E, G), TIMEOUT (B, F, H), LINGER (D, I, J, K, L, M).
    """

    REQUEST = 0
    ACK = 1
    P = 2
    OK = 3
    NO = 4
    SEND_P = 5
    SEND_OK = 6
    SEND_NO = 7
    RETRY = 8
    TIMEOUT = 9
    LINGER = 10
    ERROR = 11


class A(IntEnum):
    """Actions, in the order in which a cell lists them."""

    PASS = 0  # hand the response to the core
    RESEND = 1  # the request (client) or the last response (server) goes again
    SEND = 2  # the response goes out, and is kept for retransmissions
    ACK = 3  # acknowledge a final answer hop by hop
    ARM_RETRY = 4  # after T1
    AGAIN = 12  # after twice as long as last time, at most T2 but for an INVITE
    ARM_TIMEOUT = 5
    ARM_LINGER = 6
    STOP_RETRY = 7
    STOP_TIMEOUT = 8
    FAIL_TIMEOUT = 9  # tell the core: 408
    FAIL_ERROR = 10  # tell the core: the peer cannot be reached
    SLOW_RETRY = 11  # non-INVITE in PROCEEDING retransmits every T2


Cell = tuple[S, tuple[A, ...]]
IGNORE: Final = None
ILLEGAL: Final = "illegal"
Table = dict[tuple[S, I], Cell | str | None]


def _table(states: tuple[S, ...], go: dict[tuple[S, I], Cell], ignore: set[tuple[S, I]]) -> Table:
    out: Table = {(s, i): ILLEGAL for s in states for i in I}
    for key in ignore:
        out[key] = IGNORE
    out.update(go)
    # A peer that cannot be reached ends a transaction that still needs it; once it only lingers nothing is lost.
    return out


_C, _T, _P, _D, _A, _F, _X = S.CALLING, S.TRYING, S.PROCEEDING, S.COMPLETED, S.ACCEPTED, S.CONFIRMED, S.TERMINATED

# RFC 3261 17.1.1 with RFC 6026 8.4. A stream arms no RETRY, and lingers for no time in COMPLETED.
INVITE_CLIENT: Final = _table(
    (_C, _P, _D, _A, _X),
    {
        (_C, I.P): (_P, (A.STOP_RETRY, A.STOP_TIMEOUT, A.PASS)),
        (_C, I.OK): (_A, (A.STOP_RETRY, A.STOP_TIMEOUT, A.ARM_LINGER, A.PASS)),
        (_C, I.NO): (_D, (A.STOP_RETRY, A.STOP_TIMEOUT, A.ACK, A.ARM_LINGER, A.PASS)),
        (_C, I.RETRY): (_C, (A.RESEND, A.AGAIN)),
        (_C, I.TIMEOUT): (_X, (A.STOP_RETRY, A.FAIL_TIMEOUT)),
        (_C, I.ERROR): (_X, (A.STOP_RETRY, A.STOP_TIMEOUT, A.FAIL_ERROR)),
        (_P, I.P): (_P, (A.PASS,)),
        (_P, I.OK): (_A, (A.ARM_LINGER, A.PASS)),
        (_P, I.NO): (_D, (A.ACK, A.ARM_LINGER, A.PASS)),
        (_P, I.ERROR): (_X, (A.FAIL_ERROR,)),
        (_D, I.NO): (_D, (A.ACK,)),
        (_D, I.LINGER): (_X, ()),
        (_A, I.OK): (_A, (A.PASS,)),
        (_A, I.LINGER): (_X, ()),
    },
    # Late provisionals, stray finals, and errors once the answer is known.
    {(_D, I.P), (_D, I.OK), (_D, I.ERROR), (_A, I.P), (_A, I.NO), (_A, I.ERROR)}
    | {(_X, i) for i in (I.P, I.OK, I.NO, I.ERROR)},
)

# RFC 3261 17.1.2.
CLIENT: Final = _table(
    (_T, _P, _D, _X),
    {
        (_T, I.P): (_P, (A.SLOW_RETRY, A.PASS)),
        (_T, I.OK): (_D, (A.STOP_RETRY, A.STOP_TIMEOUT, A.ARM_LINGER, A.PASS)),
        (_T, I.NO): (_D, (A.STOP_RETRY, A.STOP_TIMEOUT, A.ARM_LINGER, A.PASS)),
        (_T, I.RETRY): (_T, (A.RESEND, A.AGAIN)),
        (_T, I.TIMEOUT): (_X, (A.STOP_RETRY, A.FAIL_TIMEOUT)),
        (_T, I.ERROR): (_X, (A.STOP_RETRY, A.STOP_TIMEOUT, A.FAIL_ERROR)),
        (_P, I.P): (_P, (A.PASS,)),
        (_P, I.OK): (_D, (A.STOP_RETRY, A.STOP_TIMEOUT, A.ARM_LINGER, A.PASS)),
        (_P, I.NO): (_D, (A.STOP_RETRY, A.STOP_TIMEOUT, A.ARM_LINGER, A.PASS)),
        (_P, I.RETRY): (_P, (A.RESEND, A.SLOW_RETRY)),
        (_P, I.TIMEOUT): (_X, (A.STOP_RETRY, A.FAIL_TIMEOUT)),
        (_P, I.ERROR): (_X, (A.STOP_RETRY, A.STOP_TIMEOUT, A.FAIL_ERROR)),
        (_D, I.LINGER): (_X, ()),
    },
    {(_D, i) for i in (I.P, I.OK, I.NO, I.ERROR)} | {(_X, i) for i in (I.P, I.OK, I.NO, I.ERROR)},
)

# RFC 3261 17.2.1 with RFC 6026 8.5 and 8.7.
INVITE_SERVER: Final = _table(
    (_P, _D, _A, _F, _X),
    {
        (_P, I.REQUEST): (_P, (A.RESEND,)),
        (_P, I.SEND_P): (_P, (A.SEND,)),
        (_P, I.SEND_OK): (_A, (A.SEND, A.ARM_LINGER)),
        (_P, I.SEND_NO): (_D, (A.SEND, A.ARM_RETRY, A.ARM_TIMEOUT)),
        (_P, I.ERROR): (_P, ()),
        (_D, I.REQUEST): (_D, (A.RESEND,)),
        (_D, I.ACK): (_F, (A.STOP_RETRY, A.STOP_TIMEOUT, A.ARM_LINGER)),
        (_D, I.RETRY): (_D, (A.RESEND, A.AGAIN)),
        (_D, I.TIMEOUT): (_X, (A.STOP_RETRY,)),
        (_A, I.SEND_OK): (_A, (A.SEND,)),
        (_A, I.LINGER): (_X, ()),
        (_F, I.LINGER): (_X, ()),
    },
    # 2xx retransmissions are the UAS's own (RFC 6026): a repeated INVITE is absorbed. What the core sends after its
    # final answer is a stray of another branch.
    {(_A, I.REQUEST), (_A, I.ACK), (_F, I.REQUEST), (_F, I.ACK), (_P, I.ACK)}
    | {(s, I.ERROR) for s in (_D, _A, _F)}
    | {(s, i) for s in (_D, _F, _X) for i in (I.SEND_P, I.SEND_OK, I.SEND_NO)}
    | {(_A, I.SEND_P), (_A, I.SEND_NO)}
    | {(_X, i) for i in (I.REQUEST, I.ACK, I.ERROR)},
)

# RFC 3261 17.2.2. A proxy's own 100 for a non-INVITE is not sent (RFC 4320 4.1).
SERVER: Final = _table(
    (_T, _P, _D, _X),
    {
        (_T, I.SEND_P): (_P, (A.SEND,)),
        (_T, I.SEND_OK): (_D, (A.SEND, A.ARM_LINGER)),
        (_T, I.SEND_NO): (_D, (A.SEND, A.ARM_LINGER)),
        (_P, I.REQUEST): (_P, (A.RESEND,)),
        (_P, I.SEND_P): (_P, (A.SEND,)),
        (_P, I.SEND_OK): (_D, (A.SEND, A.ARM_LINGER)),
        (_P, I.SEND_NO): (_D, (A.SEND, A.ARM_LINGER)),
        (_D, I.REQUEST): (_D, (A.RESEND,)),
        (_D, I.LINGER): (_X, ()),
    },
    {(_T, I.REQUEST)}
    | {(s, I.ERROR) for s in (_T, _P, _D)}
    | {(s, i) for s in (_D, _X) for i in (I.SEND_P, I.SEND_OK, I.SEND_NO)}
    | {(_X, i) for i in (I.REQUEST, I.ERROR)},
)


class C(IntEnum):
    """States of a call."""

    DECIDING = 0
    SETUP = 1
    REPEATABLE = 2  # answered 401, 407, …: its caller may say it again, better
    ANSWERED = 3
    ENDED = 4


class K(IntEnum):
    """What happens to a call: the decision lets it pass or refuses it; its caller gives up before; another INVITE of
    the same attempt comes; an answer comes; the last dialog is closed; a wait is over."""

    PASSED = 0
    REFUSED = 1
    WITHDRAWN = 2
    JOINED = 3
    RINGING = 4
    ANSWER = 5
    FAILED = 6
    FAILED_REPEATABLE = 7
    CLOSED = 8
    EXPIRED = 9


CALL: Final[dict[tuple[C, K], C | str | None]] = {
    **{(c, k): ILLEGAL for c in C for k in K},
    (C.DECIDING, K.PASSED): C.SETUP,
    (C.DECIDING, K.REFUSED): C.ENDED,
    (C.DECIDING, K.WITHDRAWN): C.ENDED,
    (C.DECIDING, K.JOINED): C.DECIDING,
    (C.SETUP, K.JOINED): C.SETUP,
    (C.SETUP, K.RINGING): C.SETUP,
    (C.SETUP, K.ANSWER): C.ANSWERED,
    (C.SETUP, K.FAILED): C.ENDED,
    (C.SETUP, K.FAILED_REPEATABLE): C.REPEATABLE,
    (C.REPEATABLE, K.JOINED): C.SETUP,
    (C.REPEATABLE, K.EXPIRED): C.ENDED,
    (C.ANSWERED, K.CLOSED): C.ENDED,
    (C.ANSWERED, K.EXPIRED): C.ENDED,
    # Forks go on ringing, failing and answering beside the one that was answered.
    **{(C.ANSWERED, k): IGNORE for k in (K.RINGING, K.ANSWER, K.FAILED, K.FAILED_REPEATABLE)},
    # A call that was decided, withdrawn or ended hears of it no more.
    **{(C.ENDED, k): IGNORE for k in K if k is not K.JOINED},
    # Decisions and their withdrawal cross each other; a passive observer sees answers before the decision.
    **{(c, k): IGNORE for c in (C.SETUP, C.REPEATABLE, C.ANSWERED) for k in (K.PASSED, K.REFUSED, K.WITHDRAWN)},
    (C.DECIDING, K.RINGING): IGNORE,
    (C.DECIDING, K.ANSWER): IGNORE,
    (C.DECIDING, K.FAILED): IGNORE,
    (C.DECIDING, K.FAILED_REPEATABLE): IGNORE,
    (C.DECIDING, K.CLOSED): IGNORE,
    (C.SETUP, K.CLOSED): IGNORE,
    (C.REPEATABLE, K.CLOSED): IGNORE,
    **{(C.REPEATABLE, k): IGNORE for k in (K.RINGING, K.ANSWER, K.FAILED, K.FAILED_REPEATABLE)},
}
