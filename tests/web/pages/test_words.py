"""The words of the pages: complete in both languages, all that templates and pages use, and nothing besides."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from string import Formatter
from typing import Final, get_args

import pytest

from guard.ledger.incidents import Letter, State, Step, Subject
from guard.ledger.limits import Span
from guard.ledger.lines import Kind
from guard.ledger.penalties import By
from guard.model import Action, Direction, Mode, Outcome, Usage, Verdict
from guard.policy.schema import Confidence
from guard.rules.quotas import Per
from guard.web.pages.view import TEMPLATES
from guard.web.words import PARTS, WORDS
from guard.web.words.clocks import CLOCKS, follows

ROOT: Final = Path(__file__).parents[3]
# Keys that are put together from a word of the domain: each word of it has its entry.
MADE: Final = {
    "verdict": get_args(Verdict),
    "outcome": (*get_args(Outcome), "open"),
    "usage": get_args(Usage),
    "direction": get_args(Direction),
    "action": get_args(Action),
    "state": get_args(State),
    "subject": get_args(Subject),
    "step": get_args(Step),
    "letter": tuple(letter for letter in get_args(Letter) if letter),
    "kind": get_args(Kind),
    "by": get_args(By),
    "confidence": get_args(Confidence),
    "policies.mode": get_args(Mode),
    "reading": ("digits", "words"),
    "exposure.limit": get_args(Span),
    "quota": ("talk-time", "callees"),
    "theme": ("auto", "light", "dark"),
    "month": tuple(map(str, range(1, 13))),
    "do": ("notify", "answer", "resolve", "release", "note"),
    "related": ("caller", "line", "callee"),
}
OTHERS: Final = ("nav.", "filter.", "wrong.", "error.", "decide.")  # looked up by a name of a page's own


def placed(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def sources() -> str:
    files = [*TEMPLATES.glob("*.html"), *(ROOT / "guard" / "web" / "pages").glob("*.py")]
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(files))


@pytest.mark.parametrize("key", WORDS)
def test_every_entry_is_there_in_both_languages(key: str) -> None:
    english, french = WORDS[key]
    assert english.strip()
    assert french.strip()
    assert placed(english) == placed(french)
    assert "'" not in english + french, "a typewriter's apostrophe"
    for sign in ":;?!»":  # French sets a space that does not break before them, and after «
        for at in (m.start() for m in re.finditer(re.escape(sign), french)):
            if not re.fullmatch(r"\d", french[at - 1 : at] or ""):
                assert french[at - 1] == "\u00a0", french
    assert all(french[m.end()] == "\u00a0" for m in re.finditer("«", french))


def test_no_entry_stands_twice() -> None:
    assert sum(map(len, PARTS)) == len(WORDS)


def test_every_word_of_the_domain_has_its_entry() -> None:
    missing = [f"{stem}.{name}" for stem, names in MADE.items() for name in names if f"{stem}.{name}" not in WORDS]
    assert missing == []


def test_pages_use_what_is_there_and_all_of_it() -> None:
    text = sources()
    used = set(re.findall(r'\bt\("([a-z0-9_.-]+)"[,)]', text)) | set(re.findall(r'"([a-z]+(?:[._][a-z0-9_]+)+)"', text))
    direct = set(re.findall(r'\bt\("([a-z0-9_.-]+)"[,)]', text))
    assert direct <= WORDS.keys()
    made = {f"{stem}.{name}" for stem, names in MADE.items() for name in names}
    either = set(re.findall(r'"([a-z0-9_.-]+)" (?:if|else)', text)) | set(re.findall(r'else "([a-z0-9_.-]+)"', text))
    rest = {key for key in WORDS.keys() - used - made - either if not key.startswith(OTHERS)}
    assert rest == set()


def test_the_number_of_places_that_count_by_per_is_known() -> None:
    assert set(get_args(Per)) == {"", "trunk", "line"}


def test_every_time_limit_of_our_contracts_is_told_in_french() -> None:
    clauses = [
        c for d in (ROOT / "policies" / "contracts").glob("*.toml") for c in clauses_of(tomllib.loads(d.read_text()))
    ]
    limits = {str(c["says"]) for c in clauses if c.get("letter") and "within" in c}
    assert limits == CLOCKS.keys()
    assert all(follows(says, "en") == says != follows(says, "fr") for says in limits)
    assert follows("Of another contract.", "fr") == "Of another contract."
    for french in CLOCKS.values():
        assert "'" not in french
        assert all(french[m.start() - 1] == "\u00a0" for m in re.finditer("[:;?!]", french))


def clauses_of(found: object) -> list[dict[str, object]]:
    """Every table of a contract that says something."""
    if isinstance(found, list):
        return [c for one in found for c in clauses_of(one)]
    if not isinstance(found, dict):
        return []
    return [*([found] if "says" in found else []), *(c for one in found.values() for c in clauses_of(one))]
