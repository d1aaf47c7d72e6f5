"""The other direction of tests/test_docs.py: what the pages name is there, and nothing has stayed from yesterday."""

import argparse
import asyncio
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from parts.agents import parts
from parts.pages import DOCS, TREE, documented, in_code, page, section, tables

from agent import cli as agent_cli
from agent import reasons
from agent.answer import CLIENT
from agent.events import AGENT, AgentRow, row
from agent.forward.origins import Origin
from agent.rules import REASON, Rule
from agent.settings import Settings
from agent.status import SOCKET
from center import cli as center_cli
from center.settings import Settings as CenterSettings
from collectors.registry import COLLECTORS, Collector
from wire.yaml.schema import structs_of

each_collector = pytest.mark.parametrize("collector", COLLECTORS, ids=lambda collector: collector.name)
PROGRAMS = {"commands.md": agent_cli.build_parser(), "center.md": center_cli._parser()}
FLAG = re.compile(r"--[a-z][a-z-]*")


# ---- options ----


def options_of(*wholes: type) -> set[str]:
    """The keys that the YAML of a struct may hold, at any depth, tags included."""
    structs = [struct for whole in wholes for struct in structs_of(whole)]
    tags = {str(struct.__struct_config__.tag_field) for struct in structs}
    return tags | {field.encode_name for struct in structs for field in msgspec.structs.fields(struct)}


def named_options(text: str) -> list[str]:
    found = [name for table in tables(text, "option") for name in table.names()]
    assert found
    return found


def test_every_option_on_the_page_of_settings_exists():
    assert set(named_options(page("configuration.md"))) <= options_of(Settings, CenterSettings)


@each_collector
def test_every_option_on_a_collectors_page_exists(collector: Collector):
    assert set(named_options(page(f"collectors/{collector.name}.md"))) <= options_of(collector.config)


@each_collector
def test_every_column_on_a_collectors_page_exists(collector: Collector):
    found = [name for table in tables(page(f"collectors/{collector.name}.md"), "column") for name in table.names()]
    assert found == [name for stream in collector.streams for name, _ in stream.columns]


# ---- commands ----


def verbs(root: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    (choice,) = (action for action in root._actions if isinstance(action, argparse._SubParsersAction))
    return dict(choice.choices)


def flags(parser: argparse.ArgumentParser) -> set[str]:
    return {flag for action in parser._actions for flag in action.option_strings if flag.startswith("--")}


@pytest.mark.parametrize(
    ("path", "verb"), [(path, verb) for path, root in PROGRAMS.items() for verb in verbs(root)], ids=str
)
def test_the_flags_in_the_section_of_a_verb_are_those_it_has(path: str, verb: str):
    text = section(page(path), verb) or section(page(path), f"edgepost-center {verb}")
    usage = "\n".join(line for line in text.splitlines() if line.startswith("    "))
    listed = {flag for table in tables(text, "flag") for name in table.names() for flag in FLAG.findall(name)}
    has = flags(verbs(PROGRAMS[path])[verb]) - {"--help"}
    assert listed == has or (not listed and has <= set(FLAG.findall(text)))
    assert set(FLAG.findall(usage)) <= has


@pytest.mark.parametrize("file", sorted([*DOCS.rglob("*.md"), TREE / "README.md"]), ids=lambda file: file.name)
def test_every_flag_that_a_page_gives_to_one_of_our_programs_exists(file: Path):
    known = {flag for root in PROGRAMS.values() for parser in (root, *verbs(root).values()) for flag in flags(parser)}
    calls = re.findall(r"^.*\bedgepost(?:-center)? [a-z]+ .*$", file.read_text(encoding="utf-8"), re.MULTILINE)
    assert {flag for call in calls for flag in FLAG.findall(re.sub(r"^.*?edgepost", "", call))} <= known


# ---- reasons ----


@each_collector
def test_the_reasons_on_a_collectors_page_are_those_it_declares(collector: Collector):
    (table,) = tables(page(f"collectors/{collector.name}.md"), "reason")
    assert ["reason", "counts", "loss"] == table.header[:3]
    told = {cells[0].strip("`"): (cells[1], cells[2]) for cells in table.rows}
    assert told == {reason.name: (reason.unit, "yes" if reason.is_loss else "no") for reason in collector.reasons}


def test_the_reasons_of_the_agent_are_told_with_their_units():
    (table,) = tables(page("status.md"), "reason")
    told = {name: cells[1] for cells in table.rows for name in in_code(cells[0])}
    assert told == {reason.name: reason.unit for reason in (*reasons.OF_COLLECTING, *reasons.OF_CUSTODY)}


def test_the_reasons_that_the_architecture_names_exist():
    (table,) = tables(page("architecture.md"), "reason")
    known = {reason.name for one in COLLECTORS for reason in one.reasons}
    known |= {reason.name for reason in (*reasons.OF_COLLECTING, *reasons.OF_CUSTODY)}
    assert set(table.names()) <= known | {"confirmed", "rejected-REASON", "rule-NAME"}


def test_every_reason_in_the_code_of_custody_is_declared():
    """`dropped:NAME` as the buffer and the forwarder write it; a name that is put together is known by its beginning."""
    texts = [path.read_text(encoding="utf-8") for path in (TREE / "agent").rglob("*.py")]
    written = {name for text in texts for name in re.findall(r"dropped:([a-z][a-z-]*)", text)}
    known = [reason.name for reason in (*reasons.OF_COLLECTING, *reasons.OF_CUSTODY)]
    written -= {REASON}  # no loss: a rule leaves rows out on purpose, under its own name
    assert written
    assert [name for name in written if not any(one.startswith(name) for one in known)] == []


# ---- events ----


def test_the_events_of_the_agent_are_the_same_in_code_docstring_and_page():
    texts = [path.read_text(encoding="utf-8") for path in (TREE / "agent").rglob("*.py")]
    made = {name for text in texts for name in re.findall(r"events\.row\(\s*\"([a-z-]+)\"", text)}
    (sentence,) = re.findall(r"^ {8}event: (.*?)\.$", AgentRow.__doc__ or "", re.MULTILINE | re.DOTALL)
    (table,) = tables(section(page("wire-format.md"), "The stream `agent`"), "event")
    assert set(table.names()) == set(in_code(sentence))
    assert made <= set(table.names())


# ---- keys of `edgepost status --json` ----

BY_NAME = frozenset({"streams", "drops", "reasons", "receipted_rows", "changed", "put_off"})  # maps whose keys are data
FREE = frozenset({"report"})  # a collector's own facts
NOT_KEYS = frozenset({"healthy", "degraded", "down", "listeners"})  # told there, as values or as examples


def keys_of(value: Any, name: str = "") -> set[str]:
    """Every key in a value, at any depth."""
    if name in FREE:
        return set()
    if isinstance(value, list):
        return {key for each in value for key in keys_of(each)}
    if not isinstance(value, dict):
        return set()
    inner = {key for own, each in value.items() for key in keys_of(each, "" if name in BY_NAME else own)}
    return inner if name in BY_NAME else inner | set(value)


async def fails() -> None:
    raise ZeroDivisionError


async def test_the_keys_of_the_status_as_json_are_those_of_its_page(tmp_path):
    async with parts(tmp_path, rules=(Rule(name="few", where={"severity": "debug"}, do="drop"),)) as agent:
        lives = [asyncio.create_task(agent.supervisor.keep(name, asyncio.Event().wait)) for name in ("syslog", SOCKET)]
        await agent.supervisor.once(CLIENT, fails)
        sink = agent.intake.sink("syslog")
        sink.put(AGENT, [row("ping", text="a row of any stream")])
        sink.count("crash")
        agent.intake.note_changed("syslog", shrunk=1)
        agent.forward.sender.hold_back(Origin("old", "lab"), reason="not taken", remedy="wait")
        await agent.intake.close()
        facts = agent.facts()
        for life in lives:
            life.cancel()
        await asyncio.wait(lives)
    told = {name: cells for name, (cells, *_) in documented(section(page("status.md"), "JSON")).items()}
    assert set(facts) == set(told)
    for key, value in facts.items():
        inner = set(in_code(told[key][1])) - NOT_KEYS
        assert inner == keys_of(value, key), key
