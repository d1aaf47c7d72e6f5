"""`edgepost parse` as a process: one line, one row, in order, whatever the line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LINES = [
    b'<34>1 2026-01-31T08:00:00.123Z gw app 1 ID [a@1 k="v"] hello',
    b"",
    b"no header \x1b[31m \xff",
    b"<13>Oct 11 22:14:15 host su[3]: failed",
]


def parse(*arguments: str, data: bytes = b""):
    return subprocess.run(
        [sys.executable, "-m", "agent.cli", "parse", *arguments], input=data, capture_output=True, timeout=60
    )


def test_every_line_that_is_not_empty_is_one_object_with_every_column(tmp_path):
    (tmp_path / "in").write_bytes(b"\n".join(LINES) + b"\n")
    done = parse(str(tmp_path / "in"), "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert [row["format"] for row in rows] == ["rfc5424", "none", "rfc3164"]
    assert {len(row) for row in rows} == {18}
    assert rows[0]["structured_data"] == {"a@1": {"k": "v"}}
    assert list(rows[0])[:2] == ["time", "received"]


def test_standard_input_is_read_with_a_dash():
    done = parse("-", "--json", data=LINES[0] + b"\n")
    assert json.loads(done.stdout)["hostname"] == "gw"


def test_the_text_form_says_why_and_lets_nothing_command_the_terminal():
    done = parse("-", data=b"\n".join(LINES))
    assert done.returncode == 0
    assert b"because" in done.stdout
    assert b"lane urgent" in done.stdout
    assert b"\x1b" not in done.stdout


def test_zone_and_time_of_receipt_complete_a_time_that_names_neither():
    done = parse("-", "--json", "--zone", "Asia/Ho_Chi_Minh", "--received", "2020-10-12T00:00:00Z", data=LINES[3])
    row = json.loads(done.stdout)
    assert row["time"] == "2020-10-11T15:14:15.000000000Z"
    assert row["received"] == "2020-10-12T00:00:00.000000000Z"


def test_settings_come_from_a_config_by_name(tmp_path):
    (tmp_path / "agent.yaml").write_text(
        "version: 1\nagent: a\nsite: s\nforward: {brokers: [{url: mqtt://localhost}]}\ncollectors:\n"
        "  - {collector: syslog, name: one, listeners: [{bind: 'udp://127.0.0.1:5514'}]}\n"
        "  - {collector: syslog, name: two, listeners: [{bind: 'udp://127.0.0.1:5515', zone: Asia/Ho_Chi_Minh}]}\n"
    )
    arguments = ("-", "--json", "--config", str(tmp_path / "agent.yaml"), "--received", "2020-10-12T00:00:00Z")
    assert json.loads(parse(*arguments, data=LINES[3]).stdout)["time"] == "2020-10-11T22:14:15.000000000Z"
    second = parse(*arguments, "--name", "two", data=LINES[3])
    assert json.loads(second.stdout)["time"] == "2020-10-11T15:14:15.000000000Z"
    assert parse(*arguments, "--name", "three", data=LINES[3]).returncode == 78


RULES = """\
version: 1
agent: a
site: s
forward: {brokers: [{url: mqtt://localhost}]}
collectors: [{collector: syslog}]
rules:
  - {name: urgent-first, do: keep, where: {severity: "<=err"}}
  - {name: no-secrets, do: mask, column: message, pattern: failed, where: {hostname: host}}
  - {name: quiet, do: lane, lane: bulk, where: {format: rfc3164}}
  - {name: unread, do: drop, where: {format: none}}
"""


def test_rules_of_a_config_are_shown_with_their_hits_under_keys_that_no_column_has(tmp_path):
    (tmp_path / "agent.yaml").write_text(RULES)
    done = parse("-", "--json", "--config", str(tmp_path / "agent.yaml"), data=b"\n".join(LINES))
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["@rules"] for row in rows] == [["urgent-first"], ["unread"], ["no-secrets", "quiet"]]
    assert [row["@lane"] for row in rows] == ["urgent", None, "bulk"]
    assert rows[2]["message"] == "***"
    assert {len(row) for row in rows} == {20}


def test_the_text_form_names_the_rules_that_hit_and_what_became_of_the_row(tmp_path):
    (tmp_path / "agent.yaml").write_text(RULES)
    done = parse("-", "--config", str(tmp_path / "agent.yaml"), data=b"\n".join(LINES))
    said = done.stdout.decode().splitlines()
    assert "2: syslog, dropped" in said
    assert "3: syslog, lane bulk" in said
    assert [line for line in said if line.startswith("   rule")] == [
        "   rule      urgent-first: keep",
        "   rule      unread: drop",
        "   rule      no-secrets: mask",
        "   rule      quiet: lane",
    ]
    assert not any("@" in line.split()[0] for line in said if line.strip())


@pytest.mark.parametrize(
    "arguments",
    [
        ("/nowhere",),
        ("-", "--zone", "Moon/Base"),
        ("-", "--encoding", "x"),
        ("-", "--received", "now"),
        ("-", "--stream", "x"),
        ("-", "--name", "x"),
    ],
)
def test_a_request_that_cannot_be_met_ends_with_64_and_says_why(arguments):
    done = parse(*arguments)
    assert done.returncode == 64
    assert done.stderr.startswith(b"edgepost parse: ")


def test_the_samples_come_out_as_their_sources_say():
    folder = os.environ.get("EDGEPOST_SAMPLES")
    if not folder or not (Path(folder) / "syslog/rfc5424.jsonl").exists():
        pytest.skip("EDGEPOST_SAMPLES names no folder with syslog/rfc5424.jsonl")
    samples = [json.loads(line) for line in (Path(folder) / "syslog/rfc5424.jsonl").open(encoding="utf-8")]
    samples = [one for one in samples if one.get("tier") == "normative" and "\n" not in one.get("raw", "\n")]
    done = parse("-", "--json", data=b"\n".join(one["raw"].encode() for one in samples))
    got = [json.loads(line)["message"] or "" for line in done.stdout.splitlines()]
    assert [(one["expected"]["message"] or "").lstrip("\ufeff").strip() for one in samples] == [
        text.strip() for text in got
    ]
