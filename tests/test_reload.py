"""A configuration swapped while the guard runs: checked first, between two calls, with everything under way kept."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from pathlib import Path
from typing import NoReturn

import pytest

from guard.config import Config, load
from guard.reload import Reloader, Stamp, kept_back, stamp
from sim.site import ALICE, Site
from tests.apprig import FOREIGN, Rig, guard, run

MORE_NUMBERS = '\n[[number]]\nrange = "+33239112233"\n'


def add(g: Rig, text: str) -> None:
    """Add to the running guard's file."""
    path = g.site.config
    path.write_text(path.read_text("utf-8") + text, "utf-8")


def under_way(reloader: Reloader) -> asyncio.Task[None] | None:
    """The reading that was asked for last."""
    return reloader._task


async def reloaded(g: Rig) -> None:
    """Ask for a reload and wait for it."""
    g.app.reload()
    task = g.app._reloader._task
    assert task is not None
    await task


def test_a_number_that_was_added_may_be_presented(tmp_path: Path) -> None:
    async def scene() -> None:
        async with guard(tmp_path) as g:
            g.pbx.invite(1, caller=FOREIGN)
            assert (await g.pbx.final(1)).status == 403
            add(g, MORE_NUMBERS)
            await reloaded(g)
            await g.carried(2, caller=FOREIGN)
            await g.stop()
            before, after = g.log()
            assert before.record.verdict == "blocked"
            assert after.record.verdict != "blocked"
            assert before.record.policy != after.record.policy

    run(scene)


def test_calls_under_way_and_counters_go_on(tmp_path: Path) -> None:
    async def scene() -> None:
        async with guard(tmp_path, more='[rules."limit.channels"]\nmode = "enforce"\n', cps=2) as g:
            await g.connected(1)
            for number in (2, 3, 4):
                g.pbx.invite(number)
            await g.operator.next("INVITE", number=2)
            assert g.counters["held"] == 2  # they wait for the second to pass
            add(g, MORE_NUMBERS)
            await reloaded(g)
            for number in (3, 4):
                await g.operator.next("INVITE", number=number)
            await g.hung_up(1)
            await g.stop()
            assert next(c.record.outcome for c in g.log()) == "answered"

    run(scene)


def test_a_wrong_file_leaves_the_old_one_in_force(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async with guard(tmp_path) as g:
            digest = g.app._engine.policy.digest
            add(g, MORE_NUMBERS + '\n[rules."cli.premum"]\nenabled = false\n[[number]]\nrange = "0145"\n')
            await reloaded(g)
            assert (g.app._reloader.done, g.app._reloader.failed) == (0, 1)
            assert g.app._engine.policy.digest == digest
            g.pbx.invite(1, caller=FOREIGN)
            assert (await g.pbx.final(1)).status == 403

    with caplog.at_level(logging.INFO, "guard"):
        run(scene)
    said = "\n".join(r.getMessage() for r in caplog.records)
    assert 'no such rule; did you mean "cli.premium"?' in said
    assert '"0145" is no E.164 number' in said
    assert "mistakes: 2; the configuration in force stays" in said


def test_a_list_that_is_gone_leaves_the_old_one_in_force(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async with guard(tmp_path) as g:
            before = g.app.config
            add(g, '\n[prospecting]\nrefusals = "gone.csv"\n')
            await reloaded(g)
            assert g.app.config is before
            await g.stop()

    with caplog.at_level(logging.ERROR, logger="guard"):
        run(scene)
    assert any("gone.csv" in message for message in caplog.messages)
    assert any("the configuration in force stays" in message for message in caplog.messages)


def test_a_fault_of_ours_while_reading_leaves_the_old_one_in_force(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_path: Path, _key: bytes) -> NoReturn:
        raise ZeroDivisionError("of ours")

    async def scene() -> None:
        async with guard(tmp_path) as g:
            before = g.app.config
            monkeypatch.setattr("guard.reload.load_anew", broken)
            await reloaded(g)
            assert g.app.config is before
            assert (g.app._reloader.done, g.app._reloader.failed) == (0, 1)
            monkeypatch.undo()
            await reloaded(g)
            assert (g.app._reloader.done, g.app._reloader.failed) == (1, 1)

    with caplog.at_level(logging.ERROR, logger="guard"):
        run(scene)
    (said,) = caplog.messages
    assert "ZeroDivisionError" in said
    assert said.endswith("the configuration in force stays")


def test_monitor_mode_is_put_in_force(tmp_path: Path) -> None:
    async def scene() -> None:
        async with guard(tmp_path) as g:
            text = g.site.config.read_text("utf-8")
            g.site.config.write_text(text.replace('mode = "enforce"', 'mode = "monitor"', 1), "utf-8")
            await reloaded(g)
            await g.carried(1, caller=FOREIGN)

    run(scene)


def test_what_takes_a_restart_is_told_and_the_rest_goes_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async with guard(tmp_path) as g:
            text = g.site.config.read_text("utf-8")
            g.site.config.write_text(text.replace('site = "demo"', 'site = "other"') + MORE_NUMBERS, "utf-8")
            await reloaded(g)
            await g.carried(1, caller=FOREIGN)
            await g.stop()
            assert g.log()[0].record.site == "demo"

    with caplog.at_level(logging.INFO, "guard"):
        run(scene)
    assert "reload: site has changed: that takes a restart" in [r.getMessage() for r in caplog.records]


def test_files_that_changed_and_rested_are_read_again(tmp_path: Path) -> None:
    async def scene() -> None:
        async with guard(tmp_path) as g:
            reloader = g.app._reloader
            await reloader.look()
            await reloader.look()
            assert under_way(reloader) is None, "nothing has changed"
            add(g, MORE_NUMBERS)
            await reloader.look()
            assert under_way(reloader) is None, "somebody may still be writing"
            add(g, "# more\n")
            os.utime(g.site.config, ns=(1, 1))
            await reloader.look()
            assert under_way(reloader) is None, "it has changed again"
            await reloader.look()
            task = under_way(reloader)
            assert task is not None
            await task
            assert reloader.done == 1
            await reloader.look()
            await reloader.look()
            assert under_way(reloader) is task, "nothing has changed since"
            await g.carried(1, caller=FOREIGN)

    run(scene)


def test_a_disk_that_hangs_is_asked_once_and_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        async with guard(tmp_path) as g:
            asked, mends, reloader = list[Config](), threading.Event(), g.app._reloader

            def hanging(config: Config) -> Stamp:
                asked.append(config)
                mends.wait()
                return stamp(config)

            monkeypatch.setattr("guard.reload.stamp", hanging)
            for n in range(1, 4):
                reloader.watch()
                await g.carried(n)
            assert len(asked) == 1
            try:
                await asyncio.wait_for(reloader.stop(), 5)
            finally:
                mends.set()

    run(scene)


def test_a_wrong_file_is_told_once(tmp_path: Path) -> None:
    async def scene() -> None:
        async with guard(tmp_path) as g:
            reloader = g.app._reloader
            add(g, "oops\n")
            for _ in range(5):
                await reloader.look()
                if reloader._task is not None:
                    await reloader._task
            assert reloader.failed == 1

    run(scene)


def test_every_file_counts(tmp_path: Path) -> None:
    site = Site(
        folder=tmp_path, port=15060, trunk_port=15070, pbx_port=15080, more='[prospecting]\nrefusals = "r.csv"\n'
    )
    (tmp_path / "r.csv").write_text("number,at\n")
    config = load(site.write())
    names = {Path(name).name for name, _, _ in stamp(config)}
    assert {"guard.toml", "r.csv", "prospecting.toml", "technicophone-sip-trunk.toml", "emergency.toml"} <= names
    before = stamp(config)
    (tmp_path / "r.csv").write_text(f"number,at\n{ALICE},2026-01-01\n")
    assert stamp(config) != before
    (tmp_path / "r.csv").unlink()
    assert {n: s for n, _, s in stamp(config)}[str(tmp_path / "r.csv")] == -1
    assert kept_back(config, config) == ()
