"""The dossier of a contest: an operator's rows held against the log, with what to contest, why and until when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from guard.ledger.reconcile import CLASSES, Class, Item
from guard.report.html import SPACE, Cell, Lang, count, day, euros, money, number, page, safe, table
from guard.report.words import WORDS

LONGEST: Final = 1_000  # rows of one table on paper
CSV_HEAD: Final = (
    "finding", "row", "from", "until", "caller", "callee", "billed_microeuros", "ours_microeuros",
    "contested_microeuros", "record", "record_time", "record_verdict", "record_rule", "record_call_id", "note",
)  # fmt: skip


class Contest(Struct, frozen=True, kw_only=True):
    """What is contested and by when: `deadline` is the last instant (Unix time, µs), None where no limit is named.

    `limit` and `unit` are the contract's time limit, `article` (with its file) and `says` what it asks for, `quote` in
    its own words.
    """

    site: str
    trunk: str
    month: str
    file: str
    contract: str
    received: int
    made: int
    zone: ZoneInfo
    tolerance: int
    limit: int = 0
    unit: str = ""
    article: str = ""
    says: str = ""
    quote: str = ""
    deadline: int | None = None
    skipped: tuple[int, ...] = ()
    erased: int = 0


class Share(Struct, kw_only=True):
    """What of one class there is, in micro-euros."""

    rows: int = 0
    billed: int = 0
    ours: int = 0
    contested: int = 0


def shares(items: Sequence[Item]) -> dict[Class, Share]:
    """The sums of each class, in the order in which they are told."""
    out: dict[Class, Share] = {name: Share() for name in CLASSES}
    for item in items:
        share = out[item.kind]
        share.rows += 1
        share.billed += (item.billed.amount or 0) if item.billed is not None else 0
        share.ours += item.ours
        share.contested += item.contested
    return out


def dossier(contest: Contest, items: Sequence[Item], lang: Lang) -> str:
    """The page."""
    return page(f"{WORDS[lang]['dossier']} {contest.month}", lang, _parts(contest, items, lang))


def _parts(contest: Contest, items: Sequence[Item], lang: Lang) -> Iterator[str]:
    words, zone = WORDS[lang], contest.zone
    by = shares(items)
    yield f"<h1>{safe(words['dossier'])}</h1>"
    facts = (
        (words["site"], contest.site), (words["trunk"], contest.trunk), (words["contract"], contest.contract),
        (words["month"], contest.month), (words["invoice"], contest.file),
        (words["received"], day(contest.received, zone, lang)),
        (words["made"], day(contest.made, zone, lang, clock=True)),
    )  # fmt: skip
    yield f'<p class="quiet">{" · ".join(f"{safe(k)} {safe(v)}" for k, v in facts)}</p>'
    yield '<div class="sums">'
    sums = (
        ("contested", "accrued", sum(s.contested for s in by.values())),
        ("billed", "", sum(s.billed for s in by.values())),
    )
    for name, style, amount in sums:
        yield (
            f'<div class="sum"><b class="{style}" id="{name}" data-value="{amount}">{safe(euros(amount, lang))}</b>'
            f"{safe(words[name])}</div>"
        )
    yield "</div>"
    yield from _deadline(contest, lang)
    yield table(
        "classes",
        (words["class"], "", words["rows"], words["billed"], words["ours"], words["contested"]),
        [_share(words[k], words[k + "_note"], s, lang) for k, s in by.items()],
        _share(words["total"], "", whole(by), lang),
    )
    for kind in CLASSES:
        yield from _rows(contest, kind, [i for i in items if i.kind == kind], lang)
    yield f"<h2>{safe(words['terms'])}</h2>"
    yield f"<p>{safe(words['tolerance'].format(seconds=contest.tolerance // 1_000_000))}</p>"
    if contest.skipped:
        yield f"<p>{safe(words['skipped'].format(rows=', '.join(map(str, contest.skipped[:50]))))}</p>"
    if contest.erased:
        yield f"<p><b>{safe(words['erased'].format(n=contest.erased))}</b></p>"
    yield f"<p>{safe(words['evidence'])}</p>"


def _deadline(contest: Contest, lang: Lang) -> Iterator[str]:
    words = WORDS[lang]
    yield '<div class="box">'
    if contest.deadline is None:
        yield f"<p>{safe(words['no_deadline'])}</p>"
    else:
        limit = words[contest.unit].format(n=contest.limit)
        last = day(contest.deadline, contest.zone, lang)
        text = words["deadline_is"].format(limit=f"{limit} {words['since']}", article=contest.article, day=last)
        yield f'<p><b id="deadline">{safe(words["deadline"])} {safe(last)}</b></p><p>{safe(text)}</p>'
    if contest.says and (lang == "en" or not contest.quote):
        yield f"<p>{safe(words['how'])} {safe(contest.says)}</p>"
    elif contest.quote:  # the contracts are French: on a French page their own words, not ours
        yield f"<p>{safe(words['how'])} «{SPACE}{safe(contest.quote)}{SPACE}»</p>"
    yield "</div>"


def whole(by: dict[Class, Share]) -> Share:
    """The sums of all classes."""
    return Share(
        rows=sum(s.rows for s in by.values()),
        billed=sum(s.billed for s in by.values()),
        ours=sum(s.ours for s in by.values()),
        contested=sum(s.contested for s in by.values()),
    )


def _share(name: str, note: str, share: Share, lang: Lang) -> tuple[str | Cell, ...]:
    sums = (money(share.billed, lang), money(share.ours, lang), money(share.contested, lang))
    return (name, note, number(share.rows, lang), *sums)


def _rows(contest: Contest, kind: Class, items: Sequence[Item], lang: Lang) -> Iterator[str]:
    if not items:
        return
    words = WORDS[lang]
    heads = ("row", "when", "number", "called", "billed", "ours", "contested", "our_record")
    largest = sorted(items, key=lambda i: -(i.contested or i.ours)) if len(items) > LONGEST else items
    rows = [_cells(contest, i, lang) for i in largest[:LONGEST]]
    rest = shares(largest[LONGEST:])[kind]
    if rest.rows:
        sums = (money(rest.billed, lang), money(rest.ours, lang), money(rest.contested, lang))
        rows.append((words["others"], "", "", "", *sums, count(rest.rows, lang)))
    yield f"<h2>{safe(words[kind])} <span class=quiet>{safe(words[kind + '_note'])}</span></h2>"
    if len(items) > LONGEST:
        yield f"<p>{safe(words['sample'].format(n=LONGEST))}</p>"
    share = shares(items)[kind]
    total = (
        words["total"], "", "", "", money(share.billed, lang), money(share.ours, lang), money(share.contested, lang),
        count(share.rows, lang),
    )  # fmt: skip
    yield table(f"rows-{kind}", [words[h] for h in heads], rows, total)


def _cells(contest: Contest, item: Item, lang: Lang) -> tuple[str | Cell, ...]:
    words, billed, kept = WORDS[lang], item.billed, item.kept
    at = billed.since if billed is not None else kept.at if kept is not None else 0
    record = words["twice"].format(row=item.twice) if item.twice else ""
    if kept is not None:
        when = day(kept.at, contest.zone, lang, clock=True)
        record = " · ".join(
            t for t in (f"{words['record']} {kept.seq}", when, words.get(kept.verdict, kept.verdict), kept.rule) if t
        )
    none = Cell("", 0)
    return (
        str(billed.row) if billed is not None else "",
        day(at, contest.zone, lang, clock=billed is None or billed.since == billed.until),
        billed.caller if billed is not None else (kept.number or kept.callers[0]) if kept is not None else "",
        billed.callee if billed is not None else "" if item.per_number or kept is None else kept.callee,
        money(billed.amount, lang) if billed is not None and billed.amount is not None else none,
        money(item.ours, lang),
        money(item.contested, lang),
        record,
    )


def csv_row(item: Item, zone: ZoneInfo) -> tuple[object, ...]:
    """One item for the CSV beside the page, in the order of CSV_HEAD."""
    billed, kept = item.billed, item.kept
    note = f"billed in row {item.twice} already" if item.twice else "per calling number" if item.per_number else ""
    return (
        item.kind,
        billed.row if billed is not None else "",
        day(billed.since, zone, "en", clock=True) if billed is not None else "",
        day(billed.until, zone, "en", clock=True) if billed is not None else "",
        billed.caller if billed is not None else (kept.number or kept.callers[0]) if kept is not None else "",
        billed.callee if billed is not None else kept.callee if kept is not None else "",
        billed.amount if billed is not None and billed.amount is not None else "",
        item.ours,
        item.contested,
        kept.seq if kept is not None else "",
        day(kept.at, zone, "en", clock=True) if kept is not None else "",
        kept.verdict if kept is not None else "",
        kept.rule if kept is not None else "",
        kept.call_id if kept is not None else "",
        note,
    )
