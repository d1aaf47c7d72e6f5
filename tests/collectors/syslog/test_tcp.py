"""Streams over real sockets become rows; limits close connections and nothing that was received is lost."""

import asyncio
import contextlib
import os
import resource
import socket
from contextlib import ExitStack

import pytest
from parts.collecting import collecting, listeners
from parts.pouring import LINE_BYTES, Pourer
from parts.sinks import ListSink

from collectors.syslog.collect import collect
from collectors.syslog.config import Syslog
from collectors.syslog.connection import Budget
from collectors.syslog.listener import Listener
from collectors.syslog.tcp import _SPARE_FILES

LINE = b"<13>Oct 11 22:14:15 host su: %d\n"


def connect(port: int, host: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection((host, port), timeout=5)


async def closed_by_peer(sock: socket.socket) -> None:
    """Wait until the other end has closed."""
    sock.setblocking(False)
    async with asyncio.timeout(5):
        try:
            while await asyncio.get_running_loop().sock_recv(sock, 100):
                pass
        except ConnectionError:
            pass


async def test_lines_of_a_connection_become_rows_with_its_sender() -> None:
    sink = ListSink()
    async with collecting(sink, "tcp://[::]:0") as (port,):
        with connect(port) as sock:
            sock.sendall(LINE % 1 + LINE % 2)
            ours = sock.getsockname()
            await sink.until(lambda: len(sink.rows) == 2)
    assert ["1", "2"] == sink.column("message")
    assert [ours] * 2 == list(zip(sink.column("peer"), sink.column("port"), strict=True))
    assert ["tcp"] * 2 == sink.column("transport")


async def test_all_framings_on_one_connection() -> None:
    sink = ListSink()
    async with collecting(sink, "tcp://127.0.0.1:0") as (port,):
        with connect(port) as sock:
            sock.sendall(b"<13>a\n7 <13>b\nc<13>d\0<13>e\r\n\n<13>f")
        await sink.until(lambda: len(sink.rows) == 5)
    assert ["a", "b\nc", "d", "e", "f"] == sink.column("message")
    assert ["no-time"] * 5 == sink.column("flag")
    assert sink.counted["empty"] == 1


async def test_a_counted_message_that_breaks_off_is_a_row_flagged_cut() -> None:
    sink = ListSink()
    async with collecting(sink, "tcp://127.0.0.1:0") as (port,):
        with connect(port) as sock:
            sock.sendall(b"90 <13>Oct 11 22:14:15 h t: begun")
        await sink.until(lambda: sink.rows)
    assert (["begun"], ["cut"], 1) == (sink.column("message"), sink.column("flag"), sink.counted["cut"])


async def test_many_lines_over_many_chunks_keep_their_order() -> None:
    sink = ListSink()
    count = 20_000
    async with collecting(sink, "tcp://127.0.0.1:0") as (port,):
        with connect(port) as sock:
            data = b"".join(LINE % number for number in range(count))
            await asyncio.get_running_loop().run_in_executor(None, sock.sendall, data)
        await sink.until(lambda: len(sink.rows) == count, seconds=10)
    assert [str(number) for number in range(count)] == sink.column("message")


async def test_a_reset_loses_no_line_that_was_received_and_half_a_line_is_no_whole_one() -> None:
    sink = ListSink()
    async with collecting(sink, "tcp://127.0.0.1:0") as (port,):
        with connect(port) as sock:
            sock.sendall(LINE % 1 + b"<13>Oct 11 22:14:15 host su: half")
            await sink.until(lambda: sink.rows)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await sink.until(lambda: len(sink.rows) == 2)
    assert (["1", "half"], [None, "cut"]) == (sink.column("message"), sink.column("flag"))
    assert {"reset": 1, "cut": 1} == sink.counted


async def test_connections_over_the_limit_are_refused_and_counted() -> None:
    sink = ListSink()
    async with collecting(sink, "tcp://127.0.0.1:0", max_connections=2) as (port,):
        with connect(port) as one, connect(port) as two:
            for number, sock in enumerate((one, two), 1):
                sock.sendall(LINE % number)
                await sink.until(lambda number=number: len(sink.rows) == number)
            with connect(port) as three:
                await closed_by_peer(three)
            await sink.until(lambda: listeners(sink)[0]["connections"] == 2)
        assert sink.counted["connection-limit"] == 1
        await sink.until(lambda: listeners(sink)[0]["connections"] == 0)
        with connect(port) as four:
            four.sendall(LINE % 4)
            await sink.until(lambda: len(sink.rows) == 3)


async def test_no_connection_gets_one_of_the_last_descriptors() -> None:
    """They are for the broker, the store and whoever asks for the status."""
    sink = ListSink()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 30 + _SPARE_FILES, before[1]))
    try:
        async with collecting(sink, "tcp://127.0.0.1:0") as (port,):
            with ExitStack() as stack:
                while not sink.counted["connection-limit"]:
                    stack.enter_context(connect(port))
                    await asyncio.sleep(0)
                await sink.until(lambda: "no file descriptor" in str(listeners(sink)[0].get("problem")))
                highest = os.dup(0)
                os.close(highest)
                assert highest < lowest + 40, "the others are left"
            await sink.until(lambda: "problem" not in listeners(sink)[0])
            with connect(port) as sock:
                sock.sendall(LINE % 1)
                await sink.until(lambda: sink.rows)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_a_connection_that_sends_nothing_is_closed_and_what_it_held_is_a_row() -> None:
    sink = ListSink()
    async with collecting(sink, "tcp://127.0.0.1:0", idle_seconds=1) as (port,):
        with connect(port) as sock:
            sock.sendall(b"<13>Oct 11 22:14:15 h t: unfinished")
            await closed_by_peer(sock)
    assert (["unfinished"], ["cut"]) == (sink.column("message"), sink.column("flag"))
    assert sink.counted["idle-connection"] == 1


async def test_without_room_nothing_is_read_and_the_sender_waits() -> None:
    sink = ListSink()
    sink.fill()
    async with collecting(sink, "tcp://127.0.0.1:0") as (port,):
        with connect(port) as sock:
            sock.setblocking(False)
            sent = 0
            loop = asyncio.get_running_loop()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    while True:
                        await loop.sock_sendall(sock, LINE % sent * 2_000)
                        sent += 1
            assert not sink.rows
            sink.empty()
            await sink.until(lambda: len(sink.rows) >= 2_000 * sent)


async def test_a_fast_sender_does_not_starve_a_slow_one() -> None:
    sink = ListSink()
    async with collecting(sink, "tcp://127.0.0.1:0") as (port,):
        with connect(port) as fast, connect(port) as slow:
            stop = asyncio.Event()
            flood = asyncio.create_task(pour(fast, stop))
            await sink.until(lambda: len(sink.rows) > 5_000)
            slow.sendall(b"<13>Oct 11 22:14:15 slow su: here\n")
            await sink.until(lambda: "slow" in sink.column("hostname")[-3_000:])
            stop.set()
            await flood


async def pour(sock: socket.socket, stop: asyncio.Event) -> None:
    sock.setblocking(False)
    while not stop.is_set():
        await asyncio.get_running_loop().sock_sendall(sock, LINE % 0 * 500)


async def test_over_the_budget_the_connection_that_holds_most_is_closed(monkeypatch) -> None:
    monkeypatch.setattr("collectors.syslog.collect.Budget", lambda: Budget(50_000))
    sink = ListSink()
    async with collecting(sink, "tcp://127.0.0.1:0") as (port,):
        with connect(port) as small, connect(port) as large:
            large.sendall(b"<13>Oct 11 22:14:15 large su: " + b"x" * 30_000)
            small.sendall(b"<13>Oct 11 22:14:15 small su: " + b"x" * 25_000)
            await closed_by_peer(large)
            small.sendall(b"\n")
            await sink.until(lambda: len(sink.rows) == 2)
    assert ["large", "small"] == sink.column("hostname")
    assert ["cut", None] == sink.column("flag")
    assert sink.counted["read-budget"] == 1


async def test_a_stop_takes_all_that_a_sender_who_was_held_up_has_handed_over() -> None:
    """More than the buffers of one end hold: without room the rest waits at the sender's own kernel."""
    sink = ListSink(finish_seconds=30)
    sink.fill()
    task = asyncio.create_task(collect(Syslog(listeners=(Listener(bind="tcp://127.0.0.1:0"),)), sink))
    await sink.until(lambda: listeners(sink) and listeners(sink)[0]["state"] == "listening")
    with connect(listeners(sink)[0]["port"]) as sock:
        whole = fill_kernel(sock)
        task.cancel()
        sink.empty()
        sock.shutdown(socket.SHUT_WR)
        await closed_by_peer(sock)
        await asyncio.wait([task])
    assert list(map(str, range(whole))) == sink.column("message")[:whole]
    assert len(sink.rows) - whole <= 1  # the last one may have been taken in part
    assert {} == sink.counted


def fill_kernel(sock: socket.socket) -> int:
    """Send numbered lines until the kernel takes no more; give how many it took whole."""
    sock.setblocking(False)
    number, rest = 0, b""
    with contextlib.suppress(BlockingIOError):
        while True:
            rest = rest or LINE % number
            rest = rest[sock.send(rest) :]
            number += not rest
    return number


async def test_a_stop_ends_while_a_sender_goes_on_and_each_byte_is_here_or_counted_or_still_with_the_sender() -> None:
    sink = ListSink(finish_seconds=0.6)
    task = asyncio.create_task(collect(Syslog(listeners=(Listener(bind="tcp://127.0.0.1:0"),)), sink))
    await sink.until(lambda: listeners(sink) and listeners(sink)[0]["state"] == "listening")
    pourer = Pourer.connect(listeners(sink)[0]["port"], 1)
    pouring = asyncio.create_task(pourer.pour())
    await sink.until(lambda: len(sink.rows) > 1_000)
    task.cancel()
    await asyncio.wait([task])
    await pouring  # ended by a reset
    with pourer.sock:
        acked = pourer.acked_bytes
    whole = [flag for flag in sink.column("flag") if flag is None]
    assert acked <= len(whole) * LINE_BYTES + sink.counted["stop-bytes"] + LINE_BYTES - 1
    assert sink.counted["cut"] == len(sink.rows) - len(whole) <= 1


async def test_what_a_stop_has_no_time_for_is_counted_to_the_byte() -> None:
    sink = ListSink(finish_seconds=0.1)
    sink.fill()
    async with collecting(sink, "tcp://127.0.0.1:0") as (port,):
        with connect(port) as sock:
            sock.sendall(LINE % 1 + b"half")
            await sink.until(lambda: listeners(sink)[0]["connections"] == 1)
    assert ([], {"stop-bytes": len(LINE % 1 + b"half")}) == (sink.rows, sink.counted)


async def test_a_stop_takes_every_connection_that_was_not_yet_accepted() -> None:
    sink = ListSink()
    async with collecting(sink, "tcp://127.0.0.1:0") as (port,):
        socks = [connect(port) for _ in range(300)]
        for number, sock in enumerate(socks):
            sock.sendall(LINE % number)  # and no turn of the loop until the stop
    for sock in socks:
        sock.close()
    assert [str(number) for number in range(300)] == sorted(sink.column("message"), key=int)


async def test_a_bug_in_a_parser_costs_what_was_in_hand_and_counts_it(monkeypatch) -> None:
    from collectors.syslog import connection

    def broken(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(connection, "parse_block", broken)
    sink = ListSink()
    task = asyncio.create_task(collect(Syslog(listeners=(Listener(bind="tcp://127.0.0.1:0"),)), sink))
    await sink.until(lambda: listeners(sink) and listeners(sink)[0]["state"] == "listening")
    with connect(listeners(sink)[0]["port"]) as sock:
        sock.sendall(LINE % 1 + b"half")
        await asyncio.wait([task])
    assert isinstance(task.exception(), ExceptionGroup)
    assert {"failed-bytes": len(LINE % 1 + b"half")} == sink.counted


async def test_urgency_beyond_the_limit_takes_the_normal_lane_in_its_place() -> None:
    sink = ListSink()
    async with collecting(sink, "tcp://127.0.0.1:0", limit=3) as (port,):
        with connect(port) as sock:
            sock.sendall(b"".join(b"<%d>Oct 11 22:14:15 h t: %d\n" % (11 if n % 2 else 14, n) for n in range(12)))
        await sink.until(lambda: len(sink.rows) == 12)
    by_lane = {lane.name: [int(row[13]) for _, its, row in sink.puts if its is lane] for _, lane, _ in sink.puts}
    assert by_lane == {"URGENT": [1, 3, 5], "NORMAL": [0, 2, 4, 6, 7, 8, 9, 10, 11]}
    assert sink.counted["urgent-limit"] == 3


async def test_without_descriptors_the_listener_says_so_and_goes_on(monkeypatch) -> None:
    monkeypatch.setattr("collectors.syslog.tcp._ACCEPT_AGAIN_SECONDS", 0.05)
    sink = ListSink()
    refusals = [OSError(24, "Too many open files")]
    accept = socket.socket.accept

    def accepting(self):
        if refusals:
            raise refusals.pop()
        return accept(self)

    async with collecting(sink, "tcp://127.0.0.1:0") as (port,):
        monkeypatch.setattr(socket.socket, "accept", accepting)
        with connect(port) as sock:
            sock.sendall(LINE % 1)
            await sink.until(lambda: sink.rows)
    assert not refusals
