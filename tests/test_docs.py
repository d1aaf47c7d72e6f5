"""The docs and the program cannot disagree: every option, column, exit code and command has its documentation."""

import argparse
import re
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from parts.pages import DOCS, TREE, documented, page, rows

from agent import cli as agent_cli
from agent.events import AGENT
from agent.settings import Settings
from center import cli as center_cli
from center.settings import Settings as CenterSettings
from collectors.registry import COLLECTORS
from wire.yaml.schema import structs_of

COLLECTOR_STRUCTS = {struct: collector.name for collector in COLLECTORS for struct in structs_of(collector.config)}
PAGES = sorted([*TREE.glob("*.md"), *DOCS.rglob("*.md"), *TREE.glob("bench/*.md")])


# ---- options ----


def _options() -> list[Any]:
    wholes = {struct: "configuration.md" for whole in (Settings, CenterSettings) for struct in structs_of(whole)}
    pages = {**wholes, **{struct: f"collectors/{name}.md" for struct, name in COLLECTOR_STRUCTS.items()}}
    return [
        pytest.param(field, path, id=f"{struct.__name__}.{field.encode_name}")
        for struct, path in pages.items()
        for field in msgspec.structs.fields(struct)
    ]


@pytest.mark.parametrize(("field", "path"), _options())
def test_every_option_is_documented_with_its_default(field, path):
    found = documented(page(path)).get(field.encode_name, [])
    assert found, f"{field.encode_name} has no row in docs/{path}"
    default = _as_yaml(field)
    if default is not None:
        assert any(default in {cell.strip("`") for cell in cells[1:]} for cells in found), f"no default {default}"


def _as_yaml(field: msgspec.structs.FieldInfo) -> str | None:
    """Write a default as the YAML has it; None where prose has to tell it."""
    if field.required:
        return None
    if field.default is None or isinstance(field.default, bool):
        return {None: "null", True: "true", False: "false"}[field.default]
    if isinstance(field.default, int | float):
        return str(field.default)
    if isinstance(field.default, tuple) and all(isinstance(one, str) for one in field.default):
        return f"[{', '.join(field.default)}]"
    return field.default or None if isinstance(field.default, str) else None


@pytest.mark.parametrize("collector", COLLECTORS, ids=lambda collector: collector.name)
def test_every_collector_has_a_page_with_its_sections(collector):
    text = page(f"collectors/{collector.name}.md").lower()
    for section in ("configuration", "columns", "drops", "security", "troubleshooting", "example"):
        assert re.search(rf"^##+ .*{section}", text, re.MULTILINE), section


# ---- columns ----


def _columns() -> list[Any]:
    pairs = [(stream, f"collectors/{collector.name}.md") for collector in COLLECTORS for stream in collector.streams]
    return [
        pytest.param(column, kind, path, id=f"{stream.name}.{column}")
        for stream, path in [*pairs, (AGENT, "wire-format.md")]
        for column, kind in stream.columns
    ]


@pytest.mark.parametrize(("column", "kind", "path"), _columns())
def test_every_column_is_documented_with_its_type(column, kind, path):
    in_table = documented(page(path)).get(column, [])
    is_told = re.search(rf"`{column}`[^.|(]*\({kind}\b", page(path)) is not None  # in a sentence: `text` (str)
    is_told |= any(re.search(rf"\b{kind}\b", " ".join(cells[1:])) for cells in in_table)
    assert is_told, f"{column}: not told with its type, {kind}"


# ---- commands and exit codes ----


def _parsers() -> list[Any]:
    roots = (("commands.md", agent_cli.build_parser()), ("center.md", center_cli._parser()))
    return [
        pytest.param(path, verb, parser, id=f"{root.prog} {verb}")
        for path, root in roots
        for action in root._actions
        if isinstance(action, argparse._SubParsersAction)
        for verb, parser in action.choices.items()
    ]


@pytest.mark.parametrize(("path", "verb", "parser"), _parsers())
def test_every_verb_and_flag_is_documented(path, verb, parser):
    assert re.search(rf"^##+ .*\b{verb}\b", page(path), re.MULTILINE), f"{verb} has no section in docs/{path}"
    flags = {flag for action in parser._actions for flag in action.option_strings if flag.startswith("--")}
    assert set() == {flag for flag in flags - {"--help"} if flag not in page(path)}


def _exit_codes() -> set[str]:
    """Find named constants with a code of sysexits.h."""
    constant = re.compile(r"^[A-Z_]+(?:: Final)? = (6[4-9]|7[0-8])\b", re.MULTILINE)
    files = [path for package in ("agent", "center", "wire") for path in (TREE / package).rglob("*.py")]
    return {code for path in files for code in constant.findall(path.read_text(encoding="utf-8"))}


def test_every_exit_code_is_documented():
    listed = {cells[0] for cells in rows(page("commands.md"))}
    assert set() == {"0", "1", "2", *_exit_codes()} - listed


# ---- links ----


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(TREE)))
def test_every_link_leads_somewhere(path):
    text = re.sub(r"^(```|    ).*?(^```|$)", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        place, _, anchor = target.partition("#")
        if "://" in target:
            continue
        other = (path.parent / place) if place else path
        if not other.exists() or (anchor and other.suffix == ".md" and anchor not in _anchors(other)):
            broken.append(target)
    assert [] == broken


@cache
def _anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_every_page_that_the_tree_names_exists():
    named = re.compile(r"\bdocs/[a-z0-9/_-]+\.(?:md|py|json)\b")
    files = [
        *(
            path
            for folder in ("agent", "center", "collectors", "wire", "config", "tests", "bench")
            for path in (TREE / folder).rglob("*")
        ),
        *PAGES,
    ]
    missing = {
        f"{path.relative_to(TREE)}: {name}"
        for path in files
        if path.suffix in {".py", ".md", ".yaml"}
        for name in named.findall(path.read_text(encoding="utf-8", errors="replace"))  # some are no UTF-8 on purpose
        if not (TREE / name).exists()
    }
    assert set() == missing
