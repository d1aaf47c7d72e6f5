"""Rules as they stand in a YAML: the shipped example, overlays, secrets, and what `edgepost check` says of them."""

import json
import re
from pathlib import Path

import pytest

from agent.rules.describe import describe_rule, find_rule_warnings
from agent.settings import load, schema
from collectors.syslog.rows import SYSLOG

CONFIG = Path(__file__).resolve().parents[3] / "config" / "agent.yaml"
HEAD = "version: 1\nagent: a\nsite: s\nforward: {brokers: [{url: 'mqtts://h'}]}\n"


@pytest.fixture
def read(tmp_path):
    def read(text, name="agent.yaml"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return load(tmp_path / name, env={}).rules

    return read


def test_the_shipped_example_is_valid_when_its_comments_are_taken_off(read):
    text = CONFIG.read_text(encoding="utf-8")
    example = re.search(r"^rules: \[\]\n((?:#.*\n)+)", text, re.MULTILINE)[1]
    rules = read(HEAD + "rules:\n" + re.sub(r"^#", " ", example, flags=re.MULTILINE))
    assert ["sample", "lane", "limit", "mask"] == [rule.do for rule in rules]
    assert {"severity": ">=notice", "app_name": ("kube*", "!kubeadm"), "peer": "10.0.0.0/8"} == rules[0].where


def test_values_of_conditions_stay_the_texts_they_are_written_as(read):
    (rule,) = read(HEAD + "rules: [{name: a, do: drop, where: {app_name: 0514, proc_id: [1, null, NO], msg_id: ~}}]")
    assert {"app_name": "0514", "proc_id": ("1", None, "NO"), "msg_id": None} == rule.where


def test_the_schema_lets_an_editor_take_numbers_for_conditions():
    condition = json.loads(schema())["$defs"]["Rule"]["properties"]["where"]["additionalProperties"]
    item = {"type": ["string", "number", "boolean", "null"]}
    assert {"anyOf": [item, {"type": "array", "items": item}]} == condition


def test_rules_of_an_overlay_merge_by_name_and_new_ones_come_last(read):
    read(HEAD + "rules:\n  - {name: a, do: drop, where: {severity: 7}}\n  - {name: b, do: keep}\n", name="base.yaml")
    text = "include: [base.yaml]\nrules:\n  - {name: c, do: keep}\n  - {name: a, where: {app_name: x}}\n"
    rules = read(text)
    assert ["a", "b", "c"] == [rule.name for rule in rules]
    assert {"severity": "7", "app_name": "x"} == rules[0].where


def test_a_secret_comes_from_its_file_and_is_never_shown(read, tmp_path):
    (tmp_path / "pseudonyms.key").write_text("correct horse battery\n")
    text = "rules: [{name: a, do: mask, column: peer, by: hash, secret_file: pseudonyms.key}]"
    (rule,) = read(HEAD + text)
    assert "correct horse battery" == rule.secret.reveal()
    assert "correct" not in repr(rule)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("do: drop, where: {severity: '>=info'}", "drops rows of syslog where severity is info or debug"),
        ("do: drop, where: {severity: '9'}", "drops rows of syslog where severity is none that there is"),
        ("do: keep, where: {app_name: [su*, null, '!x', '!y']}", "where app_name is su* or nil, not x nor y"),
        ("do: keep, where: {app_name: '!x'}", "ends the rules for rows of syslog where app_name is not x"),
        ("do: lane, lane: bulk", "puts into the bulk lane rows of syslog, all of them"),
        ("do: sample, one_of: 5, per: [peer, port]", "keeps one of 5 per peer and port of syslog, all of them"),
        ("do: limit, rows_per_second: 5", "keeps 5 a second of syslog, all of them"),
        ("do: mask, column: peer, by: network", "masks peer by network in rows of syslog, all of them"),
    ],
)
def test_a_rule_is_told_in_words(read, text, said):
    (rule,) = read(HEAD + f"rules: [{{name: a, stream: syslog, {text}}}]")
    assert describe_rule(rule).startswith("rule a: ")
    assert describe_rule(rule).endswith(said)


@pytest.mark.parametrize(
    ("rules", "warnings"),
    [
        ("{name: a, do: drop, where: {severity: debug}}", []),
        ("{name: a, do: drop, where: {severity: '>=warning', app_name: x}}", []),
        ("{name: a, do: lane, lane: bulk}", []),
        ("{name: a, do: mask, column: message}", []),
        (
            "{name: a, do: drop, where: {app_name: x}}",
            ["rule a: may drop rows of severity emerg, alert, crit, err; if"],
        ),
        ("{name: a, do: sample, one_of: 2, where: {severity: 3..5}}", ["rule a: may drop rows of severity err; if"]),
        ("{name: a, do: drop, stream: syslog}", ["rule a: no condition, so it is for every row of syslog"]),
        (
            "{name: a, do: keep}, {name: b, do: drop, where: {severity: 7}}",
            ["rule b: never reached, a before it takes every row"],
        ),
    ],
)
def test_what_may_not_be_meant_is_a_warning(read, rules, warnings):
    found = list(find_rule_warnings(read(HEAD + f"rules: [{rules}]"), [SYSLOG]))
    assert len(warnings) == len(found), found
    assert all(said.startswith(start) for said, start in zip(found, warnings, strict=True)), found


def test_a_rule_for_what_nothing_collects_is_a_warning(read):
    (said,) = find_rule_warnings(read(HEAD + "rules: [{name: a, do: keep, where: {msg_id: x}}]"), [])
    assert "rule a: nothing here collects syslog" == said
