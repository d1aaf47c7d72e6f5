"""What people read of the bench agrees with what was recorded, and its parts count rightly."""

import importlib
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TREE = Path(__file__).resolve().parents[2]


@pytest.fixture
def bench(monkeypatch):
    """Give a function that imports a script of bench/."""
    monkeypatch.syspath_prepend(str(TREE / "bench"))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        del sys.modules[name]


def check(tree: Path) -> tuple[int, str]:
    """Run `report.py --check` of a tree; PYTHONSAFEPATH would hide the scripts beside it."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    done = subprocess.run(
        [sys.executable, str(tree / "bench/report.py"), "--check"], env=env, capture_output=True, text=True
    )
    return done.returncode, done.stderr


def copied(place: Path) -> Path:
    shutil.copytree(TREE / "bench", place / "bench", ignore=shutil.ignore_patterns("__pycache__"))
    (place / "docs").mkdir()
    for path in TREE.glob("docs/performance.*"):
        shutil.copy(path, place / "docs")
    return place


def test_the_tables_and_the_plot_are_those_of_the_last_recorded_run():
    assert (0, "") == check(TREE)


@pytest.mark.parametrize("name", ["docs/performance.md", "docs/performance.svg", "bench/RESULTS.md"])
def test_a_number_changed_by_hand_is_noticed(tmp_path, name):
    path = copied(tmp_path) / name
    text = path.read_text(encoding="utf-8")
    at = text.rindex("<rect" if name.endswith("svg") else "| edgepost |" if "| edgepost |" in text else "\n|")
    path.write_text(text[:at] + text[at:].replace("1", "7", 1), encoding="utf-8")
    assert text != path.read_text(encoding="utf-8")
    code, said = check(tmp_path)
    assert 1 == code
    assert name in said


@pytest.mark.parametrize("mix", ["servers", "firewalls"])
def test_equal_seeds_give_equal_lines_without_line_ends(bench, mix):
    lines = bench("lines").lines
    first = list(lines(500, mix=mix, start=1.7e9))
    assert first == list(lines(500, mix=mix, start=1.7e9))
    assert [] == [line for line in first if b"\n" in line or not line.startswith(b"<")]


def test_the_firewall_mix_has_each_family_about_equally(bench):
    found = list(bench("lines").lines(8_000, mix="firewalls", start=1.7e9))
    counts = [
        sum(mark in line for line in found) for mark in (b" devname=", b": %ASA-", b" CEF:0|", b",2561,")
    ]  # the last stands in what PAN-OS says
    assert len(found) == sum(counts)
    assert all(0.2 < count / len(found) < 0.3 for count in counts), counts
    assert all(125 <= len(line) <= 710 for line in found)


def test_messages_are_counted_wherever_reads_cut_them(bench):
    draw, sink = random.Random(1), bench("sink")
    mark = b"\x00\x04logs<"
    stream = b"".join(b"0\x7f" + mark + b"34>1 a line with logs" * draw.randrange(4) for _ in range(300))
    for _ in range(50):
        cuts = sorted(draw.sample(range(len(stream)), 200))
        one = sink.Sink(mark)
        assert 300 == sum(one._count(stream[a:b]) for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True))


CASES = {
    "tcp-max": {
        "edgepost": [{"events/s": 300.0, "cpu us": 2.0}, {"events/s": 500.0, "cpu us": 4.0}, {"failed": "it fell"}],
        "peer": [{"events/s": 450.0, "cpu us": 9.0}],
        "other": [{"events/s": 420.0, "cpu us": 2.5}],
    }
}


def test_a_peer_is_ahead_where_its_median_is_better_and_only_there(bench):
    table = bench("table")
    assert [("tcp-max", "events/s", 400.0, "peer", 450.0), ("tcp-max", "cpu us", 3.0, "other", 2.5)] == list(
        table.peers_ahead(CASES)
    )


def test_a_bar_that_is_missed_says_so(bench):
    found = {key: is_met for _, key, _, _, is_met in bench("table").bars_met(CASES)}
    assert {"events/s": False, "cpu us": True, "wire B": False, "pss MB": False} == found


def test_a_failed_contestant_stands_in_the_table_with_its_reason(bench):
    text = bench("table").show("udp", {"edgepost": [{"events/s": 1.0}], "peer": [{"failed": "TimeoutError: stuck"}]})
    assert "| failed | - | | TimeoutError: stuck |" in text
    assert "| events/s | 1 | | - |" in text
