"""Who may see numbers in full, what the others see, and who looked: an access log beside the log.

That others see masks is a matter of what commands show; who can read the file can read all of it with a database tool.
So the file's mode decides who may, and this what they are shown by default.
"""

from __future__ import annotations

import argparse
import os
import pwd
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from guard.cli.common import DEFAULT_CONFIG, CommandError, reading_config
from guard.store import accesslog
from guard.store.whole import masked

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.store.reader import Detail


def numbers_option(parser: argparse.ArgumentParser) -> None:
    """Adds `--numbers`."""
    parser.add_argument(
        "--numbers",
        choices=("full", "masked"),
        help="show telephone numbers in full, or with the last four digits hidden (see [privacy] show_numbers)",
    )


def view_of(args: argparse.Namespace, store: str) -> Callable[[Detail], Detail] | None:
    """What a reading command shows of each call: None for all of it. Reading in full is noted in the access log.

    CommandError where full numbers are asked for and may not be shown.
    """
    refusal = "" if args.numbers == "masked" else _refusal(args, store)
    if args.numbers == "full" and refusal:
        raise CommandError(f"{store}: numbers are not shown in full: {refusal}")
    if args.numbers == "masked" or refusal:
        return masked
    note(store, args.command, args)
    return None


def _refusal(args: argparse.Namespace, store: str) -> str:
    """Why full numbers are not shown; "" where they are."""
    show = "owner"
    if args.store is None or args.config != DEFAULT_CONFIG or DEFAULT_CONFIG.exists():
        show = reading_config(args.config).file.privacy.show_numbers
    if show == "full":
        return ""
    if not owns(store):
        return "only the owner of the log and root see them"
    if show == "masked" and args.numbers != "full":
        return 'privacy.show_numbers is "masked", and --numbers full was not given'
    return ""


def owns(store: str) -> bool:
    """Whether this process is of the log's owner, or root's."""
    try:
        return os.geteuid() in {0, Path(store).stat().st_uid}
    except OSError:
        return True  # there is no such log: nothing to hide, and the command says so


def note(store: str, command: str, args: argparse.Namespace) -> None:
    """Add a line to the access log: when, who, which command, and which options; never the numbers that were asked for.
    CommandError where that cannot be done: who cannot be noted sees no numbers."""
    if not Path(store).exists():
        return
    given = sorted(name for name, value in vars(args).items() if value not in (None, False) and name != "command")
    entry = {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "uid": os.getuid(),
        "user": _name(os.getuid()),
        "for": os.environ.get("SUDO_USER", "")[:64],
        "command": command,
        "options": given,
    }
    try:
        accesslog.append(store, entry)
    except OSError as error:
        raise CommandError(
            f"{store}{accesslog.SUFFIX}: the access log cannot be written ({error.strerror}): --numbers masked shows"
            " the rest"
        ) from error


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""
