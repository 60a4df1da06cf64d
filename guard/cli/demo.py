"""guard demo: the whole product on loopback with no configuration, its verdicts in a live table read from the log."""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import shutil
import signal
import sys
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from guard.cli.common import CommandError, json_lines
from guard.cli.show import STYLES, caller, console, euros, harmless, outcome, rule

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from guard.store.reader import Detail
    from sim.demo import Outcome, Show
    from sim.site import Site
    from sim.traffic import Scene

FOLDER: Final = Path(".guard-demo")
ROWS: Final = 200  # records kept for the table: more than any terminal shows
CHROME: Final = 6  # lines of the screen that are not records
# Which columns fit a terminal of so many characters: numbers where every call has them, then why, then all.
FITTING: Final = ((150, tuple(range(8))), (120, (0, 1, 2, 3, 4, 7)), (0, (1, 2, 3, 4)))
WIDTHS: Final = (12, 7, 29, 28, 14, 8)  # of a plain line's columns, up to the last
WORDS: Final[dict[str, dict[str, str]]] = {
    "en": {
        "columns": "time|verdict|rule|caller -> presented|callee|held|outcome|why",
        "starting": "starting the guard on loopback; Ctrl-C ends the demonstration",
        "page": "the web page: {url}",
        "summary": "{placed} calls placed: {verdicts}",
        "operator": "the operator got {arrived} of them, at most {busiest} in any second (emergency calls apart)",
        "money": "penalties of the contract: {avoided} avoided, {accrued} accrued",
        "kept": "the configuration and the log stay in {folder}; try next:",
        "none": "none",
    },
    "fr": {
        "columns": "heure|verdict|règle|appelant -> présenté|appelé|attente|issue|motif",
        "starting": "démarrage du garde sur l’interface locale ; Ctrl-C met fin à la démonstration",
        "page": "la page web : {url}",
        "summary": "{placed} appels passés : {verdicts}",
        "operator": "l’opérateur en a reçu {arrived}, jamais plus de {busiest} en une seconde (hors appels d’urgence)",
        "money": "pénalités du contrat : {avoided} évités, {accrued} encourus",
        "kept": "la configuration et le journal restent dans {folder} ; à essayer ensuite :",
        "none": "aucun",
    },
}


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments of `guard demo`."""
    parser.add_argument(
        "--calls", type=_positive, metavar="N", help="end after N calls; the script begins anew if need be"
    )
    parser.add_argument("--seconds", type=_positive, metavar="N", help="end after N seconds, likewise")
    parser.add_argument("--dir", type=Path, default=FOLDER, metavar="DIR", help=f"where its files stay ({FOLDER})")
    parser.add_argument("--store", type=Path, metavar="DB", help="the log to write (guard.db in DIR)")
    parser.add_argument("--json", action="store_true", help="JSON Lines: each call's record when the call has ended")
    parser.add_argument("--lang", choices=("en", "fr"), default="en", help="language of the rules' sentences (en)")


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < len(text) < 10 or int(text) < 1:
        raise argparse.ArgumentTypeError(f'"{text}" is no whole number from 1 on')
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Play the demonstration."""
    from guard.store.errors import StoreError
    from sim.daemon import NotReady

    try:
        return asyncio.run(_demo(args))
    except NotReady as error:
        raise CommandError(*str(error).splitlines()) from error
    except StoreError as error:
        raise CommandError(str(error)) from error


async def _demo(args: argparse.Namespace) -> int:
    from guard.config import load
    from sim.demo import perform, stage

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    args.dir.mkdir(parents=True, exist_ok=True)
    store = str(args.store.absolute()) if args.store is not None else "guard.db"
    view = _view(args)
    tally = Tally()
    async with stage(args.dir, store) as (site, players):
        if not args.json:
            web = load(site.config).web
            print(WORDS[args.lang]["page"].format(url=web.url if web is not None else ""), flush=True)
        with view:
            seen = await perform(site, players, _both(view, tally), stop, calls=args.calls, seconds=args.seconds)
    if not args.json:
        _summary(args.lang, site, tally, seen)
    return 0


class View(AbstractContextManager["View"]):
    """One way to see the demonstration."""

    def __exit__(self, *_: object) -> None:
        """The demonstration is over."""

    def scene(self, scene: Scene) -> None:
        """A scene begins."""

    def records(self, details: list[Detail]) -> None:
        """Records, as the log has them."""


def _view(args: argparse.Namespace) -> View:
    if args.json:
        return JsonView()
    out = console()
    out.print(WORDS[args.lang]["starting"])
    return TableView(args.lang, out) if sys.stdout.isatty() else LineView(args.lang)


def _both(view: View, tally: Tally) -> Show:
    from sim.demo import Show

    def records(details: list[Detail]) -> None:
        tally.take(details)
        view.records(details)

    return Show(scene=view.scene, records=records)


class Tally:
    """The records of this demonstration, counted."""

    def __init__(self) -> None:
        self.verdicts: Counter[str] = Counter()
        self.avoided = 0
        self.accrued = 0
        self.examples: dict[str, Detail] = {}  # the first of each verdict
        self._known: set[int] = set()

    def take(self, details: list[Detail]) -> None:
        """Count each record once."""
        for detail in details:
            record = detail.record
            if record.seq in self._known:
                continue
            self._known.add(record.seq)
            self.verdicts[record.verdict] += 1
            money = detail.money
            self.avoided += money.avoided
            self.accrued += money.accrued
            self.examples.setdefault(record.verdict, detail)


def why(detail: Detail, lang: str) -> str:
    """The sentence of the rule that decided, or of the first that spoke."""
    findings = detail.record.findings
    found = next((f for f in findings if f.rule == detail.body.rule), findings[0] if findings else None)
    return "" if found is None else harmless(found.text.fr if lang == "fr" else found.text.en)


def cells(detail: Detail, lang: str) -> tuple[str, ...]:
    """One call in the order of the columns."""
    record = detail.record
    held = f"{record.held_ms} ms" if record.held_ms else ""
    texts = (record.time[11:23], record.verdict, rule(detail), caller(record), record.callee, held, outcome(record))
    return (*map(harmless, texts), why(detail, lang))


class TableView(View):
    """A live table of the newest verdicts, as many as the terminal has room for."""

    def __init__(self, lang: str, out: Console) -> None:
        from rich.live import Live

        self._lang = lang
        self._out = out
        self._rows: dict[int, Detail] = {}
        self._title = ""
        self._live = Live(get_renderable=self._table, console=out, refresh_per_second=8)

    def __enter__(self) -> TableView:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def scene(self, scene: Scene) -> None:
        """The scene's sentence is the table's title."""
        self._title = scene.fr if self._lang == "fr" else scene.en

    def records(self, details: list[Detail]) -> None:
        """New rows, and new outcomes in old ones."""
        rows = dict(self._rows)
        for detail in details:
            rows[detail.record.seq] = detail
        for old in sorted(rows)[:-ROWS]:
            del rows[old]
        self._rows = rows  # replaced whole: the table is drawn in a thread

    def _table(self) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        table = Table(title=Text(self._title), title_justify="left", expand=True, box=None, padding=(0, 2, 0, 0))
        names = WORDS[self._lang]["columns"].split("|")
        shown = next(columns for least, columns in FITTING if self._out.width >= least)
        for n in shown:
            why = n == len(names) - 1
            table.add_column(names[n], no_wrap=True, overflow="ellipsis", ratio=1 if why else None)
        newest = deque(sorted(self._rows.items()), maxlen=max(3, self._out.height - CHROME))
        for _, detail in newest:
            texts = cells(detail, self._lang)
            table.add_row(*(Text(texts[n], style=STYLES.get(texts[n], "")) for n in shown))
        return table


class LineView(View):
    """One line a verdict, as it is decided, for pipes and files."""

    def __init__(self, lang: str) -> None:
        self._lang = lang
        self._known: set[int] = set()

    def __enter__(self) -> LineView:
        self._line(WORDS[self._lang]["columns"].split("|"))
        return self

    def scene(self, scene: Scene) -> None:
        """The scene's sentence."""
        print(f"# {scene.fr if self._lang == 'fr' else scene.en}", flush=True)

    def records(self, details: list[Detail]) -> None:
        """New verdicts."""
        for detail in details:
            if detail.record.seq not in self._known:
                self._known.add(detail.record.seq)
                self._line(cells(detail, self._lang))

    @staticmethod
    def _line(texts: Sequence[str]) -> None:
        *fixed, _, last = texts  # the outcome is not known yet
        print("  ".join([*(f"{t:<{w}}" for t, w in zip(fixed, WIDTHS, strict=True)), last]).rstrip(), flush=True)


class JsonView(View):
    """The records themselves, each when its call has ended; at the end those whose call has not."""

    def __init__(self) -> None:
        self._open: dict[int, Detail] = {}

    def __exit__(self, *_: object) -> None:
        json_lines(d.record for d in self._open.values())

    def scene(self, scene: Scene) -> None:
        """Not said: standard output is for records."""

    def records(self, details: list[Detail]) -> None:
        """Those that are complete."""
        for detail in details:
            seq = detail.record.seq
            self._open.pop(seq, None)
            if detail.record.outcome is None:
                self._open[seq] = detail
            else:
                json_lines([detail.record])
        sys.stdout.flush()


def _summary(lang: str, site: Site, tally: Tally, seen: Outcome) -> None:
    words = WORDS[lang]
    verdicts = ", ".join(f"{n} {v}" for v, n in tally.verdicts.most_common()) or words["none"]
    print()
    print(words["summary"].format(placed=seen.placed, verdicts=verdicts))
    print(words["operator"].format(arrived=seen.arrived, busiest=seen.busiest))
    print(words["money"].format(avoided=euros(tally.avoided), accrued=euros(tally.accrued)))
    print(words["kept"].format(folder=site.folder))
    for command in commands(site, tally, lang):
        print("  " + command)


def commands(site: Site, tally: Tally, lang: str) -> list[str]:
    """Command lines that work as they stand, to go on with."""
    guard, config = shlex.quote(program()), shlex.quote(str(site.config))
    said = " --lang fr" if lang == "fr" else ""
    out = [f"{guard} log -c {config}", f"{guard} log -c {config} --all --rule rate.cps"]
    out += [
        f"{guard} explain -c {config} {shlex.quote(d.record.call_id)}{said}"
        for v in ("masked", "blocked")
        if (d := tally.examples.get(v)) is not None
    ]
    out.append(f"{guard} penalties -c {config}")
    return out


def program() -> str:
    """How this command is called here: `guard` where the path finds it, else the file that was run."""
    this = sys.argv[0]
    if shutil.which("guard") is not None or not os.access(this, os.X_OK):
        return "guard"
    return os.path.relpath(this)
