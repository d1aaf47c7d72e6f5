"""A socket that is read in chunks: paho asks for one byte, then for one more, then for the rest of each packet."""

import contextlib
import socket
import ssl
from typing import Final

from wire.dial import Socket

CHUNK_BYTES: Final = 65_536
_SKIPS_A_TURN: Final = 16  # chunks that are thrown away before somebody else has a turn


class Chunks:
    """What paho takes for its socket; `error` is the last one that ended it, which paho swallows."""

    def __init__(self, sock: Socket) -> None:
        self._sock = sock
        self._chunk = b""
        self._at = 0
        self._skip = 0
        self.error: OSError | None = None

    def skip(self, count: int) -> None:
        """Throw away the next `count` bytes, those that are here and those to come."""
        self._skip += count

    def recv(self, size: int) -> bytes:
        """Give up to `size` bytes; many packets cost one call of the system."""
        if self._skip and not self._pass_over():
            return b""
        if self._at == len(self._chunk):
            self._chunk = self._receive()
            self._at = 0
        part = self._chunk[self._at : self._at + size]
        self._at += len(part)
        return part

    def _pass_over(self) -> bool:
        """Throw away what is to be skipped; False when the stream ends before.

        Raises:
            BlockingIOError: there is more to skip.
        """
        for _ in range(_SKIPS_A_TURN):
            if self._at == len(self._chunk):
                self._chunk, self._at = self._receive(), 0
                if not self._chunk:
                    return False
            skipped = min(self._skip, len(self._chunk) - self._at)
            self._skip -= skipped
            self._at += skipped
            if not self._skip:
                return True
        raise BlockingIOError

    def _receive(self) -> bytes:
        try:
            data = self._sock.recv(CHUNK_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError as error:
            self.error = error
            raise
        with contextlib.suppress(OSError):
            # A broker under Nagle's algorithm sends the next PUBACK when we acknowledge this one, by itself after 40 ms.
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return data

    def pending(self) -> int:
        """Bytes that are here already and wake no selector."""
        own = len(self._chunk) - self._at
        return own or (self._sock.pending() if isinstance(self._sock, ssl.SSLSocket) else 0)

    def send(self, data: bytes | bytearray) -> int:
        """Send what the socket takes."""
        try:
            return self._sock.send(data)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError as error:
            self.error = error
            raise

    def fileno(self) -> int:
        """The descriptor, -1 when closed."""
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - as socket.socket has it
        """Only ever called with False, which it is."""
        self._sock.setblocking(flag)

    def close(self) -> None:
        """Close it."""
        self._sock.close()
