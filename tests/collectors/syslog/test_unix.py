"""What programs of this machine write to a socket file: the real logger and the C library, and who they were."""

import asyncio
import errno
import os
import re
import socket
import stat
import sys
from pathlib import Path

import pytest
from parts.collecting import collecting, listeners, stop
from parts.sinks import ListSink

from collectors.syslog import local
from collectors.syslog.collect import collect
from collectors.syslog.config import Syslog
from collectors.syslog.datagrams import SLOTS
from collectors.syslog.dialects import Origins
from collectors.syslog.fast import parse_block
from collectors.syslog.listener import Listener
from collectors.syslog.local import local_order, reading_of
from collectors.syslog.slow import Origin, parse_line

LINE = b"<13>Nov 25 10:00:00 su[7]: %d"
RECEIVED = 1_795_600_000_000_000_000  # 2026-11-25


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "log"


def connected(path: Path, kind: socket.SocketKind = socket.SOCK_DGRAM) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, kind)
    sock.connect(str(path))
    return sock


async def run(*command: str, **environment: str) -> None:
    process = await asyncio.create_subprocess_exec(*command, env={**os.environ, **environment})
    assert 0 == await process.wait()


async def test_datagrams_become_rows_that_say_which_process_sent_them(path) -> None:
    sink = ListSink()
    async with collecting(sink, f"unix://{path}"):
        with connected(path) as sock:
            sock.send(LINE % 1)
            await sink.until(lambda: sink.rows)
    who = f"uid={os.getuid()} pid={os.getpid()}"
    assert [(None, None, "unix", who, None, "su", "7", "1")] == list(
        zip(
            *map(sink.column, ("peer", "port", "transport", "identity", "hostname", "app_name", "proc_id", "message")),
            strict=True,
        )
    )


@pytest.mark.needs("logger")
@pytest.mark.parametrize("scheme", ["unix", "unix-stream"])
@pytest.mark.parametrize("flags", [(), ("--rfc3164",), ("--rfc5424",), ("--rfc5424=notime,nohost",)], ids=" ".join)
async def test_what_logger_writes_is_a_whole_row(path, scheme: str, flags: tuple[str, ...]) -> None:
    sink = ListSink()
    async with collecting(sink, f"{scheme}://{path}"):
        await run(
            *("logger", "--socket", str(path), "--socket-errors=on", "--tag", "edgepost-test", "--id=4711"),
            *("--priority", "local0.err", *flags, "xin chào, thế giới"),
        )
        await sink.until(lambda: sink.rows)
    names = ("facility", "severity", "app_name", "proc_id", "message", "flag", "transport")
    assert [(16, 3, "edgepost-test", "4711", "xin chào, thế giới", None, "unix")] == list(
        zip(*map(sink.column, names), strict=True)
    )
    (host,) = sink.column("hostname")
    has_host = "--rfc3164" in flags or "--rfc5424" in flags
    assert host in {socket.gethostname(), socket.gethostname().partition(".")[0]} if has_host else host is None
    assert re.fullmatch(rf"uid={os.getuid()} pid=\d+", sink.column("identity")[0])


SYSLOG_3 = """
import ctypes, sys
libc = ctypes.CDLL(None)
ident = sys.argv[1].encode()
libc.openlog(ident, 1, 3 << 3)  # LOG_PID, LOG_DAEMON
libc.syslog(4, b"%s", sys.argv[2].encode())
"""


@pytest.mark.root
@pytest.mark.needs("unshare", "mount")
@pytest.mark.parametrize("ident", ["cron", "my app", "pam: x"], ids=str)
async def test_what_the_c_library_writes_to_dev_log_is_a_whole_row(tmp_path, ident: str) -> None:
    """In a mount namespace of its own, whose /dev/log is our socket: syslog(3) knows no other place."""
    sink = ListSink()
    path = tmp_path / "log"
    async with collecting(sink, f"unix://{path}"):
        script = (
            f'mount -t tmpfs none /dev && ln -s {path} /dev/log && exec {sys.executable} -c "$0" "$1" \'nothing: more\''
        )
        await run("unshare", "--mount", "sh", "-c", script, SYSLOG_3, ident)
        await sink.until(lambda: sink.rows)
    (row,) = sink.rows
    named = dict(zip([name for name, _ in sink.puts[0][0].columns], row, strict=True))
    assert (3, 4, None, None) == tuple(named[key] for key in ("facility", "severity", "hostname", "flag"))
    assert abs(named["time"] - named["received"]) < 5 * 10**9
    if ident != "pam: x":  # a colon inside: no reader can tell where the tag ends
        assert (ident, "nothing: more") == (named["app_name"], named["message"])
        assert f"pid={named['proc_id']}" in named["identity"]


TOLD = [
    (b"<13>Nov 25 10:00:00 su[7]: text", (None, "su", "7", "text", None)),
    (b"<13>Nov 25 10:00:00 su: text: more", (None, "su", None, "text: more", None)),
    (b"<13>Nov 25 10:00:00 my app[7]: text", (None, "my app", "7", "text", None)),
    (b"<13>Nov 25 10:00:00 host su: text", (None, None, None, "host su: text", None)),
    (b"<13>Nov 25 10:00:00 OURS su: text", ("OURS", "su", None, "text", None)),
    (b"<13>Nov 25 10:00:00 postfix/smtpd[9]: x", (None, "postfix/smtpd", "9", "x", None)),
    (b"<13>Nov 25 10:00:00 http://x y", (None, None, None, "http://x y", None)),
    (b"<13>Nov 25 10:00:00 su[7]:text", (None, "su", "7", "text", None)),
    (b"<13>Nov 25 10:00:00 (cron)[7]: text", (None, "(cron)", "7", "text", None)),
    (b"<13>Nov 25 10:00:00 su:", (None, "su", None, None, None)),
    (b"<14>no time here", (None, None, None, "no time here", "no-time")),
    (b"<165>1 2003-10-11T22:14:15.003Z h app 1 ID - text", ("h", "app", "1", "text", None)),
]


@pytest.fixture
def ours(monkeypatch) -> None:
    monkeypatch.setattr(local.socket, "gethostname", lambda: "OURS")


@pytest.mark.parametrize(("line", "expected"), TOLD, ids=[line.decode() for line, _ in TOLD])
def test_there_is_no_host_behind_the_time_but_our_own(ours, line: bytes, expected: tuple) -> None:
    reading = reading_of(Listener(bind="unix:///x", zone="UTC"), is_local=True)
    reading.times.at(RECEIVED)
    row = parse_line(line, origin=Origin(RECEIVED, None, None, "unix"), reading=reading)
    assert expected == (row[8], row[9], row[10], row[13], row[16])


def test_the_fast_path_gives_the_rows_of_the_slow_one(ours) -> None:
    reading = reading_of(Listener(bind="unix:///x", zone="UTC"), is_local=True)
    lines = [line for line, _ in TOLD] + [b"<999>Nov 25 10:00:00 su[7]: x", b"<13>Nov 99 10:00:00 su: x", b"", b"x"]
    whole = [line for line in lines if line]
    origins = Origins(
        RECEIVED, "unix", identities=["a"] * len(whole), peers=[None] * len(whole), ports=[None] * len(whole)
    )
    rows = parse_block(
        b"\n".join(whole), origins=origins, reading=reading, order=local_order(), doubt=re.compile(r"\Z")
    )
    origin = Origin(RECEIVED, None, None, "unix", "a")
    assert [parse_line(line, origin=origin, reading=reading) for line in whole] == rows


def test_times_without_a_zone_are_this_machines(monkeypatch, tmp_path) -> None:
    zone = tmp_path / "localtime"
    from importlib import resources

    zone.write_bytes(resources.files("tzdata").joinpath("zoneinfo/Asia/Ho_Chi_Minh").read_bytes())
    monkeypatch.setattr("collectors.syslog.times._LOCALTIME", str(zone))
    seven = 7 * 3_600 * 10**9
    times = {}
    for name, options in {"local": {}, "utc": {"zone": "UTC"}}.items():
        reading = reading_of(Listener(bind="unix:///x", **options), is_local=True)
        reading.times.at(RECEIVED)
        times[name] = parse_line(LINE % 1, origin=Origin(RECEIVED, None, None, "unix"), reading=reading)[0]
    assert seven == times["utc"] - times["local"]


async def test_more_datagrams_than_one_call_takes_keep_order_and_senders(path) -> None:
    sink = ListSink()
    count = SLOTS + 50
    async with collecting(sink, f"unix://{path}"):

        def send(first: int) -> None:
            with connected(path) as sock:
                for number in range(first, first + count):
                    sock.send(LINE % number)

        await asyncio.to_thread(send, 0)
        child = f"import socket;s=socket.socket(1,2);s.connect({str(path)!r});s.send(b'<13>Nov 25 10:00:00 su: child')"
        await run(sys.executable, "-c", child)
        await sink.until(lambda: len(sink.rows) == count + 1)
    assert [*map(str, range(count)), "child"] == sink.column("message")
    identities = sink.column("identity")
    assert (1, False) == (len(set(identities[:count])), identities[-1] in identities[:count])


async def test_a_descriptor_that_somebody_passes_is_not_kept(path) -> None:
    sink = ListSink()
    async with collecting(sink, f"unix://{path}"):
        with connected(path) as sock, Path(os.devnull).open() as passed:
            before = len(list(Path("/proc/self/fd").iterdir()))
            for number in range(5):
                socket.send_fds(sock, [LINE % number], [passed.fileno()])
            await sink.until(lambda: len(sink.rows) == 5)
            assert before == len(list(Path("/proc/self/fd").iterdir()))


async def test_the_file_has_its_mode_and_goes_with_the_listener(path) -> None:
    sink = ListSink()
    async with collecting(sink, f"unix://{path}", socket_mode="0620", socket_group=str(os.getgid())):
        found = path.stat()
        assert (0o620, os.getgid()) == (stat.S_IMODE(found.st_mode), found.st_gid)
    assert not path.exists()


async def test_a_file_that_a_killed_agent_left_is_replaced(path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as old:
        old.bind(str(path))
    sink = ListSink()
    async with collecting(sink, f"unix://{path}"):
        with connected(path) as sock:
            sock.send(LINE % 1)
            await sink.until(lambda: sink.rows)


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM], ids=["datagrams", "stream"])
async def test_a_file_that_somebody_listens_on_is_left_alone(path, monkeypatch, kind) -> None:
    monkeypatch.setattr("collectors.syslog.collect.RETRY_SECONDS", 0.05)
    sink = ListSink()
    with socket.socket(socket.AF_UNIX, kind) as other:
        other.bind(str(path))
        if kind == socket.SOCK_STREAM:
            other.listen()
        task = asyncio.create_task(collect(Syslog(listeners=(Listener(bind=f"unix://{path}"),)), sink))
        await sink.until(lambda: listeners(sink) and listeners(sink)[0]["state"] == "failed")
        assert (str(path), True) == (other.getsockname(), path.exists())
        facts = listeners(sink)[0]
    await sink.until(lambda: listeners(sink)[0]["state"] == "listening")  # nobody listens any more
    await stop(task)
    assert os.strerror(errno.EADDRINUSE) in facts["problem"]
    assert "ss -lnptux" in facts["remedy"]


@pytest.mark.parametrize("kind", ["file", "link"])
async def test_what_is_no_socket_is_left_alone_and_said(path, kind: str) -> None:
    if kind == "file":
        path.write_text("precious")
    else:
        path.symlink_to(path.with_name("elsewhere"))
    sink = ListSink()
    task = asyncio.create_task(collect(Syslog(listeners=(Listener(bind=f"unix://{path}"),)), sink))
    await sink.until(lambda: listeners(sink) and listeners(sink)[0]["state"] == "failed")
    await stop(task)
    assert "no socket file" in listeners(sink)[0]["problem"]
    assert path.is_symlink() or path.read_text() == "precious"


async def test_a_stop_takes_what_was_sent_and_later_senders_are_told(path) -> None:
    sink = ListSink()
    async with collecting(sink, f"unix://{path}"):
        sock = connected(path)
        for number in range(5):
            sock.send(LINE % number)  # and no turn of the loop until the stop
    with sock, pytest.raises(OSError, match=r"refused|Broken pipe|not connected"):
        sock.send(LINE % 9)
    assert (list("01234"), {}) == (sink.column("message"), sink.counted)


async def test_a_stream_carries_lines_that_end_with_nul_or_newline(path) -> None:
    sink = ListSink()
    async with collecting(sink, f"unix-stream://{path}"):
        with connected(path, socket.SOCK_STREAM) as sock:
            sock.sendall(LINE % 1 + b"\0" + LINE % 2 + b"\n" + LINE % 3)
        await sink.until(lambda: len(sink.rows) == 3)
    assert ["1", "2", "3"] == sink.column("message")
    assert {f"uid={os.getuid()} pid={os.getpid()}"} == set(sink.column("identity"))


async def test_a_stop_takes_what_was_written_to_a_stream(path) -> None:
    sink = ListSink()
    async with collecting(sink, f"unix-stream://{path}"):
        sock = connected(path, socket.SOCK_STREAM)
        sock.sendall(b"".join(LINE % number + b"\n" for number in range(500)))
    with sock, pytest.raises(OSError, match=r"reset|Broken pipe"):
        sock.sendall(LINE % 9)
    assert (500, {}) == (len(sink.rows), sink.counted)


async def test_the_rate_of_a_user_is_limited(path) -> None:
    sink = ListSink()
    async with collecting(sink, f"unix://{path}", rows_per_second_per_peer=1, burst_rows_per_peer=10):
        await asyncio.to_thread(lambda: [connected(path).send(LINE % number) for number in range(50)])
        await sink.until(lambda: len(sink.rows) + sink.counted["rate-limit"] == 50)
        await sink.until(lambda: listeners(sink)[0].get("over_rate"))
        (over,) = listeners(sink)[0]["over_rate"]
    assert (f"uid={os.getuid()}", sink.counted["rate-limit"]) == (over["peer"], over["rows"])
    assert sink.counted["rate-limit"] >= 30
