"""The generator: a process of its own that sends lines rendered beforehand, as fast as asked or as fast as it can.

    python bench/generate.py tcp --mix servers
    stdout: {"ready": true}   after rendering
    stdin:  {"to": 5514}                        connect to this port of 127.0.0.1 (null: close), answered with {"to": ...}
            {"count": 500000, "rate": 50000}    one run (rate 0: as fast as possible), answered with
            {"sent": ..., "seconds": ..., "cpu_seconds": ..., "bytes": ...}

TCP: 8 connections, at most `CHUNK_LINES` lines a call, in turn. UDP: 40 sockets bound to 127.1.0.x, in turn. With a
rate, what is due leaves each `TICK_SECONDS`: at 5,000 lines/s two or three a call. The ring holds more distinct lines
than any memo in what is measured.
"""

import argparse
import itertools
import json
import random
import socket
import struct
import sys
import time
from collections.abc import Iterator
from typing import Any

from lines import MIXES, SEED, lines

RING_LINES = {"tcp": 200_000, "udp": 100_000}
PEERS = {"tcp": 8, "udp": 40}
CHUNK_LINES = 500
BURST = 32
UDP_SEGMENT = 103  # linux/udp.h
TICK_SECONDS = 0.0005
MOST_TICKS = 3


class Tcp:
    """Lines over several connections, newline framed."""

    def __init__(self, mix: str) -> None:
        ring = list(lines(RING_LINES["tcp"], mix=mix))
        self._data = memoryview(b"\n".join(ring) + b"\n")
        self._starts = list(itertools.accumulate((len(line) + 1 for line in ring), initial=0))
        self._at = 0
        self._sockets: Iterator[socket.socket] = iter(())
        self.bytes = 0

    def aim(self, port: int) -> list[socket.socket]:
        """Connect."""
        opened = [socket.create_connection(("127.0.0.1", port)) for _ in range(PEERS["tcp"])]
        for one in opened:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sockets, self._at = itertools.cycle(opened), 0
        return opened

    def send(self, count: int) -> int:
        """Send up to `count` lines in one call, to the next connection; give how many."""
        end = min(self._at + min(count, CHUNK_LINES), len(self._starts) - 1)
        sent, data = end - self._at, self._data[self._starts[self._at] : self._starts[end]]
        next(self._sockets).sendall(data)
        self.bytes += len(data)
        self._at = end % (len(self._starts) - 1)
        return sent


class Udp:
    """Datagrams from several addresses, up to `BURST` of equal length a call.

    UDP_SEGMENT (udp(7)) cuts one buffer into datagrams: 0.5 us a datagram instead of the 3 us of sendmmsg(2), which
    would take half of a small machine from what is measured. In the receive buffer each weighs the same as one that was
    sent alone (916 bytes of accounting for 180 of text, measured).
    """

    def __init__(self, mix: str) -> None:
        by_length: dict[int, list[bytes]] = {}
        for line in lines(RING_LINES["udp"], mix=mix):
            by_length.setdefault(len(line), []).append(line)
        bursts = [
            (size, b"".join(some[n : n + BURST]))
            for size, some in by_length.items()
            for n in range(0, len(some), BURST)
        ]
        random.Random(SEED).shuffle(bursts)
        self._bursts = itertools.cycle(bursts)
        self._cut = {size: [(socket.SOL_UDP, UDP_SEGMENT, struct.pack("@H", size))] for size in by_length}
        self._sockets: Iterator[socket.socket] = iter(())
        self.bytes = 0

    def aim(self, port: int) -> list[socket.socket]:
        """Open the sockets, each from an address of its own."""
        opened = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(PEERS["udp"])]
        for n, one in enumerate(opened):
            one.bind((f"127.1.0.{n + 1}", 0))
            one.connect(("127.0.0.1", port))
        self._sockets = itertools.cycle(opened)
        return opened

    def send(self, count: int) -> int:
        """Send up to `count` datagrams, one burst at most; give how many."""
        size, data = next(self._bursts)
        data = data[: size * count]
        try:
            next(self._sockets).sendmsg([data], self._cut[size])
        except ConnectionRefusedError:
            return 0  # an earlier one found nobody there: the loss is not the receiver's, so tried again
        self.bytes += len(data)
        return len(data) // size


def flood(sender: Tcp | Udp, *, count: int, rate: float) -> dict[str, Any]:
    """Send `count` lines at `rate` a second (0: as fast as possible); say what was done.

    A generator that was kept waiting by the machine does not catch up with a burst: what is lost must be the
    receiver's loss. The rate that was really held is `sent / seconds`.
    """
    sender.bytes, sent = 0, 0
    started, cpu = time.perf_counter(), time.process_time()
    credit, before = 1.0, started
    while sent < count:
        now = time.perf_counter()
        credit = min(credit + (now - before) * rate, MOST_TICKS * TICK_SECONDS * rate + 1)
        before = now
        due = count - sent if rate <= 0 else min(count - sent, int(credit))
        if due < 1:
            time.sleep(TICK_SECONDS)
            continue
        done = sender.send(due)
        sent += done
        credit -= done
    seconds = time.perf_counter() - started
    return {"sent": sent, "seconds": seconds, "cpu_seconds": time.process_time() - cpu, "bytes": sender.bytes}


def stamped(out: socket.socket, *, count: int, rate: float) -> dict[str, Any]:
    """Send numbered lines with the time of sending in each (`n=... t=<ns>`) over TCP, a few a tick: for latency."""
    ring = itertools.cycle(lines(5_000))
    sent, cpu, started = 0, time.process_time(), time.perf_counter()
    while sent < count:
        due = min(count, int((time.perf_counter() - started) * rate) + 1)
        out.sendall(b"".join(next(ring) + b" n=%d t=%d\n" % (n, time.time_ns()) for n in range(sent, due)))
        sent = max(sent, due)
        time.sleep(2 * TICK_SECONDS)
    seconds = time.perf_counter() - started
    return {"sent": sent, "seconds": seconds, "cpu_seconds": time.process_time() - cpu, "bytes": 0}


def main() -> None:
    """Render, say so, then obey each line of stdin."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("transport", choices=PEERS)
    parser.add_argument("--mix", choices=MIXES, default="servers")
    given = parser.parse_args()
    sender = (Tcp if given.transport == "tcp" else Udp)(given.mix)
    print(json.dumps({"ready": True}), flush=True)
    opened: list[socket.socket] = []
    for order in map(json.loads, sys.stdin):
        if "to" in order:
            for one in opened:
                one.close()
            opened = [] if order["to"] is None else sender.aim(order["to"])
            done = order
        elif order.get("stamped"):
            done = stamped(opened[0], count=order["count"], rate=order["rate"])
        else:
            done = flood(sender, count=order["count"], rate=order.get("rate", 0.0))
        print(json.dumps(done), flush=True)


if __name__ == "__main__":
    main()
