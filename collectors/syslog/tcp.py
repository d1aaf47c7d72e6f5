"""Syslog over streams (TCP, TLS, Unix): who is accepted, within which limits, and the end of all connections of a listener.

    listening socket ──accept──► network? limits? ──► TCP, Unix ──────────────────► connection, read by the pump
                                      │              └► TLS ──handshake───►
                                      └── refused: reset and counted

A stop: nobody new is accepted, but everybody who had connected is, and each connection comes to its end. Who waits at a
socket that was handed over waits there for the next start.
"""

import asyncio
import errno
import resource
import socket
import time
from typing import Any, Final

from collectors.sink import Sink
from collectors.syslog.connection import Budget, Sender, Shared, TcpConnection
from collectors.syslog.datagrams import Peer
from collectors.syslog.dialects import new_order
from collectors.syslog.handshakes import Handshake, Handshakes
from collectors.syslog.identity import read_subject
from collectors.syslog.lanes import LaneSorter
from collectors.syslog.limits import Admission, RateLimit
from collectors.syslog.listener import Listener
from collectors.syslog.local import local_order, reading_of
from collectors.syslog.opening import OpenSocket
from collectors.syslog.pump import Pump
from collectors.syslog.shown import Problem
from collectors.syslog.sockets import keep_alive, reset
from collectors.syslog.streams import PlainStream
from collectors.syslog.tls_files import TlsFiles
from collectors.syslog.unix import peer_of, user_of

_ACCEPTS: Final = 64  # at once, then the others have their turn
_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_ACCEPT_AGAIN_SECONDS: Final = 1.0
_SPARE_FILES: Final = 64  # descriptors that no sender may take: the broker, the store and `edgepost status` need some
_SHORT: Final = Problem(
    "no file descriptor is left for another connection", "raise LimitNOFILE of the unit, or lower max_connections"
)


class TcpService:
    """Owns one listening socket and the connections it accepted."""

    def __init__(
        self,
        opened: OpenSocket,
        listener: Listener,
        *,
        sink: Sink,
        lanes: LaneSorter,
        pump: Pump,
        budget: Budget,
        files: TlsFiles | None = None,
    ) -> None:
        self.failed: asyncio.Future[OSError] = asyncio.get_running_loop().create_future()
        self._opened = opened
        self._sock = opened.sock
        self._listener = listener
        self._pump = pump
        self._files = files
        self._admission = Admission(listener, sink)
        self._handshakes = Handshakes(done=self._shaken, gone=self._leave, count=sink.count)
        self._shared = Shared(
            sink=sink,
            lanes=lanes,
            budget=budget,
            rates=RateLimit(listener.rows_per_second_per_peer, burst_rows=listener.burst_rows_per_peer),
            reading=reading_of(listener, is_local=opened.is_unix),
            transport=opened.transport,
            max_message_bytes=listener.max_message_bytes,
            forget=self._forget,
            new_order=local_order if opened.is_unix else new_order,
        )
        self._connections: set[TcpConnection] = set()
        self._again: asyncio.TimerHandle | None = None
        self._most_files = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _SPARE_FILES
        self._is_short = False
        self._listen()

    @property
    def facts(self) -> dict[str, object]:
        """What status shows beside the address."""
        facts: dict[str, object] = {"connections": len(self._connections)}
        if self._files is not None:
            facts |= self._handshakes.facts | self._files.facts
        return facts | self._admission.facts | self._shared.rates.facts

    @property
    def problems(self) -> list[Problem]:
        """What is wrong with it now."""
        return [*([_SHORT] if self._is_short else []), *(self._files.problems if self._files else [])]

    def sweep(self) -> None:
        """Close the connections that have been silent for too long, and those that take too long to be made."""
        silent_since = time.monotonic() - self._listener.idle_seconds
        for connection in [each for each in self._connections if each.is_silent(silent_since)]:
            connection.end("idle-connection")
        self._handshakes.sweep(self._listener.handshake_seconds)

    def stop(self) -> None:
        """Accept those who are connected already and nobody else, and let each connection come to its end."""
        self._opened.withdraw()
        if self._sock.fileno() >= 0 and not self._opened.is_handed:
            self._opened.freeze()
            while self._accept():
                pass
        self._stop_listening()
        self._handshakes.settle()
        for connection in self._connections:
            connection.stop()

    def freeze(self) -> None:
        """Take nothing more from any sender."""
        for connection in self._connections:
            connection.freeze()

    def close(self, left: str) -> None:
        """Close what is still open; what the kernel holds then is lost, and counted as `left`."""
        self._opened.withdraw()
        self._stop_listening()
        self._handshakes.close()
        for connection in list(self._connections):
            connection.abandon(f"{left}-bytes")

    def _forget(self, connection: TcpConnection) -> None:
        """Let go of a connection that is about to be closed."""
        self._connections.discard(connection)
        self._pump.remove(connection)
        self._shared.budget.set(connection, 0)
        self._leave(connection.sender.peer)

    def _leave(self, peer: Peer) -> None:
        self._is_short = False
        self._admission.leave(peer[0])

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
            self._is_short = sock.fileno() >= self._most_files  # the kernel gives the lowest that is free
            peer = _read_peer(address)
            if self._admission.admit(peer[0], is_short=self._is_short):
                self._take(sock, peer)
            else:
                reset(sock)
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

    def _take(self, sock: socket.socket, peer: Peer) -> None:
        sock.setblocking(False)
        if self._opened.is_unix:
            identity = peer_of(sock)
            self._connect(sock, Sender(peer, user_of(identity), identity, PlainStream(sock)))
            return
        keep_alive(sock)
        if self._files is None:
            self._connect(sock, Sender(peer, peer[0], None, PlainStream(sock)))
        else:
            self._handshakes.begin(sock, peer, self._files.context)

    def _shaken(self, handshake: Handshake) -> None:
        identity = read_subject(handshake.stream.certificate)
        self._connect(
            handshake.sock, Sender(handshake.peer, handshake.peer[0], identity, handshake.stream), is_ready=True
        )

    def _connect(self, sock: socket.socket, sender: Sender, *, is_ready: bool = False) -> None:
        connection = TcpConnection(sock, sender, self._shared)
        self._connections.add(connection)
        self._pump.add(connection, is_ready=is_ready)


def _read_peer(address: Any) -> Peer:
    """Give address and port as rows have them; who is on the other end of a Unix socket has none."""
    if not isinstance(address, tuple):
        return None, None
    host = str(address[0]).partition("%")[0]
    return host.removeprefix("::ffff:") if "." in host else host, address[1]
