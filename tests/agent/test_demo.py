"""The demo as a person starts it: with a terminal and without, ended by the clock and by Ctrl-C."""

import contextlib
import importlib.util
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from parts import facts as fixtures

from agent.demo import close_account, config_path
from agent.demo_feed import REPLAY, from_journal, replay
from agent.demo_view import Arrivals, arrived_text

needs_broker = pytest.mark.skipif(importlib.util.find_spec("amqtt") is None, reason="amqtt is missing: extra demo")
COMMAND = [sys.executable, "-m", "agent.cli", "demo"]


def read_until(pattern: str, read, *, seconds: float = 40.0) -> str:
    """Read until a pattern shows."""
    text, until = "", time.monotonic() + seconds
    while not re.search(pattern, text):
        assert time.monotonic() < until, f"{pattern!r} did not show in {text[-3000:]!r}"
        text += read()
    return text


def reader(file: int):
    def read() -> str:
        ready, _, _ = select.select([file], [], [], 0.2)
        return os.read(file, 65536).decode("utf-8", "replace") if ready else ""

    return read


def folder_of(text: str) -> Path:
    return Path(re.search(r"--socket (\S+?)/agent/status\.sock", text)[1])


@needs_broker
def test_a_line_of_ones_own_arrives_and_ctrl_c_prints_the_account():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        with contextlib.suppress(OSError):  # taken by somebody else: just as well
            taken.bind(("127.0.0.1", 5514))
        process = subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        read = reader(process.stdout.fileno())
        text = read_until(r"-- healthy", read)
    port = int(re.search(r"port 5514 is taken, so syslog listens on (\d+)", text)[1])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"<13>Oct 11 22:14:15 me test: hello-edgepost", ("127.0.0.1", port))
    sent = time.monotonic()
    text += read_until("hello-edgepost", read, seconds=10)
    assert time.monotonic() - sent < 3
    process.send_signal(signal.SIGINT)
    text += read_until("lost\n", read, seconds=40)
    text += process.communicate(timeout=30)[0].decode()
    assert process.returncode == 0, text
    assert "nothing was lost" in text
    assert not folder_of(text).exists()
    assert "\x1b" not in text


@needs_broker
def test_on_a_terminal_it_is_a_live_screen_and_leaves_nothing_behind():
    main, child = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "--seconds", "4", "--keep"], stdin=child, stdout=child, stderr=child, start_new_session=True
    )
    os.close(child)
    text = read_until(r"kept: \S+\r\n", reader(main), seconds=60)
    assert process.wait(30) == 0
    os.close(main)
    folder = Path(re.search(r"kept: (\S+)", text)[1])
    assert "\x1b[?1049h" in text
    assert text.rindex("\x1b[?1049l") > text.rindex("\x1b[?1049h")
    assert "HEALTHY" in text
    assert any((folder / "center").glob("syslog/*.ndjson*"))
    commands = [Path(entry, "cmdline") for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    assert [path for path in commands if path.exists() and str(folder).encode() in path.read_bytes()] == []


def test_the_demos_settings_are_where_it_looks():
    assert config_path().exists()


def test_a_replayed_line_has_a_fresh_time_and_fills_every_template():
    lines = [replay(1_772_000_000.25, line) for line in REPLAY]
    assert all(b"{" not in line.split(b"]")[0][:40] for line in lines)
    assert any(b"2026-02-25T06:13:20.250Z" in line for line in lines)
    assert any(b"Feb 25 06:13:20" in line for line in lines)


def test_a_journal_entry_becomes_a_line_of_rfc_5424():
    entry = {
        "__REALTIME_TIMESTAMP": "1772000000250000",
        "_HOSTNAME": "gw 1",
        "SYSLOG_IDENTIFIER": "sshd",
        "_PID": "7",
        "PRIORITY": "3",
        "SYSLOG_FACILITY": "4",
        "MESSAGE": "two\nlines",
    }
    assert from_journal(entry) == b"<35>1 2026-02-25T06:13:20.250000Z gw1 sshd 7 - - two lines"
    assert from_journal({"MESSAGE": [1, 2]}) is None
    assert from_journal({"MESSAGE": "x"}) == b"<14>1 1970-01-01T00:00:00.000000Z - - - - - x"


def test_arrivals_gives_each_whole_line_once_over_growth_and_rotation(tmp_path):
    path = tmp_path / "syslog" / "1.ndjson.open"
    path.parent.mkdir()
    path.write_text('{"a": 1}\n{"a"')
    arrivals = Arrivals(tmp_path)
    assert arrivals.new() == [{"a": 1}]
    with path.open("a") as file:
        file.write(": 2}\n")
    path.rename(tmp_path / "syslog" / "1.ndjson")
    (tmp_path / "syslog" / "2.ndjson.open").write_text('{"a": 3}\n')
    assert arrivals.new() == [{"a": 2}, {"a": 3}]
    assert arrivals.new() == []


def test_a_row_at_the_center_is_one_short_line_without_its_envelope():
    row = {"stream": "syslog", "epoch": "ab", "seq": 7, "severity": 3, "hostname": "gw\x1b[2J", "message": "x" * 300}
    text = arrived_text(row, width=60)
    assert len(text) == 60
    assert "\x1b" not in text
    assert "epoch" not in text


def test_the_account_sets_what_was_sent_against_what_the_center_has():
    facts = fixtures.healthy()
    facts["buffer"]["account"] += [
        {"origin": "gw-01", "stream": "syslog", "what": "dropped:kernel", "rows": 5, "bytes": 0},
    ]
    facts["buffer"]["account"][2]["rows"] += 5  # received, and at once dropped
    facts["collectors"][0]["drops"] = {"kernel": 5, "empty": 9, "connection-limit": 3, "stop-bytes": 900}
    ledger = {
        "rows": [
            {"agent": "gw-01", "stream": "syslog", "committed": 1_234_560},
            {"agent": "gw-01", "stream": "agent", "committed": 13},
        ]
    }
    assert close_account(facts, ledger) == {"agent": (12, 13, 0), "syslog": (1_234_572, 1_234_560, 12)}


def test_the_brokers_door_knows_the_protocol_level():
    demo_broker = pytest.importorskip("agent.demo_broker", reason="amqtt is missing: extra demo", exc_type=ImportError)
    assert demo_broker.protocol_level(b"\x10\x16\x00\x04MQTT\x04\x02\x00\x3c") == 4
    assert demo_broker.protocol_level(b"\x10\xc8\x01\x00\x04MQTT\x05\x02\x00") == 5
    assert demo_broker.protocol_level(b"\x16\x03\x01\x00\x00") == 0
    assert demo_broker.protocol_level(b"\x10\xff\xff\xff") == 0
