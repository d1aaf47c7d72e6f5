"""Syslog over TCP (RFC 6587): connections, their limits, and the way of a chunk from socket to lanes.

    listening socket ──accept──► connection ──recv 64 KiB──► framer ──► fast path ──► rows ──► lanes

Limits: connections at a time (more are refused and counted), idle time, and one budget for everything that unfinished
messages hold on all connections; over it, the connection that holds most is closed. Back-pressure: while the sink has
no room nothing is read, the kernel's buffer fills, and the sender waits.
"""

import asyncio
import errno
import resource
import socket
import time
from typing import Any, Final

from collectors.sink import Sink
from collectors.syslog.config import Listener
from collectors.syslog.datagrams import Peer
from collectors.syslog.dialects import Grammar, Origins, new_order
from collectors.syslog.fast import parse_block, parse_frames
from collectors.syslog.framing import DOUBT, Framer, Frames
from collectors.syslog.lanes import LaneSorter
from collectors.syslog.pump import After, Nap, Pump, finish
from collectors.syslog.slow import Reading, Row
from collectors.syslog.sockets import keep_alive
from collectors.syslog.times import Times

READ_BYTES: Final = 65_536
BUDGET_BYTES: Final = 16 << 20
_GATHER_BYTES: Final = 49_152  # may wait in the socket during a nap: less than a first window, 64 KiB
_ACCEPTS: Final = 64  # at once, then the others have their turn
_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_ACCEPT_AGAIN_SECONDS: Final = 1.0
_SPARE_FILES: Final = 64  # descriptors that no sender may take: the broker, the store and `edgepost status` need some


class Budget:
    """Owns the count of bytes that unfinished messages hold, over all connections of a collector."""

    def __init__(self, limit_bytes: int = BUDGET_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._held: dict[TcpConnection, int] = {}
        self._total = 0

    def set(self, connection: "TcpConnection", held_bytes: int) -> None:
        """Note what a connection holds now; over the limit the one that holds most is closed."""
        self._total += held_bytes - self._held.pop(connection, 0)
        if held_bytes:
            self._held[connection] = held_bytes
        while self._total > self._limit_bytes:
            max(self._held, key=self._held.__getitem__).end("read-budget")


class TcpConnection:
    """Owns one accepted socket and what of its stream is not yet a message."""

    def __init__(self, sock: socket.socket, peer: Peer, service: "TcpService") -> None:
        self.nap = Nap(room=_GATHER_BYTES, has_window=True)
        self.read_at = time.monotonic()
        self._sock = sock
        self._peer = peer
        self._service = service
        self._framer = Framer(service.listener.max_message_bytes, service.sink.count)
        self._order = new_order()

    def fileno(self) -> int:
        """The socket's file descriptor."""
        return self._sock.fileno()

    def read(self) -> After:
        """Take one chunk, parse the messages that end in it, and put them."""
        try:
            data = self._sock.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return self.nap.after(0, is_full=False)
        except OSError:
            data = b""  # reset by the other end: what it had finished is here
        if not data:
            self._put(self._framer.finish())
            self._service.forget(self)
            self.close()
            return After.CLOSED
        self.read_at = time.monotonic()
        self._put(self._framer.feed(data))
        self._service.budget.set(self, self._framer.held_bytes)
        if self._sock.fileno() < 0:  # it was this one that held most
            return After.CLOSED
        return self.nap.after(len(data), is_full=len(data) == READ_BYTES)

    def end(self, reason: str | None) -> None:
        """Close from our side, counted; the beginning of a message that is held becomes a row, flagged `cut`."""
        self._put(self._framer.finish(is_cut=True))
        if reason is not None:
            self._service.sink.count(reason)
        self._service.forget(self)
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def _put(self, frames: Frames) -> None:
        origins = Origins(time.time_ns(), "tcp", peer=self._peer[0], port=self._peer[1])
        reading = self._service.reading
        self._service.lanes.put(
            read_rows(frames, framer=self._framer, origins=origins, reading=reading, order=self._order)
        )


def read_rows(frames: Frames, *, framer: Framer, origins: Origins, reading: Reading, order: list[Grammar]) -> list[Row]:
    """Parse what a framer gave; a block whose lines turn out to be none is cut anew by the same framer."""
    if frames.block:
        rows = parse_block(frames.block, origins=origins, reading=reading, order=order, doubt=DOUBT)
        if rows is not None:
            return rows
        frames = framer.cut(frames.data)
    return parse_frames(frames.messages, cut=frames.beginnings, origins=origins, reading=reading, order=order)


class TcpService:
    """Owns one listening socket and the connections it accepted."""

    def __init__(
        self, sock: socket.socket, listener: Listener, *, sink: Sink, lanes: LaneSorter, pump: Pump, budget: Budget
    ) -> None:
        self.failed: asyncio.Future[OSError] = asyncio.get_running_loop().create_future()
        self.sink = sink
        self.listener = listener
        self.lanes = lanes
        self.budget = budget
        self.reading = Reading(listener.encoding, Times(listener.zone))
        self._sock = sock
        self._pump = pump
        self._connections: set[TcpConnection] = set()
        self._again: asyncio.TimerHandle | None = None
        self._most_files = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _SPARE_FILES
        self._is_short = False
        self._listen()

    @property
    def facts(self) -> dict[str, object]:
        """What status shows beside the address."""
        facts: dict[str, object] = {"connections": len(self._connections)}
        if self._is_short:
            facts["problem"] = f"{self.listener.bind}: no file descriptor is left for another connection"
            facts["remedy"] = "raise LimitNOFILE of the unit, or lower max_connections"
        return facts

    def forget(self, connection: TcpConnection) -> None:
        """Let go of a connection that is about to be closed."""
        self._connections.discard(connection)
        self._is_short = False
        self._pump.remove(connection)
        self.budget.set(connection, 0)

    def sweep(self) -> None:
        """Close the connections that have been silent for too long."""
        silent_since = time.monotonic() - self.listener.idle_seconds
        for connection in [each for each in self._connections if each.read_at < silent_since]:
            connection.end("idle-connection")

    def stop(self, *, until: float) -> None:
        """Take the connections and the data that the kernel already holds, then close."""
        self._accept()
        for connection in list(self._connections):
            finish(connection, until=until)
        self.close()

    def close(self) -> None:
        """Close everything; what connections hold of unfinished messages becomes rows."""
        if self._again is not None:
            self._again.cancel()
        asyncio.get_running_loop().remove_reader(self._sock.fileno())
        self._sock.close()
        for connection in list(self._connections):
            connection.end(None)

    def _listen(self) -> None:
        self._again = None
        asyncio.get_running_loop().add_reader(self._sock.fileno(), self._accept)

    def _accept(self) -> None:
        """Accept what waits, a limited number at once."""
        for _ in range(_ACCEPTS):
            try:
                sock, address = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionError):
                return
            except OSError as error:
                self._refuse(error)
                return
            self._is_short = sock.fileno() >= self._most_files  # the kernel gives the lowest that is free
            if self._is_short or len(self._connections) >= self.listener.max_connections:
                self.sink.count("connection-limit")
                sock.close()
                continue
            self._add(sock, address)

    def _refuse(self, error: OSError) -> None:
        """Wait a second where the process has no descriptor left; any other error ends the service."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._sock.fileno())
        if error.errno in _NO_ROOM:
            self._is_short = True
            self._again = loop.call_later(_ACCEPT_AGAIN_SECONDS, self._listen)
        elif not self.failed.done():
            self.failed.set_result(error)

    def _add(self, sock: socket.socket, address: Any) -> None:
        sock.setblocking(False)
        keep_alive(sock)
        host = str(address[0]).partition("%")[0]
        connection = TcpConnection(sock, (host.removeprefix("::ffff:") if "." in host else host, address[1]), self)
        self._connections.add(connection)
        self._pump.add(connection)
