"""Syslog over TCP (RFC 6587): a chunk is read, framed and parsed at once.

All connections share one budget for what is left between chunks; over it, the connection that holds most is closed.
A connection waits for readability without holding a buffer, so a thousand idle ones cost little.
"""

import asyncio
import socket
from typing import Any, Final

from collectors.sink import Sink
from collectors.syslog.chunks import Parser
from collectors.syslog.config import Listener
from collectors.syslog.framing import Framer, Part
from collectors.syslog.lanes import Sorter
from collectors.syslog.slow import Origin

READ_BYTES: Final = 64 << 10
LEFT_BYTES: Final = 16 << 20
BACKLOG: Final = 512


def open_tcp(listener: Listener) -> socket.socket:
    """Bind and listen.

    Raises:
        OSError: the address is taken or not allowed.
    """
    host, port = listener.address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


class TcpReader:
    """Accepts and reads the connections of one listener."""

    def __init__(self, sock: socket.socket, listener: Listener, *, sorter: Sorter, sink: Sink) -> None:
        self._sock = sock
        self._listener = listener
        self._sorter = sorter
        self._sink = sink
        self._parser = Parser(listener)
        self._connections: dict[socket.socket, Framer] = {}
        self._left_bytes = 0

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._connections)

    async def run(self) -> None:
        """Accept for ever; on cancel each connection takes what the kernel still holds."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    sock, address = await loop.sock_accept(self._sock)
                    if self.connections >= self._listener.max_connections:
                        sock.close()
                        self._sink.count("connection-limit")
                        continue
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                    self._connections[sock] = Framer(self._listener.max_message_bytes)
                    tasks.create_task(self._read(sock, self._parser.origin_of(address)), name=f"tcp {address[0]}")
        finally:
            self._sock.close()

    async def _read(self, sock: socket.socket, origin: Origin) -> None:
        loop = asyncio.get_running_loop()
        framer = self._connections[sock]
        try:
            while True:
                await self._sink.drain()
                async with asyncio.timeout(self._listener.idle_seconds):
                    data = await loop.sock_recv(sock, READ_BYTES)
                if not data:
                    break
                self._take(framer, data, origin)
                await asyncio.sleep(0)  # sock_recv does not yield while there is data
            self._put(framer.close(), origin)
        except TimeoutError:
            self._sink.count("idle-connection")
        except OSError:
            self._put(framer.close(), origin)
        except asyncio.CancelledError:
            self._take_rest(sock, framer, origin)
            raise
        finally:
            del self._connections[sock]
            self._left_bytes -= len(framer.left)
            sock.close()

    def _take(self, framer: Framer, data: bytes, origin: Origin) -> None:
        before, empty = len(framer.left), framer.empty_frames
        parts = framer.feed(data)
        if framer.empty_frames > empty:
            self._sink.count("empty", framer.empty_frames - empty)
        self._put(parts, origin)
        self._left_bytes += len(framer.left) - before
        if self._left_bytes > LEFT_BYTES:
            self._close_greediest()

    def _put(self, parts: list[Part], origin: Origin) -> None:
        cut = sum(part.is_cut for part in parts)
        if cut:
            self._sink.count("cut", cut)
        rows = self._parser.parse_parts(parts, origin) if parts else []
        if rows:
            self._sorter.put(rows)

    def _take_rest(self, sock: socket.socket, framer: Framer, origin: Origin) -> None:
        """At a stop: what the kernel has accepted is read once more; an unfinished line is a message, cut."""
        budget = 64
        try:
            while budget and (data := sock.recv(READ_BYTES)):
                self._take(framer, data, origin)
                budget -= 1
        except OSError:
            pass
        self._put([part._replace(is_cut=True) for part in framer.close()], origin)

    def _close_greediest(self) -> None:
        sock = max(self._connections, key=lambda one: len(self._connections[one].left))
        self._sink.count("buffer-limit")
        sock.shutdown(socket.SHUT_RDWR)

    def facts(self) -> dict[str, Any]:
        """What status shows of this listener."""
        return {"connections": self.connections, "left_bytes": self._left_bytes}
