"""The three sinks: what they write, where, and what a restart leaves of it."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from parts.center import batch

from center.sinks import files as module
from center.sinks import make_sink
from center.sinks.batches import Batches, read_batches
from center.sinks.files import Files
from center.sinks.ndjson import Ndjson
from wire.batch import decode_rows

NAME = re.compile(r"\d{8}T\d{6}Z-\d+\.ndjson(\.open)?")


def write(sink, *batches):
    for one in batches:
        sink.write(one, decode_rows(one))
    return sink.sync()


def names(folder):
    return sorted(path.name for path in folder.glob("*"))


def test_a_row_is_a_line_with_the_envelope_before_its_columns(tmp_path):
    write(Ndjson(tmp_path, positions={}), batch(7, ["x", "y"]))
    (path,) = (tmp_path / "log").glob("*")
    first, second = map(json.loads, path.read_bytes().splitlines())
    assert ["stream", "site", "agent", "epoch", "lane", "seq", "row", "time", "received", "text"] == list(first)
    assert ["log", "hue", "gw-01", "normal", 7, 0, "x"] == [
        first[key] for key in ("stream", "site", "agent", "lane", "seq", "row", "text")
    ]
    assert "2026-01-01T00:00:00.000000000Z" == first["time"]
    assert (1, "y") == (second["row"], second["text"])


def test_files_are_named_by_stream_time_and_number_and_open_while_they_are_written(tmp_path):
    sink = Ndjson(tmp_path, positions={})
    write(sink, batch(1), batch(1, stream="host", columns=(("time", "time"), ("received", "time"), ("text", "str"))))
    assert ["host", "log"] == names(tmp_path)
    for stream in ("host", "log"):
        (name,) = names(tmp_path / stream)
        assert NAME.fullmatch(name)
        assert name.endswith(".open")


def test_a_restart_cuts_an_open_file_back_to_its_committed_position_and_goes_on_there(tmp_path):
    sink = Ndjson(tmp_path, positions={})
    positions = dict(write(sink, batch(1, ["kept"])))
    write(sink, batch(2, ["never committed"]))
    sink.close()
    sink = Ndjson(tmp_path, positions=positions)
    write(sink, batch(3, ["after"]))
    (path,) = (tmp_path / "log").glob("*")
    assert ["kept", "after"] == [json.loads(line)["text"] for line in path.read_bytes().splitlines()]


def test_a_file_that_was_never_committed_is_emptied_and_used(tmp_path):
    sink = Ndjson(tmp_path, positions={})
    write(sink, batch(1, ["never committed"]))
    sink.close()
    write(Ndjson(tmp_path, positions={}), batch(1, ["again"]))
    (path,) = (tmp_path / "log").glob("*")
    assert [b"again"] == re.findall(rb'"text":"(\w+)"', path.read_bytes())


def test_a_file_shorter_than_what_was_committed_is_said(tmp_path, caplog):
    sink = Ndjson(tmp_path, positions={})
    ((name, size),) = write(sink, batch(1)).items()
    sink.close()
    os.truncate(tmp_path / name, 5)
    Ndjson(tmp_path, positions={name: size}).close()
    assert f"has 5 bytes where {size} were committed" in caplog.text
    assert 5 == (tmp_path / name).stat().st_size


def test_a_file_is_finished_at_its_size_and_the_next_rows_go_to_another(tmp_path, monkeypatch):
    files = Files(tmp_path, ".ndjson", positions={}, rotate_bytes=10)
    files.write("log", b"123456789")
    assert [] == files.rotate()
    files.write("log", b"0")
    (rotated,) = files.rotate()
    assert rotated.endswith(".ndjson.open")
    files.write("log", b"next")
    assert [b"1234567890", b"next"] == [path.read_bytes() for path in sorted((tmp_path / "log").glob("*"))]
    assert 1 == len(list((tmp_path / "log").glob("*.ndjson")))


def test_the_limits_are_256_mib_and_an_hour():
    assert (256 << 20, 3600.0) == (module.ROTATE_BYTES, module.ROTATE_SECONDS)


@pytest.mark.parametrize(("age_seconds", "is_finished"), [(3500, False), (3601, True)])
def test_a_file_is_finished_an_hour_after_it_was_begun_restarts_or_not(tmp_path, age_seconds, is_finished):
    begun = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() - age_seconds))
    name = f"log/{begun}-0.ndjson.open"
    (tmp_path / "log").mkdir()
    (tmp_path / name).write_bytes(b"row")
    assert ([name] if is_finished else []) == Files(tmp_path, ".ndjson", positions={name: 3}).rotate()
    assert is_finished == (tmp_path / name).with_suffix("").exists()


def test_an_empty_file_is_not_finished(tmp_path):
    files = Files(tmp_path, ".ndjson", positions={}, rotate_seconds=0.0)
    files.write("log", b"")
    assert [] == files.rotate()


def test_no_finished_file_is_overwritten_when_readers_take_some_of_a_second(tmp_path, monkeypatch):
    monkeypatch.setattr(module.time, "strftime", lambda *_: "20260101T000000Z")
    files = Files(tmp_path, ".ndjson", positions={}, rotate_bytes=1)
    for data in (b"0", b"1"):
        files.write("log", data)
        files.rotate()
    (tmp_path / "log" / "20260101T000000Z-0.ndjson").unlink()  # a reader took it
    files.write("log", b"2")
    files.rotate()
    assert [b"1", b"2"] == [path.read_bytes() for path in sorted((tmp_path / "log").glob("*"))]


def test_a_sender_of_many_streams_cannot_take_all_descriptors(tmp_path):
    files = Files(tmp_path, ".ndjson", positions={})
    before = len(list(Path("/proc/self/fd").iterdir()))
    for turn in (b"1", b"2"):
        for number in range(3 * module.HELD_FILES):
            files.write(f"s{number}", turn)
        assert 3 * module.HELD_FILES == len(files.sync())
    assert module.HELD_FILES >= len(list(Path("/proc/self/fd").iterdir())) - before
    assert {b"12"} == {path.read_bytes() for path in tmp_path.glob("*/*.open")}
    files.close()
    assert before == len(list(Path("/proc/self/fd").iterdir()))


def test_files_are_for_owner_and_group_only(tmp_path):
    files = Files(tmp_path, ".ndjson", positions={})
    files.write("log", b"x")
    (path,) = (tmp_path / "log").glob("*")
    assert [0o640, 0o750] == [one.stat().st_mode & 0o777 for one in (path, path.parent)]
    files.close()


def test_batches_are_kept_as_they_came(tmp_path):
    sink = Batches(tmp_path, positions={})
    ones = [batch(1), batch(2, ["x"] * 5)]
    for one in ones:
        sink.write(one, ())
    sink.sync()
    (path,) = (tmp_path / "log").glob("*.batches.open")
    assert [(one.digest, one.head_bytes, one.body) for one in ones] == list(read_batches(path))


def test_reading_batches_stops_at_one_that_is_not_whole(tmp_path):
    sink = Batches(tmp_path, positions={})
    for seq in (1, 2):
        sink.write(batch(seq), ())
    sink.sync()
    (path,) = (tmp_path / "log").glob("*.batches.open")
    os.truncate(path, path.stat().st_size - 1)
    assert 1 == len(list(read_batches(path)))


PRINT = """
import sys
sys.path[:0] = {path!r}
from parts.center import batch
from center.sinks import ReaderGone
from center.sinks.stdout import Stdout
from wire.batch import decode_rows
sink = Stdout()
try:
    for seq in range(1, {count} + 1):
        sink.write(batch(seq), decode_rows(batch(seq)))
        assert sink.sync() == {{}}
except ReaderGone:
    import os
    os._exit(9)
"""


def printing(count):
    return [sys.executable, "-c", PRINT.format(path=sys.path, count=count)]


def test_stdout_prints_the_lines_of_the_files():
    done = subprocess.run(printing(2), capture_output=True, text=True, timeout=30)
    assert "" == done.stderr
    assert [1, 2] == [json.loads(line)["seq"] for line in done.stdout.splitlines()]


def test_stdout_says_that_its_reader_is_gone():
    with subprocess.Popen(printing(100_000), stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert 9 == process.wait(30)


@pytest.mark.parametrize(("kind", "needs_rows"), [("ndjson", True), ("batches", False), ("stdout", True)])
def test_only_who_writes_rows_needs_them(tmp_path, kind, needs_rows):
    sink = make_sink(kind, tmp_path, positions={})
    assert needs_rows == sink.needs_rows
    sink.close()
