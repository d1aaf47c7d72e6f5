"""Syslog in datagrams: each is one message, without the NUL, CR and LF at its end (RFC 5426 section 3.1).

    UDP or Unix socket ──recvmmsg──► datagrams ──limits──► joined by LF ──► fast path ──► rows ──► lanes

The drained datagrams are parsed as one block, zipped with their senders. Where one of them holds a newline, is empty,
too long or no UTF-8, the chunk is looked at message by message. `received` is the time of the drain.

A stop: the socket is read until nothing is there, then frozen, and read to the end of what came in between. What is
left when the time is up is taken from the kernel unread, and counted.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import compress
from typing import Final, NamedTuple

from collectors.sink import Sink
from collectors.syslog.datagrams import DatagramReader, Peer
from collectors.syslog.dialects import Origins, new_order
from collectors.syslog.fast import parse_block, parse_frames
from collectors.syslog.lanes import LaneSorter
from collectors.syslog.limits import DatagramLimits, Host, host_of
from collectors.syslog.listener import Listener
from collectors.syslog.local import local_order, reading_of
from collectors.syslog.opening import OpenSocket
from collectors.syslog.pump import NAP_SECONDS, After, Nap
from collectors.syslog.shown import Problem
from collectors.syslog.sockets import granted_bytes, kernel_drops
from collectors.syslog.unix import queue_room, user_of

READS: Final = 8  # of 128 datagrams: a chunk is at most 1,024 lines
DATAGRAM_BYTES: Final = 65_536  # more than any datagram holds
_TRAILER: Final = b"\0\r\n"
_EMPTY: Final = re.compile(r"\Z")
_KERNEL_BYTES: Final = 768  # what a datagram of syslog size takes of the receive buffer, measured
_MOST_LEFT: Final = 1 << 21  # more than any receive buffer holds: even where nothing can be frozen, a count ends
_BURST_PER_SECOND: Final = 150_000  # that a nap must be able to sleep through
_LOCAL_BURST_PER_SECOND: Final = 5_000  # the same, where the sender is a program that waits meanwhile


class UdpService:
    """Owns one UDP socket: reads it in turns, until it fails or is stopped."""

    def __init__(self, opened: OpenSocket, listener: Listener, *, sink: Sink, lanes: LaneSorter) -> None:
        self.failed: asyncio.Future[OSError] = asyncio.get_running_loop().create_future()
        self._opened = opened
        self._sock = opened.sock
        self._sink = sink
        self._lanes = lanes
        self._limits = DatagramLimits(listener, sink)
        self._max_bytes = listener.max_message_bytes
        self._reader = DatagramReader(self._sock, slot_bytes=DATAGRAM_BYTES)
        self._reading = reading_of(listener, is_local=opened.is_unix)
        self._order = local_order() if opened.is_unix else new_order()
        self.nap = _new_nap(opened)
        self._drops = kernel_drops(self._sock)  # of one that was handed over: before our time
        self._is_stopping = False
        self._is_frozen = False

    def fileno(self) -> int:
        """The socket's file descriptor."""
        return self._sock.fileno()

    @property
    def facts(self) -> dict[str, object]:
        """What status shows beside the address."""
        return self._limits.facts

    @property
    def problems(self) -> list[Problem]:
        """None of its own: what is wrong with a socket is seen when it is opened."""
        return []

    def read(self) -> After:
        """Drain up to `READS` times, parse what came at once, and put it."""
        data: list[bytes] = []
        peers: list[Peer] = []
        identities: list[str] = []
        is_full = True
        try:
            for _ in range(READS):
                got = self._reader.read()
                data += got.data
                peers += got.peers
                identities += got.identities
                is_full = got.is_full
                if not is_full:
                    break
        except OSError as error:
            self._fail(error)
        if data:
            self._put(data, _Senders(peers, identities))
        if self.failed.done():
            return After.CLOSED
        return self._after_last(len(data)) if self._is_stopping else self.nap.after(len(data), is_full=is_full)

    def sweep(self) -> None:
        """Count what the kernel dropped since the last time."""
        drops = kernel_drops(self._sock)
        lost = (drops - self._drops) % (1 << 32)
        self._drops = drops
        if lost:
            self._sink.count("stop" if self._is_frozen and not self._opened.is_handed else "kernel", lost)

    def stop(self) -> None:
        """Close as soon as nothing is there; from now on the pump looks after the socket to its end."""
        self._opened.withdraw()
        self._is_stopping = True

    def freeze(self) -> None:
        """Take nothing more; what is here can still be read."""
        if not self._is_frozen and self._sock.fileno() >= 0:
            self.sweep()
            self._opened.freeze()
            self._is_stopping = self._is_frozen = True

    def close(self, left: str) -> None:
        """Count what the kernel dropped and, as `left`, what nobody has read; the pump must have let go of the socket."""
        if self._sock.fileno() < 0:
            return
        self._opened.withdraw()
        self.freeze()
        unread = 0 if self._opened.is_handed else self._empty()
        if unread:
            self._sink.count(left, unread)
        self.sweep()
        self._sock.close()

    def _after_last(self, count: int) -> After:
        """At a stop: nothing there, seen by a frozen socket, is the end."""
        if count or not self._is_frozen:
            if not count:
                self.freeze()
            return After.MORE
        self.close("stop")
        return After.CLOSED

    def _empty(self) -> int:
        """Take from the kernel what it holds, and give only how many there were."""
        count = 0
        with contextlib.suppress(OSError):
            while count < _MOST_LEFT and (got := len(self._reader.read().data)):
                count += got
        return count

    def _fail(self, error: OSError) -> None:
        if not self.failed.done():
            self.failed.set_result(error)

    def _put(self, data: list[bytes], senders: "_Senders") -> None:
        """Put the rows of a chunk; where a bug prevents it, its datagrams are lost and counted."""
        if not self._limits.is_open:
            passing = self._limits.choose(senders.hosts())
            if passing is not None:
                data, senders = list(compress(data, passing)), senders.only(passing)
        if not data:
            return
        with ExitStack() as stack:
            stack.callback(self._sink.count, "failed", len(data))
            self._take(data, senders.origins(self._opened.transport))
            stack.pop_all()

    def _take(self, data: list[bytes], origins: Origins) -> None:
        block = b"\n".join(data)
        rows = None
        if b"\r" not in block and b"\0" not in block and not self._has_long(data):
            rows = parse_block(block, origins=origins, reading=self._reading, order=self._order, doubt=_EMPTY)
        if rows is None:
            data, origins, cut = self._look_at_each(data, origins)
            rows = parse_frames(data, cut=cut, origins=origins, reading=self._reading, order=self._order)
        self._lanes.put(rows)

    def _has_long(self, data: list[bytes]) -> bool:
        return self._max_bytes < DATAGRAM_BYTES and max(map(len, data)) > self._max_bytes

    def _look_at_each(self, data: list[bytes], origins: Origins) -> tuple[list[bytes], Origins, set[int]]:
        """Strip the ends, leave out the empty ones, cut the long ones and give their indexes."""
        data = [each.rstrip(_TRAILER) for each in data]
        if not all(data):
            self._sink.count("empty", data.count(b""))
            origins = origins.only(data)
            data = list(compress(data, data))
        cut = {index for index, each in enumerate(data) if len(each) > self._max_bytes}
        if cut:
            self._sink.count("cut", len(cut))
        return [each[: self._max_bytes] for each in data], origins, cut


class _Senders(NamedTuple):
    """Who sent the datagrams of a chunk: addresses and ports, or processes of this machine."""

    peers: list[Peer]
    identities: list[str]

    def hosts(self) -> Sequence[Host]:
        """By whom limits count: addresses, or users."""
        return list(map(user_of, self.identities)) if self.identities else list(map(host_of, self.peers))

    def only(self, passing: list[bool]) -> "_Senders":
        """Those of the datagrams that pass."""
        return _Senders(list(compress(self.peers, passing)), list(compress(self.identities, passing)))

    def origins(self, transport: str) -> Origins:
        """One sender for all where it is one, which is cheaper, else one for each."""
        received, peers, identities = time.time_ns(), self.peers, self.identities
        if not identities and peers.count(peers[0]) == len(peers):
            return Origins(received, transport, peer=peers[0][0], port=peers[0][1])
        if identities and identities.count(identities[0]) == len(identities):
            return Origins(received, transport, identity=identities[0])
        addresses, ports = zip(*peers, strict=True)
        return Origins(received, transport, peers=addresses, ports=ports, identities=identities)


def _new_nap(opened: OpenSocket) -> Nap:
    """Let as much gather as the kernel can surely hold."""
    if opened.is_unix:
        room, per_second = float(queue_room()), _LOCAL_BURST_PER_SECOND
    else:
        room, per_second = 2 * granted_bytes(opened.sock) / _KERNEL_BYTES, _BURST_PER_SECOND
    return Nap(room=room / 8, longest_seconds=min(NAP_SECONDS, room / per_second))
