"""The command `guard`: one module a command, imported only when it is the one that runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from typing import Final, Protocol, cast

from guard.cli.common import CommandError, told
from guard.cli.show import harmless

COMMANDS: Final[dict[str, str]] = {
    "demo": "the whole product on loopback, with simulated calls",
    "run": "the daemon",
    "check": "check a configuration and its policies",
    "decide": "one decision, explained, with nothing sent or recorded",
    "log": "the blocked-call log",
    "explain": "one call: every rule that spoke, the articles, the money",
    "penalties": "exposure to penalties, accrued and avoided",
    "incidents": "incidents, the operator's letters and their deadlines",
    "alerts": "alerts over MQTT: watch them, try the broker",
    "evidence": "signed extracts of the log, and their check",
    "subject": "what the log holds about one number: export it, erase it",
    "replay": "captured traffic through the same engine",
    "watch": "traffic that others mirror through the same engine, as it happens",
    "web": "the dashboard and the HTTP API",
    "token": "tokens of the dashboard and the HTTP API: make, list, revoke",
    "policy": "policies in force, with their sources",
}


class Version(argparse.Action):
    """Says which guard this is, once it is asked."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        option_string: str | None = None,
    ) -> None:
        """See `argparse.Action`."""
        from importlib.metadata import version  # with e-mail and zip files

        del namespace, values, option_string
        print(f"sip-guard {version('sip-guard')}, {build()}")
        parser.exit()


def build() -> str:
    """Whether the modules that each call goes through are compiled."""
    found = find_spec("guard.engine")
    compiled = found is not None and found.origin is not None and found.origin.endswith(tuple(EXTENSION_SUFFIXES))
    return "compiled" if compiled else "interpreted"


class Command(Protocol):
    """What a module of a command offers."""

    def add(self, parser: argparse.ArgumentParser) -> None:
        """Say which arguments it takes."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; the exit status."""


def parser_for(chosen: str) -> tuple[argparse.ArgumentParser, Command | None]:
    """The parser of `guard`, complete for the command `chosen` only, and that command."""
    parser = argparse.ArgumentParser(
        prog="guard", description="Real-time SIP fraud and compliance guard for French telephony."
    )
    parser.add_argument("--version", action=Version, nargs=0, help="which version, compiled or interpreted")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    command: Command | None = None
    for name, text in COMMANDS.items():
        sub = subparsers.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name == chosen:
            command = cast("Command", import_module(f"guard.cli.{name}"))
            command.add(sub)
    return parser, command


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. 0: done; 1: a negative answer; 2: wrong usage."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser, command = parser_for(next((w for w in words if not w.startswith("-")), ""))
    args = parser.parse_args(words)
    assert command is not None  # argparse has refused any other word
    try:
        return command.run(args)
    except CommandError as error:
        for line in error.lines:
            print(f"guard: {harmless(line)}", file=sys.stderr)
        return error.status
    except BrokenPipeError:
        # The reader of our output went away (`guard log | head`): nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"guard: {harmless(told(error))}", file=sys.stderr)
        return 1
    except UnicodeEncodeError as error:
        # Octets of the command line that are no text go through Python as they are, and are refused where text is due.
        print(f"guard: {harmless(error.object)}: not UTF-8", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
