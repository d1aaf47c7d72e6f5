"""Datagrams over real sockets become rows of their senders; what is lost is counted to the packet."""

import asyncio
import socket

import pytest
from parts.collecting import collecting, listeners, stop
from parts.sinks import ListSink

from collectors.sink import Lane
from collectors.syslog.collect import collect
from collectors.syslog.config import Syslog
from collectors.syslog.datagrams import SLOTS, read_address
from collectors.syslog.listener import Listener

LINE = b"<13>Oct 11 22:14:15 host su: %d"


def sender(port: int, host: str = "127.0.0.1") -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.connect((host, port))
    return sock


async def test_one_datagram_is_one_row_with_its_sender() -> None:
    sink = ListSink()
    async with collecting(sink, "udp://127.0.0.1:0") as (port,):
        with sender(port) as sock:
            sock.send(LINE % 1)
            await sink.until(lambda: sink.rows)
            ours = sock.getsockname()
    assert [(peer, own, "udp", "1") for peer, own in [ours]] == list(
        zip(sink.column("peer"), sink.column("port"), sink.column("transport"), sink.column("message"), strict=True)
    )


async def test_a_dual_stack_socket_takes_both_families_and_writes_ipv4_as_ipv4() -> None:
    sink = ListSink()
    async with collecting(sink, "udp://[::]:0") as (port,):
        for number, host in enumerate(("127.0.0.1", "::1"), 1):
            with sender(port, host) as sock:
                sock.send(LINE % number)
            await sink.until(lambda number=number: len(sink.rows) == number)
    assert ["127.0.0.1", "::1"] == sink.column("peer")


async def test_line_ends_are_stripped_inner_ones_kept_and_empty_datagrams_counted() -> None:
    sink = ListSink()
    async with collecting(sink, "udp://127.0.0.1:0") as (port,):
        with sender(port) as sock:
            for data in (b"<13>a\n", b"<13>b\r\n\0", b"\n", b"", b"<13>c\nd", b"<13>e"):
                sock.send(data)
        await sink.until(lambda: len(sink.rows) == 4)
    assert ["a", "b", "c\nd", "e"] == sink.column("message")
    assert sink.counted["empty"] == 2


async def test_more_datagrams_than_one_call_takes_keep_order_and_senders() -> None:
    sink = ListSink()
    count = 5 * SLOTS + 7
    async with collecting(sink, "udp://127.0.0.1:0") as (port,):
        with sender(port) as one, sender(port) as other:
            for number in range(count):
                (one if number % 3 else other).send(LINE % number)
            ports = (other.getsockname()[1], one.getsockname()[1])
            await sink.until(lambda: len(sink.rows) == count)
    assert [str(number) for number in range(count)] == sink.column("message")
    assert [ports[bool(number % 3)] for number in range(count)] == sink.column("port")


async def test_a_message_over_the_limit_is_cut_and_counted() -> None:
    sink = ListSink()
    async with collecting(sink, "udp://127.0.0.1:0", max_message_bytes=500) as (port,):
        with sender(port) as sock:
            sock.send(b"<13>" + b"x" * 600)
            sock.send(LINE % 1)
        await sink.until(lambda: len(sink.rows) == 2)
    assert [b"<13>" + b"x" * 496, None] == sink.column("raw")
    assert ["no-time cut", None] == sink.column("flag")
    assert sink.counted["cut"] == 1


async def test_the_largest_datagram_is_whole() -> None:
    sink = ListSink()
    line = (LINE % 1).ljust(65_507, b"x")
    async with collecting(sink, "udp://127.0.0.1:0") as (port,):
        with sender(port) as sock:
            sock.send(line)
        await sink.until(lambda: sink.rows)
    assert [None] == sink.column("flag")
    assert [line.decode().partition("su: ")[2]] == sink.column("message")


async def test_bytes_that_are_not_utf8_spoil_no_other_row() -> None:
    sink = ListSink()
    async with collecting(sink, "udp://127.0.0.1:0") as (port,):
        with sender(port) as sock:
            for data in (LINE % 1, b"<13>Oct 11 22:14:15 host su: caf\xe9", LINE % 2):
                sock.send(data)
        await sink.until(lambda: len(sink.rows) == 3)
    assert ["1", "café", "2"] == sink.column("message")
    assert [None, "encoding", None] == sink.column("flag")


async def test_what_the_kernel_drops_is_counted_to_the_packet() -> None:
    sink = ListSink()
    sink.fill()  # nothing is read, so the smallest buffer overflows
    async with collecting(sink, "udp://127.0.0.1:0", receive_buffer_bytes=4_096) as (port,):
        with sender(port) as sock:
            for number in range(500):
                sock.send(LINE % number)
        await sink.until(lambda: sink.counted["kernel"])
        sink.empty()
        await sink.until(lambda: sink.counted["kernel"] + len(sink.rows) == 500)
    assert 0 < sink.counted["kernel"] < 500
    assert sink.counted["kernel"] + len(sink.rows) == 500


async def test_a_stop_reads_what_the_kernel_holds_and_counts_what_it_dropped() -> None:
    sink = ListSink()
    async with collecting(sink, "udp://127.0.0.1:0", receive_buffer_bytes=4_096) as (port,):
        with sender(port) as sock:
            for number in range(200):
                sock.send(LINE % number)  # and no turn of the loop until the stop
        assert not sink.rows
    assert 0 < len(sink.rows) < 200
    assert sink.counted["kernel"] + len(sink.rows) == 200


async def test_what_a_stop_has_no_time_for_is_counted_to_the_datagram() -> None:
    sink = ListSink(finish_seconds=0.1)
    sink.fill()
    async with collecting(sink, "udp://127.0.0.1:0") as (port,):
        with sender(port) as sock:
            for number in range(200):
                sock.send(LINE % number)
    assert ([], {"stop": 200}) == (sink.rows, sink.counted)


async def test_a_bug_in_a_parser_costs_what_was_in_hand_and_counts_it(monkeypatch) -> None:
    from collectors.syslog import udp

    def broken(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(udp, "parse_block", broken)
    sink = ListSink()
    task = asyncio.create_task(collect(Syslog(listeners=(Listener(bind="udp://127.0.0.1:0"),)), sink))
    await sink.until(lambda: listeners(sink) and listeners(sink)[0]["state"] == "listening")
    with sender(listeners(sink)[0]["port"]) as sock:
        for number in range(7):
            sock.send(LINE % number)
        await asyncio.wait([task])
    assert {"failed": 7} == sink.counted


async def test_severity_decides_the_lane_in_the_order_of_receipt() -> None:
    sink = ListSink()
    async with collecting(sink, "udp://127.0.0.1:0") as (port,):
        with sender(port) as sock:
            for number, severity in enumerate((7, 3, 6, 3, 7, 4, 0)):
                sock.send(b"<%d>Oct 11 22:14:15 h t: %d" % (8 + severity, number))
        await sink.until(lambda: len(sink.rows) == 7)
    by_lane = {lane: [row[13] for _, its, row in sink.puts if its is lane] for lane in Lane}
    assert by_lane == {Lane.URGENT: ["1", "3", "6"], Lane.NORMAL: ["2", "5"], Lane.BULK: ["0", "4"]}


async def test_a_buffer_that_is_not_granted_is_shown_with_its_remedy(monkeypatch) -> None:
    monkeypatch.setattr("collectors.syslog.sockets.SO_RCVBUFFORCE", 8)  # SO_RCVBUF: as without CAP_NET_ADMIN
    sink = ListSink()
    async with collecting(sink, "udp://127.0.0.1:0", receive_buffer_bytes=1 << 30):
        (facts,) = listeners(sink)
    assert facts["receive_buffer_bytes"] < facts["asked_bytes"]
    assert "sysctl -w net.core.rmem_max=1073741824" in facts["remedy"]


async def test_a_port_that_is_taken_is_shown_retried_and_holds_up_no_other_listener(monkeypatch) -> None:
    monkeypatch.setattr("collectors.syslog.collect.RETRY_SECONDS", 0.01)
    sink = ListSink()
    taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    taken.bind(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    config = Syslog(listeners=(Listener(bind=f"udp://127.0.0.1:{port}"), Listener(bind="udp://127.0.0.1:0")))
    task = asyncio.create_task(collect(config, sink))
    await sink.until(lambda: [each["state"] for each in listeners(sink)] == ["failed", "listening"])
    assert "already in use" in listeners(sink)[0]["problem"]
    assert "ss -lnptu" in listeners(sink)[0]["remedy"]
    taken.close()
    await sink.until(lambda: [each["state"] for each in listeners(sink)] == ["listening", "listening"])
    with sender(port) as sock:
        sock.send(LINE % 1)
    await sink.until(lambda: sink.rows)
    await stop(task)


async def test_a_socket_that_fails_is_opened_again(monkeypatch) -> None:
    monkeypatch.setattr("collectors.syslog.collect.RETRY_SECONDS", 0.01)
    sink = ListSink()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    fails = [True]
    from collectors.syslog.datagrams import DatagramReader

    read = DatagramReader.read

    def failing(self):
        if fails.pop() if fails else False:
            raise OSError(100, "Network is down")
        return read(self)

    monkeypatch.setattr(DatagramReader, "read", failing)
    async with collecting(sink, f"udp://127.0.0.1:{port}"):
        with sender(port) as sock:
            sock.send(LINE % 1)
            await sink.until(lambda: not fails)
            await sink.until(lambda: listeners(sink)[0]["state"] == "listening")
            sock.send(LINE % 2)
            await sink.until(lambda: "2" in sink.column("message"))


@pytest.mark.parametrize(
    ("name", "peer"),
    [
        (b"\x02\x00\x02\x02\xc0\x00\x02\x01" + bytes(20), ("192.0.2.1", 514)),
        (b"\x0a\x00\x02\x02" + bytes(4) + bytes(10) + b"\xff\xff\xc0\x00\x02\x01" + bytes(4), ("192.0.2.1", 514)),
        (b"\x0a\x00\x02\x02" + bytes(4) + b"\x20\x01\x0d\xb8" + bytes(11) + b"\x01" + bytes(4), ("2001:db8::1", 514)),
        (bytes(28), (None, None)),
    ],
)
def test_addresses_are_read_as_the_kernel_writes_them(name: bytes, peer: tuple) -> None:
    assert peer == read_address(name)
