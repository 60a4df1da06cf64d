"""Gathers what is to be told: calls from the log, incidents from the books, and what the guard itself says, into the
outbox. Everything here reads and writes files: it has a thread of its own (guard/publishing.py), and no call waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from queue import Empty, SimpleQueue
from typing import Final, Protocol, cast

import msgspec
from msgspec.structs import replace

from guard.config import Config
from guard.configmqtt import Broker
from guard.ledger.incidentrecord import incident_record, masked_incident
from guard.ledger.incidents import Incident
from guard.ledger.limits import Alert
from guard.ledger.masking import masked_record
from guard.ledger.record import CallRecord, iso, to_record
from guard.messages import events
from guard.messages.choice import Choice, Window, Windows, alone, merged
from guard.messages.events import CallsSummary, Message, Phase, SummaryEvent, Trouble
from guard.model import Verdict
from guard.net.mqtt import Unread
from guard.net.mqttclient import Outgoing
from guard.net.say import LOG
from guard.store.books import Books
from guard.store.contract import Query
from guard.store.errors import StoreError
from guard.store.outbox import Outbox, Waiting
from guard.store.reader import Detail, SqliteReader
from guard.store.schema import MEMORY

PAGE: Final = 200  # calls of the log taken in one transaction: some 10 ms
GRACE: Final = 3_000_000  # µs after a minute's end in which calls of it may still reach the log
AGAIN: Final = 60_000_000  # µs: deadlines of incidents pass without anybody writing
CLEARED: Final = 7 * 86_400_000_000  # µs that the broker keeps an incident that is over
SLACK: Final = 10  # of a full outbox a tenth is given up at once: not a summary for every message
TOLD: Final = 400  # limits that are known to have been told: a year of days

Told = Alert | tuple[Trouble, ...]  # a limit that was passed; all that is wrong with the guard now
_WINDOWS: Final = msgspec.json.Decoder(dict[Verdict, Window])
_SUMMARY: Final = msgspec.json.Decoder(SummaryEvent)
_TOLD: Final = msgspec.json.Decoder(list[str])


class Log(Protocol):
    """The log that is told of."""

    @property
    def path(self) -> str:
        """Its file."""

    def reader(self, timezone: str) -> SqliteReader:
        """Reads it; times come out in this zone."""


class Gatherer:
    """Of one thread. What the guard itself has to say comes by the queue `said`.

    `first` is the last entry of the log that was there before the first start: what came before is not told of. `lost`
    counts messages that were given up, `summarised` calls that went into summaries, `waiting` messages in the outbox.
    """

    def __init__(
        self,
        config: Config,
        broker: Broker,
        log: Log,
        outbox: Outbox,
        said: SimpleQueue[Told],
        first: int,
        now: int,
    ) -> None:
        self.lost = self.summarised = self.waiting = 0
        self.full = False
        self._site, self._zone, self._what = config.site, config.zone, broker.what
        self._log, self._outbox = log, outbox
        self._reader = log.reader(config.timezone)
        self._queue = said
        self._sent = 0  # places up to this one are with the broker already
        self._books_seen: tuple[int, int] | None = None
        self._books_at = 0
        noted = outbox.note("cursor")
        if noted is None:
            with outbox.writing():
                outbox.set_note("cursor", b"%d" % first)
                outbox.set_note("made", b"%d" % now)
        self._cursor = int(outbox.note("cursor") or 0)
        self._made = int(outbox.note("made") or 0)
        windows: Windows = _WINDOWS.decode(outbox.note("windows") or b"{}")
        self._choice = Choice(config.site, config.zone, self._what.verdicts, self._what.rules, self._what.rate, windows)

    def close(self) -> None:
        """Let go of the files."""
        self._reader.close()
        self._outbox.close()

    # ---- into the outbox -------------------------------------------------------------------------------------------

    def gather(self, now: int) -> bool:
        """Take one page of what is new at `now` (Unix time, µs); whether there may be more. StoreError."""
        more = self._calls()
        if not more:
            self._minutes(now)
        self._said(now)
        if self._what.incidents and self._log.path != MEMORY:
            self._incidents(now)
        self._bound(now)
        return more

    def _calls(self) -> bool:
        last = self._reader.last_seq()
        if last < self._cursor:
            LOG.warning("alerts: the log is shorter than it was: its calls are told of from its beginning")
            self._cursor = 0
        if last == self._cursor:
            return False
        query = Query(after=self._cursor, upto=last, all="allowed" in self._what.verdicts, limit=PAGE)
        found = list(self._reader.details(query))
        more = len(found) == PAGE
        cursor = found[-1].record.seq if more else last
        with self._outbox.writing():
            for detail in found:
                self._call(detail)
            self._outbox.set_note("windows", msgspec.json.encode(self._choice.windows))
            self._outbox.set_note("cursor", b"%d" % cursor)
        self._cursor = cursor
        return more

    def _call(self, detail: Detail) -> None:
        record = detail.record
        if not self._choice.wants(record):
            return
        closed, own = self._choice.take(record, detail.body.at)
        if closed is not None:
            self._add(events.summary_message(closed))
        if own:
            self._outbox.add("call", f"call/{record.verdict}", call=record.seq)
        else:
            self.summarised += 1

    def _minutes(self, now: int) -> None:
        passed = self._choice.over(now - GRACE)
        if passed:
            with self._outbox.writing():
                for summary in passed:
                    self._add(events.summary_message(summary))
                self._outbox.set_note("windows", msgspec.json.encode(self._choice.windows))

    def _said(self, now: int) -> None:
        while True:
            try:
                what = self._queue.get_nowait()
            except Empty:
                return
            with self._outbox.writing():
                if not isinstance(what, Alert):
                    message = events.health_message(self._site, what, now, self._zone)
                    self._outbox.set_note("health", message.payload)
                    self._add(message)
                elif self._once(events.penalty_id(self._site, what)):
                    self._add(events.penalty_message(self._site, what, now, self._zone))

    def _once(self, name: str) -> bool:
        """Whether this was not told before, also by an earlier life of the guard."""
        told = _TOLD.decode(self._outbox.note("told") or b"[]")
        if name in told:
            return False
        self._outbox.set_note("told", msgspec.json.encode([*told, name][-TOLD:]))
        return True

    def _incidents(self, now: int) -> None:
        with Books(self._log.path, self._zone) as books:
            stamp = books.stamp()
            if stamp == self._books_seen and now - self._books_at < AGAIN:
                return
            found = books.incidents()
        told = self._outbox.incidents()
        with self._outbox.writing():
            for number in told.keys() - found.keys():  # erased
                self._withdraw(number, told[number][1], "")
            for number, incident in found.items():
                self._incident(incident, *told.get(number, ("", "")), now)
        self._books_seen, self._books_at = stamp, now

    def _incident(self, incident: Incident, known: str, before: str, now: int) -> None:
        """Tell of one incident, where it is not as it was told."""
        if before == "withdrawn":
            return
        written = max(e.written for e in incident.events)
        if not incident.live and (now - written > CLEARED or (not before and written < self._made)):
            self._withdraw(incident.id, before, "withdrawn")
            return
        record = events.shortened(incident_record(incident, now, self._zone))
        record = record if self._what.numbers == "full" else masked_incident(record)
        told = events.told_of(record)
        if told == known:
            return
        again = cast("Phase", before) if before and not known else ""  # see `renew`: the same message once more
        phase: Phase = "cleared" if not incident.live else again or ("updated" if before else "raised")
        self._add(events.incident_message(self._site, record, phase))
        self._outbox.set_incident(incident.id, told, phase)

    def _withdraw(self, number: int, before: str, phase: str) -> None:
        if before not in {"", "withdrawn"}:
            self._add(events.withdrawn_message(f"INC-{number}"))
        self._outbox.set_incident(number, "", phase)

    def _add(self, message: Message) -> None:
        self._outbox.add(message.kind, message.topic, retain=message.retain, payload=message.payload)

    # ---- the bound -------------------------------------------------------------------------------------------------

    def _bound(self, now: int) -> None:
        """Give up the oldest where more wait than may; one summary stands for them."""
        count = self.waiting = self._outbox.count()
        if count <= self._what.keep:
            self.full = self.full and count > 0
            return
        with self._outbox.writing():
            self._outbox.remove(self._outbox.outdated(self._sent))
            excess = self._outbox.count() - self._what.keep
            if excess <= 0:
                return
            gone = self._outbox.page(excess + self._what.keep // SLACK + 1, self._sent)
            found: CallsSummary | None = None
            for one in self._as_summaries(gone, iso(now, self._zone)):
                found = merged(self._site, found, one)
            self._outbox.remove([w.id for w in gone])
            if found is not None:
                message = events.summary_message(found)
                self._outbox.put(gone[-1].id, message.kind, message.topic, message.payload)
        if not self.full:
            LOG.warning(
                "alerts: the broker is away, and %d messages wait: the oldest go into a summary; see [mqtt] keep", count
            )
        self.full = True
        self.lost += len(gone)

    def _as_summaries(self, gone: list[Waiting], when: str) -> Iterable[CallsSummary]:
        calls = {d.record.seq: d.record for d in self._reader.of([w.call for w in gone if w.call])}
        for one in gone:
            if one.call in calls:
                yield alone(calls[one.call])
            elif one.kind == "summary":
                yield _SUMMARY.decode(one.payload).data
            else:
                yield _other(site=self._site, since=when, until=when)

    # ---- out of it -------------------------------------------------------------------------------------------------

    def page(self, limit: int) -> list[Outgoing]:
        """The oldest messages as they go out. What the log no longer holds is let go."""
        with _readable():
            while waiting := self._outbox.page(limit):
                found = payloads(waiting, self._reader, masked=self._what.numbers != "full")
                if found:
                    self._sent = waiting[-1].id
                    return found
                self._outbox.taken(waiting[-1].id)
            return []

    def taken(self, upto: int) -> None:
        """The broker has those up to this place."""
        with _readable():
            self._outbox.taken(upto)

    def shorten(self, place: int) -> bool:
        """Put a summary in the place of a call's message that is too large; other kinds are as short as can be."""
        with _readable():
            (found,) = self._outbox.page(1, place - 1) or (None,)
            calls = (
                list(self._reader.of([found.call])) if found is not None and found.id == place and found.call else []
            )
            if not calls:
                return False
            message = events.summary_message(replace(alone(calls[0].record), why="large"))
            with self._outbox.writing():
                self._outbox.remove([place])
                self._outbox.put(place, message.kind, message.topic, message.payload)
            return True

    def renew(self) -> None:
        """A broker was found: it may have lost what it retained. Say anew what holds."""
        self._books_seen = None
        with _readable(), self._outbox.writing():
            for number, (_, phase) in self._outbox.incidents().items():
                if phase in {"raised", "updated"} and not self._outbox.waits(f"incident/INC-{number}"):
                    self._outbox.set_incident(number, "", phase)
            health = self._outbox.note("health")
            if health is not None and not self._outbox.waits("health"):
                self._outbox.add("health", "health", retain=True, payload=health)


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        raise Unread(str(error)) from error


def payloads(waiting: list[Waiting], reader: SqliteReader, *, masked: bool) -> list[Outgoing]:
    """Messages as they go out, those of calls made from what the log says of them."""
    told = {d.record.seq: d for d in reader.of([w.call for w in waiting if w.call])}
    out: list[Outgoing] = []
    for one in waiting:
        payload = one.payload
        if one.call:
            if one.call not in told:
                continue  # erased meanwhile
            payload = events.call_message(decided(told[one.call], reader, masked=masked)).payload
        out.append(Outgoing(one.id, one.topic, payload, one.retain))
    return out


def decided(detail: Detail, reader: SqliteReader, *, masked: bool) -> CallRecord:
    """A call as it was when it was decided: whenever it is told of, it is the same."""
    record = to_record(detail.record.seq, bytes.fromhex(detail.record.hash), detail.body, None, reader.zone)
    return masked_record(record) if masked else record


_other = partial(
    CallsSummary,
    why="full",
    verdict=None,
    first_seq=0,
    last_seq=0,
    calls=0,
    rules={},
    sources={},
    accrued_microeuros=0,
    avoided_microeuros=0,
    others=1,
)
