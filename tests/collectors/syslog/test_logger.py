"""The real `logger` of util-linux against real sockets, in each of its framings and formats."""

import asyncio
import shutil

import pytest
from parts.collecting import collecting
from parts.sinks import ListSink

pytestmark = pytest.mark.skipif(shutil.which("logger") is None, reason="no logger on PATH: apt-get install bsdutils")


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--rfc3164",), "rfc3164"),
        (("--rfc5424",), "rfc5424"),
        (("--rfc5424=notime,nohost",), "rfc5424"),
        (("--rfc5424", "--octet-count"), "rfc5424"),
        (("--rfc3164", "--octet-count"), "rfc3164"),
    ],
    ids=" ".join,
)
async def test_what_logger_sends_is_a_whole_row(transport: str, flags: tuple[str, ...], expected: str) -> None:
    if transport == "udp" and "--octet-count" in flags:
        pytest.skip("RFC 6587 is for streams")
    sink = ListSink()
    async with collecting(sink, f"{transport}://127.0.0.1:0") as (port,):
        process = await asyncio.create_subprocess_exec(
            *("logger", f"--{transport}", "--server", "127.0.0.1", "--port", str(port), "--socket-errors=on"),
            *("--tag", "edgepost-test", "--id=4711", "--priority", "local0.err", *flags, "xin chào, thế giới"),
        )
        assert await process.wait() == 0
        await sink.until(lambda: sink.rows)
    assert [("xin chào, thế giới", expected, None)] == list(
        zip(sink.column("message"), sink.column("format"), sink.column("flag"), strict=True)
    )
    assert [(16, 3, "edgepost-test", "4711")] == list(
        zip(
            sink.column("facility"),
            sink.column("severity"),
            sink.column("app_name"),
            sink.column("proc_id"),
            strict=True,
        )
    )
