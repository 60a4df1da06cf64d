"""`guard web`: the dashboard and the HTTP API, as a process of its own."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from typing import TYPE_CHECKING

from guard.cli.common import CommandError, config_option, load_config

if TYPE_CHECKING:
    from guard.config import Config
    from guard.configweb import Place


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments."""
    config_option(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    import uvloop

    from guard.configweb import MEMORY
    from guard.net.say import LOG, Line
    from guard.store.errors import StoreError

    config = load_config(args.config)
    place = config.web
    if place is None or config.file.store.path == MEMORY:
        raise CommandError(f'{args.config}: store.path: "{MEMORY}" is a log that only the daemon itself can read')
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Line(plain="JOURNAL_STREAM" in os.environ))
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    for warning in config.warnings:
        LOG.warning("%s", warning)
    try:
        return uvloop.run(_serve(config, place))
    except StoreError as error:
        raise CommandError(str(error)) from error


async def _serve(config: Config, place: Place) -> int:
    from guard.web.app import make_app
    from guard.web.room import Room
    from guard.web.server import serve

    room = Room(config)
    return await serve(make_app(room), place, room.live.leave)
