"""`[[site_rule]]` checked and compiled: each rule's conditions into one closure, and what finds it unasked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import date
from ipaddress import ip_network
from string import Formatter
from typing import Final, cast
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from guard.config import is_zone, zones
from guard.confignumbers import borders
from guard.model import CallAttempt, Usage
from guard.numbering.number import EMERGENCY, Dial, normalise
from guard.policy import schema
from guard.policy.siteschema import Patterns as Written
from guard.policy.siteschema import SiteRule, When
from guard.policy.siteschema import Window as WrittenWindow
from guard.rules import site, windows
from guard.rules.base import AnyJudge
from guard.rules.patterns import ANY, FIELDS, Patterns, patterns
from guard.tomlread import Reader, nearest

ALWAYS_TOLD: Final = ("caller", "callee")  # facts of every finding of a site's rule
_GLOB: Final = re.compile(r"\+?[0-9*]+\Z")
_HEADER: Final = re.compile(r"[!#-'*+.0-9A-Z^-z|~-]+\Z")
_OWN: Final = ("all_", "any_", "not_")
_TEXTS: Final[dict[str, Callable[[CallAttempt], str]]] = {
    "source": lambda call: call.source,
    "trunk": lambda call: call.trunk,
    "line": lambda call: call.line,
    "country": lambda call: call.country,
}


class Known(Struct, frozen=True, kw_only=True):
    """The words that conditions may use: names of the configuration, and those of the numbering plan (None: unread)."""

    sources: tuple[str, ...]
    trunks: tuple[str, ...]
    categories: tuple[str, ...] | None
    territories: tuple[str, ...] | None


class Compiled(Struct, frozen=True, kw_only=True):
    """One rule. `needs` is what every call that it fits has, by the field of `patterns.FIELDS`."""

    written: SiteRule
    judge: AnyJudge
    needs: dict[str, Patterns]


def compiled(rules: Iterable[SiteRule], known: Known, zone: ZoneInfo, reader: Reader) -> list[Compiled]:
    """Every rule that is enabled; what is wrong with any of them goes to the reader's problems."""
    out: list[Compiled] = []
    seen: set[str] = set()
    for i, rule in enumerate(rules, 1):
        key = ["site_rule", f"[{i}]"]
        if rule.id in seen:
            reader.problem([*key, "id"], f'"{rule.id}" stands twice')
        seen.add(rule.id)
        one = _Rule(rule, known, zone, reader, key)
        made = one.compiled()
        if rule.enabled:
            out.append(made)
    return out


class _Rule:
    """One rule being compiled."""

    def __init__(self, rule: SiteRule, known: Known, zone: ZoneInfo, reader: Reader, key: list[str]) -> None:
        self.rule = rule
        self.known = known
        self.zone = zone
        self.reader = reader
        self.key = key
        self.facts: dict[str, None] = dict.fromkeys(ALWAYS_TOLD)
        self.needs: dict[str, Patterns] = {}

    def problem(self, key: list[str], what: str) -> None:
        """Note a mistake of this rule."""
        self.reader.problem([*self.key, *key], what)

    def compiled(self) -> Compiled:
        """The rule; as much of it as is good."""
        rule = self.rule
        if rule.from_ is not None and rule.until is not None and rule.from_ > rule.until:
            self.problem(["until"], f"{rule.until} is before from = {rule.from_}")
        if rule.action == "mask" and rule.direction != "outbound":
            self.problem(["action"], '"mask": calls that come in present no number of this site; write flag or block')
        fits = self._all(rule.when, ["when"], needed=True)
        self._texts()
        judge = site.rule(rule.id, fits, tuple(self.facts), self.zone, masks=rule.action == "mask")
        return Compiled(written=rule, judge=judge, needs=self.needs)

    def _texts(self) -> None:
        """What the rule says: in one language at least, with facts that there are."""
        written = {"en": self.rule.text.en, "fr": self.rule.text.fr}
        if not any(written.values()):
            self.problem(["text"], "says nothing: write en, fr or both")
        for language, text in written.items():
            try:
                parts = [p for p in Formatter().parse(text) if p[1] is not None]
            except ValueError as error:
                self.problem(["text", language], f"{error}: write {{{{ and }}}} for braces")
                continue
            for _, name, spec, how in parts:
                if name not in site.FACTS or spec or how:
                    near = nearest(str(name), site.FACTS)
                    self.problem(["text", language], f"{{{name}}} is no fact of a call{near}")
                else:
                    self.facts[str(name)] = None

    # ---- conditions ------------------------------------------------------------------------------------------------

    def _all(self, when: When, key: list[str], *, needed: bool) -> site.Condition:
        """Everything that stands in one table. `needed`: every call that the rule fits has it."""
        found: list[site.Condition] = []
        for field in msgspec.structs.fields(When):
            written = getattr(when, field.name)
            if field.name in _OWN or written in ((), {}, None):
                continue
            made = self._one(field.name, written, [*key, field.encode_name], needed=needed)
            if made is not None:
                found.append(made)
                self._tell(field.name)
        for i, inner in enumerate(when.all_, 1):
            found.append(self._all(inner, [*key, "all", f"[{i}]"], needed=needed))
        several = [self._all(w, [*key, "any", f"[{i}]"], needed=False) for i, w in enumerate(when.any_, 1)]
        if several:
            found.append(site.either(several))
        if when.not_ is not None:
            found.append(site.negated(self._all(when.not_, [*key, "not"], needed=False)))
        if when == When():
            self.problem(key, "holds no condition: it would fit every call")
        return site.every(found) if found else lambda _: False

    def _tell(self, field: str) -> None:
        """What a condition reads is a fact of the finding."""
        fact = "there" if field == "time" else field
        if fact in site.FACTS:
            self.facts[fact] = None

    def _one(self, field: str, written: object, key: list[str], *, needed: bool) -> site.Condition | None:
        """One condition, None where nothing good stands there."""
        if field == "time" and isinstance(written, WrittenWindow):
            return self._time(written, key)
        if field == "header" and isinstance(written, dict):
            return self._headers(written, key)
        if field == "usage":
            return site.usage(frozenset(cast("tuple[Usage, ...]", _several(written))))
        if field == "forwarded":
            return site.forwarded(bool(written))
        if field == "privacy":
            return site.privacy(bool(written))
        words = _several(written)
        who: site.Who = "callee" if field.startswith("callee") else "caller"
        if field.endswith("_kind"):
            return site.kind(who, frozenset(words))
        if field.endswith("_category"):
            return self._words(words, self.known.categories, "category", key, lambda ids: site.category(who, ids))
        if field.endswith("_territory"):
            return self._words(words, self.known.territories, "territory", key, lambda ids: site.territory(who, ids))
        if field == "address":
            return self._address(words, key)
        return self._patterns(field, words, key, needed=needed)

    def _words(
        self,
        words: tuple[str, ...],
        known: tuple[str, ...] | None,
        what: str,
        key: list[str],
        make: Callable[[frozenset[str]], site.Condition],
    ) -> site.Condition:
        for word in words:
            if known is not None and word not in known:
                self.problem(key, f'the numbering plan has no {what} "{word}"{nearest(word, known)}')
        return make(frozenset(words))

    def _address(self, words: tuple[str, ...], key: list[str]) -> site.Condition:
        networks = []
        for word in words:
            try:
                networks.append(ip_network(word))
            except ValueError as error:
                self.problem(key, f'"{word}" is no address or network: {error}')
        return site.address(networks)

    def _headers(self, written: dict[str, Written], key: list[str]) -> site.Condition:
        found = []
        for name, value in written.items():
            if not _HEADER.match(name):
                self.problem([*key, name], "is no name of a header")
            test = patterns(self._filled(_several(value), [*key, name])).test()
            found.append(site.header(name.lower(), test))
        return site.every(found)

    def _patterns(self, field: str, words: tuple[str, ...], key: list[str], *, needed: bool) -> site.Condition:
        """Numbers, or texts."""
        if field in {"caller", "callee", "presented", "forwarded_by"}:
            asked = self._numbers(words, key)
            test = asked.test()
            if field == "presented":
                return site.presented(test)
            if field == "forwarded_by":
                return site.forwarded_by(test)
            made = site.number("callee" if field == "callee" else "caller", test)
        elif field == "user_agent":
            folded = patterns(self._filled(words, key), fold=True).test()
            return site.text(lambda call: call.user_agent.casefold(), folded)
        else:
            asked = patterns(self._filled(words, key))
            self._names(field, words, key)
            made = site.text(_TEXTS[field], asked.test())
        if needed and field in FIELDS:
            self.needs.setdefault(field, asked)
        return made

    def _filled(self, words: tuple[str, ...], key: list[str]) -> tuple[str, ...]:
        if "" in words:
            self.problem(key, 'an empty pattern fits nothing; for what is not there write not = { … = "*" }')
        return words

    def _names(self, field: str, words: tuple[str, ...], key: list[str]) -> None:
        """Sources and trunks that there are: a name that nothing has would never fit."""
        names = {"source": self.known.sources, "trunk": self.known.trunks}.get(field)
        for word in words if names is not None else ():
            if ANY not in word and word not in (names or ()):
                self.problem(key, f'no [[{field}]] "{word}"{nearest(word, list(names or ()))}')
        for word in words if field == "country" else ():
            if not re.fullmatch("[A-Z]{2}", word):
                self.problem(key, f'"{word}": must be a country in two capitals, such as FR')

    # ---- numbers and time ------------------------------------------------------------------------------------------

    def _numbers(self, words: tuple[str, ...], key: list[str]) -> Patterns:
        exact: list[str] = []
        ranges: list[tuple[str, str]] = []
        for word in self._filled(words, key):
            text = word.replace(" ", "")
            if ANY in text:
                if not _GLOB.match(text) or text.startswith("0"):
                    near = f'; did you mean "+33{text[1:]}"?' if re.match("0[1-9]", text) else ""
                    self.problem(key, f'"{word}" is no pattern of numbers: write it as +3389* or 36*{near}')
                exact.append(text)
                continue
            span = borders(text) if text else ("", "", False)
            if isinstance(span, str):
                self.problem(key, span)
            elif span[0] != span[1]:
                ranges.append(span[:2])
            else:
                exact.append(span[0])
                if key[-1] == "callee" and normalise(span[0], Dial(), callee=True).value in EMERGENCY:
                    self.problem(key, f'"{word}": no rule sees an emergency call; it always passes')
        return msgspec.structs.replace(patterns(exact), ranges=tuple(ranges))

    def _time(self, written: WrittenWindow, key: list[str]) -> site.Condition | None:
        zone = self.zone
        if written.zone:
            if is_zone(written.zone):
                zone = ZoneInfo(written.zone)
            else:
                self.problem([*key, "zone"], f'"{written.zone}" is no time zone{nearest(written.zone, zones())}')
        if written == WrittenWindow(zone=written.zone):
            self.problem(key, "holds no condition: it would fit every instant")
        if written.from_ is not None and written.until is not None and written.from_ > written.until:
            self.problem([*key, "until"], f"{written.until} is before from = {written.from_}")
        days: frozenset[int] = frozenset()
        spans: list[tuple[int, int]] = []
        try:
            for word in _several(written.weekdays):
                days |= windows.weekdays(word)
        except windows.BadWindow as error:
            self.problem([*key, "weekdays"], str(error))
        try:
            spans += [windows.hours(word) for word in _several(written.hours)]
        except windows.BadWindow as error:
            self.problem([*key, "hours"], str(error))
        window = windows.Window(
            zone=zone,
            weekdays=days,
            spans=tuple(spans),
            dates=frozenset(written.dates),
            first=written.from_ or date.min,
            last=written.until or date.max,
            holidays=written.holidays,
        )
        return site.when(window)


def _several(written: object) -> tuple[str, ...]:
    """One pattern or several, as a tuple."""
    return (written,) if isinstance(written, str) else tuple(written) if isinstance(written, tuple) else ()


def as_written(rule: SiteRule) -> schema.Rule:
    """A site's rule in the form of those of policies/rules, for whoever lists or shows them."""
    english, french = rule.text.en or rule.text.fr, rule.text.fr or rule.text.en
    return schema.Rule(
        id=rule.id,
        title=schema.Words(en=english, fr=french),
        action=rule.action,
        source=(rule.source,),
        mode=rule.mode,
        enabled=rule.enabled,
        status=rule.status,
        articles=rule.articles,
        from_=rule.from_,
        until=rule.until,
        parameters={"direction": rule.direction, "when": stated(rule.when)},
        say={site.SAY: schema.Say(en=english, fr=french)},
    )


def stated(table: When | WrittenWindow) -> dict[str, object]:
    """What stands in a table of conditions, as it was written."""
    out: dict[str, object] = {}
    for field in msgspec.structs.fields(type(table)):
        value = getattr(table, field.name)
        if value in ((), {}, None, ""):
            continue
        if isinstance(value, (When, WrittenWindow)):
            out[field.encode_name] = stated(value)
        elif field.name in _OWN:
            out[field.encode_name] = [stated(inner) for inner in value]
        else:
            out[field.encode_name] = msgspec.to_builtins(value)
    return out
