"""`python -m sim COMMAND`: one module a command, imported only when it is the one that runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final, Protocol, cast

# name -> (module, what it does)
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "traffic": ("sim.labelled.command", "labelled traffic: JSON, a capture, straight into the engine, or live"),
    "day": ("sim.score.day", "how fast detection is, and how much it holds, on a day of calls of very many lines"),
    "logfill": ("sim.logfill", "a log of very many calls, to measure reading on"),
    "logbench": ("sim.logbench", "how long each filter of the log takes for a page"),
    "logcommits": ("sim.logcommits", "what a call costs the log's thread, into its tables and through the view"),
    "watchers": ("sim.watchers", "what people who watch the live page cost the process that calls go through"),
    "overload": ("sim.overload", "what a guard carries, what it does at twice that, and what floods do to its callers"),
    "startup": ("sim.startup", "how long a guard takes from its start to its first call, and its commands"),
    "flat": ("sim.flat.command", "whether a call costs the same with more lines known and more calls at once"),
    "replay": ("sim.replaybench", "how many packets of a capture the guard takes in a second of processor time"),
    "race": ("sim.race.command", "what a call costs through the guard, Kamailio and a bare forwarder, in one run"),
    "score": ("sim.score.command", "play attacks and peaceful calls over many seeds, and score what detection finds"),
}


class Command(Protocol):
    """What a module of a command offers."""

    def add(self, parser: argparse.ArgumentParser) -> None:
        """Say which arguments it takes."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; the exit status."""


def parser_for(chosen: str) -> tuple[argparse.ArgumentParser, Command | None]:
    """The parser, complete for the command `chosen` only, and that command."""
    parser = argparse.ArgumentParser(prog="python -m sim", description="Simulated traffic for sip-guard.")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    command: Command | None = None
    for name, (module, text) in COMMANDS.items():
        sub = subparsers.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name == chosen:
            command = cast("Command", import_module(module))
            command.add(sub)
    return parser, command


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. 0: done; 1: it could not be; 2: wrong usage."""
    from guard.config import ConfigError
    from sim.daemon import NotReady
    from sim.labelled.words import SimError

    words = list(sys.argv[1:] if argv is None else argv)
    parser, command = parser_for(next((w for w in words if not w.startswith("-")), ""))
    args = parser.parse_args(words)
    assert command is not None  # argparse has refused any other word
    try:
        return command.run(args)
    except BrokenPipeError:
        # The reader of our output went away: nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (SimError, ConfigError, NotReady, OSError) as error:
        for line in str(error).splitlines():
            print(f"sim: {line}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
