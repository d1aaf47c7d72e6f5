"""Syslog over TCP (RFC 6587): connections, their limits, and the way of a chunk from socket to lanes.

    listening socket ──accept──► connection ──recv 64 KiB──► framer ──► fast path ──► rows ──► lanes

Limits: connections at a time (more are refused and counted), idle time, and one budget for everything that unfinished
messages hold on all connections; over it, the connection that holds most is closed. Back-pressure: while the sink has
no room nothing is read, the kernel's buffer fills, and the sender waits.

A stop: nobody new is accepted; a connection is read until its sender has nothing left (a sender that was held up gets a
moment to show what it has), then frozen, read to the end of what the kernel has acknowledged, and reset. So a line is
either here, or its sender can know that it is not.
"""

import asyncio
import errno
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
from collectors.syslog.pump import After, Nap, Pump
from collectors.syslog.slow import Reading, Row
from collectors.syslog.sockets import freeze, keep_alive, reset, unread_bytes
from collectors.syslog.times import Times

READ_BYTES: Final = 65_536
BUDGET_BYTES: Final = 16 << 20
_GATHER_BYTES: Final = 49_152  # may wait in the socket during a nap: less than a first window, 64 KiB
_ACCEPTS: Final = 64  # at once, then the others have their turn
_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_ACCEPT_AGAIN_SECONDS: Final = 1.0
_HELD_UP_SECONDS: Final = 1.0  # a full chunk so lately: the sender may hold back more than its window let through
_QUIET_SECONDS: Final = 0.2  # such a sender has nothing left when it sends nothing for so long
_LEAST_NAP_SECONDS: Final = 0.01  # at a stop


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
        self._full_at = self.read_at - _HELD_UP_SECONDS  # when a whole chunk was there
        self._is_stopping = False
        self._is_frozen = False
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
            return self._after_nothing()
        except OSError:  # reset, or the other end is gone: what it had finished is here
            self.end("reset")
            return After.CLOSED
        held = self._framer.held_bytes
        if not data:
            self._put(self._framer.finish(), size=held)
            self._forget()
            self._sock.close()
            return After.CLOSED
        self.read_at = time.monotonic()
        frames = self._framer.feed(data)
        self._put(frames, size=held + len(data) - self._framer.held_bytes)
        self._service.budget.set(self, self._framer.held_bytes)
        if self._sock.fileno() < 0:  # it was this one that held most
            return After.CLOSED
        is_full = len(data) == READ_BYTES
        if is_full:
            self._full_at = self.read_at
        return After.MORE if self._is_stopping else self.nap.after(len(data), is_full=is_full)

    def stop(self) -> None:
        """Close as soon as the sender has nothing left; from now on the pump looks after it to its end."""
        self._is_stopping = True

    def freeze(self) -> None:
        """Take nothing more from the sender; what is here can still be read."""
        if not self._is_frozen:
            freeze(self._sock)
            self._is_stopping = self._is_frozen = True

    def end(self, reason: str | None) -> None:
        """Close from our side, counted; the beginning of a message that is held becomes a row, flagged `cut`."""
        if reason is not None:
            self._service.sink.count(reason)
        held = self._framer.held_bytes
        self._forget()
        reset(self._sock)
        self._put(self._framer.finish(is_cut=True), size=held)

    def abandon(self, reason: str) -> None:
        """Close without reading on, and count the bytes that are lost by it."""
        self.freeze()
        lost = self._framer.held_bytes + unread_bytes(self._sock)
        if lost:
            self._service.sink.count(reason, lost)
        self._forget()
        reset(self._sock)

    def is_silent(self, since: float) -> bool:
        """Tell whether nothing has come since then; what waits for room in the sink has come."""
        return self.read_at < since and not unread_bytes(self._sock)

    def _after_nothing(self) -> After:
        """Decide what comes when nothing is there to be read; at a stop it is the end, if it is sure."""
        if not self._is_stopping:
            return self.nap.after(0, is_full=False)
        if self._is_frozen:
            self.end(None)
            return After.CLOSED
        now = time.monotonic()
        if now - self._full_at < _HELD_UP_SECONDS and now - self.read_at < _QUIET_SECONDS:
            self.nap.seconds = max(self.nap.seconds, _LEAST_NAP_SECONDS)
            return After.NAP
        self.freeze()
        return After.MORE

    def _forget(self) -> None:
        self._service.forget(self)

    def _put(self, frames: Frames, *, size: int) -> None:
        """Put the rows of messages that took `size` bytes; where a bug prevents it, those bytes are lost and counted."""
        origins = Origins(time.time_ns(), "tcp", peer=self._peer[0], port=self._peer[1])
        reading = self._service.reading
        try:
            self._service.lanes.put(
                read_rows(frames, framer=self._framer, origins=origins, reading=reading, order=self._order)
            )
        except BaseException:
            self._service.sink.count("failed-bytes", size)
            raise


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
        self._pump.remove(connection)
        self.budget.set(connection, 0)

    def sweep(self) -> None:
        """Close the connections that have been silent for too long."""
        silent_since = time.monotonic() - self.listener.idle_seconds
        for connection in [each for each in self._connections if each.is_silent(silent_since)]:
            connection.end("idle-connection")

    def stop(self) -> None:
        """Accept those who are connected already and nobody else, and let each connection come to its end."""
        if self._sock.fileno() >= 0:
            freeze(self._sock)
            while self._accept():
                pass
            self._stop_listening()
        for connection in self._connections:
            connection.stop()

    def freeze(self) -> None:
        """Take nothing more from any sender."""
        for connection in self._connections:
            connection.freeze()

    def close(self, left: str) -> None:
        """Close what is still open; what the kernel holds then is lost, and counted as `left`."""
        self._stop_listening()
        for connection in list(self._connections):
            connection.abandon(f"{left}-bytes")

    def _stop_listening(self) -> None:
        if self._again is not None:
            self._again.cancel()
        if self._sock.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._sock.fileno())
            self._sock.close()

    def _listen(self) -> None:
        self._again = None
        asyncio.get_running_loop().add_reader(self._sock.fileno(), self._accept)

    def _accept(self) -> bool:
        """Accept what waits, a limited number at once; tell whether more may be there."""
        for _ in range(_ACCEPTS):
            try:
                sock, address = self._sock.accept()
            except (InterruptedError, ConnectionError):
                continue  # that one has gone again
            except BlockingIOError:
                return False
            except OSError as error:
                self._refuse(error)
                return False
            if len(self._connections) >= self.listener.max_connections:
                self.sink.count("connection-limit")
                reset(sock)
                continue
            self._is_short = False
            self._add(sock, address)
        return True

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
