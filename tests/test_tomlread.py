"""TOML into strict structs: every mistake at once, with its line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, get_args

import msgspec
import pytest
from msgspec import Meta, Struct, field

from guard import tomlread
from guard.configschema import File
from guard.numbering.planschema import NumberingFile
from guard.policy.destinations import DestinationFile
from guard.policy.schema import Contract, RuleFile
from guard.rules import BY_ID
from guard.tomlread import Problem, Reader, key_path, lines_of, nearest


class Inner(Struct, frozen=True, forbid_unknown_fields=True):
    word: Literal["left", "right"] = "left"
    size: Annotated[int, Meta(ge=1)] = 1


class Pair(Struct, frozen=True, forbid_unknown_fields=True):
    least: int = 0
    most: int = 9

    def __post_init__(self) -> None:
        if self.least > self.most:
            raise ValueError(f"least = {self.least} is above most = {self.most}")


class Outer(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    kind: Literal["a", "b"] | tuple[Literal["a", "b"], ...] = "a"
    code: Annotated[str, Meta(pattern=r"\A[A-Z]{2}\Z", description="two capitals")] = "FR"
    first: Inner = Inner()
    maybe: Inner | None = None
    several: tuple[Inner, ...] = ()
    named: dict[str, Inner] = {}
    pair: Pair = Pair()
    from_: int = field(name="from", default=0)


def read(folder: Path, text: str, *, partial: bool = False) -> tuple[Outer | None, list[str]]:
    path = folder / "x.toml"
    path.write_text(text, encoding="utf-8")
    problems: list[Problem] = []
    reader = Reader("x.toml", problems)
    raw = reader.parse(path)
    made = None if raw is None else reader.struct(raw, Outer, [], partial=partial)
    return made, [str(p) for p in problems]


def test_what_is_right(tmp_path: Path) -> None:
    text = 'name = "n"\nkind = ["a", "b"]\nfrom = 3\n[maybe]\nsize = 2\n[[several]]\n[[several]]\nword = "right"\n'
    text += '[named."x.y"]\n'
    made, problems = read(tmp_path, text)
    assert problems == []
    assert made == Outer(
        name="n",
        kind=("a", "b"),
        from_=3,
        maybe=Inner(size=2),
        several=(Inner(), Inner("right")),
        named={"x.y": Inner()},
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ["x.toml: name: missing"]),
        ("name = 3", ["x.toml:1: name: 3: expected `str`, got `int`"]),
        ("name = true", ["x.toml:1: name: True: expected `str`, got `bool`"]),
        ('name = "n"\nnmae = 1', ['x.toml:2: nmae: unknown key; did you mean "name"?']),
        ('name = "n"\n\nkind = "c"', ['x.toml:3: kind: "c" is not one of a, b']),
        ('name = "n"\nkind = ["a", "c", "d"]', ['x.toml:2: kind: "c", "d" is not one of a, b']),
        ('name = "n"\ncode = "fr"', ['x.toml:2: code: "fr": must be two capitals']),
        ('name = "n"\nfirst = 3', ["x.toml:2: first: must be a table, is 3"]),
        ('name = "n"\nfirst = { size = 0 }', ["x.toml:2: first.size: 0: expected `int` >= 1"]),
        ('name = "n"\n[first]\nsize = 0', ["x.toml:3: first.size: 0: expected `int` >= 1"]),
        (
            'name = "n"\n[maybe]\nword = "rigth"',
            ['x.toml:3: maybe.word: "rigth" is not one of left, right; did you mean "right"?'],
        ),
        (
            'name = "n"\n[[several]]\n[[several]]\nsize = "big"',
            ['x.toml:4: several[2].size: "big": expected `int`, got `str`'],
        ),
        ('name = "n"\n[named."x.y"]\nsiez = 1', ['x.toml:3: named."x.y".siez: unknown key; did you mean "size"?']),
        ('name = "n"\nfrom_ = 3', ['x.toml:2: from_: unknown key; did you mean "from"?']),
        ('name = "n"\nname = "m"\n', ["x.toml:2: not TOML: Cannot overwrite a value (at line 2, column 11)"]),
    ],
)
def test_what_is_wrong(tmp_path: Path, text: str, told: list[str]) -> None:
    made, problems = read(tmp_path, text)
    assert problems == told
    assert made is None


def test_everything_at_once(tmp_path: Path) -> None:
    _, problems = read(tmp_path, 'kind = 1\nextra = 2\n[first]\nsize = 0\nword = "up"\n[[several]]\nsize = -1\n')
    assert len(problems) == 6


def test_partly_right_is_kept_where_that_is_wanted(tmp_path: Path) -> None:
    made, problems = read(tmp_path, 'name = "n"\nkind = "c"\n[first]\nsize = 5\n', partial=True)
    assert len(problems) == 1
    assert made == Outer(name="n", first=Inner(size=5))
    made, _ = read(tmp_path, "name = 1\n", partial=True)
    assert made is None


def test_a_file_beyond_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tomlread, "MAX_FILE", 20)
    assert read(tmp_path, 'name = "n"\n')[1] == []
    assert read(tmp_path, 'name = "n"\n' + "#" * 20)[1] == ["x.toml: larger than 20 bytes"]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    problems: list[Problem] = []
    assert Reader("x", problems).parse(tmp_path) is None
    assert [p.what for p in problems] == ["Is a directory"]


def test_lines_of_keys() -> None:
    text = """\
a = 1
"b.c" = 2

[t]
d = [
  1,
]
e.f = 3
[[l]]
x = 1
[l.sub]
y = 1
[[l]]
x = 2
[rules."rate.cps"]
hold = 1
"""
    assert lines_of(text) == {
        "a": 1, '"b.c"': 2, "t": 4, "t.d": 5, "t.e": 8, "t.e.f": 8, "l": 9, "l[1]": 9, "l[1].x": 10, "l[1].sub": 11,
        "l[1].sub.y": 12, "l[2]": 13, "l[2].x": 14, "rules": 15, 'rules."rate.cps"': 15, 'rules."rate.cps".hold': 16,
    }  # fmt: skip


def test_where_a_mistake_stands_is_told_of_whatever_stands_there() -> None:
    """An unknown array of tables, the beginning of a dotted key, a bracket in quotes, the end of the text."""
    assert lines_of('x = 1\n[[trnk]]\nname = "a"\n[[trnk]]\n')["trnk"] == 2
    assert lines_of('\nres."c." = 1\n')["res"] == 2
    assert lines_of("\n['a]b']\n")["a]b"] == 2
    problems: list[Problem] = []
    assert Reader("x.toml", problems).loads('a = 1\nb = "') is None
    assert problems[0].line == 2


def test_key_paths_for_people() -> None:
    assert key_path([]) == ""
    assert key_path(["source", "[1]", "usage"]) == "source[1].usage"
    assert key_path(["rules", "rate.cps", "hold"]) == 'rules."rate.cps".hold'


def test_the_nearest_word() -> None:
    assert nearest("emfroce", ["enforce", "monitor"]) == '; did you mean "enforce"?'
    assert nearest("zzz", ["enforce", "monitor"]) == ""
    assert nearest("x", []) == ""


def test_long_values_are_cut(tmp_path: Path) -> None:
    _, problems = read(tmp_path, f'name = "n"\nkind = "{"c" * 500}"\n')
    assert len(problems[0]) < 130


def test_problems_sort_by_file_and_line() -> None:
    problems = [Problem("b", 1, "", ""), Problem("a", 10, "", ""), Problem("a", 2, "z", ""), Problem("a", 2, "b", "")]
    assert [(p.file, p.line, p.key) for p in sorted(problems)] == [
        ("a", 2, "b"),
        ("a", 2, "z"),
        ("a", 10, ""),
        ("b", 1, ""),
    ]


def test_tables_of_which_there_may_be_several_take_two_brackets(tmp_path: Path) -> None:
    _, wrong = read(tmp_path, 'name = "x"\n[several]\nsize = 2\n')
    assert wrong == ["x.toml:2: several: there may be several: write [[several]], with two brackets"]


def test_what_stands_too_deep_is_a_mistake(tmp_path: Path) -> None:
    made, wrong = read(tmp_path, "name = " + "[" * 100_000)
    assert made is None
    assert wrong == ["x.toml: not TOML that can be read: arrays or tables stand too deep in each other"]


def test_what_a_struct_says_of_its_fields_together_is_told(tmp_path: Path) -> None:
    made, problems = read(tmp_path, 'name = "x"\n[pair]\nleast = 5\nmost = 3\n')
    assert made is None
    assert problems == ["x.toml:2: pair: least = 5 is above most = 3"]
    assert read(tmp_path, 'name = "x"\n[pair]\nleast = 5\n')[1] == []


POLICIES: Final = sorted((Path(__file__).parent.parent / "policies").rglob("*.toml"))
KINDS: Final[dict[str, type[Struct]]] = {
    "numbering": NumberingFile, "rules": RuleFile, "contracts": Contract, "destinations": DestinationFile,
}  # fmt: skip


CONVERT: Final = msgspec.convert


def refusing_structs(raw: object, kind: object, *, strict: bool) -> object:
    if isinstance(kind, type) and issubclass(kind, Struct):
        raise msgspec.ValidationError("to be walked")
    return CONVERT(raw, kind, strict=strict)


@pytest.mark.parametrize("path", POLICIES, ids=lambda p: p.name)
def test_the_fast_way_and_the_walk_read_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is right is read without looking for lines, or walking: that is most of the time of a start."""
    kind = KINDS[path.parent.name]
    with monkeypatch.context() as patched:
        patched.setattr(tomlread, "lines_of", pytest.fail)
        patched.setattr(Reader, "value", pytest.fail)
        problems: list[Problem] = []
        reader = Reader(path.name, problems)
        fast = reader.struct(reader.parse(path), kind, [])
    monkeypatch.setattr(msgspec, "convert", refusing_structs)
    assert fast == reader.struct(reader.parse(path), kind, [])
    assert fast is not None
    assert problems == []


@pytest.mark.parametrize("kind", [*KINDS.values(), File, *(code.settings for code in BY_ID.values())])
def test_every_table_of_a_file_refuses_unknown_keys(kind: type[Struct]) -> None:
    """Or the fast way would let some pass that the walk tells."""
    within = [kind]
    for one in within:  # grows meanwhile: some tables hold their own kind
        found = [inner for f in tomlread.fields_of(one).values() for inner in structs_in(f.type)]
        within += [inner for inner in dict.fromkeys(found) if inner not in within]
    assert all(one.__struct_config__.forbid_unknown_fields for one in within)
    assert len(within) > 1 or kind not in {*KINDS.values(), File}


def structs_in(kind: object) -> list[type[Struct]]:
    if isinstance(kind, type) and issubclass(kind, Struct):
        return [kind]
    return [found for part in get_args(kind) for found in structs_in(part)]
