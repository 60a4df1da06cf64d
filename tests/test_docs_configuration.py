"""docs/configuration.md names every key with its default, and its example loads."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final, get_args

import msgspec
import pytest
from msgspec import NODEFAULT, Struct

from guard import configschema as schema
from guard.config import load
from guard.policy import caseschema, siteschema
from guard.policy.load import load_policy
from guard.prospecting.lists import SHAPES

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = (ROOT / "docs" / "configuration.md").read_text("utf-8")
SECTIONS: Final[dict[str, type[Struct]]] = {
    "Top level": schema.File,
    "`[listen]`": schema.Listen,
    "`[tls]`": schema.Tls,
    "`[[trunk]]`": schema.Trunk,
    "`[[source]]`": schema.Source,
    "`dial` of a source": schema.DialEntry,
    "`[[usage]]`": schema.UsageEntry,
    "`header` of a usage": schema.HeaderMatch,
    "`[[number]]`": schema.NumberEntry,
    "`[prospecting]`": schema.Prospecting,
    '`[rules."ID"]`': schema.RuleSetting,
    "`[[site_rule]]`": siteschema.SiteRule,
    "`text` of a site rule": siteschema.Texts,
    "`when` of a site rule": siteschema.When,
    "`time` of a condition": siteschema.Window,
    "`[[case]]`": caseschema.Case,
    "`before` of a case": caseschema.Before,
    "`health` of a trunk": schema.Health,
    "`[dns]`": schema.Dns,
    "`[drain]`": schema.Drain,
    "`[refusal]`": schema.Refusal,
    "`[hep]`": schema.Hep,
    "`[state]`": schema.State,
    "`[store]`": schema.Store,
    "`[evidence]`": schema.Evidence,
    "`[privacy]`": schema.Privacy,
    "`[ledger]`": schema.Ledger,
    "`[faults]`": schema.Faults,
    "`[mqtt]`": schema.Mqtt,
    "`[web]`": schema.Web,
}
BY_ANOTHER_NAME: Final = {"parameters": "the rule's own"}  # `[rules]`: what stands beside enabled, action and mode


def sections() -> dict[str, dict[str, str]]:
    """The tables of the page: by heading, each key's default."""
    found: dict[str, dict[str, str]] = {}
    for part in PAGE.split("\n## ")[1:]:
        heading, _, body = part.partition("\n")
        rows = re.findall(r"^\| `([a-z_]+)` \| (.*?) \| .+ \|$", body, re.MULTILINE)
        if rows:
            found[heading] = dict(rows)
    return found


def shown(field: msgspec.structs.FieldInfo) -> str:
    """How the page writes a default."""
    default = field.default
    if isinstance(default, Struct):
        return "see below"
    if default is None:
        return "none"
    if default is NODEFAULT:
        return "required" if field.default_factory is NODEFAULT else "`{}`"
    return f"`{json.dumps(default)}`"


def test_every_table_of_the_file_has_a_section() -> None:
    assert set(sections()) == set(SECTIONS)
    inner = {f.encode_name for f in msgspec.structs.fields(schema.File)}
    headings = " ".join(SECTIONS)
    for name in inner - set(sections()["Top level"]):
        assert f"[{name}" in headings, f"[{name}] has no section"


@pytest.mark.parametrize("heading", list(SECTIONS))
def test_every_key_is_on_the_page_with_its_default(heading: str) -> None:
    rows = sections()[heading]
    fields = {f.encode_name: f for f in msgspec.structs.fields(SECTIONS[heading]) if f.name not in BY_ANOTHER_NAME}
    if heading == "Top level":
        fields = {n: f for n, f in fields.items() if isinstance(f.default, str)}
    assert set(rows) == set(fields)
    for name, field in fields.items():
        if heading != '`[rules."ID"]`' or name == "enabled":
            assert rows[name] == shown(field), name


def test_every_word_of_a_rules_action_is_on_the_page() -> None:
    for word in get_args(schema.RuleAction):
        assert f'`"{word}"`' in PAGE


def test_every_column_of_a_list_is_on_the_page() -> None:
    for name, shape in SHAPES.items():
        (row,) = re.findall(rf"^\| `{name}` \| `\"\"` \| `([a-z,]+)`", PAGE, re.MULTILINE)
        columns = set(row.split(","))
        assert set(shape.must) <= columns <= set(shape.must) | set(shape.may)


def example() -> str:
    """Every block of TOML on the page, as one file: the complete example, and the rule of a site."""
    blocks: list[str] = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return "\n".join(blocks)


def test_the_example_loads(tmp_path: Path) -> None:
    (tmp_path / "consents").mkdir()
    (tmp_path / "consents" / "acme-2026-03.pdf").touch()
    (tmp_path / "consents.csv").write_text("number,from,until,proof\n", encoding="utf-8")
    (tmp_path / "refusals.csv").write_text("number,at\n", encoding="utf-8")
    path = tmp_path / "guard.toml"
    path.write_text(example(), encoding="utf-8")
    config = load(path)
    assert [s.name for s in config.sources] == ["pbx", "dialler"]
    assert config.warnings == ()
    policy = load_policy(config)
    assert policy.terms["operator"].cps == 10
    assert policy.held.standing("+33180909090", 1_795_251_600_000_000) == ("consent", "Acme")


def test_the_example_shows_every_table_that_is_supported() -> None:
    for heading in SECTIONS:
        name = heading.strip("`").partition('."')[0].strip("[]")
        if name in {"Top level", "tls", "state", "mqtt", "web"} or " " in name:
            continue
        assert f"[{name}" in example(), name
