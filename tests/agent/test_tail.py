"""Live rows through a real intake and a real socket."""

import asyncio
import json
import subprocess
import sys

import pytest
from parts.agents import parts

from agent import taps
from agent.client import row_text
from agent.events import AGENT, row
from agent.status import serve_status
from agent.tail import picker
from collectors.syslog.rows import SYSLOG


def syslog_row(message: str, *, hostname: str = "gw", severity: int = 6):
    return (
        1,
        2,
        "192.0.2.1",
        514,
        "udp",
        None,
        1,
        severity,
        hostname,
        "app",
        None,
        None,
        None,
        message,
        "rfc5424",
        None,
        None,
        None,
    )


class Reader:
    """One client of the socket."""

    def __init__(self, path):
        self.path = path

    async def __aenter__(self):
        self.reader, self.writer = await asyncio.open_unix_connection(self.path)
        return self

    async def __aexit__(self, *_):
        self.writer.close()

    async def ask(self, **request):
        self.writer.write(json.dumps({"verb": "tail", **request}).encode() + b"\n")
        return await self.next()

    async def next(self):
        async with asyncio.timeout(5):
            while not (line := (await self.reader.readline()).strip()):
                pass
        return json.loads(line)


class Serving:
    """An agent that answers."""

    def __init__(self, folder):
        self.folder = folder

    async def __aenter__(self):
        self.context = parts(self.folder)
        self.parts = await self.context.__aenter__()
        self.path = self.folder / "status.sock"
        self.task = asyncio.create_task(serve_status(self.path, self.parts))
        async with asyncio.timeout(5):
            while not self.path.exists():
                await asyncio.sleep(0.01)
        return self

    async def __aexit__(self, *error):
        self.task.cancel()
        await asyncio.wait([self.task])
        await self.context.__aexit__(*error)

    def put(self, *rows):
        self.parts.intake.sink("syslog").put(SYSLOG, list(rows))


async def test_a_row_shows_with_every_column_and_its_stream(tmp_path):
    async with Serving(tmp_path) as agent, Reader(agent.path) as reader:
        assert await reader.ask() == {"tail": "open"}
        agent.put(syslog_row("hello"))
        got = await reader.next()
    assert got["stream"] == "syslog"
    assert got["message"] == "hello"
    assert got["received"] == "1970-01-01T00:00:00.000000002Z"
    assert list(got)[1:4] == ["time", "received", "peer"]
    assert got["raw_b64"] is None


async def test_only_the_stream_asked_for_shows(tmp_path):
    async with Serving(tmp_path) as agent, Reader(agent.path) as reader:
        await reader.ask(stream="agent")
        agent.put(syslog_row("unseen"))
        agent.parts.intake.sink("agent").put(AGENT, [row("started", text="seen")])
        assert (await reader.next())["text"] == "seen"


async def test_where_is_looked_at_by_the_agent(tmp_path):
    async with Serving(tmp_path) as agent, Reader(agent.path) as reader:
        await reader.ask(stream="syslog", where=[["hostname", "camera"], ["severity", "3"]])
        agent.put(syslog_row("a"), syslog_row("b", hostname="camera"), syslog_row("c", hostname="camera", severity=3))
        assert (await reader.next())["message"] == "c"


async def test_an_unknown_stream_or_column_is_refused_with_those_that_are_known(tmp_path):
    async with Serving(tmp_path) as agent:
        async with Reader(agent.path) as reader:
            assert 'did you mean "syslog"?\nstreams: agent, syslog' == (await reader.ask(stream="sysslog"))["remedy"]
        async with Reader(agent.path) as reader:
            assert 'did you mean "hostname"?' in (await reader.ask(where=[["hostnam", "x"]]))["remedy"]
        async with Reader(agent.path) as reader:
            assert "error" in await reader.ask(where="x")


@pytest.mark.parametrize(
    ("arguments", "nearest"), [(["sysslog"], "syslog"), (["syslog", "--where", "hostnam=x"], "hostname")]
)
async def test_what_there_is_not_is_a_mistake_of_usage_and_no_agent_is_called_down(tmp_path, arguments, nearest):
    async with Serving(tmp_path) as agent:
        command = [sys.executable, "-m", "agent.cli", "tail", *arguments, "--socket", str(agent.path)]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    assert (64, "") == (done.returncode, done.stdout)
    assert f'did you mean "{nearest}"?' in done.stderr
    assert "DOWN" not in done.stderr


async def test_a_slow_reader_is_told_how_many_rows_it_lost(tmp_path):
    async with Serving(tmp_path) as agent, Reader(agent.path) as reader:
        await reader.ask()
        agent.put(*[syslog_row(str(n)) for n in range(taps.QUEUE_ROWS + 50)])
        assert await reader.next() == {"lost": 50}
        assert (await reader.next())["message"] == "0"


async def test_a_reader_that_goes_away_leaves_no_tap(tmp_path, monkeypatch):
    monkeypatch.setattr("agent.tail.KEEPALIVE_SECONDS", 0.01)
    async with Serving(tmp_path) as agent:
        async with Reader(agent.path) as reader:
            await reader.ask()
            assert len(agent.parts.intake._taps) == 1
        async with asyncio.timeout(5):
            while agent.parts.intake._taps:
                await asyncio.sleep(0.01)


async def test_rows_that_were_not_asked_for_are_never_counted_as_lost(tmp_path):
    async with Serving(tmp_path) as agent, Reader(agent.path) as reader:
        await reader.ask(where=[["hostname", "camera"]])
        agent.put(*[syslog_row(str(n)) for n in range(taps.QUEUE_ROWS + 50)], syslog_row("seen", hostname="camera"))
        assert (await reader.next())["message"] == "seen"


async def test_rows_that_were_asked_for_are_counted_as_lost_when_they_are_too_many(tmp_path):
    async with Serving(tmp_path) as agent, Reader(agent.path) as reader:
        await reader.ask(where=[["hostname", "camera"]])
        agent.put(*[syslog_row(str(n), hostname=("gw", "camera")[n % 2]) for n in range(2 * taps.QUEUE_ROWS + 50)])
        assert await reader.next() == {"lost": 25}
        assert (await reader.next())["message"] == "1"


def picked(*where, rows=None):
    """How many rows a question picks."""
    return len(picker(where)(SYSLOG, rows or [syslog_row("x")]))


@pytest.mark.parametrize(
    ("column", "value", "count"),
    [
        ("flag", "null", 1),
        ("flag", "cut", 0),
        ("hostname", "gw", 1),
        ("hostname", "null", 0),
        ("severity", "6", 1),
        ("severity", "06", 0),
        ("severity", "six", 0),
        ("severity", "null", 0),
        ("time", "1970-01-01T00:00:00.000000001Z", 1),
        ("time", "1970-01-01T00:00:00Z", 0),
        ("time", "1", 0),
        ("structured_data", "null", 1),
        ("raw", "null", 1),
    ],
)
def test_a_value_is_written_as_json_shows_it(column, value, count):
    assert picked((column, value)) == count


def test_maps_and_bytes_are_compared_as_json_shows_them():
    rows = [(*syslog_row("x")[:12], {"a": {"b": "ü"}}, "x", "rfc5424", None, None, b"\x00\xff")]
    assert picked(("structured_data", '{"a": {"b": "\\u00fc"}}'), rows=rows) == 1
    assert picked(("raw", "AP8="), rows=rows) == 1


def test_all_of_several_must_hold():
    assert picked(("hostname", "gw"), ("severity", "6")) == 1
    assert picked(("hostname", "gw"), ("severity", "5")) == 0


def test_a_row_of_a_stream_without_the_column_never_matches():
    assert not picker([("hostname", "gw")])(AGENT, [row("started", text="")])


def test_a_hostile_row_is_one_harmless_line():
    text = row_text(
        {"stream": "syslog", "severity": 3, "hostname": "\x1b[31m", "message": "a\nb\x9b\u202e", "flag": None}
    )
    assert "\n" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "flag" not in text
    assert "err" in text
