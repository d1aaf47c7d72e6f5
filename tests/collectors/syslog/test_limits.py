"""Limits hold for each peer, cost the others nothing, and what they drop is counted to the row."""

import asyncio
import contextlib
import socket

import pytest
from parts.collecting import collecting, listeners
from parts.sinks import ListSink

from collectors.syslog import limits
from collectors.syslog.limits import PEERS, Networks, RateLimit

LINE = b"<13>Oct 11 22:14:15 host su: %d"
GENEROUS = {"rows_per_second_per_peer": 1_000_000, "burst_rows_per_peer": 10_000_000}


class Clock:
    """Monotonic time that only the test moves."""

    def __init__(self, monkeypatch) -> None:
        self.now = 1_000.0
        monkeypatch.setattr(limits.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    return Clock(monkeypatch)


def udp(port: int, host: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    sock.connect(("127.0.0.1", port))
    return sock


def tcp(port: int, host: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=5, source_address=(host, 0))


async def ended(sock: socket.socket) -> None:
    """Wait until the other end has closed or reset."""
    sock.setblocking(False)
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionError):
            assert b"" == await asyncio.get_running_loop().sock_recv(sock, 1)


# ---- the bucket ----


def test_a_burst_passes_then_the_rate(clock) -> None:
    rates = RateLimit(10, burst_rows=100)
    assert [100, 0] == [rates.take("a", 150), rates.take("a", 1)]
    clock.now += 2
    assert [20, 0] == [rates.take("a", 500), rates.take("a", 1)]
    assert {"over_rate": [{"peer": "a", "rows": 50 + 1 + 480 + 1}]} == rates.facts


def test_a_bucket_never_holds_more_than_the_burst(clock) -> None:
    rates = RateLimit(10, burst_rows=100)
    rates.take("a", 1)
    clock.now += 1_000_000
    assert 100 == rates.take("a", 1_000)


def test_each_peer_has_its_own_bucket(clock) -> None:
    rates = RateLimit(10, burst_rows=100)
    rates.take("a", 1_000)
    assert 100 == rates.take("b", 100)


def test_without_a_rate_everything_passes_and_nobody_is_remembered() -> None:
    rates = RateLimit(0, burst_rows=1)
    assert (10**9, {}) == (rates.take("a", 10**9), rates._buckets)


def test_made_up_peers_neither_fill_the_memory_nor_give_those_who_lately_sent_a_new_burst(clock) -> None:
    rates = RateLimit(10, burst_rows=100)
    for number in range(3 * PEERS):
        clock.now += 0.001
        rates.take("busy", 1_000)
        rates.take(str(number), 200)
    assert len(rates._buckets) <= PEERS + 1
    assert 1 > rates.take("busy", 1_000)
    assert "busy" == rates.facts["over_rate"][0]["peer"]
    assert len(rates._dropped._of) <= PEERS


# ---- networks ----


def test_networks_of_both_families_are_looked_up_and_others_refused() -> None:
    networks = Networks(("10.0.0.0/8", "2001:db8::/32", "192.0.2.7"))
    assert [True, True, True, False, False, True] == [
        networks.allow(host) for host in ("10.1.2.3", "2001:db8::9", "192.0.2.7", "192.0.2.8", "2001:db9::1", None)
    ]


def test_no_networks_are_everybody() -> None:
    assert Networks(()).allow("203.0.113.1")


# ---- over real sockets ----


async def test_datagrams_from_elsewhere_are_dropped_counted_and_shown() -> None:
    sink = ListSink()
    async with collecting(sink, "udp://0.0.0.0:0", allowed_networks=("127.0.0.2/32",)) as (port,):
        with udp(port, "127.0.0.2") as friend, udp(port, "127.0.0.3") as stranger:
            for number in range(20):
                (friend if number % 2 else stranger).send(LINE % number)
            await sink.until(lambda: len(sink.rows) == 10)
            await sink.until(lambda: listeners(sink)[0].get("refused_datagrams") == 10)
        (facts,) = listeners(sink)
    assert [str(number) for number in range(1, 20, 2)] == sink.column("message")
    assert ({"not-allowed-datagrams": 10}, [{"peer": "127.0.0.3", "datagrams": 10}]) == (
        sink.counted,
        facts["refused_peers"],
    )


async def test_connections_from_elsewhere_are_reset_counted_and_shown() -> None:
    sink = ListSink()
    async with collecting(sink, "tcp://0.0.0.0:0", allowed_networks=("127.0.0.2/32",)) as (port,):
        with tcp(port, "127.0.0.2") as friend, tcp(port, "127.0.0.3") as stranger:
            await ended(stranger)
            friend.sendall(LINE % 1 + b"\n")
            await sink.until(lambda: sink.rows)
            await sink.until(lambda: listeners(sink)[0].get("refused_connections"))
        (facts,) = listeners(sink)
    assert ({"not-allowed": 1}, [{"peer": "127.0.0.3", "connections": 1}]) == (sink.counted, facts["refused_peers"])


async def test_one_peer_cannot_take_the_connections_of_all() -> None:
    sink = ListSink()
    async with collecting(sink, "tcp://0.0.0.0:0", max_connections=4, max_connections_per_peer=2) as (port,):
        greedy = [tcp(port, "127.0.0.2") for _ in range(3)]
        await ended(greedy[2])
        with tcp(port, "127.0.0.3") as other:
            other.sendall(LINE % 1 + b"\n")
            await sink.until(lambda: sink.rows)
        greedy[0].close()
        await sink.until(lambda: listeners(sink)[0]["connections"] == 1)
        with tcp(port, "127.0.0.2") as again:
            again.sendall(LINE % 2 + b"\n")
            await sink.until(lambda: len(sink.rows) == 2)
        for each in greedy:
            each.close()
    assert {"peer-limit": 1} == sink.counted


async def test_datagrams_over_the_rate_are_dropped_for_that_peer_alone() -> None:
    sink = ListSink()
    options = {"rows_per_second_per_peer": 1, "burst_rows_per_peer": 100}
    async with collecting(sink, "udp://0.0.0.0:0", **options) as (port,):
        with udp(port, "127.0.0.2") as chatty, udp(port, "127.0.0.3") as quiet:
            for number in range(1_000):
                chatty.send(LINE % number)
                if number % 100 == 0:
                    quiet.send(LINE % number)
            await sink.until(lambda: len(sink.rows) + sink.counted["rate-limit"] == 1_010)
            await sink.until(lambda: listeners(sink)[0].get("over_rate"))
        (over,) = listeners(sink)[0]["over_rate"]
    peers = sink.column("peer")
    assert (10, "127.0.0.2") == (peers.count("127.0.0.3"), over["peer"])
    assert 100 <= peers.count("127.0.0.2") <= 110
    chatty_rows = [row[13] for row in sink.rows if row[2] == "127.0.0.2"]
    assert list(map(str, range(100))) == chatty_rows[:100]


@pytest.mark.parametrize("framing", ["lines", "octets", "empty lines between", "octets hidden behind a line"])
async def test_rows_over_the_rate_of_a_stream_are_counted_to_the_row(framing: str) -> None:
    sink = ListSink()
    count = 3_000
    make = {
        "lines": lambda number: LINE % number + b"\n",
        "octets": lambda number: b"%d %s" % (len(LINE % number), LINE % number),
        "empty lines between": lambda number: LINE % number + b"\n\n",
        "octets hidden behind a line": lambda number: (
            b"%d %s" % (len(LINE % number), LINE % number) if 0 < number < count - 1 else LINE % number + b"\n"
        ),
    }[framing]
    options = {"rows_per_second_per_peer": 1, "burst_rows_per_peer": 100}
    async with collecting(sink, "tcp://127.0.0.1:0", **options) as (port,):
        with tcp(port) as sock:
            await asyncio.to_thread(sock.sendall, b"".join(map(make, range(count))))
            await sink.until(lambda: len(sink.rows) + sink.counted["rate-limit"] == count)
    assert 50 <= len(sink.rows) <= 110
    assert sink.column("message")[:50] == list(map(str, range(50)))


async def test_within_the_rate_nothing_is_dropped() -> None:
    sink = ListSink()
    async with collecting(sink, "udp://127.0.0.1:0", "tcp://127.0.0.1:0", **GENEROUS) as (over_udp, over_tcp):
        with udp(over_udp) as datagrams, tcp(over_tcp) as stream:
            for number in range(500):
                datagrams.send(LINE % number)
            stream.sendall(b"".join(LINE % number + b"\n" for number in range(5_000)))
            await sink.until(lambda: len(sink.rows) == 5_500)
    assert {} == sink.counted


async def test_the_rate_is_of_the_peer_not_of_its_connections() -> None:
    sink = ListSink()
    options = {"rows_per_second_per_peer": 1, "burst_rows_per_peer": 100}
    async with collecting(sink, "tcp://127.0.0.1:0", **options) as (port,):
        for _ in range(4):
            with tcp(port) as sock:
                sock.sendall((LINE % 1 + b"\n") * 100)
        await sink.until(lambda: len(sink.rows) + sink.counted["rate-limit"] == 400)
    assert 100 <= len(sink.rows) <= 110


async def test_a_listener_may_have_an_urgent_limit_of_its_own() -> None:
    sink = ListSink()
    urgent = b"<11>Oct 11 22:14:15 host su: x"
    binds = ("udp://127.0.0.1:0",)
    async with collecting(sink, *binds, limit=100, urgent_rows_per_second=0) as (port,):
        with udp(port) as sock:
            sock.send(urgent)
            await sink.until(lambda: sink.rows)
    assert (["NORMAL"], {"urgent-limit": 1}) == ([lane.name for _, lane, _ in sink.puts], sink.counted)
