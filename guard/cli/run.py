"""`guard run`: the daemon."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import secrets
import signal
import sys

from guard.cli.common import CommandError, config_option, told
from guard.cli.show import counted


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments."""
    config_option(parser)


def run(args: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT."""
    import uvloop

    from guard.app_parts import listens, open_store
    from guard.config import ConfigError
    from guard.evidence.keys import word
    from guard.net.say import LOG, Line
    from guard.reload import load_all
    from guard.store.errors import StoreError

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Line(plain="JOURNAL_STREAM" in os.environ))  # the journal adds the time itself
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    try:
        loaded = load_all(args.config, secrets.token_bytes(16))
        config, policy, trunks = loaded.config, loaded.policy, loaded.trunks
        store = open_store(config, policy)
    except ConfigError as error:
        raise CommandError(*(str(p) for p in error.problems)) from error
    except StoreError as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(told(error)) from error
    for warning in config.warnings:
        LOG.warning("%s", warning)

    async def serve() -> int:
        from guard.app import App

        try:
            app = App(config, policy, store, trunks, loaded.tls, loaded.refusals)
        except StoreError as error:
            store.close()
            raise CommandError(str(error)) from error
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, app.leave)
        loop.add_signal_handler(signal.SIGHUP, app.reload)
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
        await app.wait()
        await app.drain()
        try:
            await app.stop()
        except StoreError as error:
            raise CommandError(str(error)) from error
        return 0

    return uvloop.run(serve())
