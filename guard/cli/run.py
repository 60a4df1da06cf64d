"""`guard run`: the daemon."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import secrets
import signal
import sys
from typing import TYPE_CHECKING, Final

from guard.cli.common import CommandError, config_option, told
from guard.cli.show import counted

if TYPE_CHECKING:
    from pathlib import Path

    from guard.reload import Loaded
    from guard.store.sqlite import SqliteWriter

# s that a thread beside the calls may compute until the loop, back from the kernel, has its turn. Of Python's 5 ms a
# message would pay several: each step of it goes to the kernel and back.
SWITCH: Final = 0.001


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments."""
    config_option(parser)
    parser.add_argument("--web", action="store_true", help="start `guard web` beside it, and stop it with it")


def run(args: argparse.Namespace) -> int:
    """Run until SIGTERM, SIGINT, or SIGUSR2 (a restart)."""
    gc.disable()  # what a start makes stays: looking through it again and again is a tenth of a start (net/garbage.py)
    try:
        return _run(args)
    finally:
        gc.enable()


def _run(args: argparse.Namespace) -> int:
    import uvloop

    from guard.app_parts import listens
    from guard.configweb import MEMORY
    from guard.evidence.keys import word
    from guard.net.say import LOG
    from guard.net.scheduling import prompt
    from guard.store.errors import StoreError
    from guard.webchild import WebChild

    _speak()
    loaded, store = _opened(args.config)
    config, policy = loaded.config, loaded.policy
    for warning in config.warnings:
        LOG.warning("%s", warning)
    sys.setswitchinterval(SWITCH)
    prompt()  # where that is forbidden, messages wait for the log at times
    if args.web and config.file.store.path == MEMORY:
        raise CommandError(f"{config.path}: store.path: another process cannot read this log: run it without --web")

    async def serve() -> int:
        from guard.app import App

        try:
            app = App(config, policy, store, loaded.trunks, loaded.tls, loaded.refusals)
        except StoreError as error:
            store.close()
            raise CommandError(str(error)) from error
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, app.leave)
        loop.add_signal_handler(signal.SIGHUP, app.reload)
        loop.add_signal_handler(signal.SIGUSR2, app.hand_over)
        try:
            await app.start()
        except OSError as error:
            await app.stop()
            raise CommandError(error.strerror or str(error)) from error
        LOG.info(
            "ready: %s; mode %s, %s, %s, policy %s, log %s, signed by %s",
            ", ".join(f"{t} {h}:{p}" for t, h, p in listens(config)),
            config.file.mode,
            counted(len(config.file.trunk), "trunk"),
            counted(len(config.sources), "source"),
            policy.digest,
            config.store_path,
            word(store.public),
        )
        child = WebChild(config.path)  # `guard web` beside the daemon, started if it is to be
        if args.web and config.web is not None:
            LOG.info("web page: %s", config.web.url)
            child.start()
        await app.wait()
        await app.drain()
        await child.stop()
        try:
            await app.stop()
        except StoreError as error:
            raise CommandError(str(error)) from error
        return 0

    return uvloop.run(serve())


def _opened(path: Path) -> tuple[Loaded, SqliteWriter]:
    """All that a configuration names, and its log. Raises CommandError."""
    from guard.app_parts import open_store
    from guard.config import ConfigError
    from guard.reload import load_all
    from guard.store.errors import StoreError

    try:
        loaded = load_all(path, secrets.token_bytes(16))
        return loaded, open_store(loaded.config, loaded.policy)
    except ConfigError as error:
        raise CommandError(*(str(p) for p in error.problems)) from error
    except StoreError as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(told(error)) from error


def _speak() -> None:
    """Say to the journal, or on standard error, what there is to say."""
    from guard.net import journal
    from guard.net.say import LOG, Line

    handler: logging.Handler = journal.Journal() if journal.here() else logging.StreamHandler(sys.stderr)
    handler.setFormatter(Line(plain=journal.STREAM in os.environ))  # the journal adds the time itself
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
