"""The live feed: what comes into the log comes to every viewer, in order, masked or not; who does not read goes."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from guard.ledger.record import CallRecord
from guard.store.reader import SqliteReader
from guard.store.sqlite import SqliteWriter
from guard.web import live
from guard.web.live import Event, Viewer
from tests.store.making import AT, SECOND, attempt, decision, ended, finding
from tests.web.rig import Served, serving

Feed = Iterator[tuple[str, int, Any]]


def feed(answer: httpx.Response) -> Feed:
    """The events of a stream: kind, id (0 for none), data."""
    kind, number = "", 0
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        if name == "id":
            number = int(value)
        elif name == "event":
            kind = value
        elif name == "data":
            yield kind, number, json.loads(value)
            number = 0


def of_log(events: Feed) -> Feed:
    """Those that are of the log."""
    return (e for e in events if e[0] in {"call", "ended", "gap"})


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK_S", 0.01)
    monkeypatch.setattr(live, "FIGURES_S", 0.01)
    monkeypatch.setattr(live, "CHECK_S", 0.02)


def begun(served: Served, client: httpx.Client) -> None:
    """Wait until somebody who watches has been looked for."""
    del client
    while served.room.live._seen is None:
        threading.Event().wait(0.005)


def place(writer: SqliteWriter, n: int, verdict: str = "blocked") -> int:
    """A call that is decided now."""
    made = decision("blocked", finding("cli.premium")) if verdict == "blocked" else decision()
    seq = writer.decided(attempt(n, at=AT + n * SECOND), made, None)
    writer.flush()
    return seq


@pytest.mark.usefixtures("quick")
def test_what_comes_comes_to_everybody_once_and_in_order(tmp_path: Path) -> None:
    with (
        serving(tmp_path) as served,
        served.client("viewer") as viewer,
        served.client("privacy") as privacy,
        viewer.stream("GET", "/api/v1/live") as masked,
        privacy.stream("GET", "/api/v1/live") as full,
        closing(SqliteWriter(served.log, site="hq")) as writer,
    ):
        assert masked.headers["content-type"].startswith("text/event-stream")
        begun(served, viewer)
        first = place(writer, 100)
        second = place(writer, 101, "allowed")
        writer.ended(second, ended(at=AT + 200 * SECOND))
        writer.flush()
        seen = of_log(feed(masked))
        calls = [next(seen), next(seen)]
        assert [(kind, number) for kind, number, _ in calls] == [("call", first), ("call", second)]
        assert calls[0][2]["caller"] == "+3314567****"
        if calls[1][2]["outcome"] is None:  # it came before its end did
            kind, number, data = next(seen)
            assert (kind, data["seq"], data["outcome"]) == ("ended", second, "answered")
            assert number > second
        whole = next(of_log(feed(full)))
        assert whole[2]["caller"] == "+33145678900"
        assert set(whole[2]) >= set(CallRecord.__struct_fields__) - {"accrued_microeuros", "avoided_microeuros"}
    assert '"what":"live"' in (tmp_path / "guard.db-access").read_text()


@pytest.mark.usefixtures("quick")
def test_who_comes_again_is_given_what_was_missed(tmp_path: Path) -> None:
    with (
        serving(tmp_path) as served,
        served.client("viewer") as client,
        client.stream("GET", "/api/v1/live") as stays,
        closing(SqliteWriter(served.log, site="hq")) as writer,
    ):
        begun(served, client)
        seqs = [place(writer, n) for n in range(100, 104)]
        events = of_log(feed(stays))
        assert [next(events)[1] for _ in seqs] == seqs
        with client.stream("GET", "/api/v1/live", headers={"Last-Event-ID": str(seqs[0])}) as again:
            missed = of_log(feed(again))
            assert [next(missed)[1] for _ in seqs[1:]] == seqs[1:]
        with client.stream("GET", "/api/v1/live", headers={"Last-Event-ID": "1"}) as late:
            assert next(of_log(feed(late)))[0] == "gap"


@pytest.mark.usefixtures("quick")
def test_a_guard_that_is_away_is_told(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.client("viewer") as client, client.stream("GET", "/api/v1/live") as answer:
        assert next(feed(answer)) == ("away", 0, {})


@pytest.mark.usefixtures("quick")
def test_who_is_revoked_sees_no_more(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.client("viewer") as client, client.stream("GET", "/api/v1/live") as answer:
        events = feed(answer)
        next(events)
        served.room.tokens.revoke("t0")
        for _ in events:
            pass  # it ends


@pytest.mark.usefixtures("quick")
def test_only_so_many_watch_and_a_stopping_server_ends_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST", 1)
    with serving(tmp_path) as served, served.client("viewer") as client:
        with client.stream("GET", "/api/v1/live") as answer:
            events = feed(answer)
            next(events)
            refused = client.get("/api/v1/live")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
            served.room.live.leave()
            for _ in events:
                pass
        assert client.get("/api/v1/live").status_code == 503


@pytest.mark.usefixtures("quick")
def test_one_token_watches_so_often_and_leaves_room_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_OF_ONE", 1)
    with (
        serving(tmp_path) as served,
        served.client("viewer") as one,
        served.client("operator") as another,
        one.stream("GET", "/api/v1/live") as answer,
    ):
        events = feed(answer)  # kept: what goes closes the stream
        next(events)
        refused = one.get("/api/v1/live")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
        assert "1 watch with this token" in refused.text
        with another.stream("GET", "/api/v1/live") as other:
            assert other.status_code == 200


def test_many_viewers_cost_one_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "CHECK_S", 0.02)
    looks: list[int] = []
    news = live._news

    def counted(reader: SqliteReader, *, seen: int | None, full: bool) -> tuple[int, list[Event]]:
        looks.append(1)
        return news(reader, seen=seen, full=full)

    monkeypatch.setattr(live, "_news", counted)
    monkeypatch.setattr(live, "LOOK_S", 3_600)
    with serving(tmp_path) as served, served.client("viewer") as client:
        streams = [client.stream("GET", "/api/v1/live") for _ in range(20)]
        feeds = [feed(stream.__enter__()) for stream in streams]
        for events in feeds:
            next(events)
        assert len(looks) == 1
        for stream in streams:
            stream.__exit__(None, None, None)


def test_who_does_not_read_is_let_go() -> None:
    ended_: list[bool] = []

    async def run() -> None:
        slow = Viewer(full=False, abort=lambda: ended_.append(True))
        event = Event("call", 1, b"{}", b"{}")
        for _ in range(live.WAITING):
            slow.give(event)
        assert not ended_
        slow.give(event)
        assert ended_ == [True]
        slow.give(event)
        assert len(await slow.next(1)) == live.WAITING

    asyncio.run(run())


@pytest.mark.usefixtures("quick")
def test_to_be_let_go_ends_the_connection_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "WAITING", 0)
    with (
        serving(tmp_path) as served,
        served.client("viewer") as client,
        client.stream("GET", "/api/v1/live") as answer,
        pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)),
    ):
        list(feed(answer))


@pytest.mark.usefixtures("quick")
def test_a_flood_is_cut_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "BURST", 3)
    with serving(tmp_path, calls=9) as served:
        last, events = served.room.pool.now(lambda reader: live._news(reader, 1, full=False))
    assert events[0].kind == "gap"
    assert len([e for e in events if e.kind == "call"]) == 3
    assert last == 14
